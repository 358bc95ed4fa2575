//! The hub against a server on this machine: whole, broken off, wrong, missing, unreachable.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use effigy_weights::hub::{Checkpoint, Host, Hub, HubError, Progress};

/// What the checkpoint of these tests holds: 300 000 bytes in which no two places look alike.
fn content() -> Vec<u8> {
    (0..75_000_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

/// Its name gives the start of the content's SHA-256.
const CHECKPOINT: Checkpoint =
    Checkpoint { name: "test", model: "efficientnet-b0", host: Host::Lukemelas, path: "test-e496e24b.pth" };
const WRONG: Checkpoint = Checkpoint { path: "test-00000000.pth", ..CHECKPOINT };

/// How the server behaves.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Good,
    /// Says nothing of ranges and sends everything.
    NoRanges,
    /// Breaks every connection after so many bytes.
    Breaks(usize),
    Missing,
}

struct Server {
    address: String,
    /// The `Range` of every request; empty for none.
    ranges: Arc<Mutex<Vec<String>>>,
    requests: Arc<AtomicUsize>,
}

fn serve(manner: Manner) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let ranges = Arc::new(Mutex::new(Vec::new()));
    let requests = Arc::new(AtomicUsize::new(0));
    let (seen, count) = (ranges.clone(), requests.clone());
    thread::spawn(move || {
        for stream in listener.incoming() {
            count.fetch_add(1, Ordering::SeqCst);
            // A client that goes away early is no concern of the server's.
            let _ = answer(stream.unwrap(), manner, &seen);
        }
    });
    Server { address, ranges, requests }
}

fn answer(mut stream: TcpStream, manner: Manner, seen: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut range = String::new();
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?;
        if let Some(value) = line.to_lowercase().strip_prefix("range: bytes=") {
            range = value.to_owned();
        }
        if line.is_empty() {
            break;
        }
    }
    seen.lock().unwrap().push(range.clone());
    let content = content();
    let total = content.len();
    let start = range.trim_end_matches('-').parse::<usize>().ok().filter(|_| manner != Manner::NoRanges);
    if manner == Manner::Missing {
        return write!(
            stream,
            "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nConnection: close\r\n\r\ngone"
        );
    }
    let body = match start {
        Some(start) if start >= total => {
            return write!(
                stream,
                "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */{total}\r\nContent-Length: 0\r\n\
                 Connection: close\r\n\r\n"
            );
        }
        Some(start) => {
            write!(
                stream,
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{}/{total}\r\n",
                total - 1
            )?;
            &content[start..]
        }
        None => {
            write!(stream, "HTTP/1.1 200 OK\r\n")?;
            &content[..]
        }
    };
    write!(stream, "Content-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    match manner {
        Manner::Breaks(after) => stream.write_all(&body[..after.min(body.len())]),
        _ => stream.write_all(body),
    }
}

fn quiet(_: Progress<'_>) {}

/// No file but the checkpoint itself may stay behind.
fn files(cache: &Path) -> Vec<String> {
    let files = std::fs::read_dir(cache).unwrap();
    let mut names: Vec<String> = files.map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_is_fetched_once() {
    let (server, cache) = (serve(Manner::Good), tempfile::tempdir().unwrap());
    let hub = Hub::new(&cache.path().join("deep/er")).with_mirror(&server.address);
    let mut last = (0, None);
    let path = hub.fetch(&CHECKPOINT, &mut |progress| last = (progress.done, progress.total)).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), content());
    assert_eq!(last, (300_000, Some(300_000)));
    assert_eq!(hub.fetch(&CHECKPOINT, &mut quiet).unwrap(), path);
    assert_eq!(server.requests.load(Ordering::SeqCst), 1);
    assert_eq!(files(path.parent().unwrap()), [CHECKPOINT.path]);
    assert!(hub.has(&CHECKPOINT));
    // What is here needs no network.
    assert_eq!(hub.with_offline(true).fetch(&CHECKPOINT, &mut quiet).unwrap(), path);
}

