//! Transfers on a clock that moves only while they wait: what went through when is exact.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use opendal::{Operator, services};

use super::*;
use crate::error::StorageErrorKind;
use crate::runtime::{CancelToken, Clock, TestClock};
use crate::storage::conformance::{Scale, conformance_at};
use crate::storage::{LocalStorage, MemoryStorage, OpendalStorage, RecordStorage};

/// Monday, 23 November 2026, noon in UTC.
const NOON_MS: i64 = 1_795_435_200_000;

/// Limits on a clock that moves on by what transfers wait.
fn handle(limits: &str) -> (ThrottleHandle, Arc<TestClock>) {
    let clock = Arc::new(TestClock::at_ms(NOON_MS));
    let moved = Arc::clone(&clock);
    let wait = move |wait: Duration| moved.advance_ms(wait.as_nanos().div_ceil(1_000_000) as i64);
    let limits = limits.parse().expect("limits");
    let clock_of = Arc::clone(&clock) as Arc<dyn Clock>;
    (ThrottleHandle::with_clock(limits, clock_of, TimeZone::UTC, wait), clock)
}

fn pace(handle: &ThrottleHandle) -> Pace {
    Pace::new(handle.clone(), CancelToken::default())
}

fn seconds(clock: &TestClock, work: impl FnOnce()) -> f64 {
    let start = clock.now_ms();
    work();
    (clock.now_ms() - start) as f64 / 1000.0
}

#[track_caller]
fn assert_near(seconds: f64, expected: f64) {
    assert!((seconds / expected - 1.0).abs() < 0.05, "{seconds} s instead of {expected} s");
}

/// Storages of each kind: two that pace themselves, and one that cannot.
fn storages(folder: &std::path::Path) -> Vec<SharedStorage> {
    let local = folder.join("local");
    std::fs::create_dir(&local).expect("a folder");
    let files = folder.join("files");
    let service = services::Fs::default().root(files.to_str().expect("a name"));
    vec![
        Arc::new(LocalStorage::open(&local, "local".into()).expect("opens")),
        Arc::new(OpendalStorage::new(Operator::new(service).expect("opens"), "fs".into(), 4)),
        Arc::new(MemoryStorage::new()),
    ]
}

/// Eight threads and two storages have one rate, the other direction another.
#[test]
fn all_transfers_share_one_rate() {
    let folder = tempfile::tempdir().expect("a folder");
    for storage in storages(folder.path()) {
        let (handle, clock) = handle("up 2M down 8M");
        let storages =
            [throttled(storage.clone(), pace(&handle)), throttled(storage, pace(&handle))];
        let what = storages[0].location().to_owned();
        let bytes = vec![7; 5 << 19];
        let put = seconds(&clock, || {
            thread::scope(|scope| {
                for number in 0..8 {
                    let (storage, bytes) = (&storages[number % 2], &bytes);
                    let name = format!("data/{number}");
                    scope.spawn(move || {
                        storage.put(&name, &[bytes], PutMode::Content).expect("writes")
                    });
                }
            });
        });
        assert_near(put, 10.0);
        let get = seconds(&clock, || {
            for number in (0..8).chain(0..8) {
                let read = storages[0].get(&format!("data/{number}"), 1 << 30).expect("reads");
                assert!(read == bytes, "{what}");
            }
        });
        assert_near(get, 5.0);
        let ranges = seconds(&clock, || {
            for number in (0..8).chain(0..8) {
                let mut buf = vec![0; 2 << 20];
                storages[1].get_range(&format!("data/{number}"), 5, &mut buf).expect("reads");
                assert!(buf.iter().all(|byte| *byte == 7), "{what}");
            }
        });
        assert_near(ranges, 4.0);
    }
}

/// Thousands of small objects take as long as their bytes, not longer.
#[test]
fn small_objects_are_cheap() {
    let (handle, clock) = handle("1M");
    let storage = throttled(Arc::new(MemoryStorage::new()), pace(&handle));
    let bytes = [1; 100];
    let took = seconds(&clock, || {
        for number in 0..500 {
            storage.put(&format!("a/{number}"), &[&bytes], PutMode::Content).expect("writes");
        }
        storage.list("", &mut |_| {}).expect("lists");
        storage.head("a/1").expect("looks");
        storage.delete("a/1").expect("deletes");
    });
    assert!(took <= 0.05, "50 KB are within a twentieth of a second at 1 MiB/s: {took}");
}

/// The file grows with the clock: a large write is paced while it is under way.
#[test]
fn a_large_write_is_paced_within() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(TestClock::at_ms(NOON_MS));
    let (moved, tmp) = (Arc::clone(&clock), folder.path().join("tmp"));
    let ahead = Arc::new(AtomicBool::new(false));
    let seen_ahead = Arc::clone(&ahead);
    let wait = move |wait: Duration| {
        moved.advance_ms(wait.as_nanos().div_ceil(1_000_000) as i64);
        let written: u64 = std::fs::read_dir(&tmp)
            .map(|entries| entries.flatten().filter_map(|entry| entry.metadata().ok()))
            .map_or(0, |files| files.map(|file| file.len()).sum());
        let allowed = (moved.now_ms() - NOON_MS) as u64 * (1 << 20) / 1000 + (1 << 20) / 10;
        seen_ahead.fetch_or(written > allowed, Ordering::SeqCst);
    };
    let limits = "1M".parse().expect("limits");
    let handle = ThrottleHandle::with_clock(limits, clock.clone(), TimeZone::UTC, wait);
    let local = LocalStorage::open(folder.path(), "local".into()).expect("opens");
    let storage = throttled(Arc::new(local), pace(&handle));
    let took = seconds(&clock, || {
        storage.put("pack", &[&[1; 5 << 20], &[2; 5 << 20]], PutMode::Content).expect("writes");
    });
    assert_near(took, 10.0);
    assert!(!ahead.load(Ordering::SeqCst), "never more than the clock allows");
}

