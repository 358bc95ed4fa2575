//! EfficientNet and EfficientDet on a CPU: what a picture shows, what is where in it, and what the network
//! sees in it.
//!
//! ```
//! use effigy::Classifier;
//!
//! let classifier = Classifier::from_pretrained("efficientnet-lite0")?;
//! # let photo = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/chelsea.jpg");
//! for prediction in classifier.classify_file(photo)? {
//!     println!("{:5.1} %  {}", 100.0 * prediction.probability, prediction.label);
//! }
//! # Ok::<(), effigy::Error>(())
//! ```
//!
//! | I want to … | use |
//! |---|---|
//! | know what a picture shows | [`Classifier`] |
//! | know what is where in a picture | [`Detector`] |
//! | compare pictures, or build upon their features | [`FeatureExtractor`] |
//! | choose threads, size, preprocessing, labels, layers | [`Loader`] |
//! | know what a network is made of | [`EfficientNet::graph`], [`EfficientDet::graph`] |
//!
//! Two networks' weights are part of the library, each a feature that is on by default: `lite0` (9 MB),
//! `efficientnet-lite0` as trained on ImageNet, and `bccd` (7 MB), `efficientdet-lite0.bccd`, which finds blood cells.

mod classifier;
mod detector;
mod embedded;
mod error;
mod features;
mod labels;
mod loader;
mod network;
mod pixels;
mod quantiser;
mod source;

pub use classifier::{Classifier, Prediction};
pub use detector::{Detection, Detector, Prepared};
pub use error::Error;
pub use features::FeatureExtractor;
pub use labels::Labels;
pub use loader::Loader;
pub use pixels::Pixels;
pub use quantiser::{Quantiser, Sensitivity};

pub use effigy_arch as arch;
pub use effigy_engine as engine;
pub use effigy_vision as vision;
pub use effigy_weights as weights;

pub use effigy_arch::{Anchors, EfficientDet, EfficientNet, Interpolation, Letterbox, Preprocessing};
pub use effigy_engine::{Isa, Precision};
pub use effigy_tensor::Tensor;
pub use effigy_vision::{
    Limits, Picture, PixelBox, PostProcessing, Suppression, decode_bytes, decode_file, preprocess,
    preprocess_into,
};
pub use effigy_weights::hub::{Progress as DownloadProgress, Training};