#[test]
fn broken_connections_are_taken_up_again() {
    let (server, cache) = (serve(Manner::Breaks(70_000)), tempfile::tempdir().unwrap());
    let hub = Hub::new(cache.path()).with_mirror(&server.address);
    let path = hub.fetch(&CHECKPOINT, &mut quiet).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), content());
    assert_eq!(*server.ranges.lock().unwrap(), ["", "70000-", "140000-", "210000-", "280000-"]);
}

#[test]
fn what_an_earlier_run_left_is_continued() {
    let (server, cache) = (serve(Manner::Good), tempfile::tempdir().unwrap());
    let hub = Hub::new(cache.path()).with_mirror(&server.address);
    for kept in [1000, 300_000] {
        let part = cache.path().join(format!("{}.part", CHECKPOINT.path));
        std::fs::write(part, &content()[..kept]).unwrap();
        let path = hub.fetch(&CHECKPOINT, &mut quiet).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), content());
        std::fs::remove_file(path).unwrap();
    }
    assert_eq!(*server.ranges.lock().unwrap(), ["1000-", "300000-"]);
}

#[test]
fn a_part_longer_than_the_file_is_thrown_away() {
    let (server, cache) = (serve(Manner::Good), tempfile::tempdir().unwrap());
    std::fs::write(cache.path().join(format!("{}.part", CHECKPOINT.path)), vec![0; 300_001]).unwrap();
    let path = Hub::new(cache.path()).with_mirror(&server.address).fetch(&CHECKPOINT, &mut quiet).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), content());
}

#[test]
fn a_server_without_ranges_sends_everything_again() {
    let (server, cache) = (serve(Manner::NoRanges), tempfile::tempdir().unwrap());
    std::fs::write(cache.path().join(format!("{}.part", CHECKPOINT.path)), vec![7; 1000]).unwrap();
    let path = Hub::new(cache.path()).with_mirror(&server.address).fetch(&CHECKPOINT, &mut quiet).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), content());
}

#[test]
fn a_wrong_file_is_removed() {
    let (server, cache) = (serve(Manner::Good), tempfile::tempdir().unwrap());
    let hub = Hub::new(cache.path()).with_mirror(&server.address);
    let error = hub.fetch(&WRONG, &mut quiet).unwrap_err();
    assert!(matches!(error, HubError::Hash { .. }), "{error}");
    assert!(!hub.has(&WRONG));
    assert!(files(cache.path()).iter().all(|name| name.ends_with(".lock")), "{:?}", files(cache.path()));
}

#[test]
fn a_missing_file_is_said_to_be_missing() {
    let (server, cache) = (serve(Manner::Missing), tempfile::tempdir().unwrap());
    let error =
        Hub::new(cache.path()).with_mirror(&server.address).fetch(&CHECKPOINT, &mut quiet).unwrap_err();
    assert!(matches!(error, HubError::Status { status: 404, .. }), "{error}");
    assert!(error.to_string().contains(&server.address));
}

#[test]
fn without_a_server_the_message_says_what_to_do() {
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::new(cache.path()).with_mirror(&address);
    let text = hub.fetch(&CHECKPOINT, &mut quiet).unwrap_err().to_string();
    let path = hub.path(&CHECKPOINT).display().to_string();
    for part in [address.as_str(), &path, "EFFIGY_HUB"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn offline_nothing_is_asked() {
    let (server, cache) = (serve(Manner::Good), tempfile::tempdir().unwrap());
    let hub = Hub::new(cache.path()).with_mirror(&server.address).with_offline(true);
    let text = hub.fetch(&CHECKPOINT, &mut quiet).unwrap_err().to_string();
    assert!(text.contains("EFFIGY_OFFLINE") && text.contains(&server.address), "{text}");
    assert_eq!(server.requests.load(Ordering::SeqCst), 0);
}

#[test]
fn two_at_once_fetch_once() {
    let (server, cache) = (serve(Manner::Good), tempfile::tempdir().unwrap());
    let hub = Hub::new(cache.path()).with_mirror(&server.address);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                assert_eq!(std::fs::read(hub.fetch(&CHECKPOINT, &mut quiet).unwrap()).unwrap(), content());
            });
        }
    });
    assert_eq!(server.requests.load(Ordering::SeqCst), 1);
}
