//! Policies on calendars, one rule at a time.

mod properties;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::*;
use crate::model::BackupId;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

fn ms(text: &str) -> i64 {
    text.parse::<Timestamp>().expect(text).as_millisecond()
}

fn id(number: u64) -> BackupId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    BackupId(bytes)
}

/// A snapshot that storage saw when it was made.
fn honest(number: u64, time_ms: i64) -> Candidate {
    Candidate {
        id: id(number),
        host: "web".into(),
        roots: vec![b"home".to_vec()],
        tags: Vec::new(),
        start_ms: time_ms,
        end_ms: time_ms + 60_000,
        first_seen_ms: Some(time_ms + 61_000),
        original: None,
        original_seen_ms: None,
        time_cleared: false,
        pinned: false,
        quarantine: None,
        suspect: false,
    }
}

fn at(times: &[&str]) -> Vec<Candidate> {
    times.iter().zip(0..).map(|(time, number)| honest(number, ms(time))).collect()
}

fn setting(now: &str) -> Setting {
    Setting {
        now_ms: ms(now),
        time_zone: TimeZone::get("Europe/Berlin").expect("a zone"),
        min_age: MIN_AGE,
        group_by: GroupBy::default(),
        allow_empty: false,
    }
}

fn count(text: &str) -> Option<Count> {
    Some(text.parse().expect("a count"))
}

