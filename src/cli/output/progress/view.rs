//! What is shown of a moment of a run: the texts of a bar, a line and a JSON object.

use std::time::Duration;

use serde::Serialize;

use super::Job;
use crate::cli::output::{count, plural};
use crate::manager::progress::View;
use crate::model::{format_bytes, format_duration};
use crate::runtime::Phase;

impl View {
    pub(super) fn phase_text(&self) -> &'static str {
        match self.is_uploading() {
            true => "uploading",
            false => self.reading.phase.map_or("working", Phase::text),
        }
    }

    /// `1.23 GiB of 2.90 GiB, 12,345 of 86,629 files, 340 MiB/s, 5 s left`.
    pub(super) fn main_text(&self, job: Job) -> String {
        let reading = &self.reading;
        let is_packs = matches!(
            reading.phase,
            Some(
                Phase::CheckingData
                    | Phase::RepairingIndex
                    | Phase::SalvagingPacks
                    | Phase::Repacking
                    | Phase::Removing
                    | Phase::WarmingUp
            )
        );
        let is_objects = matches!(job, Job::Check | Job::Repair | Job::Prune);
        let noun = match job {
            Job::Mirror => "objects",
            // Mirrors are written after the snapshot.
            Job::Backup if reading.phase == Some(Phase::Copying) => "objects",
            _ if is_objects && is_packs => "packs",
            _ => "entries",
        };
        let more = if reading.complete { "" } else { "+" };
        let mut parts = Vec::new();
        if reading.expected_bytes > 0 || reading.done_bytes > 0 {
            parts.push(format!(
                "{} of {}{more}",
                format_bytes(reading.done_bytes),
                format_bytes(reading.expected_bytes.max(reading.done_bytes))
            ));
        }
        if reading.expected_entries > 0 || reading.done_entries > 0 {
            parts.push(format!(
                "{} of {}{more} {noun}",
                count(reading.done_entries),
                count(reading.expected_entries.max(reading.done_entries))
            ));
        }
        if self.is_uploading() {
            parts.push(format!("{} to upload", format_bytes(reading.waiting_bytes)));
        } else if self.bytes_per_second >= 1.0 {
            parts.push(format!("{}/s", format_bytes(self.bytes_per_second as u64)));
        }
        if let Some(remaining) = self.remaining {
            let rounded = Duration::from_secs(remaining.as_secs_f64().ceil() as u64);
            if rounded.as_secs() < 60 {
                parts.push(format!("{} s left", rounded.as_secs()));
            } else {
                parts.push(format!("{} left", format_duration(rounded)));
            }
        }
        parts.join(", ")
    }

    /// `stored 310 MiB, 120 MiB/s`, or nothing before the first byte.
    pub(super) fn transfer_text(&self, verb: &str) -> Option<String> {
        let bytes = self.reading.transferred_bytes;
        if self.is_uploading() {
            // The last packs go at the same time, and none of them has arrived yet.
            return (bytes > 0).then(|| format!("{verb} {}", format_bytes(bytes)));
        }
        (bytes > 0).then(|| {
            format!(
                "{verb} {}, {}/s",
                format_bytes(bytes),
                format_bytes(self.transferred_per_second as u64)
            )
        })
    }

    pub(super) fn issues_text(&self) -> Option<String> {
        let (warnings, failures) = (self.reading.warnings, self.reading.failures);
        match (warnings, failures) {
            (0, 0) => None,
            (_, 0) => Some(plural(warnings, "warning")),
            (0, _) => Some(plural(failures, "error")),
            _ => Some(format!("{}, {}", plural(failures, "error"), plural(warnings, "warning"))),
        }
    }

    /// The current file, or nothing before the first.
    pub(super) fn current_text(&self, job: Job) -> Option<String> {
        let current = &self.reading.current;
        (!current.is_empty()).then(|| job.shown(current))
    }

    /// One line for a log, without the current file.
    pub(super) fn plain_line(&self, job: Job) -> String {
        let percent = self.fraction().map(|part| format!("{:.0} %", (part * 100.0).floor()));
        let main = Some(self.main_text(job)).filter(|text| !text.is_empty());
        let parts: Vec<String> =
            [percent, main, self.transfer_text(job.transfer_verb()), self.issues_text()]
                .into_iter()
                .flatten()
                .collect();
        let elapsed = format_elapsed(self.elapsed);
        if parts.is_empty() {
            format!("[{elapsed}] {}", self.phase_text())
        } else {
            format!("[{elapsed}] {}: {}", self.phase_text(), parts.join(", "))
        }
    }

    /// The object of a `status` message.
    pub(super) fn status(&self, job: Job) -> Status {
        let reading = &self.reading;
        Status {
            phase: reading.phase.map_or("working", Phase::as_str),
            seconds_elapsed: self.elapsed.as_secs_f64(),
            seconds_remaining: self.remaining.map(|remaining| remaining.as_secs_f64()),
            fraction_done: self.fraction(),
            total_known: reading.complete,
            total_entries: reading.expected_entries,
            done_entries: reading.done_entries,
            total_bytes: reading.expected_bytes,
            done_bytes: reading.done_bytes,
            transferred_bytes: reading.transferred_bytes,
            waiting_bytes: reading.waiting_bytes,
            warnings: reading.warnings,
            errors: reading.failures,
            current: self.current_text(job),
        }
    }
}

