//! Which parts of a file are in an archive: all, or all but the holes (GNU sparse format 1.0).

use std::ops::Range;

use super::BLOCK;

/// The stored parts of a file, in order.
pub(super) struct Runs {
    runs: Vec<Range<u64>>,
    size: u64,
    is_sparse: bool,
}

impl Runs {
    /// The runs of data of a file, or all of it where there are no holes.
    pub(super) fn new(data: Option<Vec<Range<u64>>>, size: u64) -> Self {
        let is_sparse = data.is_some();
        let data = data.unwrap_or_else(|| std::iter::once(0..size).collect());
        let mut runs: Vec<Range<u64>> = Vec::new();
        for run in data {
            // GNU tar starts every run on a block of the archive, other readers do not: whole
            // blocks are the same to all.
            let start = run.start / BLOCK * BLOCK;
            let end = run.end.next_multiple_of(BLOCK).min(size);
            match runs.last_mut() {
                Some(last) if last.end >= start => last.end = end,
                _ => runs.push(start..end),
            }
        }
        Self { runs, size, is_sparse }
    }

    pub(super) fn is_sparse(&self) -> bool {
        self.is_sparse
    }

    /// Bytes of all runs.
    pub(super) fn bytes(&self) -> u64 {
        self.runs.iter().map(|run| run.end - run.start).sum()
    }

    /// The map that stands in front of the data: decimal numbers, filled up to a block. Nothing
    /// for a file that is stored whole.
    pub(super) fn map(&self) -> Vec<u8> {
        if !self.is_sparse {
            return Vec::new();
        }
        // An empty run at the end tells the size where a hole is last.
        let ends_with_hole = self.runs.last().is_none_or(|run| run.end < self.size);
        let end = ends_with_hole.then_some(self.size..self.size);
        let mut text = format!("{}\n", self.runs.len() + usize::from(ends_with_hole));
        for run in self.runs.iter().chain(&end) {
            text.push_str(&format!("{}\n{}\n", run.start, run.end - run.start));
        }
        let mut map = text.into_bytes();
        map.resize(map.len().next_multiple_of(BLOCK as usize), 0);
        map
    }

    /// What of `range` is stored.
    pub(super) fn within(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let first = self.runs.partition_point(|run| run.end <= range.start);
        self.runs[first..]
            .iter()
            .map(move |run| run.start.max(range.start)..run.end.min(range.end))
            .take_while(|run| run.start < run.end)
    }
}
