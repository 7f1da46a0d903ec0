//! Many calls at once, with a bound on the bytes that are in memory for them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::{Condvar, Mutex};

use crate::error::Result;
use crate::runtime::CancelToken;
use crate::storage::Storage;

/// Most threads that move objects.
const THREADS_MAX: usize = 64;

/// Bytes of objects that are in memory at once. One object may be larger, and is alone then.
const IN_FLIGHT_MAX: u64 = 128 << 20;

/// How many threads make sense between storages: as many as the one takes that takes most.
pub(super) fn threads<'a>(storages: impl IntoIterator<Item = &'a dyn Storage>) -> usize {
    let all = storages.into_iter().map(Storage::concurrency);
    all.max().unwrap_or(1).clamp(1, THREADS_MAX)
}

/// Calls `work` for each item, and stops at the first error, which it returns.
pub(super) fn for_each<T: Sync>(
    items: &[T],
    threads: usize,
    cancel: &CancelToken,
    work: impl Fn(&T) -> Result<()> + Sync,
) -> Result<()> {
    let next = AtomicUsize::new(0);
    let is_over = AtomicBool::new(false);
    let failed = Mutex::new(None);
    let run = || {
        while !is_over.load(Ordering::Relaxed) {
            let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
            if let Err(error) = cancel.check().and_then(|()| work(item)) {
                is_over.store(true, Ordering::Relaxed);
                failed.lock().get_or_insert(error);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(items.len()) {
            scope.spawn(run);
        }
        run();
    });
    failed.into_inner().map_or(Ok(()), Err)
}

/// Does the same with each of a few items, all at the same time: for places that may be slow or not
/// answer at all.
pub(crate) fn side_by_side<T: Send, R: Send>(
    items: Vec<T>,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let work = &work;
    std::thread::scope(|scope| {
        let begin = |item| scope.spawn(move || work(item));
        let running: Vec<_> = items.into_iter().map(begin).collect();
        let end = |one: std::thread::ScopedJoinHandle<'_, R>| {
            one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        running.into_iter().map(end).collect()
    })
}

/// A bound on bytes in memory.
pub(super) struct Budget {
    left: Mutex<u64>,
    freed: Condvar,
}

/// Bytes that are taken from a [`Budget`] until this is dropped.
pub(super) struct Held<'a>(&'a Budget, u64);

impl Default for Budget {
    fn default() -> Self {
        Self { left: Mutex::new(IN_FLIGHT_MAX), freed: Condvar::new() }
    }
}

impl Budget {
    /// Waits until there is room for so many bytes.
    pub(super) fn take(&self, bytes: u64) -> Held<'_> {
        let bytes = bytes.min(IN_FLIGHT_MAX);
        let mut left = self.left.lock();
        while *left < bytes {
            self.freed.wait(&mut left);
        }
        *left -= bytes;
        Held(self, bytes)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        *self.0.left.lock() += self.1;
        self.0.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn memory_is_bounded_and_large_objects_pass_alone() {
        let budget = Budget::default();
        let (now, most) = (AtomicU64::new(0), AtomicU64::new(0));
        let sizes = [IN_FLIGHT_MAX / 3, 5, IN_FLIGHT_MAX * 2, IN_FLIGHT_MAX / 2, 0].repeat(20);
        for_each(&sizes, 8, &CancelToken::default(), |size| {
            let held = budget.take(*size);
            let sum = now.fetch_add(held.1, Ordering::SeqCst) + held.1;
            most.fetch_max(sum, Ordering::SeqCst);
            now.fetch_sub(held.1, Ordering::SeqCst);
            Ok(())
        })
        .unwrap();
        assert!(most.into_inner() <= IN_FLIGHT_MAX);
    }

    #[test]
    fn the_first_error_ends_it_and_so_does_the_user() {
        let done = AtomicU64::new(0);
        let items: Vec<u64> = (0..1000).collect();
        let work = |number: &u64| {
            done.fetch_add(1, Ordering::SeqCst);
            if *number == 10 { Err(Error::usage("ten")) } else { Ok(()) }
        };
        let error = for_each(&items, 2, &CancelToken::default(), work).unwrap_err();
        assert_eq!(error.to_string(), "ten");
        assert!(done.load(Ordering::SeqCst) < 1000);
        let cancel = CancelToken::default();
        cancel.cancel();
        let error = for_each(&items, 2, &cancel, |_| panic!("nothing begins")).unwrap_err();
        assert!(matches!(error, Error::Cancelled { .. }));
    }
}
