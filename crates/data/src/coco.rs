//! COCO's JSON: <https://cocodataset.org/#format-data>.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use effigy_vision::CocoBox;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::detection::{Problems, check_box, check_size};
use crate::error::ProblemKind;
use crate::{AnnotatedPicture, Category, DataError, DetectionDataset, Object, OnProblem};

#[derive(Deserialize)]
struct Instances {
    images: Vec<Image>,
    annotations: Vec<Annotation>,
    categories: Vec<CategoryRow>,
}

#[derive(Deserialize)]
struct Image {
    id: u64,
    file_name: String,
    width: usize,
    height: usize,
}

#[derive(Deserialize)]
struct Annotation {
    id: u64,
    image_id: u64,
    category_id: u64,
    bbox: [f64; 4],
    area: Option<f64>,
    #[serde(default)]
    iscrowd: u8,
}

#[derive(Deserialize)]
struct CategoryRow {
    id: u64,
    name: String,
}

impl DetectionDataset {
    /// Reads COCO's instances file `json`, whose pictures are below the folder `images`.
    ///
    /// Classes are numbered in the order of their `id`. A missing `iscrowd` is 0, a missing `area` that of
    /// the box.
    ///
    /// # Errors
    /// [`DataError`]: an unreadable or malformed file (with its line), no pictures, and unless `policy` has
    /// them skipped: a picture that is not there, an annotation of an unknown picture or category, or whose
    /// box has no area within its picture (with the annotation's `id`).
    pub fn from_coco(
        json: impl AsRef<Path>,
        images: impl AsRef<Path>,
        policy: OnProblem,
    ) -> Result<Self, DataError> {
        let (json, images) = (json.as_ref(), images.as_ref());
        let instances: Instances = read_json(json)?;
        let mut problems = Problems::new(policy);

        let mut categories: Vec<Category> =
            instances.categories.into_iter().map(|row| Category { id: row.id, name: row.name }).collect();
        categories.sort_by_key(|category| category.id);
        categories.dedup_by_key(|category| category.id);
        let class_of: HashMap<u64, usize> = categories.iter().map(|c| c.id).zip(0..).collect();

        let mut pictures: Vec<AnnotatedPicture> = Vec::new();
        // The place of each picture; `None` for those that are skipped, whose annotations go with them.
        let mut places: HashMap<u64, Option<usize>> = HashMap::new();
        for image in instances.images {
            let id = image.id;
            let checked = if places.contains_key(&id) {
                Err(ProblemKind::DuplicatePicture(id))
            } else {
                picture(image, images, json)
            };
            let taken = problems.take(json, || format!("image {id}"), checked)?;
            places.entry(id).or_insert(taken.is_some().then_some(pictures.len()));
            pictures.extend(taken);
        }
        for annotation in instances.annotations {
            let picture = match places.get(&annotation.image_id) {
                Some(None) => continue,
                Some(&Some(place)) => Ok(&mut pictures[place]),
                None => Err(ProblemKind::UnknownPicture(annotation.image_id)),
            };
            let checked = picture.and_then(|picture| {
                let object = object(&annotation, &class_of, (picture.width, picture.height))?;
                picture.objects.push(object);
                Ok(())
            });
            problems.take(json, || format!("annotation {}", annotation.id), checked)?;
        }
        if pictures.is_empty() {
            return Err(DataError::NoAnnotatedPictures { path: json.into(), problems: problems.found });
        }
        Ok(Self { pictures, categories, problems: problems.found })
    }
}

fn picture(image: Image, images: &Path, json: &Path) -> Result<AnnotatedPicture, ProblemKind> {
    let Image { id, file_name, width, height } = image;
    check_size(width, height)?;
    let path = images.join(file_name);
    if !path.is_file() {
        return Err(ProblemKind::NoPicture(path));
    }
    Ok(AnnotatedPicture { path, id, width, height, objects: Vec::new(), annotations: json.into() })
}

fn object(
    annotation: &Annotation,
    class_of: &HashMap<u64, usize>,
    size: (usize, usize),
) -> Result<Object, ProblemKind> {
    let category = annotation.category_id;
    let class = class_of.get(&category).copied();
    let class_index = class.ok_or_else(|| ProblemKind::UnknownCategory(category.to_string()))?;
    let bounds = CocoBox::from_xywh(annotation.bbox);
    check_box(bounds, size)?;
    let area = annotation.area.unwrap_or_else(|| bounds.area());
    let (crowd, origin) = (annotation.iscrowd != 0, annotation.id);
    Ok(Object { bounds, class_index, area, crowd, difficult: false, origin })
}

/// The JSON of a file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, DataError> {
    let bytes = fs::read(path).map_err(|source| DataError::Read { path: path.into(), source })?;
    serde_json::from_slice(&bytes).map_err(|error| DataError::Malformed {
        path: path.into(),
        line: error.line(),
        message: error.to_string(),
    })
}
