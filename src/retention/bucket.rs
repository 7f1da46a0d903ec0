//! Calendar periods, on the local clock.

use std::fmt;

use jiff::Zoned;
use serde::Serialize;

/// A period of the calendar of which one snapshot is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Period {
    Hourly,
    Daily,
    Weekly,
    Monthly,
    Yearly,
}

/// Names one period; equal for all moments in it.
pub(super) type Bucket = (i16, i16, i8, i32);

impl Period {
    /// All, from short to long.
    pub const ALL: [Self; 5] =
        [Self::Hourly, Self::Daily, Self::Weekly, Self::Monthly, Self::Yearly];

    /// The name used in options and reasons.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
        }
    }

    /// The period that `time` lies in. Weeks are those of ISO 8601, which begin on Monday. The
    /// hour that clocks repeat when summer time ends is two hours.
    pub(super) fn bucket(self, time: &Zoned) -> Bucket {
        let year = time.year();
        match self {
            Self::Hourly => (year, time.day_of_year(), time.hour(), time.offset().seconds()),
            Self::Daily => (year, time.day_of_year(), 0, 0),
            Self::Weekly => {
                let week = time.date().iso_week_date();
                (week.year(), i16::from(week.week()), 0, 0)
            }
            Self::Monthly => (year, i16::from(time.month()), 0, 0),
            Self::Yearly => (year, 0, 0, 0),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
