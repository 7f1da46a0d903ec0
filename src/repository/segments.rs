//! Decoded segments, kept for those who read next to each other.

use bytes::Bytes;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use super::index::PackRef;
use crate::error::Result;

/// Names a segment in the index of this process.
pub type SegmentKey = (PackRef, u32);

/// Bytes of decoded segments that are kept, if nobody says otherwise.
const BYTES: u64 = 32 << 20;

/// How long segments usually are: only the first size of the tables comes from it.
const USUAL_BYTES: u64 = 256 << 10;

/// Keeps decoded segments, bounded in bytes. Those who ask for the same segment at the same time
/// wait for one fetch.
pub(super) struct SegmentCache(Cache<SegmentKey, Bytes, Length>);

#[derive(Clone)]
struct Length;

impl Weighter<SegmentKey, Bytes> for Length {
    fn weight(&self, _: &SegmentKey, segment: &Bytes) -> u64 {
        // What weighs nothing would be kept for ever.
        segment.len().max(1) as u64
    }
}

impl SegmentCache {
    pub(super) fn new() -> Self {
        let options = OptionsBuilder::new()
            .estimated_items_capacity((BYTES / USUAL_BYTES) as usize)
            .weight_capacity(BYTES)
            // One bound for all: the longest segments would not fit into a part of it.
            .shards(1)
            .build()
            .expect("every option that is needed is given");
        let (hasher, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        Self(Cache::with_options(options, Length, hasher, lifecycle))
    }

    /// The segment `key`: kept, or made by `read`, which others who ask for it wait for. If it
    /// fails, the next of them reads.
    pub(super) fn get_or_read(
        &self,
        key: SegmentKey,
        read: impl FnOnce() -> Result<Bytes>,
    ) -> Result<Bytes> {
        self.0.get_or_insert_with(&key, read)
    }

    /// Keeps at most `bytes` from now on.
    pub(super) fn set_limit(&self, bytes: u64) {
        self.0.set_capacity(bytes);
    }

    pub(super) fn clear(&self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests;