/// A service that takes parts gets parts only where the whole would take long.
#[test]
fn parts_are_made_only_where_it_takes_long() {
    let (handle, _) = handle("1M");
    let pace = pace(&handle);
    let transfer = pace.begin(Direction::Upload, 0);
    assert_eq!(transfer.part(1 << 20, 1), 1 << 20);
    assert_eq!(transfer.part(2 << 20, 1), transfer.piece());
    assert_eq!(transfer.part(32 << 20, 5 << 20), 5 << 20);
    handle.set(None, None);
    assert_eq!(transfer.part(32 << 20, 5 << 20), 32 << 20);
}

#[test]
fn limits_change_while_a_transfer_waits() {
    let clock = Arc::new(TestClock::at_ms(NOON_MS));
    let moved = Arc::clone(&clock);
    let (sender, receiver) = crossbeam_channel::unbounded::<ThrottleHandle>();
    let wait = move |wait: Duration| {
        moved.advance_ms(wait.as_nanos().div_ceil(1_000_000) as i64);
        if moved.now_ms() >= NOON_MS + 2000 {
            // Someone else has changed the limit meanwhile.
            if let Ok(handle) = receiver.try_recv() {
                handle.set(parse_rate("16M").expect("a rate"), None);
            }
        }
    };
    let limits = "1M".parse().expect("limits");
    let handle = ThrottleHandle::with_clock(limits, clock.clone(), TimeZone::UTC, wait);
    sender.send(handle.clone()).expect("sends");
    let storage = ThrottleStorage::new(Arc::new(MemoryStorage::new()), pace(&handle));
    let took = seconds(&clock, || {
        storage.put("pack", &[&vec![1; 18 << 20]], PutMode::Content).expect("writes");
    });
    assert_near(took, 3.0);
    assert_eq!(handle.limits(), "up 16M".parse().expect("limits"));
}

/// A plan holds by the clock, from one second to the next, and never lifts a fixed limit.
#[test]
fn a_plan_changes_the_limits_on_its_own() {
    let (handle, clock) = handle("up 4M");
    handle.set_plan(Some("12:00-12:01 1M, else 8M".parse().expect("a plan")));
    let storage = throttled(Arc::new(MemoryStorage::new()), pace(&handle));
    let piece = vec![1; 64 << 10];
    let put = |bytes: usize| {
        for _ in 0..bytes / piece.len() {
            storage.put("a", &[&piece], PutMode::CreateOnce).err();
        }
    };
    assert_near(seconds(&clock, || put(30 << 20)), 30.0);
    clock.advance_ms(29_000);
    // One more second of the window, then the fixed limit is the lower one.
    let took = seconds(&clock, || put(21 << 20));
    assert_near(took, 6.0);
    handle.set_plan(None);
    assert_eq!(handle.limits(), "up 4M".parse().expect("limits"));
}

/// A cancelled run does not sit out its bandwidth, and its last words still go through.
#[test]
fn a_waiting_transfer_ends_when_cancelled() {
    let handle = ThrottleHandle::new("1K".parse().expect("limits"));
    let cancel = CancelToken::default();
    let record = Arc::new(RecordStorage::new(Arc::new(MemoryStorage::new())));
    let pace = Pace::new(handle.clone(), cancel.clone());
    let storage = throttled(record.clone(), pace);
    let start = Instant::now();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| storage.put("pack", &[&[1; 1 << 20]], PutMode::Content));
        thread::sleep(Duration::from_millis(30));
        cancel.cancel();
        let error = waiting.join().expect("no panic").expect_err("it would take 17 minutes");
        assert_eq!(error.kind, StorageErrorKind::Temporary);
        assert!(error.source.to_string().contains("cancelled"));
    });
    storage.put("end", &[&[1; 40 << 10]], PutMode::Content).expect("last words");
    assert!(start.elapsed() < Duration::from_secs(30), "nobody waited for minutes");
    assert_eq!(record.calls().len(), 1, "the pack was never begun");
}

#[test]
fn paced_storages_conform() {
    let folder = tempfile::tempdir().expect("a folder");
    let number = std::sync::atomic::AtomicUsize::new(0);
    let scale = |exclusive| Scale { objects: 300, exclusive };
    let (handle, _) = handle("64M");
    for kind in 0..3 {
        conformance_at(scale(kind != 1), || {
            let number = number.fetch_add(1, Ordering::SeqCst).to_string();
            let path = folder.path().join(number);
            std::fs::create_dir(&path).expect("a folder");
            let tmp = path.join("tmp");
            let files = services::Fs::default()
                .root(path.to_str().expect("a name"))
                .atomic_write_dir(tmp.to_str().expect("a name"));
            let storage: SharedStorage = match kind {
                0 => Arc::new(LocalStorage::open(&path, "local".into()).expect("opens")),
                1 => {
                    let operator = Operator::new(files).expect("opens");
                    Arc::new(OpendalStorage::new(operator, "fs".into(), 4))
                }
                _ => Arc::new(MemoryStorage::new()),
            };
            throttled(storage, pace(&handle))
        });
    }
}
