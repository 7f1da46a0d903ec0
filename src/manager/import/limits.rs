//! What an archive may cost: small files that unpack to endless ones end here.

use std::cell::{Cell, RefCell};
use std::io::{self, Read};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};
use crate::model::format_bytes;
use crate::runtime::CancelToken;

/// What an import takes at most. `Default` is generous, and finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportLimits {
    /// Bytes that the archive unpacks to, holes of files included.
    pub max_bytes: u64,
    /// Entries, folders that are made up included.
    pub max_entries: u64,
    /// How many times as long as the archive what it unpacks to may be. The first 16 GiB are free:
    /// an image of zeros is no attack.
    pub max_ratio: u64,
}

impl Default for ImportLimits {
    fn default() -> Self {
        Self { max_bytes: 16 << 40, max_entries: 100_000_000, max_ratio: 10_000 }
    }
}

/// Unpacked bytes that no ratio is asked of.
const RATIO_FREE_BYTES: u64 = 16 << 30;

/// What was used of the limits by now.
pub(super) struct Budget {
    limits: ImportLimits,
    /// Bytes of the archive that were read.
    input: Arc<AtomicU64>,
    bytes: Cell<u64>,
    holes: Cell<u64>,
    entries: Cell<u64>,
    cancel: CancelToken,
    /// Why reading was ended, if not by the archive.
    stop: RefCell<Option<Error>>,
}

impl Budget {
    pub(super) fn new(
        limits: ImportLimits,
        input: Arc<AtomicU64>,
        cancel: CancelToken,
    ) -> Rc<Self> {
        Rc::new(Self {
            limits,
            input,
            bytes: Cell::new(0),
            holes: Cell::new(0),
            entries: Cell::new(0),
            cancel,
            stop: RefCell::new(None),
        })
    }

    /// One more entry.
    ///
    /// # Errors
    /// [`Error::Usage`] if that is one too many.
    pub(super) fn entry(&self) -> Result<()> {
        self.entries.set(self.entries.get() + 1);
        if self.entries.get() <= self.limits.max_entries {
            return Ok(());
        }
        let message = format!("the archive has more than {} entries", self.limits.max_entries);
        Err(Error::usage_hint(message, "if that is right, raise `--max-entries`"))
    }

    /// More bytes that holes of files stand for.
    ///
    /// # Errors
    /// [`Error::Usage`] if those are too many.
    pub(super) fn holes(&self, len: u64) -> Result<()> {
        self.holes.set(self.holes.get().saturating_add(len));
        self.check()
    }

    fn unpacked(&self, len: u64) -> Result<()> {
        self.bytes.set(self.bytes.get().saturating_add(len));
        self.check()
    }

    fn check(&self) -> Result<()> {
        let total = self.bytes.get().saturating_add(self.holes.get());
        // The sum of all sizes must stay a size.
        let max = self.limits.max_bytes.min(i64::MAX as u64);
        if total > max {
            let message = format!("the archive unpacks to more than {}", format_bytes(max));
            return Err(Error::usage_hint(message, "if that is right, raise `--max-size`"));
        }
        let bytes = self.bytes.get();
        let input = self.input.load(Ordering::Relaxed).max(1);
        if bytes > RATIO_FREE_BYTES && bytes / input > self.limits.max_ratio {
            let message = format!(
                "{} of the archive unpack to more than {} times as much",
                format_bytes(input),
                self.limits.max_ratio
            );
            return Err(Error::usage_hint(message, "if that is right, raise `--max-ratio`"));
        }
        Ok(())
    }

    /// Why reading ended, if it was not for the archive.
    pub(super) fn take_stop(&self) -> Option<Error> {
        self.stop.borrow_mut().take()
    }
}

/// Counts what is unpacked, and ends when it is too much or the import is cancelled.
pub(super) struct Metered<R> {
    inner: R,
    budget: Rc<Budget>,
}

impl<R: Read> Metered<R> {
    pub(super) fn new(inner: R, budget: &Rc<Budget>) -> Self {
        Self { inner, budget: Rc::clone(budget) }
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(buf)?;
        let checked = self.budget.cancel.check().and_then(|()| self.budget.unpacked(len as u64));
        if let Err(error) = checked {
            let text = error.to_string();
            *self.budget.stop.borrow_mut() = Some(error);
            return Err(io::Error::other(text));
        }
        Ok(len)
    }
}

/// Counts what is read of the archive itself.
pub(super) struct Counted<R> {
    pub(super) inner: R,
    pub(super) count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(buf)?;
        self.count.fetch_add(len as u64, Ordering::Relaxed);
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(limits: ImportLimits) -> Rc<Budget> {
        Budget::new(limits, Arc::new(AtomicU64::new(100)), CancelToken::default())
    }

    #[test]
    fn limits_hold_to_the_byte() {
        let budget_of = |max_bytes| budget(ImportLimits { max_bytes, ..Default::default() });
        let limited = budget_of(10);
        limited.unpacked(6).expect("below");
        limited.holes(4).expect("just");
        assert!(limited.unpacked(1).is_err());
        assert!(budget_of(u64::MAX).holes(i64::MAX as u64 + 1).is_err(), "no sum of sizes");
        let entries = budget(ImportLimits { max_entries: 2, ..Default::default() });
        assert!(entries.entry().is_ok() && entries.entry().is_ok() && entries.entry().is_err());
    }

    #[test]
    fn a_ratio_counts_after_the_first_bytes() {
        let limited = budget(ImportLimits { max_ratio: 1000, ..Default::default() });
        limited.unpacked(RATIO_FREE_BYTES).expect("free");
        assert!(limited.unpacked(1).is_err());
        let generous = budget(ImportLimits { max_ratio: u64::MAX, ..Default::default() });
        generous.unpacked(RATIO_FREE_BYTES + 1).expect("allowed");
    }
}
