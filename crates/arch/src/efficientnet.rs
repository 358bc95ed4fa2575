//! An EfficientNet as a description, from which the graph follows.

use crate::stages::{self, Blueprint};
use crate::table::{self, Variant};
use crate::{Activation, Graph, Padding, Preprocessing, UnknownModel, builder, names};

/// A family of networks: what width, depth and resolution scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// EfficientNet: B0 … B8, L2.
    V1,
    /// EfficientNet-Lite: ReLU6, no squeeze and excitation, ends never scaled.
    Lite,
    /// EfficientNet-EdgeTPU: ReLU, no squeeze and excitation, fused blocks first.
    EdgeTpu,
    /// EfficientNetV2-B0 … B3.
    V2Base,
    /// EfficientNetV2-S.
    V2S,
    /// EfficientNetV2-M.
    V2M,
    /// EfficientNetV2-L.
    V2L,
    /// EfficientNetV2-XL.
    V2Xl,
}

/// Where the network ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Top {
    /// Logits: `[N, 1, 1, classes]`.
    Classifier,
    /// The pooled features: `[N, 1, 1, C]`.
    Pooled,
    /// The head's feature map: `[N, H, W, C]`.
    Features,
}

/// What ports of one network do differently. It shows in no weight's name or shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Convention {
    /// Added to BatchNorm's variance.
    pub bn_epsilon: f32,
    /// How convolutions pad.
    pub padding: Padding,
}

/// An EfficientNet: which one, for which pictures, with which top.
///
/// ```
/// use effigy_arch::EfficientNet;
///
/// let graph = EfficientNet::from_name("efficientnet-b0")?.with_classes(10).graph();
/// assert_eq!(graph.param_count(), 4_020_358);
/// # Ok::<(), effigy_arch::UnknownModel>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct EfficientNet {
    /// The canonical name, such as `efficientnet-b0`.
    pub name: String,
    /// Which rows are scaled.
    pub family: Family,
    /// Factor on the filters.
    pub width: f64,
    /// Factor on the repeats.
    pub depth: f64,
    /// Share of the pooled features that training drops, 0..1.
    pub dropout: f32,
    /// Share of samples that skip the last block while training; earlier blocks in proportion.
    pub drop_connect: f32,
    /// How pictures become the network's input.
    pub preprocessing: Preprocessing,
    /// Normalisation and padding.
    pub convention: Convention,
    /// Number of classes of [`Top::Classifier`].
    pub classes: usize,
    /// Channels of the picture.
    pub in_channels: usize,
    /// Where the network ends.
    pub top: Top,
}

/// What a [`Block`] is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockKind {
    /// Depthwise k×k, then 1×1: an MBConv block whose expansion is 1.
    DepthwiseSeparable,
    /// 1×1 expansion, depthwise k×k, then 1×1: MBConv.
    InvertedResidual,
    /// k×k expansion, then 1×1: Fused-MBConv.
    Fused,
    /// One k×k convolution: Fused-MBConv whose expansion is 1.
    FusedExpand1,
}

/// One block, scaled: everything its nodes need.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Position among all blocks, from 0: the `i` of `blocks.{i}`.
    pub index: usize,
    /// The stage it belongs to, from 0.
    pub stage: usize,
    /// Position within its stage, from 0.
    pub position: usize,
    /// What it is made of.
    pub kind: BlockKind,
    /// Height and width of the depthwise or fused convolution's kernel.
    pub kernel: usize,
    /// Its step.
    pub stride: usize,
    /// Channels read.
    pub inputs: usize,
    /// Channels between expansion and projection.
    pub expanded: usize,
    /// Channels written.
    pub outputs: usize,
    /// Channels of the squeeze, where there is squeeze and excitation.
    pub squeeze: Option<usize>,
    /// Whether the input is added to the output.
    pub residual: bool,
    /// Share of samples that skip the block while training, 0..1.
    pub drop_connect: f32,
}

impl Convention {
    /// TensorFlow's, which the lukemelas port and timm's `tf_` models keep.
    pub const TENSORFLOW: Self = Self { bn_epsilon: 1e-3, padding: Padding::Same };
    /// timm's natively trained models, and torchvision's B0 … B4.
    pub const TIMM_NATIVE: Self = Self { bn_epsilon: 1e-5, padding: Padding::Symmetric };
    /// torchvision's V2 models, and its B5 … B7.
    pub const TORCHVISION_V2: Self = Self { bn_epsilon: 1e-3, padding: Padding::Symmetric };
}

impl Family {
    pub(crate) fn blueprint(self) -> &'static Blueprint {
        match self {
            Self::V1 => &stages::V1,
            Self::Lite => &stages::LITE,
            Self::EdgeTpu => &stages::EDGE_TPU,
            Self::V2Base => &stages::V2_BASE,
            Self::V2S => &stages::V2_S,
            Self::V2M => &stages::V2_M,
            Self::V2L => &stages::V2_L,
            Self::V2Xl => &stages::V2_XL,
        }
    }

    /// The activation between convolutions.
    #[must_use]
    pub fn activation(self) -> Activation {
        self.blueprint().activation
    }
}

impl EfficientNet {
    /// The network of a name: a canonical one (`efficientnet-b0`), timm's or torchvision's
    /// (`tf_efficientnet_b0_ap`, `efficientnet_v2_s`), a compound coefficient
    /// (`efficientnet-phi-1.7`) or explicit factors (`efficientnet-w1.2-d1.4-r300`).
    ///
    /// # Errors
    /// When nothing has that name (the error suggests near ones) or its factors are out of range.
    pub fn from_name(name: &str) -> Result<Self, UnknownModel> {
        names::resolve(name)
    }

