//! Where the files of profiles are, and what the paths in them mean.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

use crate::cli::context::folders;
use crate::error::{Error, Result};

/// Where profiles of all users are.
const SYSTEM_FOLDER: &str = "/etc/larder";

/// Permission bits of those who are not the owner.
const OTHERS: u32 = 0o077;
const OTHERS_WRITE: u32 = 0o022;

/// The file that something stands in.
pub(super) struct Place<'p>(pub(super) &'p Path);

impl Place<'_> {
    /// Paths in a profile are those of the folder it is in, and `~/` is the user's own.
    pub(super) fn path(&self, path: &Path) -> PathBuf {
        if let Ok(below_home) = path.strip_prefix("~")
            && let Ok(folders) = folders()
        {
            return folders.home_dir().join(below_home);
        }
        let folder = self.0.parent().unwrap_or(Path::new(""));
        folder.join(path).components().collect()
    }

    /// A location is a path only if it looks like one.
    pub(super) fn location(&self, location: &Path) -> PathBuf {
        let looks = ["~", ".", ".."].iter().any(|begin| location.starts_with(begin));
        if looks { self.path(location) } else { location.to_owned() }
    }
}

/// A name is looked for among the user's profiles, then among everybody's; what has a `/` is a
/// path. `beside` is a file in whose folder it is looked for first.
pub(super) fn find(name: &OsStr, beside: Option<&Path>) -> Result<PathBuf> {
    let as_path = Path::new(name);
    if as_path.components().count() != 1 || as_path.has_root() {
        return Ok(match beside {
            Some(beside) => Place(beside).path(as_path),
            None => as_path.to_owned(),
        });
    }
    let mut file = name.to_owned();
    if as_path.extension().is_none_or(|end| end != "toml") {
        file.push(".toml");
    }
    let near = beside.and_then(Path::parent).map(Path::to_owned);
    let own = folders().ok().map(|folders| folders.config_dir().join("larder"));
    let mut places: Vec<PathBuf> = Vec::new();
    for folder in near.into_iter().chain(own).chain([SYSTEM_FOLDER.into()]) {
        let place = folder.join(&file);
        if !places.contains(&place) {
            places.push(place);
        }
    }
    if let Some(found) = places.iter().find(|path| !is_missing(path)) {
        return Ok(found.clone());
    }
    let tried: Vec<_> = places.iter().map(|path| format!("`{}`", path.display())).collect();
    Err(Error::usage_hint(
        format!("there is no profile `{}`", as_path.display()),
        format!("make {}, or give the path of a profile", tried.join(" or ")),
    ))
}

fn is_missing(path: &Path) -> bool {
    matches!(path.metadata(), Err(error) if error.kind() == ErrorKind::NotFound)
}

/// A profile can name commands and hold keys: only its owner may change it, and read keys.
pub(super) fn check_permissions(
    path: &Path,
    meta: &std::fs::Metadata,
    holds_secrets: bool,
) -> Result<()> {
    if !meta.is_file() {
        return Err(Error::usage(format!("`{}` is no file", path.display())));
    }
    let shown = path.display();
    if meta.uid() != 0 && meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(Error::usage_hint(
            format!("the profile `{shown}` belongs to another user"),
            "it can name commands to run: use a copy of your own",
        ));
    }
    let (refused, what) = match holds_secrets {
        true => (OTHERS, "holds secrets, and others can read or change it"),
        false => (OTHERS_WRITE, "can be changed by others"),
    };
    if meta.mode() & refused == 0 {
        return Ok(());
    }
    Err(Error::usage_hint(format!("the profile `{shown}` {what}"), format!("chmod 600 {shown}")))
}
