//! Operations that combine others: snapshots made out of snapshots, in the same repository
//! (`rewrite`) or in another one (`copy`).

mod copy;
mod rewrite;

pub use copy::{Copied, CopyOptions, CopyOutcome, CopyReport, copy};
pub use rewrite::{RewriteOptions, Rewritten, TagChange, rewrite};

#[cfg(test)]
mod tests;
