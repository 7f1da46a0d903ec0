//! Mounts in a real kernel, looked at with the programs that people use: `diff`, `rsync`, `tar`,
//! `find`, `git`. Where there is no FUSE every test says that it was skipped, and why.

#![cfg(target_os = "linux")]
#![allow(clippy::print_stdout)]

mod access;
mod endings;
#[allow(dead_code, unused_imports)]
#[path = "../support/mod.rs"]
mod engine;
mod faithful;
mod inside;
#[allow(dead_code)]
#[path = "../cli/support.rs"]
mod person;
mod reading;
mod support;
