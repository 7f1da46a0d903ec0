//! Reads a file from a mount on storage that takes its time for each request: many at once, beside
//! one at a time. `run.py` has what is measured against other programs.
//!
//! `cargo bench --bench mount -- REPOSITORY FILE [MS]`: a repository without encryption, the path of
//! a file of several hundred MB in its newest snapshot, and milliseconds a request (20).

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use larder::error::StorageError;
use larder::mount::{MountOptions, mount};
use larder::repository::{OpenOptions, Repository, Unlock};
use larder::runtime::Runtime;
use larder::storage::{self, Location, ObjectMeta, PutMode, SharedStorage, Storage};
use larder::view::{View, ViewOptions};

/// So many requests at once where many are allowed.
const MANY: usize = 32;
/// For what is read.
const MEMORY: usize = 256 << 20;

/// Storage far away.
struct Slow {
    inner: SharedStorage,
    wait: Duration,
    requests: AtomicU64,
    /// Held during a request, if one is allowed at a time.
    alone: Option<Mutex<()>>,
}

impl Slow {
    fn request<T>(&self, ask: impl FnOnce() -> T) -> T {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let _turn = self.alone.as_ref().map(|turn| turn.lock().unwrap());
        std::thread::sleep(self.wait);
        ask()
    }
}

impl Storage for Slow {
    fn location(&self) -> &str {
        self.inner.location()
    }

    fn put(&self, name: &str, parts: &[&[u8]], mode: PutMode) -> Result<(), StorageError> {
        self.request(|| self.inner.put(name, parts, mode))
    }

    fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>, StorageError> {
        self.request(|| self.inner.get(name, len_max))
    }

    fn get_range(&self, name: &str, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        self.request(|| self.inner.get_range(name, offset, buf))
    }

    fn head(&self, name: &str) -> Result<ObjectMeta, StorageError> {
        self.request(|| self.inner.head(name))
    }

    fn list(&self, prefix: &str, found: &mut dyn FnMut(ObjectMeta)) -> Result<(), StorageError> {
        self.request(|| self.inner.list(prefix, found))
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        self.request(|| self.inner.delete(name))
    }

    fn concurrency(&self) -> usize {
        MANY
    }
}

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let [repository, file, rest @ ..] = &arguments[..] else {
        return println!("cargo bench --bench mount -- REPOSITORY FILE [MS]");
    };
    let wait = Duration::from_millis(rest.first().map_or(20, |ms| ms.parse().unwrap()));
    for run in 1..=3 {
        let (one, one_requests) = read(Path::new(repository), file, wait, true);
        let (many, many_requests) = read(Path::new(repository), file, wait, false);
        let ratio = one / many;
        println!(
            "run {run}: {one_requests} requests one at a time {one:.2} s, {many_requests} many at \
             once {many:.2} s, {ratio:.1} times as fast"
        );
    }
}

/// Seconds and requests that reading the file takes, opened and mounted before, with the memory that
/// `larder mount` has by default.
fn read(repository: &Path, file: &str, wait: Duration, one_at_a_time: bool) -> (f64, u64) {
    let inner = storage::open(&Location::from_path(repository).unwrap()).unwrap();
    let alone = one_at_a_time.then(Mutex::default);
    let slow = Arc::new(Slow { inner, wait, requests: AtomicU64::new(0), alone });
    let (options, runtime) = (OpenOptions::default(), Runtime::default());
    let opened = Repository::open(slow.clone(), &Unlock::Nothing, &options, &runtime).unwrap();
    opened.load_index().unwrap();
    opened.keep_read(MEMORY as u64 / 3);
    let options = ViewOptions {
        cache_bytes: MEMORY / 6,
        read_ahead_bytes: MEMORY / 2,
        ..ViewOptions::default()
    };
    let view = View::new(Arc::new(opened), options).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mounted = mount(Arc::new(view), folder.path(), &MountOptions::default()).unwrap();
    let path = folder.path().join("latest").join(file.trim_start_matches('/'));
    let len = std::fs::metadata(&path).unwrap().len();
    let mut buffer = vec![0; 1 << 20];
    let before = slow.requests.load(Ordering::Relaxed);
    let start = Instant::now();
    let (mut opened, mut bytes) = (std::fs::File::open(&path).unwrap(), 0);
    loop {
        match opened.read(&mut buffer).unwrap() {
            0 => break,
            read => bytes += read as u64,
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(bytes, len);
    drop(opened);
    mounted.unmount().unwrap();
    (seconds, slow.requests.load(Ordering::Relaxed) - before)
}
