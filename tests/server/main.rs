//! The HTTP API over real HTTP, against a real repository.

mod changes;
mod compare;
mod downloads;
mod events;
mod harness;
mod matrix;
mod reads;
mod rights;
mod rollbacks;
mod starts;
mod system;
