//! Says what a picture shows: `cargo run --release -p effigy --example classify -- PHOTO`

use effigy::{Classifier, Error};

fn main() -> Result<(), Error> {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/chelsea.jpg").to_owned();
    let photo = std::env::args().nth(1).unwrap_or(shipped);

    let classifier = Classifier::from_pretrained("efficientnet-lite0")?;
    for prediction in classifier.classify_file(&photo)? {
        println!("{:5.1} %  {}", 100.0 * prediction.probability, prediction.label);
    }
    Ok(())
}
