//! Names: canonical ones, factors spelled out, and what timm and torchvision call the same networks.

use thiserror::Error;

use crate::efficientnet::{Convention, EfficientNet, Family};
use crate::preprocessing::{Interpolation, Normalisation, Preprocessing};
use crate::table;

/// A name that no network has.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum UnknownModel {
    /// Nothing is called that.
    #[error("no model is called {name:?}{}", hint(suggestions))]
    Name {
        /// What was asked for.
        name: String,
        /// Names that are near it, the nearest first; perhaps none.
        suggestions: Vec<String>,
    },
    /// The name spells out factors that make no network.
    #[error("{name:?}: {factor} must be a number from {min} to {max}")]
    Factor {
        /// What was asked for.
        name: String,
        /// Which factor is wrong: `phi`, `width`, `depth` or `resolution`.
        factor: &'static str,
        /// The smallest that is allowed.
        min: f64,
        /// The largest that is allowed.
        max: f64,
    },
}

fn hint(suggestions: &[String]) -> String {
    match suggestions {
        [] => "; `effigy models` lists them all".to_owned(),
        _ => format!("; did you mean {}?", suggestions.join(" or ")),
    }
}

impl Family {
    /// What its canonical names start with.
    pub(crate) fn stem_name(self) -> &'static str {
        match self {
            Self::V1 => "efficientnet",
            Self::Lite => "efficientnet-lite",
            Self::EdgeTpu => "efficientnet-edgetpu",
            Self::V2Base => "efficientnetv2",
            Self::V2S => "efficientnetv2-s",
            Self::V2M => "efficientnetv2-m",
            Self::V2L => "efficientnetv2-l",
            Self::V2Xl => "efficientnetv2-xl",
        }
    }

    const ALL: [Self; 8] =
        [Self::V1, Self::Lite, Self::EdgeTpu, Self::V2Base, Self::V2S, Self::V2M, Self::V2L, Self::V2Xl];
}

/// The network called `name`; see [`EfficientNet::from_name`].
pub(crate) fn resolve(name: &str) -> Result<EfficientNet, UnknownModel> {
    let found = match canonical(name).or_else(|| torchvision(name)).or_else(|| timm(name)) {
        Some(network) => Some(network),
        None => match compound(name)? {
            Some(network) => Some(network),
            None => explicit(name)?,
        },
    };
    found.ok_or_else(|| UnknownModel::Name { name: name.to_owned(), suggestions: near(name, known()) })
}

/// Canonical names, then timm's.
fn known() -> impl Iterator<Item = String> {
    let canonical = table::variants().iter().map(|variant| variant.name.to_owned());
    canonical.chain(table::variants().iter().map(|variant| {
        let plain = variant.name.replace("edgetpu-", "e").replace('-', "_");
        format!("tf_{plain}")
    }))
}

fn canonical(name: &str) -> Option<EfficientNet> {
    let variant = table::variants().iter().find(|variant| variant.name == name)?;
    Some(EfficientNet::from_variant(variant))
}

/// `efficientnet-phi-1.7`
fn compound(name: &str) -> Result<Option<EfficientNet>, UnknownModel> {
    let Some(phi) = name.strip_prefix("efficientnet-phi-") else { return Ok(None) };
    Ok(Some(EfficientNet::compound(factor(name, "phi", phi, -8.0, 16.0)?)))
}

/// `efficientnet-w1.2-d1.4-r300`, and so for every family
fn explicit(name: &str) -> Result<Option<EfficientNet>, UnknownModel> {
    let parts = name.rsplit_once("-r").and_then(|(rest, resolution)| {
        let (rest, depth) = rest.rsplit_once("-d")?;
        let (stem, width) = rest.rsplit_once("-w")?;
        let family = Family::ALL.into_iter().find(|family| family.stem_name() == stem)?;
        Some((family, width, depth, resolution))
    });
    let Some((family, width, depth, resolution)) = parts else { return Ok(None) };
    let width = factor(name, "width", width, 0.05, 20.0)?;
    let depth = factor(name, "depth", depth, 0.05, 20.0)?;
    let resolution = factor(name, "resolution", resolution, 1.0, 8192.0)? as usize;
    Ok(Some(EfficientNet::scaled(family, width, depth, resolution)))
}

fn factor(name: &str, factor: &'static str, text: &str, min: f64, max: f64) -> Result<f64, UnknownModel> {
    let value = text.parse().ok().filter(|value| (min..=max).contains(value));
    value.ok_or_else(|| UnknownModel::Factor { name: name.to_owned(), factor, min, max })
}

/// A network as another project evaluates it: size, crop, filter, statistics.
struct View(usize, f32, Interpolation, Normalisation);

