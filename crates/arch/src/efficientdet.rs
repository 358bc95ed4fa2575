//! An EfficientDet as a description, from which the graph and the anchors follow.
//!
//! Tan, Pang and Le 2020 (arXiv 1911.09070); google/automl `efficientdet`. Levels are powers of two: the
//! map of level `l` has 1/2ˡ of the input's height and width, rounded up. Nodes are named
//!
//! ```text
//! input, stem.…, blocks.…                            the backbone, to its last block
//! resample.p{l}.conv|bn|pool                         the levels after 5; conv and bn where channels differ
//! bifpn.{cell}.{row}.resample.{i}.conv|bn|pool|up    the row's i-th input, where it has to change
//! bifpn.{cell}.{row}.combine|act|depthwise|pointwise|bn
//! class.{repeat}.p{l}.depthwise|pointwise|bn|act     then class.predict.p{l}.depthwise|pointwise
//! box.…                                              the same for the boxes
//! ```
//!
//! `row` counts [`bifpn_rows`]. The heads' convolutions are the same for every level, so their parameters
//! leave the level out (`class.0.depthwise.weight`); every level has its own `bn`
//! (`class.0.p3.bn.weight`). The fused inputs' weights are `bifpn.{cell}.{row}.combine.weight`.
//!
//! The outputs are `class` and `box` of level 3, then of level 4, and so on: logits
//! `[N, H, W, anchors · classes]` and offsets `[N, H, W, anchors · 4]` (y, x, height, width), whose values
//! in memory are ordered as [`Anchors::boxes`] are. Endpoints: `reduction_1` … `reduction_5` of the
//! backbone, `p{l}` (what the heads read), `class.p{l}` and `box.p{l}` (the outputs).

mod anchors;
mod bifpn;
mod builder;
mod names;
mod table;

use std::ops::RangeInclusive;

pub use anchors::{AnchorBox, Anchors, AspectRatio};
pub use bifpn::{FusionRow, bifpn_rows};
pub use table::{DetectorPublished, DetectorVariant, detector_variants};

use crate::{
    Activation, Border, EfficientNet, Family, Fusion, Graph, Letterbox, Normalisation, Padding, UnknownModel,
};

/// An EfficientDet: which one, for which pictures, with which classes and anchors.
///
/// ```
/// use effigy_arch::EfficientDet;
///
/// let detector = EfficientDet::from_name("efficientdet-d0")?;
/// assert_eq!(detector.graph().param_count(), 3_880_067);
/// assert_eq!(detector.anchor_boxes(512, 512).len(), 49_104);
/// # Ok::<(), effigy_arch::UnknownModel>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct EfficientDet {
    /// The canonical name, such as `efficientdet-d0`.
    pub name: String,
    /// Where the levels 3, 4 and 5 come from; its top, classes and preprocessing are not used. Its channels
    /// of the picture are the detector's.
    pub backbone: EfficientNet,
    /// Channels of the pyramid and the heads.
    pub channels: usize,
    /// BiFPN cells; at least 1.
    pub cells: usize,
    /// Separable convolutions of each head, before the one that predicts.
    pub head_repeats: usize,
    /// The last level of the pyramid, at least 5; the first is 3.
    pub max_level: usize,
    /// How BiFPN weighs what it fuses.
    pub fusion: Fusion,
    /// The anchors of every cell.
    pub anchors: Anchors,
    /// How pictures become the network's input. The graph takes any height and width.
    pub letterbox: Letterbox,
    /// What ports of the network do differently.
    pub convention: DetectorConvention,
    /// Number of class slots. COCO's weights have 90, of which 10 are blank: slot `i` is COCO's category
    /// `i + 1`.
    pub classes: usize,
}

/// What ports of one detector do differently, its backbone apart ([`crate::Convention`]). But for the
/// biases it shows in no weight's name or shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DetectorConvention {
    /// How windows are padded.
    pub padding: Padding,
    /// What max-pooling finds beyond the border.
    pub border: Border,
    /// Whether convolutions before a BatchNorm have a bias, which the BatchNorm makes superfluous.
    pub spare_bias: bool,
    /// Added to BatchNorm's variance.
    pub bn_epsilon: f32,
    /// PyTorch's momentum: the share of a new batch in the moving statistics.
    pub bn_momentum: f32,
    /// The shapes of its published weights' anchors.
    pub ratios: [AspectRatio; 3],
}

