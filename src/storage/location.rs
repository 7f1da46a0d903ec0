//! Where a repository is, as people write it, and how to get to its storage.
//!
//! A location is a path (a folder, or the file of a bundle), `fs:PATH`, `bundle:PATH`, `memory:NAME`,
//! or the URL of a service. It is shown in
//! messages, kept in histories and seen by everybody on the machine as an argument, so one that
//! holds a secret is refused, in words that do not repeat it.

use std::ffi::OsStr;
use std::fmt;
use std::fs::DirBuilder;
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use super::SharedStorage;
use super::bundle::{BundleStorage, Trust};
use super::connection::Connection;
use super::failure::{classify, failure};
use super::local::{self, LocalStorage};
use super::name::TMP_FOLDER;
use super::probe::PROBE_FOLDER;
use super::services::{self, Service, ServiceLocation};
use super::wrap;
use crate::error::{Error, Result};

/// What stands before the `:` where other tools name storage: taken for a folder, the first backup
/// would stay on this machine, unnoticed.
const ELSEWHERE: &[&str] = &["rclone", "rest", "azure", "gs", "local", "ssh", "opendal"];

/// Where a repository is. Holds no secrets: it can be shown and stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Location(Kind);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Folder(PathBuf),
    /// A bundle, even if it does not look like one any more.
    Bundle(PathBuf),
    Service(ServiceLocation),
}

impl Location {
    /// Reads a location as people write it. Paths are made absolute without looking at the disk.
    ///
    /// # Errors
    /// [`Error::Usage`] with an example, if it is empty, holds a secret, or names a kind of
    /// storage that does not exist.
    pub fn parse(text: &str) -> Result<Self> {
        if let Some(path) = text.strip_prefix("fs:") {
            return Self::from_path(Path::new(path));
        }
        if let Some(path) = text.strip_prefix("bundle:") {
            return Ok(Self(Kind::Bundle(absolute(Path::new(path))?)));
        }
        if let Some((scheme, rest)) = text.split_once("://")
            && is_scheme(scheme)
        {
            let service = services::find(scheme).ok_or_else(|| unknown(scheme))?;
            return ServiceLocation::parse(service, rest).map(Kind::Service).map(Self);
        }
        if let Some((scheme, rest)) = text.split_once(':')
            && let Some(service) = services::find(scheme)
        {
            // A path of that name is still within reach as `./s3:...`.
            if !service.is_local {
                return Err(Error::usage_hint(
                    format!("a location that begins with `{scheme}:` must be a URL"),
                    format!(
                        "write it like `{}`; a folder of that name is `./{scheme}:...`",
                        service.example
                    ),
                ));
            }
            return ServiceLocation::parse(service, rest).map(Kind::Service).map(Self);
        }
        if let Some((scheme, _)) = text.split_once(':')
            && ELSEWHERE.contains(&scheme)
        {
            return Err(Error::usage_hint(
                format!("`{scheme}:` is how another tool names storage; Larder has no such kind"),
                format!(
                    "{}; a folder of that name is `./{scheme}:...`",
                    unknown(scheme).hint().unwrap_or_default()
                ),
            ));
        }
        Self::from_path(Path::new(text))
    }

    /// A folder of this machine, or a bundle; its path may hold any bytes.
    ///
    /// # Errors
    /// [`Error::Usage`] if the path is empty; [`Error::Local`] if it is relative and the working
    /// directory cannot be found out.
    pub fn from_path(path: &Path) -> Result<Self> {
        Ok(Self(Kind::Folder(absolute(path)?)))
    }

    /// The folder or file, if this is one of this machine.
    pub fn as_path(&self) -> Option<&Path> {
        match &self.0 {
            Kind::Folder(path) | Kind::Bundle(path) => Some(path),
            Kind::Service(_) => None,
        }
    }
}

/// As it can be given again, on one line, without secrets.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Folder(path) | Kind::Bundle(path) => path.display().fmt(f),
            Kind::Service(service) => service.fmt(f),
        }
    }
}

