//! The repository format: pure encoders and decoders, one file per section of SPEC.md.
//!
//! Everything that is decoded here is untrusted: decoders bound what they allocate by the bytes
//! they were given, return an error for everything that is not as SPEC.md says, and never panic.
//!
//! Not here: sealing (`crypto`), compression (`codec`), names in storage (`repository`).

pub mod bundle;
pub mod config;
pub mod debt;
pub mod gc;
pub mod header;
pub mod index;
pub mod key_slot;
pub mod keyring;
pub mod list;
pub mod log;
pub mod pack;
pub mod page;
pub mod record;
pub mod repo;
pub mod session;

/// The number of the format.
pub const FORMAT_VERSION: u16 = 1;
/// The draft of format 1 that this program reads and writes.
pub const DRAFT: u16 = 2;
/// Most bytes that the plaintext of a unit may have, whatever a stored length says.
pub const PLAIN_LEN_MAX: u32 = 256 << 20;

#[cfg(test)]
mod tests;