impl DetectorConvention {
    /// google/automl.
    pub const OFFICIAL: Self = Self {
        padding: Padding::Same,
        border: Border::NegativeInfinity,
        spare_bias: true,
        bn_epsilon: 1e-3,
        bn_momentum: 0.01,
        ratios: AspectRatio::EXACT,
    };
    /// effdet's `tf_` models: the official ones with rounded ratios.
    pub const EFFDET_PORTED: Self = Self { ratios: AspectRatio::ROUNDED, ..Self::OFFICIAL };
    /// effdet's natively trained models.
    pub const EFFDET_NATIVE: Self =
        Self { padding: Padding::Symmetric, spare_bias: false, ..Self::EFFDET_PORTED };
    /// zylo117's port, which pools over zeros. It also upsamples by 2 and so takes only multiples of its
    /// coarsest stride, for which that is the same as upsampling to the target's size.
    pub const ZYLO117: Self = Self { border: Border::Zero, ..Self::EFFDET_PORTED };
}

impl EfficientDet {
    /// The published fast normalised fusion.
    pub const FAST_ATTENTION: Fusion = Fusion::FastAttention { epsilon: 1e-4 };

    /// The detector of a name: a canonical one (`efficientdet-d0`, `efficientdet-lite3x`), effdet's
    /// (`tf_efficientdet_d0_ap`, `efficientdet_d0`) or zylo117's (`zylo117/efficientdet-d0`).
    ///
    /// # Errors
    /// When nothing has that name; the error suggests near ones.
    pub fn from_name(name: &str) -> Result<Self, UnknownModel> {
        names::resolve(name)
    }

    /// A row of the table, by the official convention, for COCO's 90 class slots.
    ///
    /// # Panics
    /// When the row's backbone is not a canonical name; every row of [`detector_variants`] has one.
    #[must_use]
    pub fn from_variant(variant: &DetectorVariant) -> Self {
        let backbone = EfficientNet::from_name(variant.backbone).expect("a row names a backbone that exists");
        let convention = DetectorConvention::OFFICIAL;
        let normalisation = match backbone.family {
            Family::Lite => Normalisation::MINUS_127,
            _ => Normalisation::IMAGENET,
        };
        Self {
            name: variant.name.to_owned(),
            backbone,
            channels: variant.channels,
            cells: variant.cells,
            head_repeats: variant.head_repeats,
            max_level: variant.max_level,
            fusion: variant.fusion,
            anchors: Anchors::octave(variant.anchor_scale, &convention.ratios),
            letterbox: Letterbox::square(variant.size, normalisation),
            convention,
            classes: 90,
        }
    }

    /// The same detector with another number of class slots.
    #[must_use]
    pub fn with_classes(self, classes: usize) -> Self {
        Self { classes, ..self }
    }

    /// The same detector for inputs of `height` × `width` pixels.
    #[must_use]
    pub fn with_size(self, height: usize, width: usize) -> Self {
        let letterbox = Letterbox { size: [height, width], ..self.letterbox };
        Self { letterbox, ..self }
    }

    /// The same detector for pictures prepared in another way.
    #[must_use]
    pub fn with_letterbox(self, letterbox: Letterbox) -> Self {
        Self { letterbox, ..self }
    }

    /// The same detector with other anchors.
    #[must_use]
    pub fn with_anchors(self, anchors: Anchors) -> Self {
        Self { anchors, ..self }
    }

    /// The same detector on another backbone.
    #[must_use]
    pub fn with_backbone(self, backbone: EfficientNet) -> Self {
        Self { backbone, ..self }
    }

    /// The same detector by another port's convention, with its anchors' ratios. The backbone's convention
    /// and the letterbox stay as they are.
    #[must_use]
    pub fn with_convention(self, convention: DetectorConvention) -> Self {
        let anchors = Anchors { ratios: convention.ratios.to_vec(), ..self.anchors };
        Self { convention, anchors, ..self }
    }

    /// The row of the table that this detector follows, if it has a published name.
    #[must_use]
    pub fn variant(&self) -> Option<&'static DetectorVariant> {
        detector_variants().iter().find(|variant| variant.name == self.name)
    }

    /// The pyramid's levels: 3 to [`max_level`](Self::max_level).
    #[must_use]
    pub fn levels(&self) -> RangeInclusive<usize> {
        builder::FIRST_LEVEL..=self.max_level
    }

    /// The activation between convolutions: the backbone's.
    #[must_use]
    pub fn activation(&self) -> Activation {
        self.backbone.family.activation()
    }

    /// The anchors of an input of `height` × `width` pixels, in the order of the outputs' values.
    #[must_use]
    pub fn anchor_boxes(&self, height: usize, width: usize) -> Vec<AnchorBox> {
        self.anchors.boxes(self.levels(), height, width)
    }

    /// The detector as nodes.
    #[must_use]
    pub fn graph(&self) -> Graph {
        builder::build(self)
    }
}
