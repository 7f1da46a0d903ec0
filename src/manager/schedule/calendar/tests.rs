use std::time::Instant;

use jiff::SignedDuration;
use jiff::civil::{Date, Weekday};
use proptest::prelude::*;

use super::*;

fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn cron(expression: &str, zone: &str) -> Calendar {
    Calendar::new(&Timing::cron_in(expression, zone)).expect("a calendar")
}

/// The next runs as the clock on the wall shows them, with its offset.
fn walls(expression: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let after = time(after);
    let runs = cron(expression, zone);
    let zone = TimeZone::get(zone).expect("a zone");
    let shown = |run: Timestamp| run.to_zoned(zone.clone()).strftime("%m-%d %H:%M %:z").to_string();
    runs.runs_after(after, after).take(count).map(shown).collect()
}

/// On 28 March 2027 Berlin's clocks go from 2:00 to 3:00: 2:30 is at 3:00 that day, once.
#[test]
fn a_time_in_a_spring_gap_comes_once_after_it() {
    let after = "2027-03-27T00:00:00Z";
    let want = ["03-27 02:30 +01:00", "03-28 03:00 +02:00", "03-29 02:30 +02:00"];
    assert_eq!(walls("30 2 * * *", "Europe/Berlin", after, 3), want);
    // Two times in one gap are one run, and one at the end of the gap is the same.
    let want = ["03-28 03:00 +02:00", "03-29 02:00 +02:00", "03-29 02:40 +02:00"];
    assert_eq!(walls("0,40 2 * * *", "Europe/Berlin", "2027-03-27T12:00:00Z", 3), want);
    let want = ["03-28 03:00 +02:00", "03-29 02:00 +02:00", "03-29 03:00 +02:00"];
    assert_eq!(walls("0 2,3 * * *", "Europe/Berlin", "2027-03-27T12:00:00Z", 3), want);
}

/// On 31 October 2027 they go from 3:00 back to 2:00: 2:30 comes twice, the run once.
#[test]
fn a_time_in_an_autumn_overlap_comes_once() {
    let after = "2027-10-30T00:00:00Z";
    let want = ["10-30 02:30 +02:00", "10-31 02:30 +02:00", "11-01 02:30 +01:00"];
    assert_eq!(walls("30 2 * * *", "Europe/Berlin", after, 3), want);
    // A machine that wakes up between both does not run it again.
    let between = time("2027-10-31T01:10:00Z");
    let next = cron("30 2 * * *", "Europe/Berlin").next_after(between, between);
    assert_eq!(next, Some(time("2027-11-01T01:30:00Z")));
}

/// Distances are kept in both nights.
#[test]
fn every_hour_is_every_hour() {
    let want = ["03-28 01:00 +01:00", "03-28 03:00 +02:00", "03-28 04:00 +02:00"];
    assert_eq!(walls("@hourly", "Europe/Berlin", "2027-03-27T23:30:00Z", 3), want);
    let want =
        ["10-31 01:30 +02:00", "10-31 02:30 +02:00", "10-31 02:30 +01:00", "10-31 03:30 +01:00"];
    assert_eq!(walls("30 * * * *", "Europe/Berlin", "2027-10-30T23:00:00Z", 4), want);
}

/// Clocks that change at midnight, by half an hour, or by a whole day.
#[test]
fn odd_clocks_have_every_run_once() {
    // Havana: 0:00 is 1:00.
    let want = ["03-13 00:00 -05:00", "03-14 01:00 -04:00", "03-15 00:00 -04:00"];
    assert_eq!(walls("@daily", "America/Havana", "2027-03-12T12:00:00Z", 3), want);
    // Lord Howe Island: half an hour, 2:00 is 2:30.
    let want = ["10-03 02:30 +11:00", "10-04 02:15 +11:00"];
    assert_eq!(walls("15 2 * * *", "Australia/Lord_Howe", "2027-10-02T00:00:00Z", 2), want);
    // Samoa left out 30 December 2011.
    let want = ["12-29 12:00 -10:00", "12-31 00:00 +14:00", "12-31 12:00 +14:00"];
    assert_eq!(walls("0 12 * * *", "Pacific/Apia", "2011-12-29T12:00:00Z", 3), want);
}

#[test]
fn leap_days_and_months_are_kept() {
    let years = |expression: &str| -> Vec<String> {
        let after = time("2096-01-01T00:00:00Z");
        let runs = cron(expression, "UTC");
        runs.runs_after(after, after).take(2).map(|t| t.to_string()[..10].to_owned()).collect()
    };
    assert_eq!(years("0 0 29 2 *"), ["2096-02-29", "2104-02-29"]);
    assert_eq!(years("0 0 31 * *"), ["2096-01-31", "2096-03-31"]);
    assert_eq!(years("0 0 L * *"), ["2096-01-31", "2096-02-29"]);
    assert_eq!(years("@yearly"), ["2097-01-01", "2098-01-01"]);
    assert_eq!(years("@monthly"), ["2096-02-01", "2096-03-01"]);
    assert_eq!(years("@weekly"), ["2096-01-08", "2096-01-15"]);
}

