//! The real code of several machines on simulated storage, one storage call at a time.
//!
//! Every client is a thread of its own that waits at every storage call until a seeded scheduler
//! lets it go on. The scheduler moves storage's clock, keeps clients waiting for hours and days,
//! loses answers, lets writes arrive late, and ends processes in the middle of their work; listings
//! may miss what was written, and show what was deleted, within the last hour. Clients have clocks
//! of their own, up to a year wrong. Afterwards everything that was finished and not forgotten has
//! to be there, to the last byte.
//!
//! A seed fails with a line that says how to run it again. Threads within one client are not
//! scheduled, so another run of a seed is nearly, but not always exactly, the same.

mod clients;
mod judge;
mod storage;
mod tests;
mod turnstile;
mod world;