impl FromStr for Location {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    if path.as_os_str().is_empty() {
        return Err(Error::usage_hint(
            "the location of the repository is empty",
            "give a folder or the URL of a service",
        ));
    }
    let absolute = std::path::absolute(path)
        .map_err(|error| Error::local("find the place of", path, error))?;
    // Collected from its components, it has no `/` at the end: one folder, one location.
    Ok(absolute.components().collect())
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn unknown(scheme: &str) -> Error {
    let known: Vec<_> = services::SERVICES.iter().map(Service::scheme_shown).collect();
    Error::usage_hint(
        format!("`{scheme}://` is no kind of storage"),
        format!("use a path, `fs:PATH` or one of {}", known.join(", ")),
    )
}

/// Opens the storage of an existing repository.
///
/// # Errors
/// [`Error::RepositoryMissing`] if it is a folder that does not exist (one that exists without a
/// repository is noticed by whoever reads the first object), [`Error::Usage`] if it is a file that
/// is no bundle or a service that this program does not include, [`Error::UnsupportedFormat`] for a
/// bundle of a newer program, [`Error::Storage`] otherwise.
pub fn open(location: &Location) -> Result<SharedStorage> {
    open_with(location, &Connection::default())
}

/// As [`open`], with secrets, limits and patience of its own.
///
/// # Errors
/// As [`open`].
pub fn open_with(location: &Location, connection: &Connection) -> Result<SharedStorage> {
    match &location.0 {
        Kind::Folder(path) if path.is_file() => {
            open_bundle(location, path, Trust::Looks).map(|bundle| wrap::local(bundle, connection))
        }
        Kind::Folder(path) => Ok(wrap_folder(open_folder(location, path)?, connection)),
        Kind::Bundle(path) => {
            open_bundle(location, path, Trust::Told).map(|bundle| wrap::local(bundle, connection))
        }
        Kind::Service(service) => service.open(connection),
    }
}

fn open_bundle(location: &Location, path: &Path, trust: Trust) -> Result<SharedStorage> {
    let shown = location.to_string();
    match BundleStorage::open(path, shown.clone(), trust) {
        Ok(Some(bundle)) => Ok(Arc::new(bundle)),
        Ok(None) => Err(Error::usage_hint(
            format!("`{location}` is neither a folder nor a bundle"),
            "a repository is a folder of its own, or a file made by `larder export`",
        )),
        Err(Error::Local { source, .. }) if source.kind() == ErrorKind::NotFound => {
            Err(Error::RepositoryMissing { location: shown })
        }
        Err(error) => Err(error),
    }
}

fn wrap_folder(folder: LocalStorage, connection: &Connection) -> SharedStorage {
    match folder.is_on_network() {
        true => wrap::share(Arc::new(folder), connection),
        false => wrap::local(Arc::new(folder), connection),
    }
}

fn open_folder(location: &Location, path: &Path) -> Result<LocalStorage> {
    LocalStorage::open(path, location.to_string()).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::RepositoryMissing { location: location.to_string() },
        ErrorKind::NotADirectory => Error::usage_hint(
            format!("`{location}` is not a folder"),
            "a repository is a folder of its own",
        ),
        _ => failure(&location.to_string(), "open", "", classify(&error), error).into(),
    })
}

/// Opens storage for a new repository, making the folder (mode 0700) and its parents if they are
/// missing. `layout` names what a repository has at its top: anything else found there is
/// foreign.
///
/// Whether there is a repository already, whole or half made, is for the caller to find out.
///
/// # Errors
/// [`Error::LocationNotEmpty`] if there are foreign files, otherwise as [`open`].
pub fn create(location: &Location, layout: &[&str]) -> Result<SharedStorage> {
    create_with(location, layout, &Connection::default())
}

/// As [`create`], with secrets, limits and patience of its own.
///
/// # Errors
/// As [`create`].
pub fn create_with(
    location: &Location,
    layout: &[&str],
    connection: &Connection,
) -> Result<SharedStorage> {
    let path = match &location.0 {
        Kind::Folder(path) => path,
        Kind::Bundle(_) => {
            return Err(Error::usage_hint(
                format!("`{location}` is a bundle, which is written once and as a whole"),
                "make one with `larder export --format larder`",
            ));
        }
        Kind::Service(service) => return service.open(connection),
    };
    make_folders(path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory => Error::usage_hint(
            format!("`{location}` is not a folder"),
            "choose the path of a new or empty folder",
        ),
        _ => Error::local("create", path, error),
    })?;
    let storage = open_folder(location, path)?;
    let is_ours = |name: &OsStr| {
        // A file system of its own brings `lost+found` along.
        let known = [TMP_FOLDER, PROBE_FOLDER, "lost+found"];
        name.to_str().is_some_and(|name| known.contains(&name) || layout.contains(&name))
    };
    let entries = std::fs::read_dir(path).map_err(|error| Error::local("read", path, error))?;
    for entry in entries {
        let entry = entry.map_err(|error| Error::local("read", path, error))?;
        if !is_ours(&entry.file_name()) {
            return Err(Error::LocationNotEmpty { location: location.to_string() });
        }
    }
    Ok(wrap_folder(storage, connection))
}

