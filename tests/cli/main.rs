//! The program as people and scripts meet it: whole outputs, exit codes, and what goes where.
//!
//! Outputs are compared with snapshots in `snapshots/`, with ids, times and folders replaced. After
//! a wanted change, `INSTA_UPDATE=always cargo test --test cli` writes them anew.

mod access;
mod backup;
mod basics;
mod bundles;
mod cold;
mod copy;
mod export;
mod forget;
mod history;
mod import;
mod in_place;
mod kit;
mod mirror;
mod mirror_runs;
mod profile;
mod prune;
mod quickstart;
mod reading;
mod recover;
mod repair;
mod repo;
mod restore;
mod rewrite;
mod runs;
mod schedule;
#[allow(dead_code)]
mod status;
mod support;
mod versions;
mod wire;
