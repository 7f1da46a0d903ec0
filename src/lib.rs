//! Larder: a content-addressed, deduplicating, encrypted backup and recovery engine.
//!
//! Files are cut into content-defined chunks, stored once in packs under an encrypted index. Every
//! backup is a complete snapshot. The `larder` program is a thin layer over this library; what it
//! can do, a program can do too:
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use larder::archive::{BackupOptions, backup};
//! use larder::repository::{InitOptions, LAYOUT, OpenOptions, Password, Repository, Unlock};
//! use larder::restore::{RestoreOptions, restore};
//! use larder::runtime::Runtime;
//! use larder::source::SourcePath;
//! use larder::storage::{self, Location};
//!
//! let home = tempfile::tempdir()?;
//! std::fs::create_dir(home.path().join("documents"))?;
//! std::fs::write(home.path().join("documents/letter.txt"), "Dear reader, ...")?;
//!
//! // A repository in a folder, opened with a password.
//! let location = Location::from_path(&home.path().join("backups"))?;
//! let storage = storage::create(&location, LAYOUT)?;
//! let unlock = Unlock::Password(Password::new("correct horse"));
//! let runtime = Runtime::default();
//! let options = OpenOptions::default();
//! let repository =
//!     Repository::init(storage, &[unlock], &InitOptions::default(), &options, &runtime)?;
//!
//! // A backup is a complete snapshot.
//! let documents = SourcePath::new(&home.path().join("documents"))?;
//! let options = BackupOptions { sources: vec![documents], ..BackupOptions::default() };
//! let report = backup(&repository, &options, &runtime)?;
//! assert_eq!(report.stats.files_new, 1);
//! let snapshot = report.snapshot.ok_or("not a dry run")?;
//!
//! // And back again: the content of one folder, straight into another.
//! let target = home.path().join("restored");
//! let documents = home.path().join("documents");
//! let folder = documents.to_str().ok_or("a plain path")?.trim_start_matches('/');
//! let options = RestoreOptions {
//!     subtree: Some(folder.as_bytes().to_vec()),
//!     target: target.clone(),
//!     ..RestoreOptions::default()
//! };
//! restore(&repository, &snapshot, &options, &runtime)?;
//! assert_eq!(std::fs::read_to_string(target.join("letter.txt"))?, "Dear reader, ...");
//! # Ok(())
//! # }
//! ```
//!
//! The parts, from the bottom up; imports point down only:
//!
//! - [`model`], [`error`], [`runtime`]: plain data, what can go wrong, clock and progress;
//! - [`storage`], [`format`](mod@format), [`codec`], [`crypto`], [`chunker`], [`fsmeta`]: bytes
//!   and files, without an idea of repositories;
//! - [`repository`]: keys, packs, index, snapshots;
//! - [`tree`], [`source`]: a snapshot, a live folder;
//! - [`archive`], [`restore`], [`retention`], [`verify`], [`repair`], [`mirror`], [`view`]: one
//!   operation each;
//! - [`manager`]: the front door ([`manager::BackupManager`], [`manager::RecoveryManager`]) with an
//!   example for each method, and what combines operations;
//! - `mount` (with the feature of that name, where there is FUSE): a [`view`] in the kernel;
//! - `server` (with the features `serve-files` and `serve`): a [`view`] over WebDAV, the HTTP API;
//! - `daemon` (with the feature `serve`): the program that runs schedules and answers for days;
//! - [`cli`]: the command line.
//!
//! The stored format is described in SPEC.md, byte by byte.

pub mod archive;
pub mod chunker;
pub mod cli;
pub mod codec;
pub mod commit;
pub mod crypto;
#[cfg(feature = "serve")]
pub mod daemon;
pub mod error;
pub mod format;
pub mod fsmeta;
pub mod manager;
pub mod mirror;
pub mod model;
#[cfg(all(feature = "mount", any(target_os = "linux", target_os = "freebsd")))]
pub mod mount;
pub mod prune;
pub mod repair;
pub mod repository;
pub mod restore;
pub mod retention;
pub mod runtime;
#[cfg(any(feature = "serve-files", feature = "serve"))]
pub mod server;
pub mod source;
pub mod storage;
pub mod tree;
pub mod verify;
pub mod view;