/// Makes a folder and its parents so that they survive a crash.
fn make_folders(path: &Path) -> io::Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make_folders(parent)?;
            match DirBuilder::new().mode(0o700).create(path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
                made => made?,
            }
        }
        Err(_) if path.is_dir() => return Ok(()),
        made => made?,
    }
    local::sync_path(parent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::PutMode;
    use std::os::unix::fs::PermissionsExt;

    fn refused(text: &str) -> String {
        match Location::parse(text) {
            Err(error @ Error::Usage { .. }) => {
                format!("{error}: {}", error.hint().unwrap_or_default())
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn paths_are_made_absolute() {
        let here = std::env::current_dir().unwrap();
        for (text, path) in [
            ("/srv/backup/", PathBuf::from("/srv/backup")),
            ("fs:/srv/./backup", PathBuf::from("/srv/backup")),
            ("backup", here.join("backup")),
            ("fs:a/b", here.join("a/b")),
            ("with:colon", here.join("with:colon")),
            ("./s3:x", here.join("s3:x")),
            ("user@host:/x", here.join("user@host:/x")),
        ] {
            let location = Location::parse(text).unwrap();
            assert_eq!(location.as_path(), Some(&*path), "{text}");
            assert_eq!(location.to_string(), path.display().to_string());
        }
        assert!(refused("").contains("empty"));
        assert!(refused("fs:").contains("empty"));
    }

    #[test]
    fn memory_is_shared_by_name_within_a_process() {
        let open = |text: &str| open(&Location::parse(text).unwrap()).unwrap();
        let first = open("memory:shared");
        first.put("repo", &[b"x"], PutMode::Content).unwrap();
        assert_eq!(first.location(), "memory:shared");
        assert_eq!(open("memory:shared").get("repo", 1).unwrap(), b"x");
        assert!(open("memory:other").get("repo", 1).is_err());
    }

    #[test]
    fn services_are_named_and_unknown_ones_refused() {
        assert_eq!(Location::parse("memory:a").unwrap().to_string(), "memory:a");
        let s3 = Location::parse("s3://bucket/a/b/?region=x&endpoint=http://127.0.0.1:9").unwrap();
        assert_eq!(s3.to_string(), "s3://bucket/a/b?region=x&endpoint=http://127.0.0.1:9");
        assert!(refused("gopher://x").contains("gopher"));
        assert!(refused("sftp:user@host:/x").contains("sftp://"));
        assert!(refused("rclone:remote:x").contains("./rclone:"));
        assert!(refused("rest:http://host/x").contains("rest"));
    }

    /// The message must not repeat the secret: it ends up in logs.
    #[test]
    fn secrets_are_refused_unseen() {
        for text in [
            "sftp://me:hunter2@host/x",
            "webdav://:hunter2@host/x",
            "sftp://me:a/hunter2@host/x",
            "sftp://me:a?hunter2@host/x",
            "s3://bucket/x?secret_access_key=hunter2",
            "s3://bucket/x?region=eu&Session-Token=hunter2",
            "azblob://box/x?sas_token=hunter2",
            "gopher://me:hunter2@host",
            "s3://bucket/x?endpoint=https://me:hunter2@host",
        ] {
            assert!(!refused(text).contains("hunter2"), "{text}");
        }
        assert!(refused("sftp://me:hunter2@host/x").contains("password"));
        for text in [
            "sftp://me@host:22/a:b@c",
            "sftp://host:22/a@b",
            "s3://bucket/x?access_key_id=me",
            "gcs://bucket/x?credential_path=/etc/me.json",
        ] {
            assert_eq!(Location::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_folder_is_made_private_and_a_missing_one_is_no_repository() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let location = Location::from_path(&path).unwrap();
        assert!(matches!(open(&location), Err(Error::RepositoryMissing { .. })));
        create(&location, &[]).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        open(&location).unwrap();
        create(&location, &[]).unwrap();

        std::fs::create_dir(path.join("data")).unwrap();
        create(&location, &["data"]).unwrap();
        assert!(matches!(create(&location, &[]), Err(Error::LocationNotEmpty { .. })));
        let file = Location::from_path(&dir.path().join("file")).unwrap();
        std::fs::write(file.as_path().unwrap(), "").unwrap();
        assert!(matches!(open(&file), Err(Error::Usage { .. })));
        assert!(matches!(create(&file, &[]), Err(Error::Usage { .. })));
    }
}