impl View {
    fn apply(self, network: EfficientNet) -> EfficientNet {
        let Self(size, crop_pct, interpolation, Normalisation { mean, std }) = self;
        network.with_preprocessing(Preprocessing { size: [size, size], crop_pct, interpolation, mean, std })
    }
}

/// torchvision's builders: `efficientnet_v2_s`, and `torchvision/efficientnet_b0` (bare, that name is
/// timm's). Views: `torchvision.models.efficientnet`'s `IMAGENET1K_V1` weights, where the crop is
/// `crop_size / resize_size`.
fn torchvision(name: &str) -> Option<EfficientNet> {
    use Interpolation::{Bicubic, Bilinear};
    use Normalisation as N;
    let (plain, asked) = match name.strip_prefix("torchvision/") {
        Some(plain) => (plain, true),
        None => (name, name.starts_with("efficientnet_v2_")),
    };
    let view = match plain {
        _ if !asked => return None,
        "efficientnet_b0" => View(224, 224.0 / 256.0, Bicubic, N::IMAGENET),
        "efficientnet_b1" => View(240, 240.0 / 256.0, Bicubic, N::IMAGENET),
        "efficientnet_b2" => View(288, 1.0, Bicubic, N::IMAGENET),
        "efficientnet_b3" => View(300, 300.0 / 320.0, Bicubic, N::IMAGENET),
        "efficientnet_b4" => View(380, 380.0 / 384.0, Bicubic, N::IMAGENET),
        "efficientnet_b5" => View(456, 1.0, Bicubic, N::IMAGENET),
        "efficientnet_b6" => View(528, 1.0, Bicubic, N::IMAGENET),
        "efficientnet_b7" => View(600, 1.0, Bicubic, N::IMAGENET),
        "efficientnet_v2_s" => View(384, 1.0, Bilinear, N::IMAGENET),
        "efficientnet_v2_m" => View(480, 1.0, Bilinear, N::IMAGENET),
        "efficientnet_v2_l" => View(480, 1.0, Bicubic, N::HALF),
        _ => return None,
    };
    let network = canonical(&plain.replace("_v2_", "v2-").replace('_', "-"))?;
    let small = matches!(plain, "efficientnet_b0" | "efficientnet_b1" | "efficientnet_b2")
        || matches!(plain, "efficientnet_b3" | "efficientnet_b4");
    let convention = if small { Convention::TIMM_NATIVE } else { Convention::TORCHVISION_V2 };
    Some(view.apply(network.with_convention(convention)))
}

/// timm's names, with or without `timm/` before and a tag behind: `tf_efficientnet_b0.ap_in1k`,
/// `tf_efficientnet_b0_ap`, `efficientnet_b0`.
fn timm(name: &str) -> Option<EfficientNet> {
    let name = name.strip_prefix("timm/").unwrap_or(name);
    match name.strip_prefix("tf_") {
        Some(ported) => timm_ported(ported),
        None => timm_native(name),
    }
}

/// `efficientnet_b0` → B0, `efficientnet_es` → EdgeTPU-S, `efficientnetv2_s` → V2-S
fn timm_architecture(architecture: &str) -> Option<EfficientNet> {
    if architecture.contains('-') {
        return None;
    }
    let name = match architecture {
        "efficientnet_es" => "efficientnet-edgetpu-s".to_owned(),
        "efficientnet_em" => "efficientnet-edgetpu-m".to_owned(),
        "efficientnet_el" => "efficientnet-edgetpu-l".to_owned(),
        _ => architecture.replace('_', "-"),
    };
    canonical(&name)
}

/// The suffixes of timm before 0.8 and the tags that took their place.
const OLD_TAGS: [(&str, &str); 5] = [
    ("_ap", "ap_in1k"),
    ("_ns", "ns_jft_in1k"),
    ("_ns_475", "ns_jft_in1k_475"),
    ("_in21k", "in21k"),
    ("_in21ft1k", "in21k_ft_in1k"),
];

fn split_tag(name: &str) -> (&str, Option<&str>) {
    if let Some((architecture, tag)) = name.split_once('.') {
        return (architecture, Some(tag));
    }
    let old = OLD_TAGS.iter().find_map(|(suffix, tag)| Some((name.strip_suffix(suffix)?, Some(*tag))));
    old.unwrap_or((name, None))
}

