//! Points in time as people type them.

use jiff::civil::{Date, DateTime, Time};
use jiff::{Span, Timestamp, Zoned};

/// Which moment of a day a date without a time means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DayEdge {
    /// Its first moment.
    Start,
    /// Its last moment: "as of that day".
    End,
}

/// Serialises a time in milliseconds since 1970 as RFC 3339 in UTC.
///
/// # Errors
/// The serialiser's.
pub fn rfc3339<S: serde::Serializer>(
    time_ms: &Option<i64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let time = time_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok());
    serde::Serialize::serialize(&time.map(|time| format!("{time:.3}")), serializer)
}

/// Reads a point in time, in milliseconds since 1970: `2026-11-01`, `2026-11-01T12:00`,
/// `2026-11-01 12:00:30`, with an offset or zone if it is not the local one; or how long ago it
/// is: `2 days ago`, `3d`.
///
/// # Errors
/// A text that says what a time looks like.
pub fn parse_time(text: &str, edge: DayEdge) -> Result<i64, String> {
    parse_in(text.trim(), edge, &Zoned::now())
}

fn parse_in(text: &str, edge: DayEdge, now: &Zoned) -> Result<i64, String> {
    let wrong = || {
        format!(
            "`{text}` is not a time; times look like `2026-11-01`, `2026-11-01T12:00`, \
             `2026-11-01 12:00:30+01:00`, `3 days ago`"
        )
    };
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time.as_millisecond());
    }
    if let Ok(time) = text.parse::<Zoned>() {
        return Ok(time.timestamp().as_millisecond());
    }
    // A civil date parses as a date-time at midnight too, so the length tells them apart.
    let local = if text.len() <= "2026-11-01".len() {
        text.parse::<Date>().ok().map(|date| match edge {
            DayEdge::Start => date.to_datetime(Time::midnight()),
            DayEdge::End => date.to_datetime(Time::MAX),
        })
    } else {
        text.parse::<DateTime>().ok()
    };
    if let Some(local) = local {
        let zoned = now.time_zone().to_zoned(local).map_err(|_| wrong())?;
        return Ok(zoned.timestamp().as_millisecond());
    }
    if text == "now" {
        return Ok(now.timestamp().as_millisecond());
    }
    // Nothing that is asked for lies in the future: `3d` is meant as `3d ago`.
    let span: Span = text.parse().map_err(|_| wrong())?;
    let span = if span.is_positive() { span.negate() } else { span };
    let then = now.checked_add(span).map_err(|_| wrong())?;
    Ok(then.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    fn parsed(text: &str, edge: DayEdge) -> Result<String, String> {
        let now = "2026-11-10T08:00:00Z".parse::<Timestamp>().expect("a time");
        let now = now.to_zoned(TimeZone::UTC);
        parse_in(text, edge, &now)
            .map(|ms| Timestamp::from_millisecond(ms).expect("in range").to_string())
    }

    #[test]
    fn times_are_read_in_many_forms() {
        let start = |text: &str| parsed(text, DayEdge::Start).expect(text);
        assert_eq!(start("2026-11-01"), "2026-11-01T00:00:00Z");
        assert_eq!(start("2026-11-01T12:00"), "2026-11-01T12:00:00Z");
        assert_eq!(start("2026-11-01 12:00:30"), "2026-11-01T12:00:30Z");
        assert_eq!(start("2026-11-01T12:00+01:00"), "2026-11-01T11:00:00Z");
        assert_eq!(start("2026-11-01T12:00[Europe/Berlin]"), "2026-11-01T11:00:00Z");
        assert_eq!(start("2 days ago"), "2026-11-08T08:00:00Z");
        assert_eq!(start("1h30m ago"), "2026-11-10T06:30:00Z");
        assert_eq!(start("3d"), "2026-11-07T08:00:00Z");
        assert_eq!(start("now"), "2026-11-10T08:00:00Z");
    }

    #[test]
    fn a_date_can_mean_its_end() {
        assert_eq!(parsed("2026-11-01", DayEdge::End).expect("a date"), "2026-11-01T23:59:59.999Z");
    }

    #[test]
    fn nonsense_is_refused_with_an_example() {
        assert!(
            parsed("yesterday-ish", DayEdge::Start).expect_err("no time").contains("2026-11-01")
        );
        assert!(parsed("", DayEdge::Start).is_err());
    }
}
