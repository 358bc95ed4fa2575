//! Data sets that commands about training look at.

use std::path::{Path, PathBuf};

use clap::Args;
use effigy::EfficientDet;
use effigy_data::{DetectionDataset, OnProblem, Split};

use crate::failure::Failure;
use crate::options::Size;

/// Splits that a Pascal VOC folder may have, as its lists are called.
const VOC_SPLITS: [&str; 3] = ["train", "val", "test"];

/// Where a data set's parts are.
#[derive(Args, Clone, Debug)]
pub(crate) struct DataOptions {
    /// Pascal VOC's folder, COCO's JSON, a folder of class folders (perhaps in train/ and val/), or a list of
    /// pictures (CSV or TSV)
    pub(crate) data: PathBuf,
    /// The pictures of COCO's JSON
    #[arg(long, value_name = "DIR")]
    pub(crate) images: Option<PathBuf>,
    /// COCO's JSON of the validation pictures
    #[arg(long, value_name = "FILE.json")]
    pub(crate) val: Option<PathBuf>,
    /// Its pictures [default: those of --images]
    #[arg(long, value_name = "DIR")]
    pub(crate) val_images: Option<PathBuf>,
    /// Only these of Pascal VOC's splits [default: train, val and test, or all pictures where there are none]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub(crate) split: Vec<String>,
}

/// A detector that is to be trained on a data set.
#[derive(Args, Clone, Debug)]
pub(crate) struct DetectorOptions {
    /// The detector to be trained: its input size and anchors are tried on the boxes
    #[arg(long, short, value_name = "NAME", default_value = "efficientdet-lite0")]
    model: String,
    /// Its input size in pixels, such as 512 or 384x640 [default: the model's]
    #[arg(long, value_name = "HxW")]
    size: Option<Size>,
}

impl DetectorOptions {
    /// The detector, for that size.
    pub(crate) fn network(&self) -> Result<EfficientDet, Failure> {
        let detector = EfficientDet::from_name(&self.model)?;
        Ok(match self.size {
            Some(Size([height, width])) => detector.with_size(height, width),
            None => detector,
        })
    }
}

impl DataOptions {
    /// Whether the data set holds boxes: COCO's JSON, or Pascal VOC's folder.
    pub(crate) fn holds_boxes(&self) -> bool {
        holds_boxes(&self.data)
    }

    /// The splits of a detection data set, the one to train on first, and the folders of their pictures.
    pub(crate) fn boxes(
        &self,
        policy: OnProblem,
    ) -> Result<(Vec<Split<DetectionDataset>>, Vec<PathBuf>), Failure> {
        if self.data.is_dir() { self.voc(policy) } else { self.coco(policy) }
    }

    fn voc(&self, policy: OnProblem) -> Result<(Vec<Split<DetectionDataset>>, Vec<PathBuf>), Failure> {
        let root = &self.data;
        let there = |name: &&str| root.join("ImageSets").join("Main").join(format!("{name}.txt")).is_file();
        let names: Vec<&str> = if self.split.is_empty() {
            VOC_SPLITS.into_iter().filter(there).collect()
        } else {
            self.split.iter().map(String::as_str).collect()
        };
        let open = |split: Option<&str>| -> Result<_, Failure> {
            let data = DetectionDataset::from_voc(root, split, None, policy)?;
            Ok(Split { name: split.unwrap_or("all").to_owned(), data })
        };
        let splits = if names.is_empty() {
            vec![open(None)?]
        } else {
            names.into_iter().map(|name| open(Some(name))).collect::<Result<_, _>>()?
        };
        let pictures = Some(root.join("JPEGImages")).filter(|folder| folder.is_dir());
        Ok((splits, vec![pictures.unwrap_or_else(|| root.clone())]))
    }

    fn coco(&self, policy: OnProblem) -> Result<(Vec<Split<DetectionDataset>>, Vec<PathBuf>), Failure> {
        let Some(images) = &self.images else {
            return Err(Failure::Usage(format!(
                "{}: COCO's JSON names its pictures only; give their folder by --images",
                self.data.display()
            )));
        };
        let data = DetectionDataset::from_coco(&self.data, images, policy)?;
        let mut splits = vec![Split { name: "train".to_owned(), data }];
        let mut folders = vec![images.clone()];
        if let Some(val) = &self.val {
            let images = self.val_images.as_ref().unwrap_or(images);
            let data = DetectionDataset::from_coco(val, images, policy)?;
            splits.push(Split { name: "val".to_owned(), data });
            folders.push(images.clone());
        }
        folders.dedup();
        Ok((splits, folders))
    }
}

/// Whether `data` holds boxes: a JSON file, or Pascal VOC's folder.
pub(crate) fn holds_boxes(data: &Path) -> bool {
    let is =
        |path: &Path, extension: &str| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(extension));
    if data.is_file() {
        return is(data, "json");
    }
    let mut files = data.read_dir().into_iter().flatten().flatten();
    data.join("Annotations").is_dir() || files.any(|file| is(&file.path(), "xml"))
}
