//! How late a schedule runs on this machine, so that many machines do not start at the same moment.

use std::fs;
use std::sync::OnceLock;

use crate::fsmeta::host_name;
use crate::model::BackupSchedule;

/// Minutes that runs are spread over at most: a day.
pub const SPREAD_MINUTES_MAX: u32 = 24 * 60;

/// Milliseconds that each run of `schedule` is late on the machine of this name: always the same,
/// and less than its spread.
pub fn late_ms(schedule: &BackupSchedule, machine: &str) -> i64 {
    let spread_ms = u64::from(schedule.spread_minutes.min(SPREAD_MINUTES_MAX)) * 60_000;
    if spread_ms == 0 {
        return 0;
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(schedule.schedule_id.as_bytes()).update(b"\n").update(machine.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    (u64::from_le_bytes(first) % spread_ms).cast_signed()
}

/// A name of this machine that stays the same when it gets another host name, where the system has
/// one.
pub(crate) fn own_machine() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let id = fs::read_to_string("/etc/machine-id").unwrap_or_default();
        match id.trim() {
            "" => host_name(),
            id => id.to_owned(),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn machines_are_late_by_what_stays_the_same() {
        let of = |id: &str, spread_minutes| BackupSchedule {
            schedule_id: id.into(),
            spread_minutes,
            ..BackupSchedule::default()
        };
        assert_eq!(late_ms(&of("a", 0), "here"), 0);
        let schedule = of("a", 60);
        let all: Vec<i64> = (0..200).map(|n| late_ms(&schedule, &format!("m{n}"))).collect();
        assert!(all.iter().all(|ms| (0..3_600_000).contains(ms)));
        assert!(all.iter().collect::<HashSet<_>>().len() > 190, "they differ");
        // All over the hour, not in one corner of it.
        let quarters: HashSet<i64> = all.iter().map(|ms| ms / 900_000).collect();
        assert_eq!(quarters.len(), 4);
        assert_eq!(late_ms(&schedule, "m7"), all[7], "always the same");
        assert_ne!(late_ms(&of("b", 60), "m7"), all[7]);
    }
}
