//! Mutated and random files: no panic, and no more memory than the limit.
//!
//! Runs for `EFFIGY_FUZZ_SECONDS` seconds, two where it is not set. One test alone, for it counts all that
//! the process allocates.

use std::alloc::{GlobalAlloc, Layout, System};
use std::panic::catch_unwind;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use std::{env, fs};

use effigy_vision::{Limits, decode_bytes};

/// The limits under which the mutated files are decoded.
const LIMITS: Limits = Limits { max_pixels: 1 << 20, max_bytes: 32 << 20 };
/// What decoders may hold beyond the limit: tables, and buffers that do not grow with the picture.
const SLACK: usize = 1 << 20;

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

fn grown(bytes: usize) {
    let held = HELD.fetch_add(bytes, Relaxed) + bytes;
    MOST.fetch_max(held, Relaxed);
}

// SAFETY: every call is passed on to the system's allocator as it came; only counters are kept beside.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: the caller keeps `alloc_zeroed`'s contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`, which must not be 0.
    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 32) as usize % end
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| (self.next() >> 56) as u8).collect()
    }
}

/// One of the seeds, changed in one to four places; headers, at the front, more often than the rest.
fn mutated(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut file = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(4) {
        let reach = if random.below(2) == 0 { file.len().min(64) } else { file.len() };
        let at = random.below(reach.max(1)).min(file.len());
        let rest = file.len() - at;
        match random.below(8) {
            0 => file.truncate(at),
            1 if rest > 0 => file[at] ^= 1 << random.below(8),
            2 if rest > 0 => file[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
            3 if rest >= 4 => file[at..at + 4]
                .copy_from_slice(&[[0xff; 4], [0; 4], [0x7f, 0xff, 0xff, 0xff]][random.below(3)]),
            4 => {
                let count = random.below(16);
                let noise = random.bytes(count);
                file.splice(at..at + rest.min(count), noise);
            }
            5 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len());
                file.splice(at.., other[from..].iter().copied());
            }
            6 => drop(file.drain(at..at + random.below(rest + 1))),
            _ => {
                let again = file[at..at + random.below(rest + 1)].to_vec();
                file.splice(at..at, again);
            }
        }
    }
    file
}

/// Random bytes, behind the signature of a format so that they get past the front door.
fn random_file(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let signature = &seeds[random.below(seeds.len())];
    let mut file = signature[..signature.len().min(random.below(24))].to_vec();
    let count = random.below(2000);
    file.extend(random.bytes(count));
    file
}

#[test]
fn survives_mutated_and_random_files() {
    let seconds =
        env::var("EFFIGY_FUZZ_SECONDS").map_or(2, |text| text.parse().expect("a number of seconds"));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pictures");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let seeds: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).unwrap()).collect();

    let mut random = Random(env::var("EFFIGY_FUZZ_SEED").map_or(1, |text| text.parse().expect("a number")));
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut files, mut decoded, mut worst, mut slowest) = (0u64, 0u64, 0, Duration::ZERO);
    while Instant::now() < end {
        let file = if random.below(8) == 0 {
            random_file(&seeds, &mut random)
        } else {
            mutated(&seeds, &mut random)
        };
        let before = HELD.load(Relaxed);
        MOST.store(before, Relaxed);
        let start = Instant::now();
        let outcome = catch_unwind(|| decode_bytes(&file, "mutated", &LIMITS));
        slowest = slowest.max(start.elapsed());
        let held = MOST.load(Relaxed) - before;
        worst = worst.max(held);
        let keep = || {
            let path = env::temp_dir().join(format!("effigy-mutated-{files}"));
            fs::write(&path, &file).unwrap();
            path.display().to_string()
        };
        let Ok(outcome) = outcome else { panic!("a panic; the file is kept as {}", keep()) };
        assert!(
            held <= LIMITS.max_bytes as usize + SLACK,
            "{held} bytes held; the file is kept as {}",
            keep()
        );
        files += 1;
        decoded += u64::from(outcome.is_ok());
    }
    println!("{files} files, {decoded} decoded; at most {worst} bytes held, at most {slowest:?} for one");
    assert!(
        files > 0 && decoded > 0 && decoded < files,
        "the mutations must be neither harmless nor hopeless"
    );
}
