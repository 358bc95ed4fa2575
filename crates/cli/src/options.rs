//! Options that several commands share: which model, how it is run, how pictures are prepared.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use effigy::arch::Network;
use effigy::{Detector, Interpolation, Isa, Loader, Precision, Preprocessing, Training};

use crate::failure::Failure;
use crate::progress::download_bar;
use crate::report;
use crate::report::warning;

/// The classifier that needs no download.
const DEFAULT_CLASSIFIER: &str = "efficientnet-lite0";
/// The detector that needs none.
const DEFAULT_DETECTOR: &str = "efficientdet-lite0.bccd";
/// Where other detectors come from.
const OTHERS: &str = "give --weights FILE (a checkpoint of zylo117's or effdet's naming, or your own), or --model NAME \
                      to download published weights (such as tf_efficientdet_d0; `effigy models --checkpoints` lists \
                      them)";

/// Which weights, and how pictures are prepared for them.
#[derive(Args, Clone, Debug)]
pub(crate) struct ModelOptions {
    /// A published model (see `effigy models`); with --weights, the model that the file is of
    /// [default: efficientnet-lite0; for boxes efficientdet-lite0.bccd, which finds blood cells]
    #[arg(long, short, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// How a published model was trained
    #[arg(long, value_name = "TRAINING", conflicts_with = "weights")]
    variant: Option<Variant>,
    /// A checkpoint: .pth, safetensors or TensorFlow's, of any family that effigy knows
    #[arg(long, short, value_name = "FILE")]
    pub(crate) weights: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) machine: MachineOptions,
    #[command(flatten)]
    pub(crate) preparation: Preparation,
}

/// How the network is run.
#[derive(Args, Clone, Debug)]
pub(crate) struct MachineOptions {
    /// Threads of the network [default: all]
    #[arg(long, short, value_name = "N", env = "EFFIGY_THREADS", value_parser = positive)]
    pub(crate) threads: Option<usize>,
    /// Instruction set: avx512, avx2 or portable [default: the best there is]
    #[arg(long, value_name = "NAME", env = "EFFIGY_ISA", value_parser = isa)]
    pub(crate) isa: Option<Isa>,
    /// In what numbers the network computes: fp32, bf16 or int8
    #[arg(long, value_name = "NAME", default_value = "fp32")]
    pub(crate) precision: Precision,
}

/// How pictures become the network's input, where not as the model wants it.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Preprocessing")]
pub(crate) struct Preparation {
    /// Input size in pixels, such as 224 or 192x256 [default: the model's]
    #[arg(long, value_name = "HxW")]
    pub(crate) size: Option<Size>,
    /// Share of the resized picture's side that the centre crop keeps, 0..1; detectors see whole pictures
    #[arg(long, value_name = "SHARE")]
    crop_pct: Option<f32>,
    /// Resize filter
    #[arg(long, value_name = "FILTER")]
    interpolation: Option<Filter>,
    /// Mean on values in 0..1: one number, or three as R,G,B
    #[arg(long, value_name = "R,G,B", allow_hyphen_values = true)]
    mean: Option<Channels>,
    /// Standard deviation on values in 0..1: one number, or three as R,G,B
    #[arg(long, value_name = "R,G,B")]
    std: Option<Channels>,
}

/// Height and width in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) [usize; 2]);

