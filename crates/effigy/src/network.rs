//! What a classifier and a feature extractor share: a compiled network and how its pictures are prepared.

use effigy_arch::{EfficientNet, Graph, NodeId, Preprocessing};
use effigy_engine::{Model, Options};
use effigy_tensor::Tensor;
use effigy_vision::{Picture, preprocess_into};

use crate::Error;
use crate::source::Source;

/// A network that is ready to run.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) description: EfficientNet,
    pub(crate) assumptions: Vec<String>,
    model: Model,
}

impl Network {
    /// Compiles the part of a network that computes `layers` (nodes or endpoints).
    pub(crate) fn new(source: Source, layers: &[String], options: &Options) -> Result<Self, Error> {
        let graph = cut(source.description.graph(), layers).map_err(|layer| Error::UnknownLayer {
            model: source.description.name.clone(),
            layer: layer.to_owned(),
        })?;
        let model = Model::new(&graph, &source, options)?;
        let Source { description, assumptions, .. } = source;
        Ok(Self { description, assumptions, model })
    }

    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    pub(crate) fn preprocessing(&self) -> &Preprocessing {
        &self.description.preprocessing
    }

    /// Pictures as the network's input: `[N, H, W, 3]`.
    pub(crate) fn input(&self, pictures: &[Picture]) -> Tensor {
        let [height, width] = self.preprocessing().size;
        let mut input = Tensor::zeros(&[pictures.len(), height, width, 3]);
        let parts = input.data_mut().chunks_exact_mut(height * width * 3);
        for (part, picture) in parts.zip(pictures) {
            preprocess_into(picture, self.preprocessing(), part);
        }
        input
    }

    /// The layers' values for `input: [N, H, W, C]`.
    pub(crate) fn run(&self, input: &Tensor) -> Result<Vec<Tensor>, Error> {
        Ok(self.model.run(input)?)
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

/// The first value of one picture's answer that is not finite, as an error.
pub(crate) fn check_finite(values: &[f32]) -> Result<(), Error> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(Error::NotFinite { index, value: values[index] }),
        None => Ok(()),
    }
}
