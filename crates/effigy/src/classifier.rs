//! From a picture to classes.

use std::path::Path;

use effigy_arch::EfficientNet;
use effigy_engine::Model;
use effigy_eval::{softmax, top_k};
use effigy_tensor::Tensor;
use effigy_vision::{Limits, Picture, decode_file};

use crate::labels::Labels;
use crate::network::{Network, check_finite};
use crate::{Error, Loader, Pixels};

/// A class that a picture may show.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The class, from 0.
    pub class_index: usize,
    /// Its name; `class 17` where it is unknown.
    pub label: String,
    /// How sure the network is, 0..=1; all classes of a picture sum to 1.
    pub probability: f32,
}

/// Tells what pictures show.
///
/// It may be shared by threads: every method takes `&self`. Calls at the same time do not wait for each
/// other.
///
/// ```
/// use effigy::Classifier;
///
/// let classifier = Classifier::from_pretrained("efficientnet-lite0")?;
/// # let photo = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/chelsea.jpg");
/// let best = &classifier.classify_file(photo)?[0];
/// println!("{} ({:.0} %)", best.label, 100.0 * best.probability);
/// # assert!(["tabby", "tiger cat", "Egyptian cat"].contains(&best.label.as_str()), "{best:?}");
/// # Ok::<(), effigy::Error>(())
/// ```
#[derive(Debug)]
pub struct Classifier {
    network: Network<EfficientNet>,
    labels: Labels,
    top_k: usize,
}

impl Classifier {
    /// Published weights by their model's name. `efficientnet-lite0` is part of this library; others
    /// are downloaded once and kept. [`Loader::pretrained`] has more to choose.
    ///
    /// # Errors
    /// An unknown name, or weights that cannot be had.
    pub fn from_pretrained(name: &str) -> Result<Self, Error> {
        Loader::pretrained(name).classifier()
    }

    /// Weights in a file of any supported format and family. [`Loader::file`] has more to choose.
    ///
    /// # Errors
    /// A file that cannot be read, or that is not a network's weights.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        Loader::file(path).classifier()
    }

    pub(crate) fn new(network: Network<EfficientNet>, labels: Labels, top_k: usize) -> Self {
        Self { network, labels, top_k }
    }

    /// The likeliest classes of a picture, the best first.
    ///
    /// # Errors
    /// When the network's answer is not finite.
    pub fn classify(&self, picture: &Picture) -> Result<Vec<Prediction>, Error> {
        let mut answers = self.classify_batch(std::slice::from_ref(picture))?;
        Ok(answers.pop().expect("one answer a picture"))
    }

    /// The likeliest classes of the picture in a file, the best first.
    ///
    /// # Errors
    /// When the picture cannot be read, or the network's answer is not finite.
    pub fn classify_file(&self, path: impl AsRef<Path>) -> Result<Vec<Prediction>, Error> {
        self.classify(&decode_file(path, &Limits::default())?)
    }

    /// As [`classify`](Self::classify), for several pictures at once: their answers in order.
    ///
    /// # Errors
    /// When the network's answer to any of them is not finite.
    pub fn classify_batch(&self, pictures: &[Picture]) -> Result<Vec<Vec<Prediction>>, Error> {
        if pictures.is_empty() {
            return Ok(Vec::new());
        }
        let logits = self.logits(&self.network.input(pictures)?)?;
        logits.data().chunks_exact(self.network.description.classes).map(|row| self.rank(row)).collect()
    }

    /// A picture as the network's input, the luma for a network of one channel; done ahead, on another thread, it
    /// costs the network no time.
    ///
    /// # Errors
    /// When the network has neither three channels nor one.
    pub fn prepare(&self, picture: &Picture) -> Result<Pixels, Error> {
        Pixels::of(picture, self.network())
    }

    /// The raw scores of every class, `[N, classes]`, for pictures as [`prepare`](Self::prepare) gives them. For
    /// others, there is [`model`](Self::model).
    ///
    /// # Errors
    /// When the pictures' channels are not the network's.
    pub fn logits(&self, pictures: &Pixels) -> Result<Tensor, Error> {
        Ok(self.network.run(pictures)?.swap_remove(0))
    }

    /// The likeliest classes by one picture's logits, the best first.
    ///
    /// # Errors
    /// When a logit is not finite.
    pub fn rank(&self, logits: &[f32]) -> Result<Vec<Prediction>, Error> {
        check_finite(logits)?;
        let probabilities = softmax(logits);
        let predict = |class_index: usize| Prediction {
            class_index,
            label: self.labels.get(class_index),
            probability: probabilities[class_index],
        };
        Ok(top_k(logits, self.top_k).into_iter().map(predict).collect())
    }

    /// Which network it is, and how it wants its pictures.
    #[must_use]
    pub fn network(&self) -> &EfficientNet {
        &self.network.description
    }

    /// The classes' names.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// What was taken for granted about weights that do not say it themselves, a sentence each.
    #[must_use]
    pub fn assumptions(&self) -> &[String] {
        &self.network.assumptions
    }

    /// The compiled network.
    #[must_use]
    pub fn model(&self) -> &Model {
        self.network.model()
    }
}
