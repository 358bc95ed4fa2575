//! A run that is killed again and again ends as one that never was.

mod common;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{fs, thread};

use common::{classifier, pictures, saved, train};
use effigy_train::{Observer, Progress, TrainError};

/// Where the child of the test below trains.
const CHILD: &str = "EFFIGY_TEST_RESUME";

/// What the killed process does; nothing where nobody asks.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(CHILD).map(PathBuf::from) else { return };
    let mut config = classifier(&folder.join("data"), &folder.join("killed"));
    // After every step, so that most kills fall into a write.
    config.save_minutes = 0.0;
    train(config, true, &mut ()).unwrap();
}

#[test]
fn killed_at_any_moment_a_run_ends_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    pictures(&folder.path().join("data"), 20);
    train(classifier(&folder.path().join("data"), &folder.path().join("whole")), false, &mut ()).unwrap();

    let (mut kills, mut random) = (0_u64, 12345_u64);
    loop {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact"])
            .env(CHILD, folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Longer and longer, so that it comes to an end on any machine.
        thread::sleep(Duration::from_millis((random >> 33) % (40 + 10 * kills)));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "the run failed after {kills} kills");
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        assert!(kills < 1000, "it never ends");
    }
    println!("{kills} kills");
    assert!(kills > 0);
    assert!(saved(&folder.path().join("whole")) == saved(&folder.path().join("killed")));
    for file in ["best.safetensors", "last.safetensors"] {
        let read = |out: &str| fs::read(folder.path().join(out).join(file)).unwrap();
        assert!(read("whole") == read("killed"), "{file}");
    }
}

/// Stops after so many steps.
struct Stop(u64);

impl Observer for Stop {
    fn step(&mut self, _: &Progress) {
        self.0 -= 1;
    }

    fn stop(&mut self) -> bool {
        self.0 == 0
    }
}

#[test]
fn a_stopped_run_goes_on_and_changes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("out"));
    pictures(&data, 20);
    let config = classifier(&data, &out);
    train(classifier(&data, &folder.path().join("whole")), false, &mut ()).unwrap();
    for steps in [1, 2, 3] {
        let summary = train(config.clone(), true, &mut Stop(steps)).unwrap();
        assert!(summary.stopped && summary.report.is_file());
    }

    let error = |config| train(config, true, &mut ()).unwrap_err();
    let mut other = config.clone();
    (other.batch, other.threads) = (5, Some(3));
    let text = error(other).to_string();
    assert!(text.contains("(batch: 4, now 5)"), "{text}");
    let again = train(config.clone(), false, &mut ()).unwrap_err().to_string();
    assert!(again.contains("a run is there already"), "{again}");
    let more = folder.path().join("data/dark/more.png");
    fs::copy(folder.path().join("data/dark/00.png"), &more).unwrap();
    assert!(error(config.clone()).to_string().contains("the data is not that"));
    fs::remove_file(&more).unwrap();
    let state = out.join("state.safetensors");
    let bytes = fs::read(&state).unwrap();
    fs::write(&state, &bytes[..bytes.len() - 5]).unwrap();
    assert!(matches!(error(config.clone()), TrainError::State { .. }));
    fs::write(&state, bytes).unwrap();

    let summary = train(config.clone(), true, &mut ()).unwrap();
    assert!(!summary.stopped);
    assert!(saved(&folder.path().join("whole")) == saved(&out));
    // Nothing is left to do.
    train(config, true, &mut ()).unwrap();
    assert!(saved(&folder.path().join("whole")) == saved(&out));
}
