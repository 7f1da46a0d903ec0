//! The kinds of storage beside local folders: one row of a table each.
//!
//! A row with `connect` works in this build; the others are known by name, so that a location
//! that cannot work here says why.

#[cfg(feature = "azblob")]
mod azblob;
#[cfg(feature = "gcs")]
mod gcs;
mod memory;
mod more;
mod options;
mod readable;
#[cfg(feature = "s3")]
mod s3;
#[cfg(feature = "sftp")]
mod sftp;
#[cfg(feature = "webdav")]
mod webdav;

use std::fmt;
use std::num::NonZeroUsize;

use super::SharedStorage;
use super::connection::Connection;
use super::waiting::Waits;
use super::wrap::{self, Puts};
use crate::error::{Error, Result};

/// Makes the storage of a location.
type Connect = fn(&ServiceLocation, &Connection) -> Result<SharedStorage>;

/// One kind of storage.
#[derive(Debug)]
pub(super) struct Service {
    /// What stands before the `:`.
    pub(super) scheme: &'static str,
    /// A location as people would write it.
    pub(super) example: &'static str,
    /// Whether it lives in this process, and is written without `//`.
    pub(super) is_local: bool,
    /// What a broken connection can leave.
    puts: Puts,
    /// How to get to it, if it is part of this build: the bare storage, without limits, counts
    /// or repetitions.
    connect: Option<Connect>,
}

// A build with every service has no absent one.
#[allow(dead_code)]
const fn absent(scheme: &'static str, example: &'static str) -> Service {
    Service { scheme, example, is_local: false, puts: Puts::Torn, connect: None }
}

/// A service whose writes are whole or not there, by itself or by how they are done.
const fn remote(scheme: &'static str, example: &'static str, connect: Connect) -> Service {
    Service { scheme, example, is_local: false, puts: Puts::Whole, connect: Some(connect) }
}

/// Every kind that has a name.
pub(super) static SERVICES: &[Service] = &[
    Service {
        scheme: "memory",
        example: "memory:test",
        is_local: true,
        puts: Puts::Whole,
        connect: Some(memory::connect),
    },
    #[cfg(feature = "s3")]
    remote("s3", "s3://bucket/prefix?region=eu-central-1", s3::connect),
    #[cfg(not(feature = "s3"))]
    absent("s3", "s3://bucket/prefix?region=eu-central-1"),
    #[cfg(feature = "azblob")]
    remote("azblob", "azblob://container/prefix?account=name", azblob::connect),
    #[cfg(not(feature = "azblob"))]
    absent("azblob", "azblob://container/prefix?account=name"),
    #[cfg(feature = "gcs")]
    remote("gcs", "gcs://bucket/prefix", gcs::connect),
    #[cfg(not(feature = "gcs"))]
    absent("gcs", "gcs://bucket/prefix"),
    #[cfg(feature = "s3")]
    remote("b2", "b2://bucket/prefix?region=us-west-004", s3::connect_b2),
    #[cfg(not(feature = "s3"))]
    absent("b2", "b2://bucket/prefix?region=us-west-004"),
    #[cfg(feature = "sftp")]
    remote("sftp", "sftp://user@host/path", sftp::connect),
    #[cfg(not(feature = "sftp"))]
    absent("sftp", "sftp://user@host/path"),
    #[cfg(feature = "webdav")]
    remote("webdav", "webdav://host/path", webdav::connect),
    #[cfg(feature = "webdav")]
    remote(webdav::PLAIN, "webdav+http://127.0.0.1:8080/path", webdav::connect),
    #[cfg(not(feature = "webdav"))]
    absent("webdav", "webdav://host/path"),
    #[cfg(feature = "smb")]
    remote("smb", "smb://user@host/share/path", super::smb::connect),
    #[cfg(not(feature = "smb"))]
    absent("smb", "smb://user@host/share/path"),
    #[cfg(feature = "nfs")]
    remote("nfs", "nfs://host/export/path", super::nfs::connect),
    #[cfg(not(feature = "nfs"))]
    absent("nfs", "nfs://host/export/path"),
    more::KINDS[0].service(cfg!(feature = "azdls")),
    more::KINDS[1].service(cfg!(feature = "azfile")),
    more::KINDS[2].service(cfg!(feature = "cos")),
    more::KINDS[3].service(cfg!(feature = "dropbox")),
    more::KINDS[4].service(cfg!(feature = "gdrive")),
    more::KINDS[5].service(cfg!(feature = "hdfs-native")),
    more::KINDS[6].service(cfg!(feature = "koofr")),
    more::KINDS[7].service(cfg!(feature = "obs")),
    more::KINDS[8].service(cfg!(feature = "onedrive")),
    more::KINDS[9].service(cfg!(feature = "oss")),
    more::KINDS[10].service(cfg!(feature = "pcloud")),
    more::KINDS[11].service(cfg!(feature = "seafile")),
    more::KINDS[12].service(cfg!(feature = "swift")),
    more::KINDS[13].service(cfg!(feature = "webhdfs")),
    more::KINDS[14].service(cfg!(feature = "yandex-disk")),
];