/// A `status` message: fields are only ever added.
#[derive(Serialize)]
pub(super) struct Status {
    phase: &'static str,
    seconds_elapsed: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds_remaining: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fraction_done: Option<f64>,
    total_known: bool,
    total_entries: u64,
    done_entries: u64,
    total_bytes: u64,
    done_bytes: u64,
    transferred_bytes: u64,
    waiting_bytes: u64,
    warnings: u64,
    errors: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<String>,
}

/// `0:05`, `12:00`, `3:25:10`.
pub(super) fn format_elapsed(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manager::progress::{Rates, Reading};

    fn halfway() -> Reading {
        Reading {
            phase: Some(Phase::BackingUp),
            expected_entries: 2_000,
            expected_bytes: 2 << 30,
            complete: true,
            done_entries: 1_000,
            done_bytes: 1 << 30,
            transferred_bytes: 300 << 20,
            failures: 2,
            ..Reading::default()
        }
    }

    #[test]
    fn a_line_has_everything_but_the_file() {
        let view = Rates::default().view(halfway(), Duration::from_secs(10));
        assert_eq!(
            view.plain_line(Job::Backup),
            "[0:10] backing up: 50 %, 1.00 GiB of 2.00 GiB, 1,000 of 2,000 entries, 102 MiB/s, \
             10 s left, stored 300 MiB, 30.0 MiB/s, 2 errors"
        );
    }

    /// All files are read, and a slow line has packs to send yet.
    #[test]
    fn what_waits_for_a_slow_line_is_told_and_not_taken_for_done() {
        let (done_entries, done_bytes) = (2_000, 2 << 30);
        let reading =
            Reading { done_entries, done_bytes, failures: 0, waiting_bytes: 60 << 20, ..halfway() };
        let view = Rates::default().view(reading.clone(), Duration::from_secs(10));
        assert_eq!(
            view.plain_line(Job::Backup),
            "[0:10] uploading: 99 %, 2.00 GiB of 2.00 GiB, 2,000 of 2,000 entries, 60.0 MiB to \
             upload, stored 300 MiB"
        );
        let stored = Reading { waiting_bytes: 0, ..reading };
        let view = Rates::default().view(stored, Duration::from_secs(10));
        assert!(view.plain_line(Job::Backup).starts_with("[0:10] backing up: 100 %"));
    }

    #[test]
    fn an_open_end_has_no_percentage() {
        let reading = Reading { complete: false, failures: 0, transferred_bytes: 0, ..halfway() };
        let view = Rates::default().view(reading, Duration::from_secs(10));
        assert_eq!(
            view.plain_line(Job::Backup),
            "[0:10] backing up: 1.00 GiB of 2.00 GiB+, 1,000 of 2,000+ entries, 102 MiB/s"
        );
    }

    #[test]
    fn elapsed_times_are_short() {
        assert_eq!(format_elapsed(Duration::from_secs(5)), "0:05");
        assert_eq!(format_elapsed(Duration::from_secs(12_310)), "3:25:10");
    }
}
