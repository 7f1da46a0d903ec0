use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use super::*;

fn key(number: u32) -> SegmentKey {
    (PackRef::in_first_level(7), number)
}

#[test]
fn who_asks_at_the_same_time_waits_for_one_fetch() {
    let cache = SegmentCache::new();
    let (reads, start) = (AtomicUsize::new(0), Barrier::new(8));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                start.wait();
                let segment = cache.get_or_read(key(1), || {
                    reads.fetch_add(1, Relaxed);
                    std::thread::sleep(Duration::from_millis(50));
                    Ok(vec![1; 100].into())
                });
                assert_eq!(segment.expect("is read"), vec![1; 100]);
            });
        }
    });
    assert_eq!(reads.into_inner(), 1);
}

#[test]
fn what_failed_is_read_again() {
    let cache = SegmentCache::new();
    let failed = cache.get_or_read(key(1), || Err(crate::error::Error::damaged("pack", "a test")));
    assert!(failed.is_err());
    let read = cache.get_or_read(key(1), || Ok(vec![2].into()));
    assert_eq!(read.expect("is read"), vec![2]);
}

#[test]
fn bytes_are_bounded() {
    let cache = SegmentCache::new();
    let fill = || {
        for number in 0..200 {
            cache.get_or_read(key(number), || Ok(vec![0; 1 << 20].into())).expect("is read");
        }
    };
    fill();
    assert!(cache.0.weight() <= BYTES && cache.0.weight() > BYTES / 2);
    cache.set_limit(8 << 20);
    assert!(cache.0.weight() <= 8 << 20);
    fill();
    assert!(cache.0.weight() <= 8 << 20);
    // The longest that there can be is given out, whether it is kept or not.
    let long = cache.get_or_read(key(1000), || Ok(vec![0; 16 << 20].into())).expect("is read");
    assert_eq!(long.len(), 16 << 20);
}
