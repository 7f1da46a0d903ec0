//! Writing manifests: where chunks and pages go, lists of pieces, entries to pages, and a new
//! manifest made out of an old one.

mod derive;
mod list;
mod manifest;
mod sink;

pub use derive::{Derivation, Derived, Lost, PagesTo, Verdict, derive};
pub use manifest::{ManifestRoot, ManifestWriter};
pub use sink::WouldAdd;

pub(crate) use list::{ListWriter, content_of};
pub(crate) use sink::{FileSize, Sink};
