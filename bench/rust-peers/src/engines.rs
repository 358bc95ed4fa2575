//! One way to call each engine.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use ort::session::builder::GraphOptimizationLevel;
use tract_onnx::prelude::{
    Framework, InferenceModelExt, IntoRunnable, TValue, TVec, Tensor, TypedRunnableModel, multithread, tvec,
};

/// A network that an engine has loaded.
pub trait Engine {
    /// Takes the values that following runs read, [N, C, H, W].
    fn feed(&mut self, values: &[f32]) -> Result<()>;

    /// Computes all outputs.
    fn run(&mut self) -> Result<()>;

    /// The outputs of the last run, each [N, …] in full.
    fn outputs(&self) -> Result<Vec<Vec<f32>>>;

    /// How many pictures there are in a run.
    fn batch(&self) -> usize;

    /// The answer to some values, the outputs of a picture one after the other.
    fn answer(&mut self, values: &[f32]) -> Result<Vec<f32>> {
        self.feed(values)?;
        self.run()?;
        let (outputs, batch) = (self.outputs()?, self.batch());
        let picture = |i: usize| {
            let part = move |output: &Vec<f32>| {
                let length = output.len() / batch;
                output[i * length..(i + 1) * length].to_vec()
            };
            outputs.iter().flat_map(part).collect::<Vec<f32>>()
        };
        Ok((0..batch).flat_map(picture).collect())
    }
}

/// tract, its graph optimised for the shape.
pub struct Tract {
    model: Arc<TypedRunnableModel>,
    shape: [usize; 4],
    input: TValue,
    outputs: TVec<TValue>,
}

impl Tract {
    pub fn load(path: &str, shape: [usize; 4], threads: usize) -> Result<Self> {
        if threads > 1 {
            multithread::set_default_executor(multithread::Executor::multithread(threads));
        }
        let model = tract_onnx::onnx().model_for_path(path)?;
        let model = model.into_optimized()?.into_runnable()?;
        let input = Tensor::zero::<f32>(&shape)?.into();
        Ok(Self { model, shape, input, outputs: tvec!() })
    }
}

impl Engine for Tract {
    fn feed(&mut self, values: &[f32]) -> Result<()> {
        self.input = Tensor::from_shape(&self.shape, values)?.into();
        Ok(())
    }

    fn run(&mut self) -> Result<()> {
        self.outputs = self.model.run(tvec!(self.input.clone()))?;
        Ok(())
    }

    fn outputs(&self) -> Result<Vec<Vec<f32>>> {
        self.outputs
            .iter()
            .map(|output| Ok(output.to_plain_array_view::<f32>()?.iter().copied().collect()))
            .collect()
    }

    fn batch(&self) -> usize {
        self.shape[0]
    }
}

/// rten, weights packed when loading.
pub struct Rten {
    model: rten::Model,
    options: rten::RunOptions,
    input: rten_tensor::NdTensor<f32, 4>,
    outputs: Vec<rten::Value>,
}

impl Rten {
    pub fn load(path: &str, shape: [usize; 4], threads: usize) -> Result<Self> {
        let model = rten::ModelOptions::with_all_ops().prepack_weights(true).load_file(path)?;
        let pool = Arc::new(rten::ThreadPool::with_num_threads(threads));
        let options = rten::RunOptions::default().with_thread_pool(Some(pool));
        Ok(Self { model, options, input: rten_tensor::NdTensor::zeros(shape), outputs: Vec::new() })
    }
}

impl Engine for Rten {
    fn feed(&mut self, values: &[f32]) -> Result<()> {
        use rten_tensor::prelude::Layout;

        self.input = rten_tensor::NdTensor::from_data(self.input.shape(), values.to_vec());
        Ok(())
    }

    fn run(&mut self) -> Result<()> {
        use rten_tensor::prelude::AsView;

        let input = *self.model.input_ids().first().context("a network without an input")?;
        let outputs = self.model.output_ids().to_vec();
        let input = (input, self.input.view().into());
        self.outputs = self.model.run(vec![input], &outputs, Some(self.options.clone()))?;
        Ok(())
    }

