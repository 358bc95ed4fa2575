//! A tiny network and tiny data sets, on which a run takes a moment.

// Each test uses what it needs.
#![allow(dead_code, unreachable_pub)]

use std::fs;
use std::path::Path;

use effigy_train::{Config, CpuDevice, CpuOptions, Observer, Summary, TrainError, Trainer};
use effigy_vision::{Picture, PictureFormat, encode};

/// Two classes of `each` pictures, dark ones and bright ones.
pub fn pictures(folder: &Path, each: usize) {
    for (class, base) in [("bright", 160), ("dark", 40)] {
        let folder = folder.join(class);
        fs::create_dir_all(&folder).unwrap();
        for i in 0..each {
            let pixel = |p: usize| (base + (p * 37 + i * 101) % 60) as u8;
            let pixels = (0..24 * 20 * 3).map(pixel).collect();
            let picture = Picture::new(24, 20, pixels).unwrap();
            fs::write(folder.join(format!("{i:02}.png")), encode(&picture, PictureFormat::Png).unwrap())
                .unwrap();
        }
    }
}

/// COCO's JSON and pictures: a bright square on dark ground each.
pub fn boxes(folder: &Path, count: usize) {
    let (mut images, mut annotations) = (Vec::new(), Vec::new());
    for i in 0..count {
        let (left, top, side) = (4 + (i * 13) % 30, 6 + (i * 7) % 25, 16 + i % 9);
        let inside = |x: usize, y: usize| (left..left + side).contains(&x) && (top..top + side).contains(&y);
        let pixels =
            (0..64 * 64).flat_map(|p| [if inside(p % 64, p / 64) { 220 } else { 30 + (p % 7) as u8 }; 3]);
        let picture = Picture::new(64, 64, pixels.collect()).unwrap();
        fs::write(folder.join(format!("{i}.png")), encode(&picture, PictureFormat::Png).unwrap()).unwrap();
        images.push(format!(r#"{{"id":{i},"file_name":"{i}.png","width":64,"height":64}}"#));
        annotations.push(format!(
            r#"{{"id":{i},"image_id":{i},"category_id":7,"bbox":[{left},{top},{side},{side}]}}"#
        ));
    }
    let json = format!(
        r#"{{"images":[{}],"annotations":[{}],"categories":[{{"id":7,"name":"square"}}]}}"#,
        images.join(","),
        annotations.join(",")
    );
    fs::write(folder.join("instances.json"), json).unwrap();
}

/// A short run of a small classifier.
pub fn classifier(data: &Path, out: &Path) -> Config {
    Config {
        model: "efficientnet-w0.1-d0.1-r32".to_owned(),
        weights: "scratch".to_owned(),
        data: data.to_owned(),
        out: out.to_owned(),
        batch: 4,
        accumulate: 2,
        epochs: 3,
        learning_rate: 0.05,
        ema_decay: Some(0.9),
        val_share: 0.25,
        samples: 4,
        threads: Some(1),
        ..Config::default()
    }
}

/// Trains on the CPU.
pub fn train(config: Config, resume: bool, observer: &mut dyn Observer) -> Result<Summary, TrainError> {
    let trainer = Trainer::new(config, &mut |name| Err(format!("{name}: no network here")))?.resume(resume);
    let options = CpuOptions { frozen: trainer.frozen().clone(), ..CpuOptions::new(1) };
    let mut device = CpuDevice::new(trainer.graph().clone(), &options);
    trainer.run(&mut device, observer)
}

/// The parameters, moments and average that a run has saved, as bytes.
pub fn saved(out: &Path) -> Vec<u8> {
    let bytes = fs::read(out.join("state.safetensors")).unwrap();
    let header = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    bytes[8 + header..].to_vec()
}
