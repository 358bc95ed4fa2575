//! What a file's name says about the network in it.

use std::path::Path;

use effigy_arch::{Letterbox, Network, Normalisation};

use crate::hub;

/// A network that a name suggests.
#[derive(Clone, Debug)]
pub(crate) struct Hint {
    /// The name that was understood.
    pub(crate) name: String,
    pub(crate) network: Network,
    /// Whether only AdvProp's preprocessing was understood to go with the name.
    pub(crate) advprop: bool,
}

/// Looks at the file's name, then at the names of the folders around it: Hugging Face calls every
/// file `model.safetensors` and has the name in the repository's folder.
pub(crate) fn from_path(path: &Path) -> Option<Hint> {
    /// The repository's folder is at most this far up: `models--timm--NAME/snapshots/HASH/FILE`.
    const NEAR: usize = 4;
    let names = || path.ancestors().take(NEAR).filter_map(|path| path.file_name()?.to_str());
    let hint = names().find_map(from_file_name)?;
    // TensorFlow's are called as the plain ones are, in a folder `advprop`.
    let says_advprop = names().any(|name| name.to_ascii_lowercase().contains("advprop"));
    Some(if says_advprop { with_advprop(hint) } else { hint })
}

fn from_file_name(file: &str) -> Option<Hint> {
    if let Some(known) = hub::checkpoints().iter().find(|checkpoint| checkpoint.file() == file) {
        let advprop = known.name.ends_with(hub::ADVPROP);
        return Some(Hint { name: known.name.to_owned(), network: known.network(), advprop });
    }
    let name = without_hash(without_extension(file));
    let name = name.strip_prefix("models--timm--").unwrap_or(name);
    match name.strip_prefix("adv-") {
        None => longest_known(name),
        Some(rest) => longest_known(rest).map(with_advprop),
    }
}

fn with_advprop(hint: Hint) -> Hint {
    let network = match hint.network {
        Network::EfficientNet(network) => {
            let preprocessing = network.preprocessing.clone().with_normalisation(Normalisation::HALF);
            network.with_preprocessing(preprocessing).into()
        }
        Network::EfficientDet(detector) => {
            let letterbox = Letterbox { normalisation: Normalisation::HALF, ..detector.letterbox.clone() };
            detector.with_letterbox(letterbox).into()
        }
    };
    Hint { network, advprop: true, ..hint }
}

fn without_extension(file: &str) -> &str {
    const EXTENSIONS: [&str; 7] = [".tar", ".pth", ".pt", ".bin", ".ckpt", ".pkl", ".safetensors"];
    let shorter = EXTENSIONS.iter().find_map(|extension| file.strip_suffix(extension));
    shorter.map_or(file, without_extension)
}

/// `efficientnet-b0-355c32eb` → `efficientnet-b0`
fn without_hash(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((rest, hash)) if hash.len() == 8 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => rest,
        _ => name,
    }
}

/// The network of the name, or of as much of its beginning as names one: `efficientnet_b0_flowers`.
fn longest_known(name: &str) -> Option<Hint> {
    let cuts = name.char_indices().filter(|(_, c)| "_-. ".contains(*c)).map(|(at, _)| at);
    let beginnings = std::iter::once(name.len()).chain(cuts.collect::<Vec<_>>().into_iter().rev());
    beginnings.map(|end| &name[..end]).find_map(|name| {
        let network = Network::from_name(name).ok()?;
        Some(Hint { name: name.to_owned(), network, advprop: false })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_understood() {
        let cases = [
            ("efficientnet-b0-355c32eb.pth", "efficientnet-b0", 0.485),
            ("adv-efficientnet-b3-cdd7c0f4.pth", "efficientnet-b3", 0.5),
            ("adv-efficientnet-b3-00000000.pth", "efficientnet-b3", 0.5),
            ("tf_efficientnet_b0_ap-f262efe1.pth", "efficientnet-b0", 0.5),
            ("tf_efficientnet_b0_aa-827b6e33.pth", "efficientnet-b0", 0.485),
            ("tf_efficientnetv2_s-eb54923e.pth", "efficientnetv2-s", 0.5),
            ("efficientnet_b4_ra2_320-7eb33cd5.pth", "efficientnet-b4", 0.485),
            ("efficientnet_b1_flowers.pth.tar", "efficientnet-b1", 0.5),
            (
                "models--timm--tf_efficientnet_b5.ns_jft_in1k/snapshots/0123/model.safetensors",
                "efficientnet-b5",
                0.485,
            ),
            ("efficientdet-d4_trial_24_8000.pth", "efficientdet-d4", 0.485),
            ("tf_efficientdet_d1_ap-7721d075.pth", "efficientdet-d1", 0.5),
            ("tf_efficientdet_d7_53-6d1d7a95.pth", "efficientdet-d7", 0.485),
            ("efficientnet-lite1-77cc7160.pth", "efficientnet-lite1", 127.0 / 255.0),
        ];
        for (path, name, mean) in cases {
            let hint = from_path(Path::new(path)).unwrap_or_else(|| panic!("{path}"));
            let found = match &hint.network {
                Network::EfficientNet(network) => network.preprocessing.mean[0],
                Network::EfficientDet(network) => network.letterbox.normalisation.mean[0],
            };
            assert_eq!((hint.network.name(), found), (name, mean), "{path}");
        }
        assert!(from_path(Path::new("/data/best.pth")).is_none());
    }
}
