//! How a daemon works.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// What the table `[serve]` of a profile says, by the names of the options of `larder serve`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ServeSettings {
    /// Address and port to listen on.
    pub listen: Option<SocketAddr>,
    /// Names of this server that requests may be for, beside its addresses and `localhost`.
    pub hosts: Vec<String>,
    /// The certificate with its chain, PEM.
    pub tls_cert: Option<PathBuf>,
    /// Its key, PEM.
    pub tls_key: Option<PathBuf>,
    /// Folders that files may be restored into over HTTP.
    pub restore_roots: Option<Vec<PathBuf>>,
    /// Folders that backups may be made of over HTTP, beside those that the profile names.
    pub source_roots: Option<Vec<PathBuf>>,
    /// Jobs at the same time, over all repositories.
    pub max_parallel: Option<NonZeroUsize>,
    /// How much it gives way to other programs, 0 to 19.
    pub nice: Option<u8>,
    /// Whether it reads and writes only when nobody else does.
    pub idle_io: Option<bool>,
    /// How long jobs may go on when it is asked to end, seconds.
    pub stop_grace_seconds: Option<u64>,
    /// Profiles of further repositories that it looks after.
    pub profiles: Vec<String>,
}

impl ServeSettings {
    /// The same with all paths in full, as `full` makes them.
    #[must_use]
    pub fn with_paths(self, full: impl Fn(&Path) -> PathBuf) -> Self {
        let one = |path: Option<PathBuf>| path.map(|path| full(&path));
        let all = |paths: Option<Vec<PathBuf>>| {
            paths.map(|paths| paths.iter().map(|path| full(path)).collect())
        };
        Self {
            tls_cert: one(self.tls_cert),
            tls_key: one(self.tls_key),
            restore_roots: all(self.restore_roots),
            source_roots: all(self.source_roots),
            ..self
        }
    }

    /// What `base` says where this says nothing.
    #[must_use]
    pub fn or(self, base: Self) -> Self {
        let first = |own: Vec<String>, base| if own.is_empty() { base } else { own };
        Self {
            listen: self.listen.or(base.listen),
            hosts: first(self.hosts, base.hosts),
            tls_cert: self.tls_cert.or(base.tls_cert),
            tls_key: self.tls_key.or(base.tls_key),
            restore_roots: self.restore_roots.or(base.restore_roots),
            source_roots: self.source_roots.or(base.source_roots),
            max_parallel: self.max_parallel.or(base.max_parallel),
            nice: self.nice.or(base.nice),
            idle_io: self.idle_io.or(base.idle_io),
            stop_grace_seconds: self.stop_grace_seconds.or(base.stop_grace_seconds),
            profiles: first(self.profiles, base.profiles),
        }
    }
}
