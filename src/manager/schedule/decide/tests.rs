use proptest::prelude::*;

use super::*;
use crate::model::BackupStrategy;

const HOUR_MS: i64 = 3_600_000;
/// 1 March 2027, 0:00 UTC.
const START_MS: i64 = 1_803_859_200_000;

fn state(id: &str, cron: Option<&str>, hours: u32) -> ScheduleState {
    ScheduleState {
        schedule: BackupSchedule {
            schedule_id: id.into(),
            enabled: true,
            interval_hours: hours,
            backup_type: BackupStrategy::Incremental,
            retention_days: 0,
            max_retries: 3,
            encryption_enabled: false,
            created_at: timestamp(START_MS),
            cron: cron.map(Into::into),
            time_zone: cron.map(|_| "UTC".into()),
            ..BackupSchedule::default()
        },
        settled_ms: START_MS,
        failed_attempts: 0,
        retry_ms: None,
        running: None,
        last: LastRun::default(),
        changes: 0,
    }
}

fn starts(decision: &Decision) -> Vec<(&str, u32)> {
    decision.start.iter().map(|start| (start.schedule_id.as_str(), start.attempt)).collect()
}

#[test]
fn what_is_due_is_started_and_the_rest_waited_for() {
    let states = [state("a", None, 6), state("b", Some("0 2 * * *"), 0)];
    let decision = due(&states, START_MS + HOUR_MS);
    assert_eq!(starts(&decision), []);
    assert_eq!(decision.wake_ms, Some(START_MS + 2 * HOUR_MS));
    let decision = due(&states, START_MS + 7 * HOUR_MS);
    assert_eq!(starts(&decision), [("b", 1), ("a", 1)], "what is due longest first");
    assert_eq!(due(&[], START_MS).wake_ms, None);
}

/// The machine was off for ten days: one run, not ten.
#[test]
fn missed_runs_are_made_up_for_once() {
    let mut daily = state("a", Some("0 2 * * *"), 0);
    let now_ms = START_MS + 240 * HOUR_MS;
    let decision = due(&[daily.clone()], now_ms);
    assert_eq!(starts(&decision), [("a", 1)]);
    assert_eq!(decision.start[0].due_ms, START_MS + 2 * HOUR_MS);
    daily.settled_ms = now_ms;
    let decision = due(&[daily], now_ms);
    assert_eq!((starts(&decision), decision.wake_ms), (vec![], Some(now_ms + 2 * HOUR_MS)));
}

#[test]
fn runs_do_not_overlap_and_pauses_are_kept() {
    let mut running = state("a", None, 1);
    let run = |is_alive| Some(Running { since_ms: START_MS, is_alive, mark: String::new() });
    running.running = run(true);
    let mut paused = state("b", None, 1);
    paused.schedule.enabled = false;
    let decision = due(&[running.clone(), paused], START_MS + 9 * HOUR_MS);
    assert_eq!((starts(&decision), decision.wake_ms), (vec![], None));
    running.running = run(false);
    assert_eq!(due(&[running], START_MS).broken_off, ["a"]);
}

#[test]
fn repetitions_wait_and_give_way() {
    let mut failed = state("a", None, 6);
    failed.failed_attempts = 2;
    failed.retry_ms = Some(START_MS + HOUR_MS);
    let decision = due(&[failed.clone()], START_MS);
    assert_eq!((starts(&decision), decision.wake_ms), (vec![], failed.retry_ms));
    let decision = due(&[failed.clone()], START_MS + HOUR_MS);
    assert_eq!(starts(&decision), [("a", 3)]);
    assert!(!decision.start[0].is_regular);
    let decision = due(&[failed], START_MS + 6 * HOUR_MS);
    assert_eq!(starts(&decision), [("a", 1)]);
    assert!(decision.start[0].is_regular);
}

#[test]
fn wrong_schedules_and_clocks_are_told_of() {
    let wrong = state("a", Some("nonsense"), 0);
    let both = state("b", Some("@daily"), 6);
    let ahead = ScheduleState { settled_ms: START_MS + HOUR_MS, ..state("c", None, 1) };
    let decision = due(&[wrong, both, ahead], START_MS);
    let ids: Vec<&str> = decision.wrong.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!((ids, decision.ahead.clone()), (vec!["a", "b"], vec!["c".to_owned()]));
    assert!(decision.start.is_empty());
}

proptest! {
    /// Whoever wakes up when told, and starts what is due, makes every run at its time; whoever
    /// sleeps through some makes them up.
    #[test]
    fn waking_up_when_told_is_enough(hours in 1..50_u32, naps in prop::collection::vec(0..400_i64, 0..20)) {
        let mut states = [state("a", None, hours), state("b", Some("15 */5 * * *"), 0)];
        let mut now_ms = START_MS;
        let mut naps = naps.into_iter();
        for _ in 0..60 {
            let decision = due(&states, now_ms);
            for start in &decision.start {
                let state = states.iter_mut().find(|s| s.schedule.schedule_id == start.schedule_id);
                state.expect("is there").settled_ms = now_ms;
                prop_assert!(start.due_ms <= now_ms);
            }
            let again = due(&states, now_ms);
            prop_assert!(again.start.is_empty(), "nothing is started twice");
            let wake_ms = again.wake_ms.expect("something comes");
            prop_assert!(wake_ms > now_ms);
            prop_assert!(due(&states, wake_ms - 1).start.is_empty(), "nothing is early");
            prop_assert!(!due(&states, wake_ms).start.is_empty());
            now_ms = wake_ms + naps.next().unwrap_or(0) * HOUR_MS / 10;
        }
    }
}
