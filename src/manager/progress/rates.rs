//! From counters to rates and remaining time.

use std::time::Duration;

use super::counters::Reading;

/// What opening and closing a file costs, in bytes that could be read meanwhile. It lets the
/// remaining time be right for many small files as well as for few large ones.
const ENTRY_COST_BYTES: u64 = 32 << 10;

/// Rates are averages over about this time.
const WINDOW: Duration = Duration::from_secs(8);

/// A rate that follows changes without jumping.
#[derive(Default)]
pub(crate) struct Rate {
    last: u64,
    per_second: f64,
    weight: f64,
}

impl Rate {
    /// Takes the counter's new value, `step` after the previous one.
    pub(crate) fn update(&mut self, value: u64, step: Duration) {
        let seconds = step.as_secs_f64();
        if seconds <= 0.0 {
            return;
        }
        let keep = (-seconds / WINDOW.as_secs_f64()).exp();
        let now = value.saturating_sub(self.last) as f64 / seconds;
        self.per_second = self.per_second * keep + now * (1.0 - keep);
        // The weights of a young average do not sum up to one yet.
        self.weight = self.weight * keep + (1.0 - keep);
        self.last = value;
    }

    pub(crate) fn per_second(&self) -> f64 {
        if self.weight > 0.0 { self.per_second / self.weight } else { 0.0 }
    }
}

/// One moment of a run, ready to be shown.
pub(crate) struct View {
    pub(crate) reading: Reading,
    pub(crate) elapsed: Duration,
    pub(crate) bytes_per_second: f64,
    pub(crate) transferred_per_second: f64,
    pub(crate) remaining: Option<Duration>,
}

/// The rates of a run.
#[derive(Default)]
pub(crate) struct Rates {
    work: Rate,
    bytes: Rate,
    transferred: Rate,
    elapsed: Duration,
}

impl Rates {
    /// The view of `reading`, taken `elapsed` after the start.
    pub(crate) fn view(&mut self, reading: Reading, elapsed: Duration) -> View {
        let step = elapsed.saturating_sub(self.elapsed);
        self.elapsed = elapsed;
        let done = work(reading.done_entries, reading.done_bytes);
        self.work.update(done, step);
        self.bytes.update(reading.done_bytes, step);
        self.transferred.update(reading.transferred_bytes, step);
        let left = work(reading.expected_entries, reading.expected_bytes).saturating_sub(done);
        let speed = self.work.per_second();
        // Packs arrive as a whole, so nobody knows how long the last ones take.
        let is_uploading = left == 0 && reading.waiting_bytes > 0;
        let remaining = (reading.complete && speed > 1.0 && !is_uploading)
            .then(|| Duration::try_from_secs_f64(left as f64 / speed).ok())
            .flatten();
        View {
            elapsed,
            bytes_per_second: self.bytes.per_second(),
            transferred_per_second: self.transferred.per_second(),
            remaining,
            reading,
        }
    }
}

fn work(entries: u64, bytes: u64) -> u64 {
    bytes.saturating_add(entries.saturating_mul(ENTRY_COST_BYTES))
}

impl View {
    /// Whether all files are read, and storage does not have all of it yet.
    pub(crate) fn is_uploading(&self) -> bool {
        let Reading { complete, waiting_bytes, .. } = self.reading;
        let work_left = work(self.reading.expected_entries, self.reading.expected_bytes)
            .saturating_sub(work(self.reading.done_entries, self.reading.done_bytes));
        complete && waiting_bytes > 0 && work_left == 0
    }

    /// The part that is done, from 0 to 1, once all work is known; not 1 before storage has all.
    pub(crate) fn fraction(&self) -> Option<f64> {
        let reading = &self.reading;
        let expected = work(reading.expected_entries, reading.expected_bytes);
        let most = if reading.waiting_bytes > 0 { 0.99 } else { 1.0 };
        (reading.complete && expected > 0).then(|| {
            (work(reading.done_entries, reading.done_bytes) as f64 / expected as f64).min(most)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_follows_a_change_slowly() {
        let mut rate = Rate::default();
        for second in 1..=60 {
            rate.update(second * 100, Duration::from_secs(1));
        }
        assert!((rate.per_second() - 100.0).abs() < 0.01);
        rate.update(6_000, Duration::from_secs(1));
        assert!(rate.per_second() > 80.0 && rate.per_second() < 95.0);
    }
}