/// Reasons by snapshot, the oldest first.
fn reasons(candidates: &[Candidate], policy: &RetentionPolicy, setting: &Setting) -> Vec<String> {
    let plan = plan(candidates, policy, setting).expect("a plan");
    let shown = |decision: &Decision| {
        decision.reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    plan.decisions().map(shown).collect()
}

#[test]
fn days_begin_at_local_midnight() {
    // 22:30 and 23:30 UTC in winter are 23:30 of one and 00:30 of the next day in Berlin.
    let candidates = at(&["2026-01-01T22:30:00Z", "2026-01-01T23:30:00Z", "2026-01-02T22:30:00Z"]);
    let policy = RetentionPolicy { keep_daily: count("2"), ..Default::default() };
    assert_eq!(
        reasons(&candidates, &policy, &setting("2026-02-01T00:00:00Z")),
        ["daily 2 of 2", "", "daily 1 of 2"]
    );
}

#[test]
fn the_hour_that_clocks_repeat_is_two() {
    // Summer time ends in Berlin on 2026-10-25 at 01:00 UTC: 02:30 local comes twice.
    let candidates = at(&["2026-10-24T23:30:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"]);
    let policy = RetentionPolicy { keep_hourly: count("3"), ..Default::default() };
    assert_eq!(
        reasons(&candidates, &policy, &setting("2026-11-01T00:00:00Z")),
        ["hourly 3 of 3", "hourly 2 of 3", "hourly 1 of 3"]
    );
    // And the day that has 25 hours is one day.
    let policy = RetentionPolicy { keep_daily: count("1"), ..Default::default() };
    let day = at(&["2026-10-24T22:10:00Z", "2026-10-25T22:50:00Z"]);
    assert_eq!(reasons(&day, &policy, &setting("2026-11-01T00:00:00Z")), ["", "daily 1 of 1"]);
}

#[test]
fn weeks_are_those_of_iso() {
    // 2027-01-03 is a Sunday of week 53 of 2026, the next day begins week 1.
    let candidates = at(&["2026-12-28T12:00:00Z", "2027-01-03T12:00:00Z", "2027-01-04T12:00:00Z"]);
    let policy = RetentionPolicy { keep_weekly: count("2"), ..Default::default() };
    assert_eq!(
        reasons(&candidates, &policy, &setting("2027-02-01T00:00:00Z")),
        ["", "weekly 2 of 2", "weekly 1 of 2"]
    );
}

#[test]
fn the_oldest_stays_until_there_are_enough() {
    let candidates = at(&["2025-03-01T12:00:00Z", "2025-06-01T12:00:00Z", "2026-01-01T12:00:00Z"]);
    let policy = RetentionPolicy { keep_yearly: count("3"), ..Default::default() };
    assert_eq!(
        reasons(&candidates, &policy, &setting("2026-02-01T00:00:00Z")),
        ["oldest, yearly has 2 of 3", "yearly 2 of 3", "yearly 1 of 3"]
    );
    let policy = RetentionPolicy { keep_yearly: count("2"), ..Default::default() };
    assert_eq!(
        reasons(&candidates, &policy, &setting("2026-02-01T00:00:00Z")),
        ["", "yearly 2 of 2", "yearly 1 of 2"]
    );
}

#[test]
fn within_counts_from_the_newest_and_days_from_now() {
    let candidates = at(&["2026-01-01T12:00:00Z", "2026-01-05T12:00:00Z", "2026-01-06T12:00:00Z"]);
    let within = Some("2d".parse().expect("an age"));
    let policy = RetentionPolicy { keep_within: within, ..Default::default() };
    let later = setting("2030-01-01T00:00:00Z");
    assert_eq!(reasons(&candidates, &policy, &later), ["", "within 2d", "within 2d"]);

    let policy = RetentionPolicy { keep_within_weekly: within, ..Default::default() };
    assert_eq!(reasons(&candidates, &policy, &later), ["", "", "weekly within 2d"]);

    let policy =
        RetentionPolicy { retention_days: std::num::NonZeroU32::new(3), ..Default::default() };
    assert_eq!(
        reasons(&candidates, &policy, &setting("2026-01-08T11:00:00Z")),
        ["", "of the last 3 days", "of the last 3 days; newest of its series"]
    );
    // A machine that is gone keeps its last state, also where a group may lose all its snapshots.
    assert_eq!(reasons(&candidates, &policy, &later), ["", "", "newest of its series"]);
    let may_be_empty = Setting { allow_empty: true, ..later };
    assert_eq!(reasons(&candidates, &policy, &may_be_empty), ["", "", "newest of its series"]);
}

#[test]
fn tags_ids_pins_and_quarantine_keep() {
    let mut candidates = at(&[
        "2026-01-01T12:00:00Z",
        "2026-01-02T12:00:00Z",
        "2026-01-03T12:00:00Z",
        "2026-01-04T12:00:00Z",
        "2026-01-05T12:00:00Z",
    ]);
    candidates[0].tags = vec!["b".into(), "a".into()];
    candidates[1].pinned = true;
    candidates[4].quarantine = Some("forged?".into());
    let policy = RetentionPolicy {
        keep_last: count("1"),
        keep_tags: vec![vec!["a".into(), "b".into()], vec!["b".into()], vec!["c".into()]],
        keep_ids: vec![id(2)],
        ..Default::default()
    };
    assert_eq!(
        reasons(&candidates, &policy, &setting("2026-02-01T00:00:00Z")),
        ["tag a,b; tag b", "pinned", "named", "last 1 of 1", "quarantined: forged?"]
    );
}

#[test]
fn young_ones_push_nothing_out_yet() {
    let candidates = at(&["2026-01-01T12:00:00Z", "2026-01-02T12:00:00Z", "2026-01-09T20:00:00Z"]);
    let policy = RetentionPolicy { keep_last: count("1"), ..Default::default() };
    assert_eq!(
        reasons(&candidates, &policy, &setting("2026-01-10T12:00:00Z")),
        [
            "",
            "last 1 of 1, not counting the young",
            "younger than the minimum age (24h); last 1 of 1"
        ]
    );
    assert_eq!(
        reasons(&candidates, &policy, &setting("2026-01-10T21:00:00Z")),
        ["", "", "last 1 of 1"]
    );
    let no_age = Setting { min_age: Age::zero(), ..setting("2026-01-09T21:00:00Z") };
    assert_eq!(reasons(&candidates, &policy, &no_age), ["", "", "last 1 of 1"]);
}

#[test]
fn times_that_storage_does_not_confirm_do_not_count() {
    let mut candidates = at(&["2026-01-01T12:00:00Z", "2026-01-02T12:00:00Z"]);
    let seen = ms("2026-01-03T12:00:00Z");
    let forged = |number, start_ms: i64| Candidate {
        start_ms,
        end_ms: start_ms,
        first_seen_ms: Some(seen),
        ..honest(number, 0)
    };
    candidates.push(forged(7, seen + 48 * HOUR_MS));
    candidates.push(forged(8, seen - 30 * HOUR_MS));
    candidates.push(Candidate { first_seen_ms: None, ..honest(9, seen) });
    let policy = RetentionPolicy { keep_last: count("1"), ..Default::default() };
    assert_eq!(
        reasons(&candidates, &policy, &setting("2026-02-01T00:00:00Z")),
        [
            "",
            "out of time: it claims to be 1 d 6 h older than storage knows it",
            "last 1 of 1",
            "out of time: storage does not tell when it appeared",
            "out of time: it claims to be from 2 d 0 h ahead of storage",
        ]
    );
    // Once somebody looked, it counts.
    candidates[2].time_cleared = true;
    assert_eq!(reasons(&candidates, &policy, &setting("2026-02-01T00:00:00Z"))[4], "last 1 of 1");
}

#[test]
fn a_run_of_days_counts_when_it_ended() {
    let start = ms("2026-01-01T12:00:00Z");
    let long = Candidate {
        end_ms: start + 3 * DAY_MS,
        first_seen_ms: Some(start + 3 * DAY_MS + 1000),
        ..honest(1, start)
    };
    assert_eq!(long.retention_ms(), Some(start + 3 * DAY_MS));
    assert_eq!(long.time_standing(), TimeStanding::InTime);
}

#[test]
fn what_was_made_from_a_snapshot_counts_with_it() {
    let mut candidates = at(&["2026-01-01T12:00:00Z", "2026-01-02T12:00:00Z"]);
    let made = Candidate {
        original: Some(id(1)),
        original_seen_ms: candidates[1].first_seen_ms,
        first_seen_ms: Some(ms("2026-03-01T12:00:00Z")),
        id: id(5),
        ..candidates[1].clone()
    };
    candidates.push(made);
    let policy = RetentionPolicy { keep_last: count("1"), ..Default::default() };
    let now = setting("2026-05-01T00:00:00Z");
    let mine = id(1).short();
    assert_eq!(
        reasons(&candidates, &policy, &now),
        ["".into(), format!("made from {mine}, which is kept"), "last 1 of 1".to_owned()]
    );
    // When the original is gone it stands for itself, at the same time.
    candidates.remove(1);
    assert_eq!(reasons(&candidates, &policy, &now), ["", "last 1 of 1"]);
    // One with a time of its own borrows nothing.
    candidates[1].original_seen_ms = None;
    assert!(reasons(&candidates, &policy, &now)[1].starts_with("out of time"));
}

#[test]
fn groups_are_apart() {
    let mut candidates = at(&["2026-01-01T12:00:00Z", "2026-01-02T12:00:00Z"]);
    candidates[0].host = "mail".into();
    let policy = RetentionPolicy { keep_last: count("1"), ..Default::default() };
    let mut setting = setting("2026-05-01T00:00:00Z");
    assert_eq!(reasons(&candidates, &policy, &setting), ["last 1 of 1", "last 1 of 1"]);
    let names: Vec<String> = plan(&candidates, &policy, &setting)
        .expect("a plan")
        .groups
        .iter()
        .map(|group| group.name.to_string())
        .collect();
    assert_eq!(names, ["host mail, /home", "host web, /home"]);
    setting.group_by = "paths,tags".parse().expect("groups");
    assert_eq!(reasons(&candidates, &policy, &setting), ["", "last 1 of 1"]);
    assert!("host,colour".parse::<GroupBy>().is_err());
}

#[test]
fn policies_that_nobody_can_mean_are_refused() {
    let candidates = at(&["2026-01-01T12:00:00Z"]);
    let now = setting("2026-05-01T00:00:00Z");
    let refused = |policy: &RetentionPolicy| {
        let error = plan(&candidates, policy, &now).expect_err("refused");
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    };
    assert!(refused(&RetentionPolicy::default()).contains("no rule"));
    let policy = RetentionPolicy { keep_within: Some(Age::zero()), ..Default::default() };
    assert!(refused(&policy).contains("--keep-within"));
    let policy = RetentionPolicy { keep_tags: vec![vec![String::new()]], ..Default::default() };
    assert!(refused(&policy).contains("--keep-tag"));
    let policy = RetentionPolicy {
        keep_last: Some(Count::Unlimited),
        keep_daily: count("2"),
        ..Default::default()
    };
    assert!(refused(&policy).contains("--keep-last unlimited"));
    let policy = RetentionPolicy { keep_tags: vec![vec!["typo".into()]], ..Default::default() };
    assert!(refused(&policy).contains("every snapshot of host web, /home"));
    assert!("0".parse::<Count>().is_err());
    assert!("-1".parse::<Count>().is_err());
}

#[test]
fn policies_are_read_from_configuration() {
    let text =
        r#"{"keep_daily":7,"keep_yearly":"unlimited","keep_within":"2w","retention_days":30}"#;
    let policy: RetentionPolicy = serde_json::from_str(text).expect("a policy");
    assert_eq!(policy.keep_daily, count("7"));
    assert_eq!(policy.keep_yearly, Some(Count::Unlimited));
    let again = serde_json::to_string(&policy).expect("text");
    assert_eq!(serde_json::from_str::<RetentionPolicy>(&again).expect("a policy"), policy);
    assert!(serde_json::from_str::<RetentionPolicy>(r#"{"keep_dayly":7}"#).is_err());
    assert!(serde_json::from_str::<RetentionPolicy>(r#"{"keep_daily":0}"#).is_err());
}
