//! Pascal VOC's folders of XML files: <http://host.robots.ox.ac.uk/pascal/VOC/>.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use effigy_vision::{CocoBox, EXTENSIONS};
use roxmltree::{Document, Node};

use crate::detection::{Problems, check_box, check_size};
use crate::error::ProblemKind;
use crate::listing::entries;
use crate::{AnnotatedPicture, Category, DataError, DetectionDataset, Object, OnProblem};

/// An annotation file before its classes are numbered.
struct Annotated {
    xml: PathBuf,
    /// The line of what the picture's problem is, if it has one.
    line: usize,
    picture: Result<AnnotatedPicture, ProblemKind>,
    objects: Vec<Found>,
}

struct Found {
    line: usize,
    /// The class's name, and the object but for its class index.
    object: Result<(String, Object), ProblemKind>,
}

impl DetectionDataset {
    /// Reads Pascal VOC's folder `root`: the annotations are the XML files in `root/Annotations`, or in
    /// `root` itself where there is no such folder; a picture has its annotation file's name, or the one that
    /// its `<filename>` tells, and is in `root/JPEGImages`, beside its annotations or in `root`.
    ///
    /// With a `split`, only the pictures that `root/ImageSets/Main/<split>.txt` lists, in its order. Classes
    /// are those of `names` in their order; without, the names in all annotation files, those outside the
    /// split too, sorted. A category's `id` is its index plus 1.
    ///
    /// The files count pixels from 1 and name the first and the last in the box: `<xmin>` 1 and `<xmax>` 640
    /// span a picture of width 640. A box whose last pixel is its first is a slip of the hand and reported as
    /// having no area.
    ///
    /// # Errors
    /// [`DataError`]: an unreadable file, no pictures, and unless `policy` has them skipped: a malformed or
    /// empty annotation file (with its line), a picture or annotation file that is not there, an object of an
    /// unknown class, without a box, or whose box has no area within its picture (with the object's line).
    pub fn from_voc(
        root: impl AsRef<Path>,
        split: Option<&str>,
        names: Option<&[String]>,
        policy: OnProblem,
    ) -> Result<Self, DataError> {
        let root = root.as_ref();
        let mut problems = Problems::new(policy);
        let folder = Some(root.join("Annotations")).filter(|f| f.is_dir()).unwrap_or_else(|| root.into());
        let files = xml_files(&folder)?;
        let chosen = match split {
            Some(split) => listed(root, split, &folder, &mut problems)?,
            None => files.clone(),
        };
        let names = match names {
            Some(names) => names.to_vec(),
            None => names_in(&files, &chosen, &mut problems)?,
        };
        let annotated: Vec<Annotated> =
            chosen.into_iter().map(|xml| read(root, xml)).collect::<Result<_, _>>()?;

        let mut pictures = Vec::new();
        for (Annotated { xml, line, picture, objects }, id) in annotated.into_iter().zip(1..) {
            let Some(mut picture) = problems.take(&xml, || format!("line {line}"), picture)? else {
                continue;
            };
            picture.id = id;
            for Found { line, object } in objects {
                let object = object.and_then(|(name, object)| {
                    let class = names.iter().position(|known| *known == name);
                    let class_index = class.ok_or(ProblemKind::UnknownCategory(name))?;
                    check_box(object.bounds, (picture.width, picture.height))?;
                    Ok(Object { class_index, origin: line as u64, ..object })
                });
                picture.objects.extend(problems.take(&xml, || format!("line {line}"), object)?);
            }
            pictures.push(picture);
        }
        if pictures.is_empty() {
            return Err(DataError::NoAnnotatedPictures { path: root.into(), problems: problems.found });
        }
        let categories = names.into_iter().zip(1..).map(|(name, id)| Category { id, name }).collect();
        Ok(Self { pictures, categories, problems: problems.found })
    }
}

fn xml_files(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let (_, files) = entries(folder)?;
    Ok(files.into_iter().filter(|file| file.extension().is_some_and(|e| e == "xml")).collect())
}

/// The annotation files of the pictures that a split lists.
fn listed(
    root: &Path,
    split: &str,
    folder: &Path,
    problems: &mut Problems,
) -> Result<Vec<PathBuf>, DataError> {
    let list = root.join("ImageSets").join("Main").join(format!("{split}.txt"));
    let text = fs::read_to_string(&list).map_err(|source| DataError::Read { path: list.clone(), source })?;
    let mut files = Vec::new();
    for (line, index) in text.lines().zip(1..) {
        // A class's own list has a number behind each name.
        let Some(name) = line.split_whitespace().next() else { continue };
        let xml = folder.join(format!("{name}.xml"));
        let there = if xml.is_file() { Ok(xml) } else { Err(ProblemKind::NoAnnotations(xml)) };
        files.extend(problems.take(&list, || format!("line {index}"), there)?);
    }
    Ok(files)
}

