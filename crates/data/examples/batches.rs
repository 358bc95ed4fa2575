//! What the loader makes of a data set: how long a picture takes on one thread, and a sheet of varied pictures.
//!
//! ```text
//! cargo run --release -p effigy-data --example batches -- flowers/ 224 sheet.png
//! cargo run --release -p effigy-data --example batches -- VOC2007/ 320 sheet.png
//! ```

use std::error::Error;
use std::path::Path;
use std::time::Instant;
use std::{env, fs};

use effigy_arch::{EfficientDet, EfficientNet, Normalisation};
use effigy_data::augment::{ClassificationRecipe, DetectionRecipe, Jitter, Policy};
use effigy_data::loader::{ClassificationSource, DetectionSource, Loader, LoaderOptions, Place};
use effigy_data::{Dataset, DetectionDataset, OnProblem};
use effigy_tensor::Tensor;
use effigy_vision::{Mark, Picture, PictureFormat, PixelBox, draw, encode};

/// Pictures of a sheet, across and down.
const SHEET: [usize; 2] = [6, 4];
/// Bytes for pictures that are kept.
const MEMORY: usize = 1 << 30;
/// Batches of 16 pictures that are timed.
const BATCHES: usize = 12;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [data, size, sheet] = &arguments[..] else {
        return Err(
            "three arguments are wanted: the data set, the input's side in pixels, a PNG to write".into()
        );
    };
    let (data, size) = (Path::new(data), size.parse()?);
    let pictures =
        if data.join("Annotations").is_dir() { detection(data, size)? } else { classification(data, size)? };
    fs::write(sheet, encode(&together(&pictures, size), PictureFormat::Png)?)?;
    Ok(())
}

fn options() -> LoaderOptions {
    LoaderOptions { threads: 1, ..LoaderOptions::training(16, 1) }
}

/// Times a loader, and gives what `show` makes of its first batches.
fn timed<B: Send + 'static>(
    name: &str,
    mut loader: Loader<B>,
    mut show: impl FnMut(&B) -> Vec<Picture>,
) -> Result<Vec<Picture>, Box<dyn Error>> {
    let mut shown = Vec::new();
    let start = Instant::now();
    let mut made = 0;
    while made < BATCHES {
        let Some(batch) = loader.next()? else { continue };
        made += 1;
        if shown.len() < SHEET[0] * SHEET[1] && name.contains("sheet") {
            shown.extend(show(&batch));
        }
    }
    let took = start.elapsed().as_secs_f64() * 1e3 / (BATCHES * 16) as f64;
    println!("{name}: {took:.2} ms a picture on one thread");
    Ok(shown)
}

/// Times a second look at pictures that are kept in memory.
fn kept(source: impl effigy_data::loader::Source) -> Result<(), Box<dyn Error>> {
    let mut loader = Loader::new(source, options());
    let epoch = (loader.batches() as usize).min(BATCHES);
    for _ in 0..epoch {
        loader.next()?;
    }
    // The same batches once more: their pictures are there.
    loader.seek(Place::default());
    let start = Instant::now();
    for _ in 0..epoch {
        loader.next()?;
    }
    let took = start.elapsed().as_secs_f64() * 1e3 / (epoch * 16) as f64;
    println!("… kept in memory: {took:.2} ms");
    Ok(())
}

fn classification(data: &Path, size: usize) -> Result<Vec<Picture>, Box<dyn Error>> {
    let splits = Dataset::open_splits(data, OnProblem::Refuse, None)?;
    let train = &splits[0].data;
    let network = EfficientNet::from_name("efficientnet-lite0")?;
    let preprocessing = network.preprocessing.with_view(size, 0.875);
    let normalisation = Normalisation { mean: preprocessing.mean, std: preprocessing.std };
    let source = || ClassificationSource::new(&train.samples, train.classes(), preprocessing.clone());
    let plain = ClassificationRecipe::default();
    let jitter = Jitter { brightness: 0.4, contrast: 0.4, saturation: 0.4 };
    let jittered = ClassificationRecipe { jitter, ..plain.clone() };
    let policy = Policy::RandAugment { operations: 2, magnitude: 9.0 };
    let rand = ClassificationRecipe { policy, ..plain.clone() };
    let auto = ClassificationRecipe { policy: Policy::AutoAugment, ..plain.clone() };
    let none = |_: &_| Vec::new();
    timed("evaluation", Loader::new(source(), options()), none)?;
    timed("crop and mirror", Loader::new(source().varied(plain.clone()), options()), none)?;
    kept(source().cached(MEMORY).varied(plain))?;
    timed("… and jitter", Loader::new(source().varied(jittered), options()), none)?;
    timed("… and AutoAugment", Loader::new(source().varied(auto), options()), none)?;
    timed("… and RandAugment (sheet)", Loader::new(source().varied(rand), options()), |batch| {
        (0..batch.samples.len()).map(|index| shown(&batch.input, index, normalisation)).collect()
    })
}

fn detection(data: &Path, size: usize) -> Result<Vec<Picture>, Box<dyn Error>> {
    let dataset = DetectionDataset::from_voc(data, None, None, OnProblem::Skip)?;
    let letterbox = EfficientDet::from_name("efficientdet-lite0")?.with_size(size, size).letterbox;
    let normalisation = letterbox.normalisation;
    let source = || DetectionSource::new(&dataset.pictures, letterbox.clone());
    let plain = DetectionRecipe::default();
    let mosaic = DetectionRecipe { mosaic: 0.5, ..plain.clone() };
    let none = |_: &_| Vec::new();
    timed("evaluation", Loader::new(source(), options()), none)?;
    timed("scale and mirror", Loader::new(source().varied(plain.clone()), options()), none)?;
    kept(source().cached(MEMORY).varied(plain))?;
    timed("… and every other a mosaic (sheet)", Loader::new(source().varied(mosaic), options()), |batch| {
        let picture = |(index, objects): (usize, &Vec<effigy_data::loader::InputObject>)| {
            let marks: Vec<Mark> = objects
                .iter()
                .map(|object| {
                    let bounds = object.bounds;
                    let bounds = PixelBox { x1: bounds.x1, y1: bounds.y1, x2: bounds.x2, y2: bounds.y2 };
                    Mark { bounds, class_index: object.class_index, caption: String::new() }
                })
                .collect();
            draw(shown(&batch.input, index, normalisation), &marks)
        };
        batch.objects.iter().enumerate().map(picture).collect()
    })
}

/// A picture of a batch, as bytes again.
fn shown(input: &Tensor, index: usize, Normalisation { mean, std }: Normalisation) -> Picture {
    let [_, height, width, _] = input.shape()[..] else { panic!("four axes: {:?}", input.shape()) };
    let values = &input.data()[index * height * width * 3..(index + 1) * height * width * 3];
    let byte = |(at, &value): (usize, &f32)| ((value * std[at % 3] + mean[at % 3]) * 255.0).round() as u8;
    Picture::new(width, height, values.iter().enumerate().map(byte).collect()).expect("all of its bytes")
}

fn together(pictures: &[Picture], size: usize) -> Picture {
    let [across, down] = SHEET;
    let mut sheet = vec![255; across * size * down * size * 3];
    for (at, picture) in pictures.iter().take(across * down).enumerate() {
        for (y, row) in picture.pixels().chunks_exact(size * 3).enumerate() {
            let start = ((at / across * size + y) * across + at % across) * size * 3;
            sheet[start..start + size * 3].copy_from_slice(row);
        }
    }
    Picture::new(across * size, down * size, sheet).expect("all of its bytes")
}
