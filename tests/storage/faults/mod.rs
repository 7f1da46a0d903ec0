//! Connections that break, servers that hang, refuse and come back, at every phase of the work: a
//! run goes on or fails cleanly within bounded time, what was reported as done restores to the last
//! byte, and the next run succeeds.
//!
//! `LARDER_TEST_LONG=1` tries every request instead of a few of each phase.

mod bytes;
mod client;
mod program;
mod requests;
mod silent;

/// Whether everything is tried.
fn is_long() -> bool {
    std::env::var_os("LARDER_TEST_LONG").is_some()
}

/// Some numbers from 1 to `last`, first and last among them: all if time does not matter.
fn some(last: u64, short: u64, seed: u64) -> Vec<u64> {
    if is_long() || last <= short {
        return (1..=last).collect();
    }
    let mut numbers = vec![1, last];
    let mut state = seed;
    while (numbers.len() as u64) < short {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        numbers.push(2 + (state >> 33) % (last - 1));
    }
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}
