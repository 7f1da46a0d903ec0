//! Schedules, and runs that nobody starts by hand.
