//! The library's front door: managers of backups and of recovery, as a program uses them.
//!
//! The tests that the specification of this project names are here by their names, each against a
//! real repository.

mod backups;
mod bundles;
mod disaster;
mod exports;
mod guard;
mod guide;
mod in_place;
mod jobs;
mod recovery;
mod schedules;
#[allow(dead_code)]
mod shop;
mod standing;
#[allow(dead_code, unused_imports)]
#[path = "../support/mod.rs"]
mod support;
mod threads;
mod throttling;
mod verification;
mod versions;