/// TensorFlow's weights: timm's `tf_` models, named without the `tf_`.
fn timm_ported(name: &str) -> Option<EfficientNet> {
    let (architecture, tag) = split_tag(name);
    let network = timm_architecture(architecture)?;
    // Without a tag timm takes its newest weights; only here do they differ in their view.
    let tag = tag.unwrap_or(match architecture {
        "efficientnet_b8" => "ap_in1k",
        "efficientnetv2_b3" => "in21k_ft_in1k",
        _ => "",
    });
    let Preprocessing { size: [size, _], crop_pct, interpolation, .. } = network.preprocessing;
    let view = |normalisation| View(size, crop_pct, interpolation, normalisation);
    let view = match (network.family, tag) {
        (Family::V1, "" | "in1k" | "aa_in1k" | "ra_in1k" | "ns_jft_in1k") => view(Normalisation::IMAGENET),
        (Family::V1, "ap_in1k") => view(Normalisation::HALF),
        (Family::V1, "ns_jft_in1k_475") if architecture == "efficientnet_l2" => {
            View(475, 0.936, interpolation, Normalisation::IMAGENET)
        }
        (Family::Lite, "" | "in1k") => {
            let (size, crop_pct) = timm_lite(architecture);
            View(size, crop_pct, interpolation, Normalisation::HALF)
        }
        (Family::EdgeTpu, "" | "in1k") => view(Normalisation::HALF),
        (Family::V2Base, "" | "in1k") => view(Normalisation::IMAGENET),
        (Family::V2Base, "in21k") => view(Normalisation::HALF),
        (Family::V2Base, "in21k_ft_in1k") => View(size, 0.9, interpolation, Normalisation::HALF),
        (Family::V2S | Family::V2M | Family::V2L | Family::V2Xl, "" | "in1k" | "in21k" | "in21k_ft_in1k") => {
            view(Normalisation::HALF)
        }
        _ => return None,
    };
    let classes = if tag == "in21k" { 21_843 } else { network.classes };
    Some(view.apply(network.with_classes(classes)))
}

/// At what size and crop timm sees Lite; for two of them it is not TensorFlow's size.
fn timm_lite(architecture: &str) -> (usize, f32) {
    match architecture {
        "efficientnet_lite1" => (240, 0.882),
        "efficientnet_lite2" => (260, 0.89),
        "efficientnet_lite3" => (300, 0.904),
        "efficientnet_lite4" => (380, 0.92),
        _ => (224, 0.875),
    }
}

/// Weights trained in timm. Views: its `default_cfgs`, at the size it tests at.
fn timm_native(name: &str) -> Option<EfficientNet> {
    use Normalisation as N;
    let (architecture, tag) = split_tag(name);
    let network = timm_architecture(architecture)?;
    let (nominal, nominal_crop) = match network.family {
        Family::Lite => timm_lite(architecture),
        _ => (network.preprocessing.size[0], network.preprocessing.crop_pct),
    };
    let (size, crop_pct, normalisation) = match (architecture, tag) {
        ("efficientnet_b0", Some("ra4_e3600_r224_in1k")) => (256, 1.0, N::HALF),
        ("efficientnet_b0", None | Some("ra_in1k")) => (224, 0.875, N::IMAGENET),
        ("efficientnet_b1", None | Some("ra4_e3600_r240_in1k")) => (288, 1.0, N::HALF),
        ("efficientnet_b1", Some("ft_in1k")) => (256, 1.0, N::IMAGENET),
        ("efficientnet_b2", None | Some("ra_in1k")) => (288, 1.0, N::IMAGENET),
        ("efficientnet_b3", None | Some("ra2_in1k")) => (320, 1.0, N::IMAGENET),
        ("efficientnet_b4", None | Some("ra2_in1k")) => (384, 1.0, N::IMAGENET),
        ("efficientnet_b5", None | Some("sw_in12k_ft_in1k")) => (448, 1.0, N::IMAGENET),
        ("efficientnet_b5", Some("sw_in12k")) => (416, 0.95, N::IMAGENET),
        ("efficientnet_es" | "efficientnet_el" | "efficientnet_lite0", Some("ra_in1k"))
        | ("efficientnet_em", Some("ra2_in1k"))
        // What timm has no weights for is seen as its TensorFlow twin is.
        | (_, None) => (nominal, nominal_crop, N::IMAGENET),
        _ => return None,
    };
    let classes = if tag == Some("sw_in12k") { 11_821 } else { network.classes };
    let network = network.with_convention(Convention::TIMM_NATIVE).with_classes(classes);
    Some(View(size, crop_pct, Interpolation::Bicubic, normalisation).apply(network))
}

/// Up to three of the known names that are a slip or two away from `name`, or that end in it.
pub(crate) fn near(name: &str, known: impl Iterator<Item = String>) -> Vec<String> {
    let asked = name.to_lowercase();
    let limit = (asked.len() / 4).max(1);
    let mut found: Vec<(usize, String)> = known
        .filter_map(|known| {
            let distance = edit_distance(&asked, &known);
            let part = asked.len() > 1 && known.ends_with(&asked);
            (part || distance <= limit).then_some((distance, known))
        })
        .collect();
    found.sort_by_key(|(distance, _)| *distance);
    found.into_iter().take(3).map(|(_, known)| known).collect()
}

/// Levenshtein's distance: the fewest insertions, deletions and substitutions that make `a` into `b`.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