#[test]
fn intervals_count_from_the_last_run() {
    let six = Calendar::new(&Timing::EveryHours(6)).expect("a calendar");
    let last = time("2027-03-28T00:10:00Z");
    assert_eq!(six.next_after(last, last), Some(time("2027-03-28T06:10:00Z")));
    // A run that was missed.
    let later = time("2027-03-29T12:00:00Z");
    assert_eq!(six.next_after(later, last), Some(time("2027-03-28T06:10:00Z")));
    let runs: Vec<_> = six.runs_after(later, last).take(2).collect();
    assert_eq!(runs, [later, time("2027-03-29T18:00:00Z")]);
    let never = Calendar::new(&Timing::EveryHours(INTERVAL_HOURS_MAX)).expect("a calendar");
    assert_eq!(never.next_after(Timestamp::MAX, Timestamp::MAX), None);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let long = "0,".repeat(5000) + "0 2 * * *";
    for expression in [
        "",
        "* * *",
        "61 * * * *",
        "0 0 30 2 *",
        "0 0 31 4,6 *",
        "@daily 3",
        "@never",
        "x y z a b",
        "* * * * * * *",
        &long,
    ] {
        let error = Calendar::new(&Timing::cron_in(expression, "UTC")).expect_err(expression);
        assert!(matches!(error, Error::Usage { .. }), "{error:?}");
        assert!(error.hint().is_some());
    }
    for zone in ["Europe/Atlantis", "", "../../etc/passwd", &"x".repeat(9999)] {
        assert!(Calendar::new(&Timing::cron_in("@daily", zone)).is_err(), "{zone}");
    }
    for hours in [0, u32::MAX] {
        assert!(Calendar::new(&Timing::EveryHours(hours)).is_err());
    }
}

/// Nothing that somebody types keeps the scheduler busy.
#[test]
fn rare_times_are_found_quickly() {
    let start = Instant::now();
    for expression in ["0 0 29 2 1", "* * 29 2 *", "59 59 23 29 2 *", "0 0 1 1 *", "0 0 30 2 *"] {
        let _ = Calendar::new(&Timing::cron_in(expression, "America/New_York"));
    }
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}

const ZONES: [&str; 8] = [
    "Europe/Berlin",
    "America/New_York",
    "America/Havana",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Africa/Casablanca",
    "Asia/Kolkata",
    "UTC",
];

proptest! {
    /// A time of day comes exactly once on every day, in every zone, for three years.
    #[test]
    fn a_time_of_day_comes_once_a_day(
        hour in 0..24_i8,
        minute in 0..60_i8,
        zone in prop::sample::select(&ZONES[..]),
        start in 1_600_000_000..1_900_000_000_i64,
    ) {
        let runs = cron(&format!("{minute} {hour} * * *"), zone);
        let zone = TimeZone::get(zone).expect("a zone");
        let start = Timestamp::from_second(start).expect("a time");
        let days: Vec<Date> =
            runs.runs_after(start, start).take(1100).map(|t| t.to_zoned(zone.clone()).date()).collect();
        for pair in days.windows(2) {
            prop_assert_eq!(pair[0].tomorrow().ok(), Some(pair[1]));
        }
    }

    /// The next run does not depend on when between two runs somebody asks, and runs only go on.
    #[test]
    fn the_next_run_is_the_same_whenever_asked(
        expression in prop::sample::select(&[
            "30 2 * * *", "*/20 * * * *", "0 */3 * * *", "15 1,2,3 * * 0", "0 0 1 * *", "10 30 2 * * *", "@weekly", "5 2-4 * * 1-5",
        ][..]),
        zone in prop::sample::select(&ZONES[..]),
        start in 1_600_000_000..1_900_000_000_i64,
        between in 0.0..1.0_f64,
    ) {
        let calendar = cron(expression, zone);
        let start = Timestamp::from_second(start).expect("a time");
        let runs: Vec<Timestamp> = calendar.runs_after(start, start).take(40).collect();
        prop_assert_eq!(runs.len(), 40);
        for pair in runs.windows(2) {
            prop_assert!(pair[0] < pair[1]);
            let span = pair[0].duration_until(pair[1]);
            let asked = pair[0] + SignedDuration::from_secs((span.as_secs() as f64 * between) as i64);
            if asked < pair[1] {
                prop_assert_eq!(calendar.next_after(asked, asked), Some(pair[1]), "asked at {}", asked);
            }
        }
    }

    /// No text makes it panic.
    #[test]
    fn any_text_is_read_or_refused(text in "[0-9*/,@A-Zl#W?+ -]{0,24}", zone in "[A-Za-z/_]{0,20}") {
        let _ = Calendar::new(&Timing::cron_in(text.clone(), "UTC"));
        let _ = Calendar::new(&Timing::cron_in("@daily", zone));
        let _ = Timing::from(text.as_str());
    }
}

#[test]
fn days_of_the_week_are_those_of_cron() {
    let first = |expression: &str| {
        let after = time("2027-01-01T00:00:00Z");
        cron(expression, "UTC")
            .next_after(after, after)
            .map(|t| t.to_zoned(TimeZone::UTC).weekday())
    };
    assert_eq!(first("0 0 * * 0"), Some(Weekday::Sunday));
    assert_eq!(first("0 0 * * 7"), Some(Weekday::Sunday));
    assert_eq!(first("0 0 * * MON"), Some(Weekday::Monday));
}
