//! `effigy features`: what the network sees in pictures, for other programs.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use effigy::{FeatureExtractor, Tensor};

use crate::failure::{Failure, Outcome};
use crate::inputs::Inputs;
use crate::npy::{self, NpyWriter};
use crate::options::{ModelOptions, positive};
use crate::pipeline::{self, Pace};
use crate::progress::Progress;
use crate::report;

/// Write what the network sees in pictures as NumPy arrays
#[derive(Args, Debug)]
#[command(after_help = "The array has a row for each picture; which one is printed, a line each: row, path.
Pictures that cannot be read have no row.

Examples:
  effigy features photos/ --out photos.npy
  effigy features cat.jpg --layer blocks.10.add --out cat.npy
  effigy features cat.jpg --endpoints --out cat.npz")]
pub(crate) struct Options {
    /// Pictures, folders of pictures (with those below them), or - for standard input
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Where to write: .npy for one layer, .npz for several
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
    /// A layer by its name in `effigy summary --nodes`; may be given several times [default: head.pool]
    #[arg(long, value_name = "NAME", conflicts_with = "endpoints")]
    layer: Vec<String>,
    /// The feature pyramid: reduction_1 … reduction_6
    #[arg(long)]
    endpoints: bool,
    /// Order of the axes where a layer has height and width
    #[arg(long, value_name = "ORDER", default_value = "nchw")]
    layout: Layout,
    /// Pictures that the network gets at a time
    #[arg(long, short, value_name = "N", default_value = "8", value_parser = positive)]
    batch: usize,
    /// Show progress even where standard error is no terminal
    #[arg(long)]
    progress: bool,
    #[command(flatten)]
    model: ModelOptions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Layout {
    /// As PyTorch has them
    Nchw,
    /// As TensorFlow has them
    Nhwc,
}

pub(crate) fn run(options: &Options) -> Result<Outcome, Failure> {
    let is_npz = options.out.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npz"));
    if !is_npz && (options.endpoints || options.layer.len() > 1) {
        return Err(Failure::Usage("several layers make several arrays; --out must end in .npz".into()));
    }
    let inputs = Inputs::list(&options.images)?;
    if inputs.pictures.is_empty() {
        return Ok(Outcome::of(inputs.failed));
    }
    let extractor = extractor(options)?;
    let pace = Pace::new(options.batch.min(inputs.pictures.len()), extractor.model().threads());
    let mut progress = Progress::new(inputs.pictures.len(), "pictures", options.progress);
    let mut arrays = Arrays::new(options, extractor.layers());

    let unread = pipeline::joined(
        &inputs.pictures,
        pace,
        &mut progress,
        |picture| extractor.prepare(picture),
        |positions, batch, progress| {
            let first = arrays.rows;
            arrays.push(extractor.extract_prepared(batch)?)?;
            let line =
                |(i, &position): (usize, &usize)| format!("{}\t{}\n", first + i, inputs.pictures[position]);
            let lines: String = positions.iter().enumerate().map(line).collect();
            progress.aside(|| anstream::stdout().write_all(lines.as_bytes()))?;
            Ok(())
        },
    )?;
    drop(progress);
    arrays.finish(is_npz)?;
    Ok(Outcome::of(inputs.failed + unread))
}

fn extractor(options: &Options) -> Result<FeatureExtractor, Failure> {
    let loader = options.model.loader();
    let extractor = match (options.endpoints, &options.layer[..]) {
        (true, _) => loader.endpoints()?,
        (false, []) => loader.features(&[FeatureExtractor::POOLED])?,
        (false, layers) => loader.features(layers)?,
    };
    options.model.note_assumptions(extractor.network(), extractor.assumptions());
    Ok(extractor)
}

/// The arrays that are being written, one a layer.
struct Arrays<'a> {
    options: &'a Options,
    layers: &'a [String],
    writers: Vec<NpyWriter>,
    rows: usize,
}

impl<'a> Arrays<'a> {
    fn new(options: &'a Options, layers: &'a [String]) -> Self {
        Self { options, layers, writers: Vec::new(), rows: 0 }
    }

    /// Appends a batch: the values of every layer.
    fn push(&mut self, values: Vec<Tensor>) -> Result<(), Failure> {
        let turned = |values: Tensor| match (self.options.layout, values.shape().len()) {
            (Layout::Nchw, 4) => values.nhwc_to_nchw(),
            _ => values,
        };
        let values: Vec<Tensor> = values.into_iter().map(turned).collect();
        self.rows += values[0].shape()[0];
        let out = &self.options.out;
        let write = |source| Failure::Write { path: out.clone(), source };
        if self.writers.is_empty() {
            let writers = values.iter().map(|values| NpyWriter::create(out, &values.shape()[1..]));
            self.writers = writers.collect::<Result<_, _>>().map_err(write)?;
        }
        let mut pairs = self.writers.iter_mut().zip(&values);
        pairs.try_for_each(|(writer, values)| writer.push(values.data())).map_err(write)
    }

    /// Puts the file into its place; nothing where no picture could be read.
    fn finish(self, is_npz: bool) -> Result<(), Failure> {
        let Self { options: Options { out, .. }, layers, mut writers, .. } = self;
        if writers.is_empty() {
            return Ok(());
        }
        for (layer, writer) in layers.iter().zip(&writers) {
            report::note(format_args!("{}: {layer} {:?} f32", out.display(), writer.shape()));
        }
        let written = match is_npz {
            true => npy::write_npz(out, layers.iter().cloned().zip(writers).collect()),
            false => writers.remove(0).finish(out),
        };
        written.map_err(|source| Failure::Write { path: out.clone(), source })
    }
}
