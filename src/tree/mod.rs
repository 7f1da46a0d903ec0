//! A snapshot's manifest, read page by page (SPEC.md, section 11).
//!
//! Not here: writing manifests (`archive`), live directories (`source`).

mod content;
mod manifest;

pub use content::{Pieces, load_xattrs};
pub use manifest::{Entries, Manifest};
