//! `effigy convert`: any checkpoint as safetensors that say what they are.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use effigy::arch::{Network, Top};
use effigy::weights::{self, ClassifierPolicy, LoadOptions, Loaded, Precision};

use crate::failure::{Failure, Outcome};
use crate::options::{describe_input, positive};
use crate::report;

/// Write a checkpoint as safetensors, with its model, preprocessing and labels in it
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// A checkpoint: .pth or safetensors
    weights: PathBuf,
    /// Where to write
    #[arg(long, short, value_name = "OUT.safetensors")]
    output: PathBuf,
    /// Type of the convolutions' and the classifier's weights; everything else stays f32
    #[arg(long, value_name = "TYPE", default_value = "f32")]
    dtype: Dtype,
    /// The model that it is of, where its names and shapes do not tell
    #[arg(long, short, value_name = "NAME")]
    model: Option<String>,
    /// Names of the classes, one a line
    #[arg(long, short, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// With so many classes: a new classifier of zeros, to be trained, where the checkpoint has another number
    #[arg(long, value_name = "N", value_parser = positive, group = "classifier")]
    classes: Option<usize>,
    /// Without the classifier: the network ends with the pooled features
    #[arg(long, group = "classifier")]
    no_classifier: bool,
    /// Without the first class, which is «background» in TensorFlow's networks of 1001 classes
    #[arg(long, group = "classifier")]
    drop_background: bool,
    /// For pictures of so many channels: the first convolution's weights are summed or repeated
    #[arg(long, value_name = "N", value_parser = positive)]
    in_channels: Option<usize>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Dtype {
    F32,
    F16,
    Bf16,
}

pub(crate) fn run(options: &Options) -> Result<Outcome, Failure> {
    distinct(&options.weights, &options.output)?;
    let load = LoadOptions {
        model: options.model.clone(),
        classifier: options.classifier(),
        in_channels: options.in_channels,
        ..LoadOptions::default()
    };
    let Loaded { network, weights, family, labels, .. } = weights::load(&options.weights, &load)?;
    let labels = match &options.labels {
        Some(path) => {
            let labels = effigy::Labels::read(path)?;
            let has_classes =
                !matches!(&network, Network::EfficientNet(network) if network.top != Top::Classifier);
            if has_classes {
                labels.check(network.classes())?;
            }
            Some(labels.as_slice().to_vec())
        }
        None => labels,
    };
    let precision = match options.dtype {
        Dtype::F32 => Precision::F32,
        Dtype::F16 => Precision::F16,
        Dtype::Bf16 => Precision::Bf16,
    };
    weights::convert(&options.output, &network, &weights, labels.as_deref(), precision)?;
    report::note(format_args!(
        "{}: {}, from {family} names, {}",
        options.output.display(),
        network.name(),
        describe_input(&network)
    ));
    Ok(Outcome::Done)
}

impl Options {
    fn classifier(&self) -> ClassifierPolicy {
        match (self.classes, self.no_classifier, self.drop_background) {
            (Some(classes), ..) => ClassifierPolicy::Replace(classes),
            (None, true, _) => ClassifierPolicy::Drop,
            (None, _, true) => ClassifierPolicy::DropBackground,
            _ => ClassifierPolicy::Keep,
        }
    }
}

/// Refuses a file that would be overwritten while it is read.
fn distinct(read: &Path, written: &Path) -> Result<(), Failure> {
    let same = match (read.canonicalize(), written.canonicalize()) {
        (Ok(read), Ok(written)) => read == written,
        _ => false,
    };
    if same {
        Err(Failure::Usage(format!("{}: would overwrite its own source", written.display())))
    } else {
        Ok(())
    }
}
