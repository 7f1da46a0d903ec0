//! The log by itself: made-up records, and real ones in memory.

mod made_up;
mod random;
mod real;
