//! The card of an EfficientDet.

use effigy_arch::{
    Anchors, AspectRatio, Border, Convention, DetectorConvention, EfficientDet, EfficientNet, Fill, Fit,
    Fusion, Letterbox, Network, Normalisation,
};
use serde::{Deserialize, Serialize};

use super::{BadCard, INTERPOLATION, PADDING, Words, meaning, unknown, word};

const BORDER: Words<Border> = &[("nothing", Border::NegativeInfinity), ("zero", Border::Zero)];
const FILL: Words<Fill> = &[("mean", Fill::Mean), ("mean-byte", Fill::MeanByte), ("black", Fill::Black)];
const FIT: Words<Fit> = &[
    ("one-scale", Fit::OneScale),
    ("one-scale-f32", Fit::OneScaleF32),
    ("scale-per-side", Fit::ScalePerSide),
];

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct DetectorCard {
    version: u32,
    model: String,
    backbone: BackboneCard,
    channels: usize,
    cells: usize,
    head_repeats: usize,
    max_level: usize,
    /// The ε of fast normalised fusion; plain sums have none.
    fusion_epsilon: Option<f32>,
    anchors: AnchorsCard,
    letterbox: LetterboxCard,
    convention: ConventionCard,
    classes: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    labels: Option<Vec<String>>,
}

#[derive(Debug, Deserialize, Serialize)]
struct BackboneCard {
    model: String,
    in_channels: usize,
    bn_epsilon: f32,
    padding: String,
}

#[derive(Debug, Deserialize, Serialize)]
struct AnchorsCard {
    base: f64,
    scales: Vec<f64>,
    ratios: Vec<RatioCard>,
}

#[derive(Debug, Deserialize, Serialize)]
struct RatioCard {
    width: f64,
    height: f64,
}

#[derive(Debug, Deserialize, Serialize)]
struct LetterboxCard {
    size: [usize; 2],
    interpolation: String,
    fit: String,
    mean: [f32; 3],
    std: [f32; 3],
    fill: String,
}

#[derive(Debug, Deserialize, Serialize)]
struct ConventionCard {
    padding: String,
    border: String,
    spare_bias: bool,
    bn_epsilon: f32,
    bn_momentum: f32,
    ratios: [RatioCard; 3],
}

impl DetectorCard {
    /// Raised when older readers would misunderstand.
    pub(super) const VERSION: u32 = 2;

    pub(super) fn new(network: &EfficientDet, labels: Option<&[String]>) -> Self {
        let EfficientDet { backbone, anchors, letterbox, convention, .. } = network;
        Self {
            version: Self::VERSION,
            model: network.name.clone(),
            backbone: BackboneCard {
                model: backbone.name.clone(),
                in_channels: backbone.in_channels,
                bn_epsilon: backbone.convention.bn_epsilon,
                padding: word(PADDING, backbone.convention.padding),
            },
            channels: network.channels,
            cells: network.cells,
            head_repeats: network.head_repeats,
            max_level: network.max_level,
            fusion_epsilon: match network.fusion {
                Fusion::FastAttention { epsilon } => Some(epsilon),
                Fusion::Sum => None,
            },
            anchors: AnchorsCard {
                base: anchors.base,
                scales: anchors.scales.clone(),
                ratios: anchors.ratios.iter().map(RatioCard::new).collect(),
            },
            letterbox: LetterboxCard {
                size: letterbox.size,
                interpolation: word(INTERPOLATION, letterbox.interpolation),
                fit: word(FIT, letterbox.fit),
                mean: letterbox.normalisation.mean,
                std: letterbox.normalisation.std,
                fill: word(FILL, letterbox.fill),
            },
            convention: ConventionCard {
                padding: word(PADDING, convention.padding),
                border: word(BORDER, convention.border),
                spare_bias: convention.spare_bias,
                bn_epsilon: convention.bn_epsilon,
                bn_momentum: convention.bn_momentum,
                ratios: convention.ratios.each_ref().map(RatioCard::new),
            },
            classes: network.classes,
            labels: labels.map(<[String]>::to_vec),
        }
    }

    pub(super) fn network(self) -> Result<(Network, Option<Vec<String>>), BadCard> {
        self.check()?;
        let Self { anchors, letterbox, convention, .. } = self;
        let network = EfficientDet {
            name: self.model,
            backbone: self.backbone.network()?,
            channels: self.channels,
            cells: self.cells,
            head_repeats: self.head_repeats,
            max_level: self.max_level,
            fusion: match self.fusion_epsilon {
                Some(epsilon) => Fusion::FastAttention { epsilon },
                None => Fusion::Sum,
            },
            anchors: Anchors {
                base: anchors.base,
                scales: anchors.scales,
                ratios: anchors.ratios.iter().map(RatioCard::ratio).collect(),
            },
            letterbox: Letterbox {
                size: letterbox.size,
                interpolation: meaning(INTERPOLATION, "interpolation", &letterbox.interpolation)?,
                fit: meaning(FIT, "fit", &letterbox.fit)?,
                normalisation: Normalisation { mean: letterbox.mean, std: letterbox.std },
                fill: meaning(FILL, "fill", &letterbox.fill)?,
            },
            convention: DetectorConvention {
                padding: meaning(PADDING, "padding", &convention.padding)?,
                border: meaning(BORDER, "border", &convention.border)?,
                spare_bias: convention.spare_bias,
                bn_epsilon: convention.bn_epsilon,
                bn_momentum: convention.bn_momentum,
                ratios: convention.ratios.each_ref().map(RatioCard::ratio),
            },
            classes: self.classes,
        };
        Ok((network.into(), self.labels))
    }
}

impl DetectorCard {
    /// Refuses sizes of which no memory could hold the graph.
    fn check(&self) -> Result<(), BadCard> {
        let anchors = self.anchors.scales.len().saturating_mul(self.anchors.ratios.len());
        let limits = [
            ("channels", self.channels, 1..=4096),
            ("cells", self.cells, 1..=16),
            ("head_repeats", self.head_repeats, 0..=16),
            ("max_level", self.max_level, 5..=10),
            ("classes", self.classes, 1..=1 << 20),
            ("number of anchors", anchors, 1..=1024),
        ];
        let exceeded = limits.into_iter().find(|(_, value, range)| !range.contains(value));
        exceeded.map_or(Ok(()), |(field, value, _)| Err(unknown(field, &value.to_string())))
    }
}

impl BackboneCard {
    fn network(&self) -> Result<EfficientNet, BadCard> {
        let network = EfficientNet::from_name(&self.model).map_err(|_| unknown("backbone", &self.model))?;
        let padding = meaning(PADDING, "padding", &self.padding)?;
        let convention = Convention { bn_epsilon: self.bn_epsilon, padding };
        Ok(network.with_in_channels(self.in_channels).with_convention(convention))
    }
}

impl RatioCard {
    fn new(&AspectRatio { width, height }: &AspectRatio) -> Self {
        Self { width, height }
    }

    fn ratio(&self) -> AspectRatio {
        AspectRatio::new(self.width, self.height)
    }
}
