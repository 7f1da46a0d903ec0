//! Larder on real storage services, each started by the test that needs it (see `tests/servers`).
//!
//! One server start per test, so the tests are large. What a service does differently from the
//! others stands in one table and is tested too.

mod cold;
mod object_lock;
mod program;
mod s3;
#[allow(dead_code)]
#[path = "../servers/mod.rs"]
mod servers;
mod servers_work;
mod sftp;
#[cfg(feature = "smb")]
mod smb;
