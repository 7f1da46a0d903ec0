//! Transactional restores into the live tree.

mod elsewhere;
mod exact;
mod faults;
mod kill;
mod others;
mod room;
mod whole;
