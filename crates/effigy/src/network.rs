//! What classifiers, feature extractors and detectors share: a compiled network.

use effigy_arch::{EfficientDet, EfficientNet, Graph, NodeId, Normalisation, Preprocessing};
use effigy_engine::{Model, Options, PixelNormalisation};
use effigy_tensor::Tensor;
use effigy_vision::Picture;

use crate::Error;
use crate::pixels::Pixels;
use crate::source::Source;

/// A network that is ready to run.
#[derive(Debug)]
pub(crate) struct Network<D> {
    pub(crate) description: D,
    pub(crate) assumptions: Vec<String>,
    model: Model,
}

impl<D: Sync> Network<D> {
    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    fn compile(source: Source<D>, graph: &Graph, options: &Options) -> Result<Self, Error> {
        let options = Options { quantisation: source.quantisation.clone(), ..options.clone() };
        let model = Model::new(graph, &source, &options)?;
        let Source { description, assumptions, .. } = source;
        Ok(Self { description, assumptions, model })
    }
}

impl Network<EfficientDet> {
    /// Compiles a detector, whose outputs are the class and the box maps of every level.
    pub(crate) fn detector(source: Source<EfficientDet>, options: &Options) -> Result<Self, Error> {
        let graph = source.description.graph();
        Self::compile(source, &graph, options)
    }
}

impl Network<EfficientNet> {
    /// Compiles the part of a network that computes `layers` (nodes or endpoints).
    pub(crate) fn layers(
        source: Source<EfficientNet>,
        layers: &[String],
        options: &Options,
    ) -> Result<Self, Error> {
        let graph = cut(source.description.graph(), layers).map_err(|layer| Error::UnknownLayer {
            model: source.description.name.clone(),
            layer: layer.to_owned(),
        })?;
        Self::compile(source, &graph, options)
    }

    /// Pictures as the network's input.
    pub(crate) fn input(&self, pictures: &[Picture]) -> Result<Pixels, Error> {
        let each = pictures.iter().map(|picture| Pixels::of(picture, &self.description));
        let each = each.collect::<Result<Vec<_>, _>>()?;
        Ok(if each.is_empty() { Pixels::none(&self.description) } else { Pixels::joined(each) })
    }

    /// The layers' values for pictures.
    pub(crate) fn run(&self, pixels: &Pixels) -> Result<Vec<Tensor>, Error> {
        let Preprocessing { mean, std, .. } = self.description.preprocessing;
        let normalisation =
            PixelNormalisation::new(Normalisation { mean, std }, self.description.in_channels);
        Ok(self.model.run(pixels.input(&normalisation))?)
    }
}

/// The graph up to its last wanted layer, with the layers as its outputs.
fn cut(mut graph: Graph, layers: &[String]) -> Result<Graph, &str> {
    let found = layers.iter().map(|layer| graph.find(layer).ok_or(layer.as_str()));
    graph.outputs = found.collect::<Result<_, _>>()?;
    let last = graph.outputs.iter().copied().max().unwrap_or(NodeId(0));
    // Nodes are in topological order: none before the last layer needs one behind it.
    graph.nodes.truncate(last.0 + 1);
    graph.endpoints.retain(|(_, id)| *id <= last);
    Ok(graph)
}

/// Whether pictures can be had in so many channels.
pub(crate) fn check_channels(model: &str, channels: usize) -> Result<(), Error> {
    match channels {
        1 | 3 => Ok(()),
        _ => Err(Error::Channels { model: model.to_owned(), channels }),
    }
}

/// What `prepare` makes of a picture (three values a pixel) for a network of three channels, or of one,
/// which sees the luma.
pub(crate) fn in_channels_of<T>(
    picture: &Picture,
    channels: usize,
    prepare: impl FnOnce(&Picture) -> Vec<T>,
) -> Vec<T> {
    match channels {
        1 => prepare(&picture.to_grey()).into_iter().step_by(3).collect(),
        _ => prepare(picture),
    }
}

/// The first value of one picture's answer that is not finite, as an error.
pub(crate) fn check_finite(values: &[f32]) -> Result<(), Error> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(Error::NotFinite { index, value: values[index] }),
        None => Ok(()),
    }
}
