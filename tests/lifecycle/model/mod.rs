//! Every interleaving of a small model of the protocol of writers and prunes (SPEC.md, section 13).
//!
//! The model has one chunk. It begins in a pack that only a forgotten snapshot needs; writers want
//! the chunk, an undelete wants the snapshot back, prunes want the space. Every storage call is a
//! step of its own; between any two steps anybody else may go on, or nobody for any time: that
//! covers a crash and a stall of every actor at every step. A session may be fenced at any time, so
//! no length of a lease is part of the argument. Time passes in ticks; a listing may miss what was
//! put, and show what was deleted, less than [`Rules::stale`] ticks ago, each object for itself.
//!
//! Two things are asked of every state that can be reached: a committed snapshot that is neither
//! forgotten nor suspect has its chunk, and so has one whose writer reported success, suspect or
//! not. Each rule is switched off in a test of its own, which must find a loss: a model that cannot
//! fail says nothing.

mod explore;
mod prune;
mod state;
mod tests;
mod writer;
