//! Who reads a file in order, and how far ahead of them to read.

use std::ops::Range;

use super::ahead::WINDOW_MIN;

/// Readers of one file that are told apart.
const STREAMS_MAX: usize = 4;
/// Requests of one reader overtake each other by this many bytes at most.
const DISORDER: u64 = 2 << 20;

/// How many times as far ahead as somebody has read in order, up to a limit.
const FARTHER: u64 = 4;

/// A reader who asked for nothing while others asked so many times is gone.
const GONE_AFTER: u64 = 256;

/// The readers of one file.
#[derive(Default)]
pub(super) struct Streams {
    /// Who read last is the last.
    readers: Vec<Stream>,
    /// How many reads there were.
    reads: u64,
}

struct Stream {
    /// The number of its last read.
    last: u64,
    start: u64,
    /// The end of what was asked for.
    high: u64,
    /// The end of what threads were told to read.
    planned: u64,
    window: u64,
}

impl Streams {
    /// Takes note of a read. Returns what to read ahead of it, at most `window_max` bytes: more,
    /// the longer somebody has read in order. Nothing for the first read anywhere but at the start.
    pub(super) fn note(
        &mut self,
        read: &Range<u64>,
        size: u64,
        window_max: u64,
    ) -> Option<Range<u64>> {
        self.reads += 1;
        let last = self.reads;
        let follows = |stream: &Stream| {
            read.start <= stream.high.saturating_add(DISORDER)
                && read.end.saturating_add(DISORDER) >= stream.high
        };
        let Some(at) = self.readers.iter().position(follows) else {
            if self.readers.len() >= STREAMS_MAX {
                self.readers.remove(0);
            }
            let Range { start, end } = *read;
            self.readers.push(Stream { last, start, high: end, planned: end, window: 0 });
            let is_all = start == 0 && end >= size;
            return (start == 0 && !is_all).then(|| self.ahead(size, window_max)).flatten();
        };
        let mut stream = self.readers.remove(at);
        stream.last = last;
        stream.high = stream.high.max(read.end);
        stream.start = stream.start.min(read.start);
        self.readers.push(stream);
        self.ahead(size, window_max)
    }

    /// What to read ahead of who read last. Several share what there is.
    fn ahead(&mut self, size: u64, window_max: u64) -> Option<Range<u64>> {
        let others = self.there().rev().skip(1).filter(|stream| stream.window > 0).count() as u64;
        let window_max = (window_max / (others + 1)).max(WINDOW_MIN);
        let stream = self.readers.last_mut()?;
        let so_far = stream.high - stream.start;
        stream.window = so_far.saturating_mul(FARTHER).clamp(WINDOW_MIN, window_max);
        let from = stream.planned.max(stream.high);
        let to = stream.high.saturating_add(stream.window).min(size);
        // Not byte by byte: a job should be worth a segment.
        let is_worth = to.saturating_sub(from) >= WINDOW_MIN.min(stream.window / 2)
            || (to == size && from < to);
        is_worth.then_some(from..to)
    }

    /// Those who still read, as far as can be known.
    fn there(&self) -> impl DoubleEndedIterator<Item = &Stream> {
        self.readers.iter().filter(|stream| self.reads - stream.last < GONE_AFTER)
    }

    /// Says that everything from `start` to `end` was given to threads.
    pub(super) fn planned(&mut self, start: u64, end: u64) {
        let of =
            self.readers.iter_mut().rev().find(|stream| stream.planned.max(stream.high) >= start);
        if let Some(stream) = of {
            stream.planned = stream.planned.max(end);
        }
    }

    /// Bytes that are read ahead of all readers together.
    pub(super) fn window(&self) -> u64 {
        self.there().map(|stream| stream.window).sum()
    }

    /// Whether some of the bytes from `start` to `end` are just behind somebody who reads, or will
    /// be read soon.
    pub(super) fn is_near(&self, start: u64, end: u64) -> bool {
        self.there().any(|stream| {
            end.saturating_add(DISORDER) >= stream.high && start <= stream.planned.max(stream.high)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Reads in order by requests of 128 KiB; returns how far ahead is read in the end.
    fn read_on(streams: &mut Streams, from: u64, bytes: u64, size: u64) -> u64 {
        let mut ahead = from;
        let mut at = from;
        while at < from + bytes {
            let next = at + (128 << 10);
            if let Some(range) = streams.note(&(at..next), size, 32 * MIB) {
                assert!(range.start >= next, "what is asked for is not read ahead");
                streams.planned(range.start, range.end);
                ahead = ahead.max(range.end);
            }
            at = next;
        }
        ahead - at
    }

    #[test]
    fn the_longer_in_order_the_farther_ahead() {
        let size = 1 << 40;
        let mut streams = Streams::default();
        let start = read_on(&mut streams, 0, 128 << 10, size);
        assert_eq!(start, MIB);
        let later = read_on(&mut streams, 128 << 10, 4 * MIB, size);
        assert!((12 * MIB..=17 * MIB).contains(&later), "{later}");
        let much_later = read_on(&mut streams, 4 * MIB + (128 << 10), 64 * MIB, size);
        assert!((31 * MIB..=32 * MIB).contains(&much_later), "{much_later}");
    }

    #[test]
    fn nothing_is_read_ahead_of_somebody_who_jumps() {
        let mut streams = Streams::default();
        for at in [700 * MIB, 20 * MIB, 500 * MIB, 90 * MIB, 300 * MIB, 40 * MIB] {
            assert_eq!(streams.note(&(at..at + 4096), 1 << 40, 32 * MIB), None);
        }
        assert_eq!(streams.window(), 0);
    }

    #[test]
    fn two_readers_do_not_disturb_each_other() {
        let size = 1 << 40;
        let mut streams = Streams::default();
        let mut ahead = [0; 2];
        for step in 0..8 {
            for (reader, base) in [0, 900 * MIB].into_iter().enumerate() {
                ahead[reader] = read_on(&mut streams, base + step * MIB, MIB, size);
            }
        }
        assert!(ahead.iter().all(|ahead| *ahead >= 12 * MIB), "{ahead:?}");
    }

    #[test]
    fn a_reader_who_is_gone_leaves_its_part_to_the_others() {
        let size = 1 << 40;
        let mut streams = Streams::default();
        read_on(&mut streams, 0, 64 * MIB, size);
        assert!(streams.is_near(70 * MIB, 71 * MIB));
        read_on(&mut streams, 900 * MIB, 16 * MIB, size);
        assert_eq!(streams.window(), 48 * MIB, "the second has half of what there is");
        read_on(&mut streams, 916 * MIB, 64 * MIB, size);
        assert_eq!(streams.window(), 32 * MIB, "the first is gone");
        assert!(!streams.is_near(70 * MIB, 71 * MIB));
    }

    #[test]
    fn at_the_end_of_the_file_it_ends() {
        let mut streams = Streams::default();
        assert_eq!(streams.note(&(0..4096), 4096, 32 * MIB), None);
        let mut streams = Streams::default();
        assert_eq!(streams.note(&(0..4096), 10_000, 32 * MIB), Some(4096..10_000));
        streams.planned(4096, 10_000);
        assert_eq!(streams.note(&(4096..8192), 10_000, 32 * MIB), None);
    }
}