/// The names of the classes in all these files, sorted. Malformed ones among the `chosen` are told of when those
/// are read.
fn names_in(
    files: &[PathBuf],
    chosen: &[PathBuf],
    problems: &mut Problems,
) -> Result<Vec<String>, DataError> {
    let chosen: HashSet<&PathBuf> = chosen.iter().collect();
    let mut names = BTreeSet::new();
    for file in files {
        let read = parsed(file, |document| {
            names.extend(objects(document).filter_map(|object| text(object, "name").map(str::to_owned)));
        })?;
        if let Err((line, kind)) = read
            && !chosen.contains(file)
        {
            problems.take::<()>(file, || format!("line {line}"), Err(kind))?;
        }
    }
    Ok(names.into_iter().collect())
}

fn read(root: &Path, xml: PathBuf) -> Result<Annotated, DataError> {
    let read = parsed(&xml, |document| {
        let found = objects(document).map(|node| {
            let line = document.text_pos_at(node.range().start).row as usize;
            Found { line, object: object(node) }
        });
        (picture(root, &xml, document.root_element()), found.collect())
    })?;
    Ok(match read {
        Ok((picture, objects)) => Annotated { xml, line: 1, picture, objects },
        Err((line, kind)) => Annotated { xml, line, picture: Err(kind), objects: Vec::new() },
    })
}

fn picture(root: &Path, xml: &Path, annotation: Node) -> Result<AnnotatedPicture, ProblemKind> {
    let size = child(annotation, "size").ok_or(ProblemKind::Element("size"))?;
    let (width, height) = (number(size, "width")? as usize, number(size, "height")? as usize);
    check_size(width, height)?;
    let beside = xml.parent().unwrap_or(root);
    let stem = xml.file_stem().unwrap_or_default().to_string_lossy();
    let mut names: Vec<String> = EXTENSIONS.iter().map(|extension| format!("{stem}.{extension}")).collect();
    // Only the name: some programs write the folders of the machine they ran on before it.
    let told = text(annotation, "filename").and_then(|name| name.rsplit(['/', '\\']).next());
    names.extend(told.map(str::to_owned));
    let folders = [root.join("JPEGImages"), beside.into(), root.into()];
    let mut paths = folders.iter().flat_map(|folder| names.iter().map(|name| folder.join(name)));
    let path = paths.find(|path| path.is_file());
    let path = path.ok_or_else(|| ProblemKind::NoPicture(folders[0].join(&names[0])))?;
    Ok(AnnotatedPicture { path, id: 0, width, height, objects: Vec::new(), annotations: xml.into() })
}

/// The name of an object's class, and the object with class index 0.
fn object(node: Node) -> Result<(String, Object), ProblemKind> {
    let name = text(node, "name").ok_or(ProblemKind::Element("name"))?;
    let corners = child(node, "bndbox").ok_or(ProblemKind::Element("bndbox"))?;
    let (left, top) = (number(corners, "xmin")?, number(corners, "ymin")?);
    let (right, bottom) = (number(corners, "xmax")?, number(corners, "ymax")?);
    // From the left edge of the first pixel to the right edge of the last.
    let extent = |first: f64, last: f64| if last > first { last - first + 1.0 } else { 0.0 };
    let bounds = CocoBox::from_xywh([left - 1.0, top - 1.0, extent(left, right), extent(top, bottom)]);
    let difficult = text(node, "difficult").is_some_and(|flag| flag == "1");
    let area = bounds.area();
    Ok((name.into(), Object { bounds, class_index: 0, area, crowd: false, difficult, origin: 0 }))
}

/// What `look` finds in an XML file; where it is none, the line and what is wrong.
fn parsed<T>(
    path: &Path,
    look: impl FnOnce(&Document) -> T,
) -> Result<Result<T, (usize, ProblemKind)>, DataError> {
    let bytes = fs::read(path).map_err(|source| DataError::Read { path: path.into(), source })?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Err((1, ProblemKind::Malformed("the file is empty".into()))));
    }
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
            return Ok(Err((line, ProblemKind::Malformed("the file is not in UTF-8".into()))));
        }
    };
    Ok(match Document::parse(text.trim_start_matches('\u{feff}')) {
        Ok(document) => Ok(look(&document)),
        Err(error) => Err((error.pos().row as usize, ProblemKind::Malformed(error.to_string()))),
    })
}

fn objects<'a, 'b>(document: &'a Document<'b>) -> impl Iterator<Item = Node<'a, 'b>> {
    document.root_element().children().filter(|node| node.has_tag_name("object"))
}

fn child<'a, 'b>(node: Node<'a, 'b>, name: &str) -> Option<Node<'a, 'b>> {
    node.children().find(|child| child.has_tag_name(name))
}

fn text<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    child(node, name)?.text().map(str::trim).filter(|text| !text.is_empty())
}

fn number(node: Node, name: &'static str) -> Result<f64, ProblemKind> {
    text(node, name).and_then(|text| text.parse().ok()).ok_or(ProblemKind::Element(name))
}
