//! From pictures to a network that computes with 8-bit integers.

use std::path::Path;
use std::sync::Arc;

use effigy_arch::{Graph, Network, Quantisation};
use effigy_engine::{Calibration, Model, Options, Precision};
use effigy_tensor::Tensor;
use effigy_vision::{Picture, letterbox, preprocess};

use crate::Error;
use crate::labels::Labels;
use crate::network::{check_channels, in_channels_of};
use crate::source::Source;

/// Measures a network's values on pictures, and what 8-bit integers do to its answers.
///
/// ```
/// use effigy::{Limits, Loader, decode_file};
///
/// # let photo = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/chelsea.jpg");
/// let mut quantiser = Loader::pretrained("efficientnet-lite0").quantiser()?;
/// quantiser.observe(&decode_file(photo, &Limits::default())?)?;
/// let quantisation = quantiser.measured();
/// # let out = std::env::temp_dir().join(format!("effigy-quantiser-{}.safetensors", std::process::id()));
/// quantiser.save(&out, &quantisation)?;
/// # std::fs::remove_file(out)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Quantiser {
    source: Source,
    /// Names to write, where not those of the weights.
    labels: Option<Labels>,
    graph: Graph,
    options: Options,
    calibration: Calibration,
    /// The first few inputs and the network's answers to them in floats.
    kept: Vec<(Tensor, Vec<Tensor>)>,
}

/// What computing with bytes in one convolution alone does to the network's answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Sensitivity {
    /// The value that the convolution computes together with what is fused into it.
    pub node: String,
    /// The error of the answers: its root mean square, as a share of that of the answers' spread.
    pub error: f64,
}

/// Pictures on which answers are compared.
const KEPT: usize = 8;

impl Quantiser {
    pub(crate) fn new(source: Source, labels: Option<Labels>, options: &Options) -> Result<Self, Error> {
        let (name, channels) = (source.description.name(), source.description.in_channels());
        check_channels(name, channels)?;
        let graph = source.description.graph();
        let options = options.clone();
        let calibration = Calibration::new(&graph, &source, &options)?;
        Ok(Self { source, labels, graph, options, calibration, kept: Vec::new() })
    }

    /// Which network it is.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.source.description
    }

    /// Notes the network's values on a picture.
    ///
    /// # Errors
    /// When the network cannot be run.
    pub fn observe(&mut self, picture: &Picture) -> Result<(), Error> {
        let network = &self.source.description;
        let values = in_channels_of(picture, network.in_channels(), |picture| match network {
            Network::EfficientNet(network) => preprocess(picture, &network.preprocessing),
            Network::EfficientDet(network) => letterbox(picture, &network.letterbox).0,
        });
        let [height, width] = network.size();
        let shape = [1, height, width, network.in_channels()];
        let input = Tensor::new(&shape, values).expect("pictures are prepared to the network's size");
        let answer = self.calibration.observe(&input)?;
        if self.kept.len() < KEPT {
            self.kept.push((input, answer));
        }
        Ok(())
    }

    /// The ranges of all values on the pictures seen; every convolution computes with bytes.
    #[must_use]
    pub fn measured(&self) -> Quantisation {
        self.calibration.measured()
    }

    /// The convolutions that compute with bytes under `quantisation`.
    ///
    /// # Errors
    /// When the network cannot be compiled: no picture has been seen.
    pub fn nodes(&self, quantisation: &Quantisation) -> Result<Vec<String>, Error> {
        Ok(self.model(quantisation)?.quantised_nodes().map(str::to_owned).collect())
    }

    /// How far the answers to the first pictures are from those in floats: the root mean square of the error,
    /// as a share of that of the answers' spread.
    ///
    /// # Errors
    /// As [`nodes`](Self::nodes).
    pub fn error(&self, quantisation: &Quantisation) -> Result<f64, Error> {
        let model = self.model(quantisation)?;
        let (mut error, mut spread) = (0.0, 0.0);
        for (input, answers) in &self.kept {
            for (answer, exact) in model.run(input)?.iter().zip(answers) {
                let mean =
                    exact.data().iter().map(|v| f64::from(*v)).sum::<f64>() / exact.data().len() as f64;
                for (answer, exact) in answer.data().iter().zip(exact.data()) {
                    error += f64::from(answer - exact).powi(2);
                    spread += (f64::from(*exact) - mean).powi(2);
                }
            }
        }
        Ok((error / f64::max(spread, f64::MIN_POSITIVE)).sqrt())
    }

    /// What each convolution alone does to the answers, the worst first; `done` is called after each.
    ///
    /// # Errors
    /// As [`nodes`](Self::nodes).
    pub fn sensitivities(
        &self,
        quantisation: &Quantisation,
        mut done: impl FnMut(),
    ) -> Result<Vec<Sensitivity>, Error> {
        let nodes = self.nodes(quantisation)?;
        let mut found = Vec::new();
        for node in &nodes {
            let others = nodes.iter().filter(|other| *other != node).cloned();
            let floats = quantisation.floats.iter().cloned().chain(others).collect();
            let error = self.error(&Quantisation { floats, ..quantisation.clone() })?;
            found.push(Sensitivity { node: node.clone(), error });
            done();
        }
        found.sort_by(|a, b| b.error.total_cmp(&a.error));
        Ok(found)
    }

    /// Writes the weights as safetensors, with the ranges.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path, quantisation: &Quantisation) -> Result<(), Error> {
        let labels = self.labels.as_ref().unwrap_or(&self.source.labels).as_slice();
        let labels = (!labels.is_empty()).then_some(labels);
        let Source { description, weights, .. } = &self.source;
        Ok(effigy_weights::convert_quantised(path, description, weights, labels, quantisation)?)
    }

    fn model(&self, quantisation: &Quantisation) -> Result<Model, Error> {
        let options = Options {
            precision: Precision::Int8,
            quantisation: Some(Arc::new(quantisation.clone())),
            ..self.options.clone()
        };
        Ok(Model::new(&self.graph, &self.source, &options)?)
    }
}