/// The cargo feature that a kind of storage comes with.
fn feature(scheme: &str) -> &str {
    match scheme {
        "b2" => "s3",
        "webdav+http" => "webdav",
        scheme => scheme,
    }
}

/// The kind with this name.
pub(super) fn find(scheme: &str) -> Option<&'static Service> {
    SERVICES.iter().find(|service| service.scheme.eq_ignore_ascii_case(scheme))
}

impl Service {
    /// The beginning of its locations, for messages.
    pub(super) fn scheme_shown(&self) -> String {
        let slashes = if self.is_local { "" } else { "//" };
        format!("`{}:{slashes}`", self.scheme)
    }
}

/// A location at a service, in parts. None of them is a secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ServiceLocation {
    /// A scheme of [`SERVICES`].
    pub(super) scheme: &'static str,
    /// Bucket, container, or `user@host:port`.
    pub(super) authority: String,
    /// Below it, without `/` at the ends.
    pub(super) path: String,
    /// What follows the `?`, in order: endpoint, region and the like.
    pub(super) options: Vec<(String, String)>,
    /// The option `credentials`: the set of secrets that is meant.
    pub(super) set: Option<String>,
}

impl ServiceLocation {
    /// Reads what follows `scheme://` (or `scheme:` of a local kind).
    pub(super) fn parse(service: &'static Service, rest: &str) -> Result<Self> {
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = place.split_once('/').unwrap_or((place, ""));
        let mut options = options::parse(query)?;
        let holds_secret = |(key, value): &(String, String)| {
            let url = value.split_once("://").map_or(&**value, |(_, rest)| rest);
            is_secret_key(key) || has_password(url)
        };
        if has_password(rest) || options.iter().any(holds_secret) {
            return Err(Error::usage_hint(
                format!("a `{}` location must not hold a password or key", service.scheme),
                "every user of this machine can see arguments: give it in the environment or in \
                 a credential file",
            ));
        }
        if authority.is_empty() && !service.is_local {
            return Err(Error::usage_hint(
                format!("this `{}` location names no bucket or host", service.scheme),
                format!("write it like `{}`", service.example),
            ));
        }
        let set = options.iter().position(|(key, _)| key == "credentials");
        let set = set.map(|at| checked_set(&options.remove(at).1)).transpose()?;
        let path = path.trim_matches('/').into();
        Ok(Self { scheme: service.scheme, authority: authority.into(), path, options, set })
    }

    /// Connects to it, with everything that belongs between it and the engine.
    ///
    /// # Errors
    /// [`Error::Usage`] if it is not part of this build, otherwise the service's.
    pub(super) fn open(&self, connection: &Connection) -> Result<SharedStorage> {
        let service = find(self.scheme);
        let Some((service, connect)) =
            service.and_then(|service| Some((service, service.connect?)))
        else {
            return Err(Error::usage_hint(
                format!("this build of larder does not include `{}` storage", self.scheme),
                format!(
                    "build it with `cargo install --path . --features {}`, or use a folder of this \
                     machine or of a mounted share",
                    feature(self.scheme)
                ),
            ));
        };
        let concurrency = self.concurrency()?;
        let access = match &self.set {
            Some(set) => connection.access.of_set(set),
            None => connection.access.clone(),
        };
        let own = Connection { access, ..connection.clone() };
        // Some look where their bucket is.
        let waits = Waits::new(&self.to_string(), own.cancel.clone(), own.notify.clone());
        let storage = waits.during(|| connect(self, &own)).0?;
        Ok(match service.is_local {
            true => wrap::local(storage, connection),
            false => wrap::remote(storage, service.puts, concurrency, connection),
        })
    }

