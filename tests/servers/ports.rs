//! Ports that no other test of this machine has.

use std::fs::{self, File, OpenOptions};
use std::net::TcpListener;
use std::{env, process};

/// Ports in a block. SeaweedFS also takes the one 10,000 above each of its own.
const BLOCK: u16 = 12;
const FIRST: u16 = 10_300;
const BLOCKS: u16 = 950;
const ABOVE: u16 = 10_000;

/// A block of free ports below those that the system gives to outgoing connections. It belongs to
/// this test, also while nobody listens, until this goes.
#[derive(Debug)]
pub(crate) struct Ports {
    first: u16,
    _lock: File,
}

impl Ports {
    /// # Panics
    /// If there is none.
    pub(crate) fn take() -> Self {
        let folder = env::temp_dir().join("larder-test-ports");
        fs::create_dir_all(&folder).expect("a folder for locks");
        let start = process::id() as u16;
        for attempt in 0..BLOCKS {
            let number = start.wrapping_mul(37).wrapping_add(attempt) % BLOCKS;
            let path = folder.join(number.to_string());
            let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
            let Ok(lock) = lock else { continue };
            let first = FIRST + number * BLOCK;
            if lock.try_lock().is_ok() && is_free(first) {
                return Self { first, _lock: lock };
            }
        }
        panic!("no ports are free");
    }

    /// One of them, by number.
    pub(crate) fn get(&self, number: u16) -> u16 {
        assert!(number < BLOCK, "a block has {BLOCK} ports");
        self.first + number
    }
}

fn is_free(first: u16) -> bool {
    let ports = (first..first + BLOCK).flat_map(|port| [port, port + ABOVE]);
    // Held together, so that none of them is one that another attempt has just closed.
    let held: Result<Vec<_>, _> =
        ports.map(|port| TcpListener::bind(("127.0.0.1", port))).collect();
    held.is_ok()
}
