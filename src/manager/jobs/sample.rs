//! Which files a restore test restores: drawn at random, within a budget.

use std::collections::HashSet;

use crate::error::Result;
use crate::model::{Entry, FileKind};
use crate::repository::{Repository, Snapshot};
use crate::runtime::{CancelToken, Random};
use crate::tree::{Manifest, PageCache, PageSource};

/// Entries that are looked at for each file that is wanted.
const TRIES: u64 = 10;
/// Memory for pages that were read.
const CACHE_BYTES: usize = 16 << 20;

/// Files of one snapshot.
#[derive(Default)]
pub(super) struct Sample {
    pub(super) entries: Vec<Entry>,
    pub(super) bytes: u64,
    /// Files that were drawn and are larger than the budget by themselves.
    pub(super) too_large: u64,
}

/// Draws files of `snapshot`: so many bytes and files at most, every entry as likely as any other.
///
/// # Errors
/// If a page of its manifest cannot be read; [`Error::Cancelled`](crate::error::Error::Cancelled).
pub(super) fn draw(
    repository: &Repository,
    snapshot: &Snapshot,
    budget_bytes: u64,
    files: usize,
    random: &Random,
    cancel: &CancelToken,
) -> Result<Sample> {
    let (manifest, cache) = (Manifest::of(snapshot), PageCache::new(CACHE_BYTES));
    let source = PageSource { repository, cache: &cache };
    let total = snapshot.body.entries;
    let mut sample = Sample::default();
    let mut seen = HashSet::new();
    let tries = (files as u64).saturating_mul(TRIES).max(100);
    for at in 0..tries.min(total) {
        cancel.check()?;
        if sample.entries.len() >= files {
            break;
        }
        // All of a small snapshot, some of a large one.
        let number = if total <= tries { at } else { random.next_u64() % total };
        if !seen.insert(number) {
            continue;
        }
        let Some(entry) = manifest.numbered(source, number)? else { continue };
        if entry.kind != FileKind::File || entry.link_to.is_some() {
            continue;
        }
        if entry.size > budget_bytes {
            sample.too_large += 1;
        } else if sample.bytes + entry.size <= budget_bytes {
            sample.bytes += entry.size;
            sample.entries.push(Entry::clone(&entry));
        }
    }
    Ok(sample)
}