    /// The option `concurrency`: the most calls at once.
    ///
    /// # Errors
    /// [`Error::Usage`] for what is no number of calls.
    fn concurrency(&self) -> Result<Option<NonZeroUsize>> {
        match self.option("concurrency").map(str::parse) {
            None => Ok(None),
            Some(Ok(calls)) => Ok(Some(calls)),
            Some(Err(_)) => Err(Error::usage_hint(
                format!("the option `concurrency` of `{}` must be a number", self.scheme),
                "it is the most requests at once, such as `concurrency=8`",
            )),
        }
    }
}

impl fmt::Display for ServiceLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slashes = if find(self.scheme).is_some_and(|s| s.is_local) { "" } else { "//" };
        write!(f, "{}:{slashes}{}", self.scheme, self.authority)?;
        if !self.path.is_empty() {
            write!(f, "/{}", self.path)?;
        }
        let set = self.set.as_ref().map(|set| ("credentials", set.as_str()));
        let options = self.options.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        for (at, (key, value)) in options.chain(set).enumerate() {
            let mark = if at == 0 { '?' } else { '&' };
            write!(f, "{mark}{key}={}", options::encode(value))?;
        }
        Ok(())
    }
}

/// The name of a set of secrets: letters, digits, `-`, `_` and `.`.
fn checked_set(name: &str) -> Result<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || !name.chars().all(is_word) {
        return Err(Error::usage_hint(
            "`credentials` in a location must be the name of a set of secrets",
            "a name is letters, digits, `-`, `_` and `.`; the secrets themselves belong in the \
             environment or in a profile",
        ));
    }
    Ok(name.into())
}

/// Whether an option's name says that its value is a secret.
fn is_secret_key(key: &str) -> bool {
    const WORDS: [&str; 12] = [
        "secret",
        "password",
        "passwd",
        "passphrase",
        "token",
        "credential",
        "sas",
        "privatekey",
        "accountkey",
        "applicationkey",
        "accesskey",
        "apikey",
    ];
    let key: String = key.chars().filter(char::is_ascii_alphanumeric).collect();
    let key = key.to_ascii_lowercase();
    // `access_key_id` only says who, `credential_path` only where, `credentials` only which.
    key != "credentials"
        && WORDS.iter().any(|word| key.contains(word))
        && !["id", "path", "file"].iter().any(|end| key.ends_with(end))
}

/// Whether what follows the scheme of a URL begins with `user:password@`.
fn has_password(rest: &str) -> bool {
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    match (authority.rsplit_once('@'), authority.rsplit_once(':')) {
        (Some((user, _)), _) => user.contains(':'),
        // A password with a `/` in it. After a host, only digits follow the `:`.
        (None, Some((_, port))) => {
            rest.contains('@') && !port.bytes().all(|byte| byte.is_ascii_digit())
        }
        (None, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Location;

    #[test]
    fn a_set_of_secrets_is_named_and_no_secret_is() {
        let text = "s3://bucket/x?region=eu&credentials=off-site";
        let (_, rest) = text.split_once("://").unwrap();
        let place = ServiceLocation::parse(find("s3").unwrap(), rest).unwrap();
        assert_eq!(place.set.as_deref(), Some("off-site"));
        assert_eq!(place.options, [("region".to_owned(), "eu".to_owned())]);
        assert_eq!(place.to_string(), text);
        for bad in ["", "a%20b", "AKIA+hunter2/x"] {
            let error = Location::parse(&format!("s3://b/x?credentials={bad}")).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
        assert!(Location::parse("s3://bucket/x?credential=hunter2").is_err());
    }
}
