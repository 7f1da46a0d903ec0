//! What one direction may move: plain arithmetic on times it is given.

use std::num::NonZeroU64;
use std::time::Duration;

/// A second in the unit of all sums here: bytes are counted in billionths, so that a rate of bytes
/// a second and a time in nanoseconds multiply without rounding.
const SECOND_NS: u128 = 1_000_000_000;

/// How much of a second's bytes may come at once after a pause.
const BURST_DIVISOR: u128 = 10;

/// A token bucket that is drawn from in turns.
///
/// Whoever wants to move bytes takes a place behind everybody before; the rate moves on the end of
/// what may pass, and a place is reached when it gets there. So any number of threads share one
/// rate in fair order, a change of the rate holds for those who wait already, and over any time `t`
/// no more than `rate * (t + 0.1 s)` goes through.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    /// Bytes a second; `None` is without limit.
    rate: Option<NonZeroU64>,
    /// The end of all places that were taken.
    taken: u128,
    /// How far one may go.
    granted: u128,
    /// When `granted` was right; 0 before the first time.
    at_ns: i128,
}

/// The end of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u128);

impl Bucket {
    /// Brings it to this time. A clock that was set back grants nothing, one that jumped ahead no
    /// more than a pause.
    pub(super) fn refill(&mut self, now_ns: i128) {
        let elapsed = u128::try_from(now_ns.saturating_sub(self.at_ns)).unwrap_or(0);
        self.at_ns = now_ns;
        let Some(rate) = self.rate.map(|rate| u128::from(rate.get())) else {
            self.granted = self.taken;
            return;
        };
        let most = self.taken.saturating_add(rate * SECOND_NS / BURST_DIVISOR);
        self.granted = self.granted.saturating_add(rate.saturating_mul(elapsed)).min(most);
    }

    /// Changes the rate from this time on.
    pub(super) fn set_rate(&mut self, now_ns: i128, rate: Option<NonZeroU64>) {
        if rate != self.rate {
            self.refill(now_ns);
            self.rate = rate;
            self.refill(now_ns);
        }
    }

    /// Takes a place for so many bytes.
    pub(super) fn take(&mut self, bytes: u64) -> Place {
        self.taken = self.taken.saturating_add(u128::from(bytes) * SECOND_NS);
        if self.rate.is_none() {
            self.granted = self.taken;
        }
        Place(self.taken)
    }

    /// How long it is until this place is reached, if the rate stays; `None` if it is now.
    pub(super) fn wait_for(&self, place: Place) -> Option<Duration> {
        let rate = self.rate?;
        let missing = place.0.checked_sub(self.granted).filter(|missing| *missing > 0)?;
        let wait_ns = missing.div_ceil(u128::from(rate.get()));
        Some(Duration::from_nanos(u64::try_from(wait_ns).unwrap_or(u64::MAX)))
    }

    /// Whoever had a place of so many bytes goes without moving them; all behind come forward.
    pub(super) fn leave(&mut self, bytes: u64) {
        self.granted = self.granted.saturating_add(u128::from(bytes) * SECOND_NS);
    }

    /// Whether so many bytes take more than a second.
    pub(super) fn takes_long(&self, bytes: u64) -> bool {
        self.rate.is_some_and(|rate| bytes > rate.get())
    }

    /// How many bytes to move at once: about a twentieth of a second's, so that a pace is kept
    /// within a transfer and no place is long.
    pub(super) fn piece(&self) -> usize {
        const PIECE: std::ops::RangeInclusive<u64> = 512..=1 << 20;
        let piece = self.rate.map_or(*PIECE.end(), |rate| rate.get() / 20);
        piece.clamp(*PIECE.start(), *PIECE.end()) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i128 = 1_000_000_000;

    fn bucket(rate: u64) -> Bucket {
        let mut bucket = Bucket::default();
        bucket.set_rate(0, NonZeroU64::new(rate));
        bucket
    }

    /// Moves pieces one after the other for so long, and returns the bytes.
    fn run(bucket: &mut Bucket, from: i128, until: i128, piece: u64) -> u64 {
        let (mut now, mut bytes) = (from, 0);
        loop {
            bucket.refill(now);
            let place = bucket.take(piece);
            while let Some(wait) = bucket.wait_for(place) {
                now += wait.as_nanos() as i128;
                bucket.refill(now);
            }
            if now > until {
                return bytes;
            }
            bytes += piece;
        }
    }

    #[test]
    fn ten_seconds_hold_what_ten_seconds_may_hold() {
        for rate in [1 << 10, 100_000, 2 << 20, 1 << 30] {
            let mut bucket = bucket(rate);
            let piece = bucket.piece() as u64;
            let bytes = run(&mut bucket, 0, 10 * SECOND, piece);
            let share = bytes as f64 / (10 * rate) as f64;
            assert!((0.95..=1.05).contains(&share), "{rate}: {share}");
        }
    }

    /// A pause is no saving for later.
    #[test]
    fn a_pause_grants_a_tenth_of_a_second() {
        let mut bucket = bucket(1_000_000);
        let bytes = run(&mut bucket, 3600 * SECOND, 3600 * SECOND, 1000);
        assert_eq!(bytes, 100_000);
        // Set back by an hour: nothing more, and not stuck for an hour.
        let bytes = run(&mut bucket, 0, SECOND, 1000);
        assert!((990_000..=1_000_000).contains(&bytes), "{bytes}");
    }

    #[test]
    fn places_come_in_turn_and_those_who_leave_make_room() {
        let mut bucket = bucket(1000);
        bucket.refill(SECOND);
        let (first, second) = (bucket.take(1100), bucket.take(1000));
        assert_eq!(bucket.wait_for(first), Some(Duration::from_secs(1)));
        assert_eq!(bucket.wait_for(second), Some(Duration::from_secs(2)));
        bucket.leave(1100);
        assert_eq!(bucket.wait_for(second), Some(Duration::from_millis(900)));
        bucket.set_rate(SECOND, NonZeroU64::new(9000));
        assert_eq!(bucket.wait_for(second), Some(Duration::from_millis(100)));
        bucket.set_rate(SECOND, None);
        assert_eq!(bucket.wait_for(second), None);
        // What went through without limit is no debt afterwards.
        bucket.take(1 << 40);
        bucket.set_rate(SECOND, NonZeroU64::new(1000));
        let place = bucket.take(1000);
        assert_eq!(bucket.wait_for(place), Some(Duration::from_secs(1)));
    }
}
