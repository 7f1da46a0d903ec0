//! The life of a repository under several hands: writers, prunes, undeletes and crashes at once.
//! What must never happen is that a finished snapshot, which nobody forgot, loses a byte.
//!
//! [`model`] looks at every interleaving of a small model of the protocol (SPEC.md, section 13);
//! [`sim`] runs the real code on simulated storage; [`crash`] stops it at every
//! write; [`soak`] lets the real program run on a real disk, and kills it.
//!
//! `LARDER_TEST_LONG=1 cargo nextest run --test lifecycle` looks at more of everything.

mod crash;
mod model;
mod sim;
mod soak;
mod stories;
#[allow(dead_code, unused_imports)]
#[path = "../support/mod.rs"]
mod support;

/// Whether more of everything is asked for.
fn is_long() -> bool {
    std::env::var_os("LARDER_TEST_LONG").is_some()
}
