//! Losses and gradients equal to PyTorch's and effdet's; `scripts/goldens/train_losses.py` made the goldens.

use effigy_arch::{Anchors, AspectRatio};
use effigy_tensor::Tensor;
use effigy_train::loss::{CrossEntropy, DetectionLoss, LossRecipe, TargetBox};
use effigy_vision::InputBox;
use serde_json::Value;

/// Largest difference of a loss from PyTorch's, which sums in f32, relative.
const LOSS_TOLERANCE: f64 = 2e-6;
/// Largest difference of a gradient from PyTorch's, relative to the largest of them.
const GRADIENT_TOLERANCE: f64 = 2e-6;

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/losses.json")).unwrap()
}

fn wave(shape: &[usize], seed: usize, scale: f64, shift: f64) -> Tensor {
    let count = shape.iter().product();
    let values = (0..count).map(|i: usize| (scale * (seed as f64 + 0.7 * i as f64).sin() + shift) as f32);
    Tensor::new(shape, values.collect()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn floats(value: &Value) -> Vec<f32> {
    numbers(value).into_iter().map(|number| number as f32).collect()
}

fn assert_close(found: f64, expected: f64, scale: f64, tolerance: f64, what: &str) {
    assert!((found - expected).abs() <= tolerance * scale, "{what}: {found}, not {expected}");
}

#[test]
fn cross_entropy_is_pytorchs() {
    for case in golden()["cross_entropy"].as_array().unwrap() {
        let targets = match &case["indices"] {
            Value::Null => Tensor::new(&[4, 5], floats(&case["targets"])).unwrap(),
            indices => {
                let indices = numbers(indices).into_iter().map(|index| index as usize);
                CrossEntropy::one_hot(&indices.collect::<Vec<_>>(), 5)
            }
        };
        let class_weights = case["weights"].as_array().map(|_| floats(&case["weights"]));
        let label_smoothing = case["smoothing"].as_f64().unwrap() as f32;
        let loss = CrossEntropy { label_smoothing, class_weights };
        let (value, gradient) = loss.loss(&wave(&[4, 5], 1, 3.0, 0.0), &targets);
        let expected = case["loss"].as_f64().unwrap();
        assert_close(value, expected, expected, LOSS_TOLERANCE, &format!("{case}"));
        for (&found, expected) in gradient.data().iter().zip(numbers(&case["gradient"])) {
            assert_close(f64::from(found), expected, 1.0, GRADIENT_TOLERANCE, "gradient");
        }
    }
}

#[test]
fn detection_is_effdets() {
    let golden = &golden()["detection"];
    let (size, classes) = (golden["size"].as_u64().unwrap() as usize, 3);
    let anchors = Anchors::octave(4.0, &AspectRatio::ROUNDED).boxes(3..=7, size, size);
    let loss = DetectionLoss::new(LossRecipe::OFFICIAL, classes, anchors);
    let object = |object: &Value| {
        let [y1, x1, y2, x2] = floats(&object["yxyx"])[..] else { panic!("four edges") };
        let class_index = object["class"].as_u64().unwrap() as usize;
        TargetBox { bounds: InputBox { y1, x1, y2, x2 }, class_index }
    };
    let objects = golden["objects"].as_array().unwrap().iter();
    let objects: Vec<Vec<TargetBox>> =
        objects.map(|objects| objects.as_array().unwrap().iter().map(object).collect()).collect();
    let outputs: Vec<Tensor> = (0..5)
        .flat_map(|level| {
            let side = size >> (level + 3);
            [
                wave(&[3, side, side, 9 * classes], level, 2.5, -2.0),
                wave(&[3, side, side, 36], 10 + level, 0.4, 0.0),
            ]
        })
        .collect();
    let (value, gradients) = loss.loss(&outputs, &objects);

    assert_eq!(value.positives, numbers(&golden["positives"]).iter().sum::<f64>() as usize);
    for (name, found) in
        [("total", value.total), ("class_loss", value.class_loss), ("box_loss", value.box_loss)]
    {
        let expected = golden[name].as_f64().unwrap();
        assert_close(found, expected, expected, LOSS_TOLERANCE, name);
    }
    for level in 0..5 {
        let (class, boxes) = (gradients[2 * level].data(), gradients[2 * level + 1].data());
        let squares: f64 = class.iter().map(|&g| f64::from(g).powi(2)).sum();
        let expected = golden["class_gradient_squares"][level].as_f64().unwrap();
        assert_close(squares, expected, expected, 2.0 * GRADIENT_TOLERANCE, "squares");
        let samples = numbers(&golden["class_gradient_samples"][level]);
        let largest = samples.iter().fold(0.0, |largest: f64, sample| largest.max(sample.abs()));
        for (&found, expected) in class.iter().step_by(97).zip(samples) {
            assert_close(f64::from(found), expected, largest, GRADIENT_TOLERANCE, "class gradient");
        }
        let mut seen = 0;
        for pair in golden["box_gradient"][level].as_array().unwrap() {
            let (at, expected) = (pair[0].as_u64().unwrap() as usize, pair[1].as_f64().unwrap());
            assert_close(f64::from(boxes[at]), expected, 1.0, GRADIENT_TOLERANCE, "box gradient");
            seen += 1;
        }
        assert_eq!(boxes.iter().filter(|&&g| g != 0.0).count(), seen, "level {level}");
    }
}

/// zylo117's loss, as its `loss.py` defines it, written once more in f64 and without tricks.
#[test]
fn zylo117s_is_its_definition() {
    let anchors = Anchors::octave(4.0, &AspectRatio::ROUNDED).boxes(3..=3, 64, 64);
    let object =
        |y1: f32, x1, y2, x2, class_index| TargetBox { bounds: InputBox { y1, x1, y2, x2 }, class_index };
    let objects = [vec![object(5.0, 5.0, 37.0, 40.0, 1), object(30.0, 20.0, 60.0, 58.0, 0)], vec![]];
    let outputs = [wave(&[2, 8, 8, 18], 3, 2.0, -1.0), wave(&[2, 8, 8, 36], 4, 0.5, 0.0)];
    let loss = DetectionLoss::new(LossRecipe::ZYLO117, 2, anchors.clone());
    let (value, _) = loss.loss(&outputs, &objects);

    let (mut class_loss, mut box_loss) = (0.0, 0.0);
    for (picture, objects) in objects.iter().enumerate() {
        let (mut classes, mut boxes, mut positives) = (0.0, 0.0, 0);
        for (index, anchor) in anchors.iter().enumerate() {
            let overlap = |object: &TargetBox| {
                let b = object.bounds;
                let height = (anchor.y2.min(b.y2) - anchor.y1.max(b.y1)).max(0.0);
                let width = (anchor.x2.min(b.x2) - anchor.x1.max(b.x1)).max(0.0);
                let area = (anchor.y2 - anchor.y1) * (anchor.x2 - anchor.x1);
                height * width / (area + (b.y2 - b.y1) * (b.x2 - b.x1) - height * width)
            };
            let best = objects.iter().max_by(|a, b| overlap(a).total_cmp(&overlap(b)));
            let iou = best.map_or(0.0, &overlap);
            if (0.4..0.5).contains(&iou) {
                continue;
            }
            let positive = best.filter(|_| iou >= 0.5);
            for class in 0..2 {
                let logit = outputs[0].data()[picture * 8 * 8 * 18 + index * 2 + class];
                let p = 1.0 / (1.0 + (-f64::from(logit)).exp());
                classes += match positive {
                    Some(object) if object.class_index == class => -0.25 * (1.0 - p).powi(2) * p.ln(),
                    _ => -0.75 * p.powi(2) * (1.0 - p).ln(),
                };
            }
            if let Some(TargetBox { bounds: b, .. }) = positive {
                positives += 1;
                let (height, width) = (anchor.y2 - anchor.y1, anchor.x2 - anchor.x1);
                let targets = [
                    ((b.y1 + b.y2) - (anchor.y1 + anchor.y2)) / 2.0 / height,
                    ((b.x1 + b.x2) - (anchor.x1 + anchor.x2)) / 2.0 / width,
                    ((b.y2 - b.y1) / height).ln(),
                    ((b.x2 - b.x1) / width).ln(),
                ];
                for (i, target) in targets.into_iter().enumerate() {
                    let offset = outputs[1].data()[picture * 8 * 8 * 36 + index * 4 + i];
                    let error = f64::from(offset - target).abs();
                    boxes += if error <= 1.0 / 9.0 { 4.5 * error * error } else { error - 0.5 / 9.0 };
                }
            }
        }
        assert!(objects.is_empty() || positives > 0);
        class_loss += classes / f64::from(positives.max(1)) / 2.0;
        box_loss += boxes / f64::from(4 * positives.max(1)) / 2.0;
    }
    assert_close(value.class_loss, class_loss, class_loss, LOSS_TOLERANCE, "classes");
    assert_close(value.box_loss, box_loss, box_loss, LOSS_TOLERANCE, "boxes");
    assert_close(value.total, class_loss + 50.0 * box_loss, value.total, LOSS_TOLERANCE, "total");
}
