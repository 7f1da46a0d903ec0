//! Operations that combine others: snapshots made out of snapshots, here ([`rewrite`](mod@rewrite)).

mod rewrite;

pub use rewrite::{RewriteOptions, Rewritten, TagChange, rewrite};

#[cfg(test)]
mod tests;
