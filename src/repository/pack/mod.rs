//! Writing packs: chunks to segments, segments to packs, packs to storage and index.

mod assemble;
mod directory;
mod segment;
mod writer;

pub use segment::{SegmentUse, SegmentWriter};
pub use writer::{Added, PackWriter, WriterOptions};
