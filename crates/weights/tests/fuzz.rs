//! Damaged and hostile files: no panic, and no more memory than stated.
//!
//! Runs for `EFFIGY_FUZZ_SECONDS` (2 by default) on each file.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use effigy_arch::EfficientDet;
use effigy_weights::{Bytes, LoadOptions, Precision, Weights, convert, load_bytes, read_bytes, read_shards};

/// What reading a file and converting its tensors may allocate at a time: so many bytes for each of
/// the file's own, and a little for messages.
const PER_BYTE: usize = 256;
const FIXED: usize = 64 << 10;
/// Loading also builds the networks that the file is compared with.
const NETWORKS: usize = 16 << 20;

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[allow(unsafe_code)]
// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(live, Relaxed);
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps `dealloc`'s contract, and `alloc` gave what the system gave.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// SplitMix64 (Steele, Lea and Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// Lengths and offsets at which arithmetic goes wrong.
const EDGES: [u64; 10] =
    [0, 1, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 0x7fff_ffff_ffff_ffff, u64::MAX, 1 << 40];

fn mutate(seed: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(8) {
            0 => bytes.truncate(at),
            1 | 2 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            3 if at < bytes.len() => bytes[at] = random.next() as u8,
            4 => {
                let width = [1, 2, 4, 8][random.below(4)];
                let value = EDGES[random.below(EDGES.len())].to_le_bytes();
                let end = (at + width).min(bytes.len());
                bytes[at.min(end)..end].copy_from_slice(&value[..end - at.min(end)]);
            }
            5 => {
                let from = random.below(other.len());
                let piece = &other[from..(from + random.below(64)).min(other.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
            6 => {
                let end = (at + random.below(32)).min(bytes.len());
                bytes.drain(at.min(end)..end);
            }
            _ => {
                let end = (at + random.below(64)).min(bytes.len());
                let piece = bytes[at.min(end)..end].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
    bytes
}

/// Reads, converts every tensor, tries to load; what comes of it is no matter.
fn survive(bytes: &[u8]) {
    let limit = FIXED + PER_BYTE * bytes.len();
    bounded(limit, || {
        let Ok(state) = read_bytes(bytes.to_vec(), Path::new("fuzz.pth")) else { return };
        for tensor in state.tensors() {
            let count: usize = tensor.shape().iter().product();
            assert_eq!(state.get(tensor.name()).map(|entry| entry.values().len() == count), Some(true));
        }
    });
    bounded(limit + NETWORKS, || {
        drop(load_bytes(bytes.to_vec(), Path::new("fuzz.pth"), &LoadOptions::default()));
    });
}

/// Runs `f` and checks the most that it had allocated at a time.
fn bounded(limit: usize, f: impl FnOnce()) {
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    f();
    let used = PEAK.load(Relaxed).saturating_sub(before);
    assert!(used <= limit, "{used} bytes were allocated; {limit} are allowed");
}

fn seconds() -> Duration {
    let seconds = std::env::var("EFFIGY_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs_f64(seconds.unwrap_or(2.0))
}

/// One test for all, so that nothing else allocates meanwhile.
#[test]
fn bad_files_neither_panic_nor_ask_for_the_world() {
    pickles_that_repeat_themselves_stay_small();
    damaged_files();
    damaged_cards();
    damaged_indices();
}

fn damaged_files() {
    let golden = |file: &str| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    let read = |file| std::fs::read(golden(file)).unwrap();
    let files =
        ["tiny.safetensors", "tiny_zip_4.pth", "tiny_legacy_2.pth", "tiny_zip_2.pth", "tiny_legacy_1.pth"];
    let mut random = Random(2);
    let mut found = String::new();
    for (i, file) in files.into_iter().enumerate() {
        let (seed, other) = (read(file), read(files[(i + 1) % files.len()]));
        survive(&seed);
        (0..seed.len()).for_each(|len| survive(&seed[..len]));
        let (start, mut runs) = (Instant::now(), 0);
        while start.elapsed() < seconds() {
            let bytes = mutate(&seed, &other, &mut random);
            let outcome = std::panic::catch_unwind(|| survive(&bytes));
            if outcome.is_err() {
                let path = std::env::temp_dir().join(format!("effigy-fuzz-{file}"));
                std::fs::write(&path, &bytes).unwrap();
                found += &format!("\n{file}: after {runs} runs, see {}", path.display());
                break;
            }
            runs += 1;
        }
        eprintln!("{file}: {runs} mutations");
    }
    assert!(found.is_empty(), "{found}");
}

/// Indices of TensorFlow checkpoints with damaged entries, whose checksums and lengths are made right again:
/// no damage would get past those.
fn damaged_indices() {
    let read = |file: &str| {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tensorflow");
        std::fs::read(folder.join(file)).unwrap()
    };
    let seed = read("tiny.index");
    let shards = ["tiny.data-00000-of-00002", "tiny.data-00001-of-00002"].map(|file| Bytes::from(read(file)));
    let stored: usize = shards.iter().map(|shard| shard.len()).sum();
    // How many tensors are read.
    let survive = |index: Vec<u8>| {
        let mut tensors = 0;
        bounded(FIXED + PER_BYTE * (index.len() + stored), || {
            let Ok(state) = read_shards(index, &shards, Path::new("fuzz.index")) else { return };
            tensors = state.tensors().len();
            state.tensors().iter().for_each(|tensor| drop(state.get(tensor.name()).unwrap().values()));
        });
        tensors
    };
    (0..seed.len()).for_each(|len| assert_eq!(survive(seed[..len].to_vec()), 0));
    // The footer starts with the place of the second block, a varint of two bytes: where the first ends.
    let footer = &seed[seed.len() - 48..];
    let end = usize::from(footer[0] & 0x7f) | usize::from(footer[1]) << 7;
    let entries = &seed[..end - sealed(&[]).len()];
    assert_eq!(survive(table(entries)), survive(seed.clone()));

    let (mut random, start) = (Random(3), Instant::now());
    let (mut runs, mut readable) = (0, 0);
    while start.elapsed() < seconds() {
        let index = match random.below(4) {
            0 => mutate(&seed, entries, &mut random),
            _ => table(&mutate(entries, &seed, &mut random)),
        };
        readable += usize::from(survive(index) > 0);
        runs += 1;
    }
    eprintln!("tiny.index: {runs} mutations, of which {readable} can be read");
}

/// A table of one block of entries.
fn table(entries: &[u8]) -> Vec<u8> {
    let first = sealed(entries);
    let handle = [varint(0), varint(entries.len())].concat();
    // One entry, whose key `z` shares nothing; then where it starts, and that there is one such place.
    let index = [&[0, 1, handle.len() as u8, b'z'], &*handle, &[0, 0, 0, 0, 1, 0, 0, 0]].concat();
    let mut footer = [varint(0), varint(0), varint(first.len()), varint(index.len())].concat();
    footer.resize(40, 0);
    [first, sealed(&index), footer, 0xdb47_7524_8b80_fb57_u64.to_le_bytes().to_vec()].concat()
}

/// A block with what follows it: that it is not compressed, and its masked checksum.
fn sealed(block: &[u8]) -> Vec<u8> {
    let block = [block, &[0]].concat();
    let checksum = crc32c::crc32c(&block).rotate_right(15).wrapping_add(0xa282_ead8);
    [&*block, &checksum.to_le_bytes()].concat()
}

fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// A pickle that makes as much as it can of few bytes.
fn pickles_that_repeat_themselves_stay_small() {
    let mut bomb = vec![0x80, 2];
    bomb.extend(b"(lq\x00");
    // Lists of the list before, twice each: 2^k paths lead to what is at the bottom.
    for k in 1..=60_u8 {
        bomb.extend([b'}', b'q', k, b'X', 1, 0, 0, 0, b'a', b'h', k - 1, b's']);
        bomb.extend([b'X', 1, 0, 0, 0, b'b', b'h', k - 1, b's']);
    }
    bomb.push(b'.');
    let magic = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.";
    let file = [magic.as_slice(), &bomb, b"\x80\x02]."].concat();
    survive(&file);
    let error = read_bytes(file, Path::new("bomb.pth")).unwrap_err().to_string();
    assert!(error.contains("limit"), "{error}");
}

/// A detector's card: its numbers tell how large a graph becomes.
fn damaged_cards() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let detector = EfficientDet::from_name("efficientdet-d0").unwrap();
    convert(&path, &detector.into(), &Weights::from_tensors([]), None, Precision::F32).unwrap();
    let file = std::fs::read(&path).unwrap();
    // What tells a detector, but none of its other tensors.
    let tensors = r#""stem.conv.weight":{"dtype":"F32","shape":[32,3,3,3],"data_offsets":[0,3456]},
                     "bifpn.0":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#;
    let header = std::str::from_utf8(&file[8..]).unwrap().trim_end().strip_suffix('}').unwrap();
    let header = format!("{header},{tensors}");
    let whole = |header: &[u8]| [&(header.len() as u64).to_le_bytes(), header, &[0; 3456]].concat();
    let error = load_bytes(whole(header.as_bytes()), &path, &LoadOptions::default()).unwrap_err();
    assert!(error.to_string().contains("tensors are not as efficientdet-d0 needs them"), "{error}");

    let (mut random, start, mut runs) = (Random(4), Instant::now(), 0);
    while start.elapsed() < seconds() {
        let mut header = header.clone().into_bytes();
        for _ in 0..=random.below(6) {
            let at = random.below(header.len());
            // Numbers become others, so that most files stay valid JSON.
            if header[at].is_ascii_digit() {
                let digits = (0..random.below(9)).map(|_| b'0' + random.below(10) as u8);
                header.splice(at..=at, digits.collect::<Vec<u8>>());
            } else if random.below(8) == 0 {
                header[at] ^= 1 << random.below(8);
            }
        }
        survive(&whole(&header));
        runs += 1;
    }
    eprintln!("cards: {runs} mutations");
}
