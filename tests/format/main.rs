//! The format as others see it: repositories that another program made, stored ones that must stay
//! readable for ever, hostile bytes, and a reader written from SPEC.md alone.

mod allocation;
#[path = "../support/counting.rs"]
mod counting;
mod foreign;
mod golden;
mod second_reader;
#[allow(dead_code, unused_imports)]
#[path = "../support/mod.rs"]
mod support;
mod vectors;