    fn outputs(&self) -> Result<Vec<Vec<f32>>> {
        use rten_tensor::prelude::AsView;

        let values = |output: &rten::Value| {
            let tensor: rten_tensor::Tensor<f32> = output.clone().try_into()?;
            Ok(tensor.to_vec())
        };
        self.outputs.iter().map(values).collect()
    }

    fn batch(&self) -> usize {
        use rten_tensor::prelude::Layout;

        self.input.size(0)
    }
}

/// candle-transformers' EfficientNet.
pub struct Candle {
    model: candle_transformers::models::efficientnet::EfficientNet,
    shape: [usize; 4],
    input: candle_core::Tensor,
    output: Option<candle_core::Tensor>,
}

impl Candle {
    pub fn load(path: &str, shape: [usize; 4], network: &str) -> Result<Self> {
        use candle_transformers::models::efficientnet::{EfficientNet, MBConvConfig};

        let blocks = match network {
            "efficientnet_b0" => MBConvConfig::b0(),
            "efficientnet_b4" => MBConvConfig::b4(),
            "efficientnet_b7" => MBConvConfig::b7(),
            _ => bail!("candle-transformers has EfficientNet-B0 to B7 only"),
        };
        let device = candle_core::Device::Cpu;
        let file = std::fs::read(path)?;
        let weights =
            candle_nn::VarBuilder::from_buffered_safetensors(file, candle_core::DType::F32, &device)?;
        let model = EfficientNet::new(weights, blocks, 1000)?;
        let input = candle_core::Tensor::zeros(&shape, candle_core::DType::F32, &device)?;
        Ok(Self { model, shape, input, output: None })
    }
}

impl Engine for Candle {
    fn feed(&mut self, values: &[f32]) -> Result<()> {
        self.input = candle_core::Tensor::from_slice(values, &self.shape, &candle_core::Device::Cpu)?;
        Ok(())
    }

    fn run(&mut self) -> Result<()> {
        self.output = Some(candle_nn::Module::forward(&self.model, &self.input)?);
        Ok(())
    }

    fn outputs(&self) -> Result<Vec<Vec<f32>>> {
        let output = self.output.as_ref().context("nothing was computed")?;
        Ok(vec![output.flatten_all()?.to_vec1()?])
    }

    fn batch(&self) -> usize {
        self.shape[0]
    }
}

/// ONNX Runtime's library, called without Python.
pub struct OnnxRuntime {
    session: ort::session::Session,
    shape: [usize; 4],
    input: ort::value::Tensor<f32>,
    outputs: Vec<Vec<f32>>,
}

impl OnnxRuntime {
    /// A file called `.ort.onnx` holds what the optimiser made before.
    pub fn load(path: &str, shape: [usize; 4], threads: usize) -> Result<Self> {
        let environment = ort::init().build()?;
        let builder = ort::session::Session::builder(&environment)?;
        let level = if path.ends_with(".ort.onnx") { GraphOptimizationLevel::Disable } else { GraphOptimizationLevel::All };
        let builder = builder.with_intra_threads(threads).map_err(plain)?;
        let session = builder.with_optimization_level(level).map_err(plain)?.commit_from_file(path)?;
        let input = ort::value::Tensor::from_array((shape, vec![0.0; shape.iter().product()]))?;
        Ok(Self { session, shape, input, outputs: Vec::new() })
    }
}

/// An error that owns nothing of what failed.
fn plain<T>(error: ort::Error<T>) -> anyhow::Error {
    anyhow::anyhow!("{error}")
}

impl Engine for OnnxRuntime {
    fn feed(&mut self, values: &[f32]) -> Result<()> {
        self.input = ort::value::Tensor::from_array((self.shape, values.to_vec()))?;
        Ok(())
    }

    fn run(&mut self) -> Result<()> {
        let outputs = self.session.run(ort::inputs![&self.input])?;
        let values = outputs.values().map(|output| Ok(output.try_extract_tensor::<f32>()?.1.to_vec()));
        self.outputs = values.collect::<Result<_>>()?;
        Ok(())
    }

    fn outputs(&self) -> Result<Vec<Vec<f32>>> {
        Ok(self.outputs.clone())
    }

    fn batch(&self) -> usize {
        self.shape[0]
    }
}
