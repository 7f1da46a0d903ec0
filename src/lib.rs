//! Larder: a content-addressed, deduplicating, encrypted backup and recovery engine.

pub mod archive;
pub mod chunker;
pub mod cli;
pub mod codec;
pub mod crypto;
pub mod error;
pub mod format;
pub mod fsmeta;
pub mod model;
pub mod repository;
pub mod restore;
pub mod runtime;
pub mod source;
pub mod storage;
pub mod tree;
pub mod verify;
