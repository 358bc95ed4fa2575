//! From a picture to what is where in it.

use std::path::Path;

use effigy_arch::{AnchorBox, EfficientDet};
use effigy_engine::{Model, Value};
use effigy_tensor::Tensor;
use effigy_vision::{
    Level, Limits, Picture, PixelBox, Placement, PostProcessing, ScoredBox, Workers, decode_file,
    detections_shared, letterbox,
};

use crate::labels::Labels;
use crate::network::{Network, in_channels_of};
use crate::{Error, Loader};

/// An object that a picture may show.
#[derive(Clone, Debug, PartialEq)]
pub struct Detection {
    /// Where it is, in pixels of the picture.
    pub bounds: PixelBox,
    /// Its class slot, from 0.
    pub class_index: usize,
    /// The name of the class; `class 17` where it is unknown.
    pub label: String,
    /// How sure the network is, 0..=1.
    pub score: f32,
}

/// Tells what is where in pictures.
///
/// It may be shared by threads: every method takes `&self`. Calls at the same time do not wait for each
/// other.
///
/// ```no_run
/// use effigy::Detector;
///
/// let detector = Detector::from_file("efficientdet-d0.pth")?;
/// for object in detector.detect_file("street.jpg")? {
///     println!("{:.2} {} {:?}", object.score, object.label, object.bounds);
/// }
/// # Ok::<(), effigy::Error>(())
/// ```
#[derive(Debug)]
pub struct Detector {
    network: Network<EfficientDet>,
    labels: Labels,
    post_processing: PostProcessing,
    anchors: Vec<AnchorBox>,
}

/// A picture as a detector's input, and where in that input the picture lies.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// `[H, W, C]`, letterboxed and normalised.
    values: Vec<f32>,
    placement: Placement,
}

impl Detector {
    /// How the network's answer becomes objects where nothing else is asked for: as effdet does, but without
    /// what is unlikelier than 0.3, and without what lies wholly beside the picture in its letterbox.
    pub const POST_PROCESSING: PostProcessing =
        PostProcessing { score: 0.3, drop_empty: true, ..PostProcessing::EFFDET };

    /// Published weights by their model's name, downloaded once and kept. [`Loader::pretrained`] has more
    /// to choose.
    ///
    /// # Errors
    /// An unknown name, or weights that cannot be had.
    pub fn from_pretrained(name: &str) -> Result<Self, Error> {
        Loader::pretrained(name).detector()
    }

    /// Weights in a file of any supported format and family. [`Loader::file`] has more to choose.
    ///
    /// # Errors
    /// A file that cannot be read, or that is not a detector's weights.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        Loader::file(path).detector()
    }

    pub(crate) fn new(
        network: Network<EfficientDet>,
        labels: Labels,
        post_processing: PostProcessing,
    ) -> Self {
        let [height, width] = network.description.letterbox.size;
        let anchors = network.description.anchor_boxes(height, width);
        Self { network, labels, post_processing, anchors }
    }

    /// The objects in a picture, the likeliest first.
    ///
    /// # Errors
    /// When the network's answer is not finite.
    pub fn detect(&self, picture: &Picture) -> Result<Vec<Detection>, Error> {
        self.detect_prepared(vec![self.prepare(picture)]).swap_remove(0)
    }

    /// The objects in the picture in a file, the likeliest first.
    ///
    /// # Errors
    /// When the picture cannot be read, or the network's answer is not finite.
    pub fn detect_file(&self, path: impl AsRef<Path>) -> Result<Vec<Detection>, Error> {
        self.detect(&decode_file(path, &Limits::default())?)
    }

    /// As [`detect`](Self::detect), for several pictures at once: their objects in order.
    ///
    /// # Errors
    /// When the network's answer to any of them is not finite.
    pub fn detect_batch(&self, pictures: &[Picture]) -> Result<Vec<Vec<Detection>>, Error> {
        let prepared = pictures.iter().map(|picture| self.prepare(picture)).collect();
        self.detect_prepared(prepared).into_iter().collect()
    }

    /// A picture as the network wants it; done ahead, on another thread, it costs the network no time.
    #[must_use]
    pub fn prepare(&self, picture: &Picture) -> Prepared {
        let EfficientDet { letterbox: fit, backbone, .. } = self.network();
        let placement = Placement::new([picture.height(), picture.width()], fit);
        let values = in_channels_of(picture, backbone.in_channels, |picture| letterbox(picture, fit).0);
        Prepared { values, placement }
    }

    /// As [`detect_batch`](Self::detect_batch), for pictures that have been prepared; an answer for each.
    #[must_use]
    pub fn detect_prepared(&self, pictures: Vec<Prepared>) -> Vec<Result<Vec<Detection>, Error>> {
        if pictures.is_empty() {
            return Vec::new();
        }
        let [height, width] = self.network().letterbox.size;
        let shape = [pictures.len(), height, width, self.network().backbone.in_channels];
        let placements: Vec<Placement> = pictures.iter().map(|picture| picture.placement).collect();
        let values = join(pictures.into_iter().map(|picture| picture.values));
        let input = Tensor::new(&shape, values).expect("every picture is prepared to the same size");
        let find = |values: &[Value<'_>]| -> Vec<_> {
            let each = placements.iter().enumerate();
            let levels =
                |image| Level::of_picture(values.iter().map(|value| &*value.data), placements.len(), image);
            each.map(|(image, placement)| self.find(&levels(image), placement)).collect()
        };
        self.network.model().run_with(&input, find).expect("the input has the network's shape")
    }

    /// The objects in one picture.
    fn find(&self, levels: &[Level<'_>], placement: &Placement) -> Result<Vec<Detection>, Error> {
        let model = self.model();
        let workers = Workers { threads: model.threads(), share: &|tasks, task| model.share(tasks, task) };
        let (classes, options) = (self.network().classes, &self.post_processing);
        let found = detections_shared(levels, &self.anchors, classes, placement, options, workers)?;
        Ok(found.into_iter().map(|found| self.name(found)).collect())
    }

    fn name(&self, ScoredBox { bounds, class_index, score }: ScoredBox) -> Detection {
        Detection { bounds, class_index, label: self.labels.get(class_index), score }
    }

    /// Which network it is, its anchors, and how it wants its pictures.
    #[must_use]
    pub fn network(&self) -> &EfficientDet {
        &self.network.description
    }

    /// The classes' names.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// How the network's answer becomes objects.
    #[must_use]
    pub fn post_processing(&self) -> &PostProcessing {
        &self.post_processing
    }

    /// The same detector with another way from the network's answer to objects.
    #[must_use]
    pub fn with_post_processing(self, post_processing: PostProcessing) -> Self {
        Self { post_processing, ..self }
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

/// One after the other; a single one is not copied.
fn join(mut parts: impl Iterator<Item = Vec<f32>>) -> Vec<f32> {
    let mut joined = parts.next().unwrap_or_default();
    parts.for_each(|part| joined.extend(part));
    joined
}
