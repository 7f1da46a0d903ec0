//! Which folders of this machine may be named in requests.

use std::path::{Component, Path, PathBuf};

use axum::http::StatusCode;

use super::problem::Problem;

/// Which folders of this machine may be named in requests. An empty list: none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Files are restored into these folders and what is in them.
    pub restore_roots: Vec<PathBuf>,
    /// Backups are made of these folders and what is in them, beside the sources that the
    /// repository was opened with.
    pub source_roots: Vec<PathBuf>,
}

impl Limits {
    /// The real place that files may be restored to.
    ///
    /// # Errors
    /// A problem if it is in none of the folders.
    pub(super) fn restore_target(&self, path: &Path) -> Result<PathBuf, Problem> {
        let hint = "an administrator says where with `restore-roots` in the settings of the daemon";
        within(&self.restore_roots, path).ok_or_else(|| refused("restored to", path, hint))
    }

    /// The real place that may be backed up.
    ///
    /// # Errors
    /// A problem if it is in none of the folders.
    pub(super) fn source(&self, path: &Path) -> Result<PathBuf, Problem> {
        let hint = "an administrator says what with `source-roots` in the settings of the daemon";
        within(&self.source_roots, path).ok_or_else(|| refused("backed up from", path, hint))
    }
}

fn refused(what: &str, path: &Path, hint: &str) -> Problem {
    let text = format!("nothing may be {what} `{}`", path.display());
    Problem::new(StatusCode::FORBIDDEN, "outside_roots", text).hint(hint)
}

/// The path with all links on the way to it followed, if it is in one of the folders then. What of
/// it is not there yet is taken as it is.
fn within(roots: &[PathBuf], path: &Path) -> Option<PathBuf> {
    let is_plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    if !path.is_absolute() || !path.components().all(is_plain) {
        return None;
    }
    let there = path.ancestors().find(|folder| folder.symlink_metadata().is_ok())?;
    // A link that leads nowhere is no way to anything.
    let real = there.canonicalize().ok()?;
    let rest = path.strip_prefix(there).ok()?;
    let real = if rest.as_os_str().is_empty() { real } else { real.join(rest) };
    let is_in = |root: &PathBuf| root.canonicalize().is_ok_and(|root| real.starts_with(root));
    roots.iter().any(is_in).then_some(real)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_really_is_in_a_root_is_taken() {
        let home = tempfile::tempdir().expect("a folder");
        let at = |name: &str| home.path().join(name);
        std::fs::create_dir_all(at("root/sub")).expect("a folder");
        std::fs::create_dir(at("other")).expect("a folder");
        std::os::unix::fs::symlink(at("other"), at("root/way-out")).expect("a link");
        std::os::unix::fs::symlink(at("nowhere"), at("root/dead")).expect("a link");
        std::os::unix::fs::symlink(at("root"), at("way-in")).expect("a link");
        let roots = [at("root")];
        for good in ["root", "root/sub", "root/new/deeper", "way-in/sub"] {
            assert!(within(&roots, &at(good)).is_some(), "{good}");
        }
        let bad =
            ["", "other", "rooted", "root/../other", "root/way-out", "root/way-out/x", "root/dead"];
        for bad in bad {
            assert_eq!(within(&roots, &at(bad)), None, "{bad}");
        }
        assert_eq!(within(&roots, Path::new("root")), None);
        assert_eq!(within(&[], &at("root")), None);
    }
}
