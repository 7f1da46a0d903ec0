//! Points in time as options take them.

use crate::model::{DayEdge, parse_time};

/// What `--at` takes; a date alone means its end.
pub(crate) fn parse_at(text: &str) -> Result<i64, String> {
    parse_time(text, DayEdge::End)
}

/// What `--time` takes; a date alone means its start.
pub(crate) fn parse_start(text: &str) -> Result<i64, String> {
    parse_time(text, DayEdge::Start)
}
