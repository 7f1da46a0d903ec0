//! What is left when a machine is lost: kit, recovery, runbook.

mod kit;
