//! The audit log: who asked the daemon to do what.
//!
//! A file of lines of JSON beside the database. Each line has a hash of the one before, so that
//! nobody changes, removes or adds one in between without all that follow being others; and the
//! newest number and hash are written to the log of the daemon, of which there are copies
//! elsewhere, so that the end cannot be cut off either.

mod chain;
mod layer;

pub use chain::{Audit, AuditEntry, AuditHead, AuditReport, newest, verify};
pub use layer::{Detail, record_request};
