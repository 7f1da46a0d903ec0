//! Transactional restores into the live tree.

mod exact;
mod faults;
mod kill;
mod others;
mod room;
mod whole;