/// A number for each of R, G and B.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Channels([f32; 3]);

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Filter {
    Bilinear,
    Bicubic,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Variant {
    Base,
    #[value(name = "autoaugment")]
    AutoAugment,
    #[value(name = "randaugment")]
    RandAugment,
    #[value(name = "advprop")]
    AdvProp,
    NoisyStudent,
}

impl ModelOptions {
    /// The weights that were asked for, to be loaded.
    pub(crate) fn loader(&self) -> Loader {
        self.loader_or(DEFAULT_CLASSIFIER)
    }

    /// As [`loader`](Self::loader), of a detector.
    pub(crate) fn detector_loader(&self) -> Result<Loader, Failure> {
        if self.weights.is_none() && self.model.is_none() {
            if !Loader::embedded().any(|name| name == DEFAULT_DETECTOR) {
                return Err(Failure::Usage(format!("this program is built without a detector; {OTHERS}")));
            }
            report::note(format_args!("{DEFAULT_DETECTOR} finds blood cells; for anything else {OTHERS}"));
        }
        Ok(self.loader_or(DEFAULT_DETECTOR))
    }

    /// The weights that were asked for, else those of the model `default`.
    fn loader_or(&self, default: &str) -> Loader {
        let loader = match (&self.weights, &self.model) {
            (Some(weights), None) => Loader::file(weights),
            (Some(weights), Some(model)) => Loader::file(weights).model(model),
            (None, model) => Loader::pretrained(model.as_deref().unwrap_or(default)),
        };
        let loader = match self.variant {
            None | Some(Variant::Base) => loader,
            Some(Variant::AutoAugment) => loader.training(Training::AutoAugment),
            Some(Variant::RandAugment) => loader.training(Training::RandAugment),
            Some(Variant::AdvProp) => loader.training(Training::AdvProp),
            Some(Variant::NoisyStudent) => loader.training(Training::NoisyStudent),
        };
        let loader = loader.on_download(download_bar());
        self.preparation.apply(self.machine.apply(loader))
    }

    /// As [`note_assumptions`](Self::note_assumptions), about a detector.
    pub(crate) fn note_detector(&self, detector: &Detector) {
        if self.weights.is_some() {
            let network = Network::from(detector.network().clone());
            let family =
                detector.assumptions().first().and_then(|first| first.split(':').next()).unwrap_or("");
            report::note(format_args!(
                "{}, {family}, {} class slots, {}; `effigy inspect` tells why",
                network.name(),
                network.classes(),
                describe_input(&network)
            ));
        }
    }

    /// Says what was assumed about weights from a file, in a line.
    pub(crate) fn note_assumptions(&self, network: &effigy::EfficientNet, assumptions: &[String]) {
        if self.weights.is_some() {
            let family = assumptions.first().and_then(|first| first.split(':').next()).unwrap_or("");
            report::note(format_args!(
                "{}, {family}, {} classes, {}; `effigy inspect` tells why",
                network.name,
                network.classes,
                describe(&network.preprocessing)
            ));
        }
    }
}

impl MachineOptions {
    /// Says what is not as fast as its name promises.
    pub(crate) fn warn(&self) {
        if self.precision == Precision::Bf16 {
            warn_of_slow_bf16(self.isa.unwrap_or_else(Isa::best));
        }
    }

    fn apply(&self, loader: Loader) -> Loader {
        self.warn();
        let loader = self.threads.into_iter().fold(loader, Loader::threads);
        self.isa.into_iter().fold(loader, Loader::isa).precision(self.precision)
    }
}

/// Says so where bf16 gains nothing.
pub(crate) fn warn_of_slow_bf16(isa: Isa) {
    if !isa.has_bf16() {
        let isa = isa.name();
        warning(format_args!(
            "{isa} on this processor has no fast bf16 instructions: the results are those of bf16, but nothing is faster"
        ));
    }
}

impl Preparation {
    fn apply(&self, loader: Loader) -> Loader {
        let loader = self.size.into_iter().fold(loader, |loader, Size([h, w])| loader.size(h, w));
        let loader = self.crop_pct.into_iter().fold(loader, Loader::crop_pct);
        let loader = self.mean.into_iter().fold(loader, |loader, mean| loader.mean(mean.0));
        let loader = self.std.into_iter().fold(loader, |loader, std| loader.std(std.0));
        let filter = self.interpolation.map(|filter| match filter {
            Filter::Bilinear => Interpolation::Bilinear,
            Filter::Bicubic => Interpolation::Bicubic,
        });
        filter.into_iter().fold(loader, Loader::interpolation)
    }
}

/// How a network's pictures are prepared.
pub(crate) fn describe_input(network: &Network) -> String {
    match network {
        Network::EfficientNet(network) => describe(&network.preprocessing),
        Network::EfficientDet(network) => {
            let [height, width] = network.letterbox.size;
            format!("{height}×{width}, letterbox")
        }
    }
}

/// `224×224, bicubic, crop 0.875, mean 0.485 0.456 0.406, std 0.229 0.224 0.225`
pub(crate) fn describe(preprocessing: &Preprocessing) -> String {
    let Preprocessing { size: [height, width], crop_pct, interpolation, mean, std } = preprocessing;
    let filter = match interpolation {
        Interpolation::Bilinear => "bilinear",
        Interpolation::Bicubic => "bicubic",
        Interpolation::PlainBilinear => "plain bilinear",
    };
    let channels = |[r, g, b]: [f32; 3]| {
        if r == g && g == b { short(r) } else { format!("{} {} {}", short(r), short(g), short(b)) }
    };
    format!(
        "{height}×{width}, {filter}, crop {}, mean {}, std {}",
        short(*crop_pct),
        channels(*mean),
        channels(*std)
    )
}

/// At most four decimals, without zeros at the end.
fn short(value: f32) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

pub(crate) fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&n| n > 0).ok_or_else(|| "a whole number from 1 on is wanted".to_owned())
}

fn isa(name: &str) -> Result<Isa, String> {
    Isa::from_name(name).map_err(|error| error.to_string())
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (height, width) = text.split_once(['x', '×']).unwrap_or((text, text));
        let side = |text| positive(text).map_err(|_| "a size is one number, or HEIGHTxWIDTH".to_owned());
        Ok(Self([side(height)?, side(width)?]))
    }
}

impl FromStr for Channels {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let values: Result<Vec<f32>, _> = text.split(',').map(|value| value.trim().parse()).collect();
        match values.as_deref() {
            Ok(&[value]) => Ok(Self([value; 3])),
            Ok(&[r, g, b]) => Ok(Self([r, g, b])),
            _ => Err("one number is wanted, or three: R,G,B".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!("224".parse(), Ok(Size([224, 224])));
        assert_eq!("192x256".parse(), Ok(Size([192, 256])));
        for wrong in ["", "0", "x", "224x", "1x2x3", "-4"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn channels() {
        assert_eq!("0.5".parse(), Ok(Channels([0.5; 3])));
        assert_eq!("0.1, 0.2,0.3".parse(), Ok(Channels([0.1, 0.2, 0.3])));
        assert!("0.1,0.2".parse::<Channels>().is_err());
    }

    #[test]
    fn preprocessing_in_words() {
        let network = effigy::EfficientNet::from_name("efficientnet-lite0").unwrap();
        let words = "224×224, bicubic, crop 0.875, mean 0.498, std 0.502";
        assert_eq!(describe(&network.preprocessing), words);
    }
}
