//! What the networks are: variant tables, compound scaling and the graph builder.
//!
//! A network is data: [`Graph`] is the one description that the engine compiles, the trainer
//! differentiates, the loader checks a checkpoint against and the summary prints.

mod builder;
mod efficientdet;
mod efficientnet;
mod graph;
mod names;
mod network;
mod preprocessing;
mod quantisation;
mod stages;
mod table;

pub use efficientdet::{
    AnchorBox, Anchors, AspectRatio, DetectorConvention, DetectorPublished, DetectorVariant, EfficientDet,
    FusionRow, bifpn_rows, detector_variants,
};
pub use efficientnet::{Block, BlockKind, Convention, EfficientNet, Family, Top};
pub use graph::{
    Activation, Border, Conv, Extent, Fusion, Graph, Node, NodeId, Op, Padding, ParamRole, ParamSpec,
};
pub use names::UnknownModel;
pub use network::Network;
pub use preprocessing::{Fill, Fit, Interpolation, Letterbox, Normalisation, Preprocessing};
pub use quantisation::Quantisation;
pub use table::{Published, Variant, variants};