    /// A family's network at a width, a depth and a resolution (pixels) of one's own choosing:
    /// 1000 classes, dropout .2, TensorFlow's convention.
    #[must_use]
    pub fn scaled(family: Family, width: f64, depth: f64, resolution: usize) -> Self {
        let stem = family.stem_name();
        Self {
            name: format!("{stem}-w{width}-d{depth}-r{resolution}"),
            family,
            width,
            depth,
            dropout: 0.2,
            drop_connect: 0.2,
            preprocessing: Preprocessing::for_family(family, resolution),
            convention: Convention::TENSORFLOW,
            classes: 1000,
            in_channels: 3,
            top: Top::Classifier,
        }
    }

    /// The compound scaling of the first paper (arXiv 1905.11946, equation 3): width 1.1^φ, depth
    /// 1.2^φ, resolution 224 · 1.15^φ to the nearest multiple of 8. Dropout is .2 + φ / 20 within
    /// .2 ..= .5, the line through the published rows.
    ///
    /// The published B1 … B7 are hand-rounded and so differ from φ = 1 … 7.
    #[must_use]
    pub fn compound(phi: f64) -> Self {
        let resolution = ((224.0 * 1.15_f64.powf(phi) / 8.0).round() as usize * 8).max(8);
        let net = Self::scaled(Family::V1, 1.1_f64.powf(phi), 1.2_f64.powf(phi), resolution);
        let dropout = (0.2 + phi / 20.0).clamp(0.2, 0.5) as f32;
        Self { name: format!("efficientnet-phi-{phi}"), dropout, ..net }
    }

    /// A row of the table.
    #[must_use]
    pub fn from_variant(variant: &Variant) -> Self {
        Self {
            name: variant.name.to_owned(),
            dropout: variant.dropout,
            preprocessing: variant.preprocessing(),
            ..Self::scaled(variant.family, variant.width, variant.depth, variant.resolution)
        }
    }

    /// The same network with another number of classes.
    #[must_use]
    pub fn with_classes(self, classes: usize) -> Self {
        Self { classes, ..self }
    }

    /// The same network for pictures of another number of channels.
    #[must_use]
    pub fn with_in_channels(self, in_channels: usize) -> Self {
        Self { in_channels, ..self }
    }

    /// The same network, ending elsewhere.
    #[must_use]
    pub fn with_top(self, top: Top) -> Self {
        Self { top, ..self }
    }

    /// The same network with another port's normalisation and padding.
    #[must_use]
    pub fn with_convention(self, convention: Convention) -> Self {
        Self { convention, ..self }
    }

    /// The same network for pictures prepared in another way.
    #[must_use]
    pub fn with_preprocessing(self, preprocessing: Preprocessing) -> Self {
        Self { preprocessing, ..self }
    }

    /// The row of the table that this network follows, if it has a published name.
    #[must_use]
    pub fn variant(&self) -> Option<&'static Variant> {
        table::variants().iter().find(|variant| variant.name == self.name)
    }

    /// Filters of the stem.
    #[must_use]
    pub fn stem_filters(&self) -> usize {
        let blueprint = self.family.blueprint();
        blueprint.filters(blueprint.stem, blueprint.end_width(self.width))
    }

    /// Filters of the head: the length of the pooled features.
    #[must_use]
    pub fn head_filters(&self) -> usize {
        let blueprint = self.family.blueprint();
        blueprint.filters(blueprint.head, blueprint.end_width(self.width))
    }

    /// Every block in order.
    #[must_use]
    pub fn blocks(&self) -> Vec<Block> {
        let blueprint = self.family.blueprint();
        let total: usize = (0..blueprint.rows.len()).map(|stage| blueprint.repeats(stage, self.depth)).sum();
        let filters = |exact| blueprint.filters(exact, self.width);
        let mut blocks: Vec<Block> = Vec::with_capacity(total);
        for (stage, row) in blueprint.rows.iter().enumerate() {
            for position in 0..blueprint.repeats(stage, self.depth) {
                let first = position == 0;
                let index = blocks.len();
                let inputs = blocks.last().map_or(self.stem_filters(), |block| block.outputs);
                let outputs = filters(row.outputs);
                let stride = if first { row.stride } else { 1 };
                blocks.push(Block {
                    index,
                    stage,
                    position,
                    kind: match (row.fused, row.expand) {
                        (false, 1) => BlockKind::DepthwiseSeparable,
                        (false, _) => BlockKind::InvertedResidual,
                        (true, 1) => BlockKind::FusedExpand1,
                        (true, _) => BlockKind::Fused,
                    },
                    kernel: row.kernel,
                    stride,
                    inputs,
                    expanded: row.expand
                        * match (row.expand, first) {
                            (1, _) | (_, false) => inputs,
                            _ => filters(row.inputs),
                        },
                    outputs,
                    squeeze: (row.squeeze > 0.0).then(|| ((inputs as f64 * row.squeeze) as usize).max(1)),
                    residual: row.residual && stride == 1 && inputs == outputs,
                    drop_connect: self.drop_connect * index as f32 / total as f32,
                });
            }
        }
        blocks
    }

    /// The blocks of every stage: timm's `blocks.S.B` is `stages()[S][B]`.
    #[must_use]
    pub fn stages(&self) -> Vec<Vec<Block>> {
        let mut stages: Vec<Vec<Block>> = Vec::new();
        for block in self.blocks() {
            if block.position == 0 {
                stages.push(Vec::new());
            }
            stages.last_mut().expect("a stage starts at position 0").push(block);
        }
        stages
    }

    /// The network as nodes.
    #[must_use]
    pub fn graph(&self) -> Graph {
        builder::build(self)
    }
}
