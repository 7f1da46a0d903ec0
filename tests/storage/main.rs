//! Larder on real storage services, each started by the test that needs it (see `tests/servers`).
//!
//! One server start per test, so the tests are large. What a service does differently from the
//! others stands in one table and is tested too.

// Tests say what they skip and why.
#![allow(clippy::print_stdout)]

#[cfg(feature = "azblob")]
mod azure;
#[cfg(feature = "s3")]
mod cluster;
mod cold;
mod cycle;
mod faults;
#[cfg(feature = "gcs")]
mod gcs;
mod machine;
#[cfg(feature = "nfs")]
mod nfs;
mod object_lock;
#[cfg(feature = "s3")]
mod racing;
mod records;
mod s3;
#[cfg(feature = "serve-files")]
mod serve_files;
#[allow(dead_code)]
#[path = "../servers/mod.rs"]
mod servers;
mod servers_work;
mod services;
#[cfg(feature = "sftp")]
mod sftp;
#[cfg(any(feature = "smb", feature = "nfs"))]
mod shares;
#[cfg(feature = "smb")]
mod smb;
mod spellings;
mod suite;
#[allow(dead_code, unused_imports)]
#[path = "../support/mod.rs"]
mod support;
#[cfg(feature = "s3")]
mod tls;
#[cfg(feature = "webdav")]
mod webdav;
