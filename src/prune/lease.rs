//! Says that a prune is at work, so that two do not do the same work; and asks storage how late it
//! is. Two at once are harmless: marks decide, not leases.

use parking_lot::Mutex;

use super::options::PruneOptions;
use crate::error::{Error, Result};
use crate::format::gc::Lease as LeaseRecord;
use crate::model::{BackupId, escape_bytes};
use crate::repository::Repository;
use crate::runtime::Runtime;

/// A prune that gave no sign for so long is not at work any more.
const EXPIRY_MS: i64 = 30 * 60_000;
/// How often it gives one, at most.
const RENEWAL_MS: i64 = 10 * 60_000;

/// Others take leases too, to ask for the time.
const PURPOSE: &str = "prune";

/// A prune's lease, removed at its end.
pub(super) struct Lease<'a> {
    repository: &'a Repository,
    runtime: &'a Runtime,
    state: Mutex<(LeaseRecord, Vec<String>)>,
}

impl<'a> Lease<'a> {
    /// Takes a lease. Returns storage's time beside it, if storage has times.
    ///
    /// # Errors
    /// [`Error::Busy`] if another prune holds one; the storage's.
    pub(super) fn take(
        repository: &'a Repository,
        options: &PruneOptions,
        runtime: &'a Runtime,
    ) -> Result<(Self, Option<i64>)> {
        let now_ms = runtime.clock.now_ms();
        let record = LeaseRecord {
            gc_id: BackupId(runtime.random.bytes()),
            number: 0,
            host: options.author.host.clone(),
            process_id: std::process::id(),
            started_ms: now_ms,
            now_ms,
            purpose: PURPOSE.into(),
        };
        let (name, probe_ms) = repository.put_lease(&record)?;
        let gc_id = record.gc_id;
        let lease = Self { repository, runtime, state: Mutex::new((record, vec![name])) };
        if let Some(probe_ms) = probe_ms
            && probe_ms.abs_diff(now_ms) > RENEWAL_MS.unsigned_abs()
        {
            tracing::warn!("the clock of this machine and that of the storage differ by minutes");
        }
        if options.ignore_lease {
            return Ok((lease, probe_ms));
        }
        // Looked at after the own one was put: of two at once, one sees the other.
        let others = repository.load_gc().map(|gc| gc.leases);
        let others = match others {
            Ok(others) => others,
            Err(error) => {
                lease.end();
                return Err(error);
            }
        };
        let held = others.into_iter().find(|other| {
            let age_ms = match (probe_ms, other.modified_ms) {
                (Some(probe_ms), Some(modified_ms)) => probe_ms.saturating_sub(modified_ms),
                _ => now_ms.saturating_sub(other.lease.now_ms),
            };
            let is_other = other.lease.gc_id != gc_id && other.lease.purpose == PURPOSE;
            is_other && age_ms < EXPIRY_MS
        });
        match held {
            None => Ok((lease, probe_ms)),
            Some(other) => {
                lease.end();
                Err(Error::Busy {
                    what: format!(
                        "another prune is at work on {} (process {}); if it is not, give \
                         `--ignore-lease` or wait half an hour",
                        escape_bytes(other.lease.host.as_bytes()),
                        other.lease.process_id
                    ),
                })
            }
        }
    }

    /// Gives a sign, if it is time.
    ///
    /// # Errors
    /// The storage's.
    pub(super) fn renew(&self) -> Result<()> {
        let mut state = self.state.lock();
        let now_ms = self.runtime.clock.now_ms();
        if now_ms.saturating_sub(state.0.now_ms) < RENEWAL_MS {
            return Ok(());
        }
        // After a long sleep its data may be elsewhere.
        self.repository.check_data_place()?;
        state.0.number += 1;
        state.0.now_ms = now_ms;
        let (name, _) = self.repository.put_lease(&state.0)?;
        state.1.push(name);
        Ok(())
    }

    /// Removes it. Where storage refuses that, it expires.
    pub(super) fn end(self) {
        for name in self.state.into_inner().1.iter().rev() {
            if let Err(error) = self.repository.storage().delete(name) {
                tracing::debug!("a lease stays until it expires: {error}");
                return;
            }
        }
    }
}
