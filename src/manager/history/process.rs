//! Which process a run belongs to, so that it can be told whether anybody still works on it.

use std::fs;

use rusqlite::Row;
use serde::{Deserialize, Serialize};

use crate::fsmeta::host_name;

/// What another machine or container began and did not end after so long is taken for broken off.
const SILENT_MAX_MS: i64 = 7 * 24 * 3_600_000;

/// What is said of work whose process ended without a word.
pub(crate) const INTERRUPTED: &str = "interrupted: its process ended before it did";

/// Names a process for good: no other one of any machine ever has the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessMark {
    /// The machine.
    pub host: String,
    /// Its start, by Linux' random id of it; empty where it cannot be told.
    pub boot: String,
    /// The namespace that the number is of, as a container has its own.
    pub namespace: String,
    /// The number of the process.
    pub pid: u32,
    /// When it started, in ticks since the start of the machine.
    pub start: u64,
}

/// Whether a process is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It runs.
    Here,
    /// It ended.
    Gone,
    /// It is of another machine or container, so that it cannot be told.
    Unknown,
}

impl ProcessMark {
    /// That of this process.
    pub fn own() -> Self {
        let pid = std::process::id();
        Self {
            host: host_name(),
            boot: boot(),
            namespace: namespace(),
            pid,
            start: start_of(pid).unwrap_or_default(),
        }
    }

    /// As a row has it.
    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string(self).expect("plain data")
    }

    /// That of a row; `None` if no version wrote it.
    pub(crate) fn of_row(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Self>> {
        let text: String = row.get(column)?;
        Ok(serde_json::from_str(&text).ok())
    }

    /// Whether nobody works any more on what this process began at that time, in milliseconds.
    pub(crate) fn is_broken_off(&self, since_ms: i64, now_ms: i64) -> bool {
        match self.presence() {
            Presence::Here => false,
            Presence::Gone => true,
            Presence::Unknown => now_ms.saturating_sub(since_ms) > SILENT_MAX_MS,
        }
    }

    /// Whether the process still runs.
    pub fn presence(&self) -> Presence {
        if self.host != host_name() {
            return Presence::Unknown;
        }
        let boot = boot();
        if boot.is_empty() {
            return Presence::Unknown;
        }
        if self.boot != boot {
            return Presence::Gone;
        }
        if self.namespace != namespace() {
            return Presence::Unknown;
        }
        match start_of(self.pid) {
            Some(start) if start == self.start => Presence::Here,
            // The number may be of another process by now.
            Some(_) | None => Presence::Gone,
        }
    }
}

fn boot() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

fn namespace() -> String {
    let link = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    link.to_string_lossy().into_owned()
}

/// When a process started; `None` if there is none of this number, or only its remains.
fn start_of(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name stands in brackets and may have any letters in it.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    let state = fields.next()?;
    let start = fields.nth(18)?.parse().ok()?;
    (!matches!(state, "Z" | "X" | "x")).then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_here_and_another_of_its_number_is_not() {
        let own = ProcessMark::own();
        assert_eq!(own.presence(), Presence::Here);
        let later = ProcessMark { start: own.start + 1, ..own.clone() };
        assert_eq!(later.presence(), Presence::Gone);
        let before_the_restart = ProcessMark { boot: "another".into(), ..own.clone() };
        assert_eq!(before_the_restart.presence(), Presence::Gone);
        let of_another_machine = ProcessMark { host: "another".into(), ..own.clone() };
        assert_eq!(of_another_machine.presence(), Presence::Unknown);
        let is_broken_off = |mark: &ProcessMark, since_ms| mark.is_broken_off(since_ms, 9);
        assert!(!is_broken_off(&own, i64::MIN) && is_broken_off(&later, 9));
        assert!(!is_broken_off(&of_another_machine, 0));
        assert!(is_broken_off(&of_another_machine, -SILENT_MAX_MS));
    }

    #[test]
    fn a_process_that_ended_is_gone() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().expect("starts");
        let start = start_of(child.id()).expect("runs");
        let mark = ProcessMark { pid: child.id(), start, ..ProcessMark::own() };
        assert_eq!(mark.presence(), Presence::Here);
        child.kill().expect("ends");
        // Its remains are there until somebody asked how it ended.
        child.wait().expect("ended");
        assert_eq!(mark.presence(), Presence::Gone);
    }
}
