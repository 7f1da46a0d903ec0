//! The engine under stress: random trees, crashes at every write, failing storage, damaged objects,
//! several writers, awkward sources. What must never happen is that older snapshots suffer, that
//! wrong bytes come back, or that a run which was stopped leaves the next one stuck.
//!
//! `LARDER_TEST_LONG=1 cargo test --test it` runs more of everything, for half an hour.

mod cancel;
mod cold;
mod commit;
mod control_damage;
mod copying;
mod crash;
mod damage;
mod faults;
mod forgetting;
mod history;
mod kill;
mod leaks;
mod mirror;
mod mirrored;
mod opening;
mod property;
mod prune;
mod rekey;
mod repair;
mod requests;
mod sources;
mod split;
#[allow(dead_code)]
#[path = "../support/mod.rs"]
mod support;
mod view;
mod writers;

/// How many rounds of something random are run: few in the test command, many when asked to.
fn rounds(short: u64, long: u64) -> u64 {
    if std::env::var_os("LARDER_TEST_LONG").is_some() { long } else { short }
}
