//! What is left when a machine is lost: kit, recovery, runbook.

mod kit;
mod machine;
mod plan;
mod recovery;
mod runbook;
