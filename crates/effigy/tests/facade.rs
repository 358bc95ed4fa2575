//! The library as its users see it, with the weights and the photo that travel with it.

use std::path::PathBuf;

use effigy::{
    Classifier, Error, FeatureExtractor, Isa, Labels, Limits, Loader, Picture, Prediction, Tensor,
    decode_file,
};

const LITE0: &str = "efficientnet-lite0";
/// Largest difference of probabilities between threads, batches and instruction sets, which add in
/// different orders.
const ROUNDING: f32 = 1e-4;

fn photo() -> Picture {
    decode_file(photo_path(), &Limits::default()).unwrap()
}

fn photo_path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("assets/chelsea.jpg")
}

fn assert_same(a: &[Prediction], b: &[Prediction]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert_eq!((a.class_index, &a.label), (b.class_index, &b.label));
        assert!((a.probability - b.probability).abs() < ROUNDING, "{a:?} {b:?}");
    }
}

#[test]
fn the_cat_is_a_cat() {
    let classifier = Classifier::from_pretrained(LITE0).unwrap();
    let best = classifier.classify_file(photo_path()).unwrap();
    assert_eq!(best.len(), 5);
    let cats = ["Egyptian cat", "tiger cat", "tabby"];
    assert!(best[..3].iter().all(|p| cats.contains(&p.label.as_str())), "{best:?}");
    let cat: f32 = best[..3].iter().map(|p| p.probability).sum();
    assert!(cat > 0.8 && cat <= 1.0, "{best:?}");
    assert!(best.windows(2).all(|pair| pair[0].probability >= pair[1].probability));
}

#[test]
fn probabilities_of_all_classes_sum_to_one() {
    let classifier = Loader::pretrained(LITE0).top_k(5000).classifier().unwrap();
    let all = classifier.classify(&photo()).unwrap();
    assert_eq!(all.len(), 1000);
    let sum: f32 = all.iter().map(|p| p.probability).sum();
    assert!((sum - 1.0).abs() < ROUNDING, "{sum}");
}

#[test]
fn a_batch_gives_what_single_pictures_give() {
    let classifier = Classifier::from_pretrained(LITE0).unwrap();
    let grey = Picture::new(300, 200, vec![128; 300 * 200 * 3]).unwrap();
    let batch = classifier.classify_batch(&[photo(), grey.clone(), photo()]).unwrap();
    let single = classifier.classify(&photo()).unwrap();
    assert_same(&batch[0], &single);
    assert_same(&batch[2], &single);
    assert_same(&batch[1][..1], &classifier.classify(&grey).unwrap()[..1]);
    assert!(classifier.classify_batch(&[]).unwrap().is_empty());
}

#[test]
fn threads_share_one_model() {
    fn assert_shared<T: Send + Sync>() {}
    assert_shared::<Classifier>();
    assert_shared::<FeatureExtractor>();
    assert_shared::<Error>();

    let classifier = Loader::pretrained(LITE0).threads(2).classifier().unwrap();
    let expected = classifier.classify(&photo()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..3 {
                    assert_same(&classifier.classify(&photo()).unwrap(), &expected);
                }
            });
        }
    });
}

#[test]
fn every_instruction_set_agrees() {
    let answers = Isa::available().into_iter().map(|isa| {
        let classifier = Loader::pretrained(LITE0).isa(isa).top_k(3).classifier().unwrap();
        classifier.classify(&photo()).unwrap()
    });
    let answers: Vec<_> = answers.collect();
    answers.windows(2).for_each(|pair| assert_same(&pair[0], &pair[1]));
}

#[test]
fn features_of_any_layer_and_size() {
    let extractor =
        Loader::pretrained(LITE0).size(96, 160).features(&["stem.act", "reduction_4", "head.pool"]).unwrap();
    let values = extractor.extract(&photo()).unwrap();
    let shapes: Vec<&[usize]> = values.iter().map(Tensor::shape).collect();
    assert_eq!(shapes, [&[1, 48, 80, 32][..], &[1, 6, 10, 112], &[1, 1280]]);

    let pyramid = Loader::pretrained(LITE0).endpoints().unwrap();
    let values = pyramid.extract(&photo()).unwrap();
    let shapes: Vec<&[usize]> = values.iter().map(|values| &values.shape()[1..]).collect();
    let expected = [[112, 112, 16], [56, 56, 24], [28, 28, 40], [14, 14, 112], [7, 7, 320], [7, 7, 1280]];
    assert_eq!(shapes, expected.each_ref().map(|shape| &shape[..]));
}

#[test]
fn pooled_features_are_the_mean_of_the_last_feature_map() {
    let extractor = Loader::pretrained(LITE0).features(&["reduction_6", FeatureExtractor::POOLED]).unwrap();
    let values = extractor.extract(&photo()).unwrap();
    let [map, pooled] = &values[..] else { panic!("two layers were asked for") };
    for channel in (0..1280).step_by(100) {
        let mean = map.data().iter().skip(channel).step_by(1280).sum::<f32>() / 49.0;
        assert!((pooled.data()[channel] - mean).abs() < ROUNDING * mean.abs().max(1.0));
    }
}

#[test]
fn mistakes_are_named() {
    let error = Classifier::from_pretrained("efficientnet-lite9").unwrap_err();
    assert!(
        matches!(error, Error::UnknownModel(_)) && error.to_string().contains("efficientnet-lite0"),
        "{error}"
    );
    let error = Classifier::from_file("nowhere/b0.pth").unwrap_err();
    assert!(matches!(error, Error::Weights(_)) && error.to_string().contains("nowhere/b0.pth"), "{error}");
    let error = Loader::pretrained(LITE0).features(&["blocks.99.add"]).unwrap_err();
    assert!(
        matches!(error, Error::UnknownLayer { .. }) && error.to_string().contains("blocks.99.add"),
        "{error}"
    );
    let two: Labels = ["a", "b"].map(String::from).into_iter().collect();
    let error = Loader::pretrained(LITE0).labels(two).classifier().unwrap_err();
    assert!(matches!(error, Error::LabelCount { labels: 2, classes: 1000 }), "{error}");
    let error = Loader::pretrained(LITE0).size(0, 224).classifier().unwrap_err();
    assert!(matches!(error, Error::Size { height: 0, width: 224, .. }), "{error}");
    let error = Loader::pretrained(LITE0).std([1.0, 0.0, 1.0]).classifier().unwrap_err();
    assert!(matches!(error, Error::Normalisation { .. }), "{error}");
    let error = Loader::pretrained(LITE0).crop_pct(0.0).classifier().unwrap_err();
    assert!(matches!(error, Error::CropPct(_)), "{error}");
}

#[test]
fn an_answer_that_is_no_number_is_refused() {
    let classifier = Classifier::from_pretrained(LITE0).unwrap();
    let mut logits = vec![0.0; 1000];
    logits[17] = f32::NAN;
    assert!(matches!(classifier.rank(&logits), Err(Error::NotFinite { index: 17, .. })));
    logits[17] = f32::INFINITY;
    assert!(classifier.rank(&logits).is_err());
}
