//! The format as others see it: repositories that another program made, stored ones that must stay
//! readable for ever, hostile bytes, and a reader written from SPEC.md alone.

mod allocation;
mod foreign;
mod vectors;
