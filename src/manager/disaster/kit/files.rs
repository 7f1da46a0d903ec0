//! The kit on disk.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::Kit;
use crate::error::{Error, Result};
use crate::fsmeta::create_private;

/// Name of the files, without their ending.
const NAME: &str = "larder-recovery-kit";

/// Kits that are kept beside each other at most.
const NUMBER_MAX: u32 = 1000;

/// The files that a kit is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KitFiles {
    /// The page to print.
    pub html: Option<PathBuf>,
    /// The same as text, which `larder recover --kit` reads, too.
    pub text: Option<PathBuf>,
}

impl KitFiles {
    /// What somebody means who names `output`: a `.html` or a `.txt` file; both in a folder; both
    /// if there is no ending.
    ///
    /// # Errors
    /// [`Error::Usage`] for any other ending.
    pub fn named(output: &Path) -> Result<Self> {
        if output.is_dir() {
            return Ok(Self::both(&output.join(NAME)));
        }
        let file = output.to_path_buf();
        match output.extension().and_then(|ending| ending.to_str()) {
            Some("html" | "htm") => Ok(Self { html: Some(file), text: None }),
            Some("txt") => Ok(Self { html: None, text: Some(file) }),
            None => Ok(Self::both(output)),
            Some(_) => Err(Error::usage_hint(
                format!("`{}` is no name for a kit", output.display()),
                "end it in `.html` or `.txt`; without an ending, or for a folder, both are written",
            )),
        }
    }

    /// Both files in `folder`, with a number if there are others already.
    pub fn free_in(folder: &Path) -> Self {
        let names = (2..NUMBER_MAX).map(|number| format!("{NAME}-{number}"));
        std::iter::once(NAME.to_owned())
            .chain(names)
            .map(|name| Self::both(&folder.join(name)))
            .find(|files| files.paths().all(|path| path.symlink_metadata().is_err()))
            .unwrap_or_else(|| Self::both(&folder.join(NAME)))
    }

    fn both(stem: &Path) -> Self {
        let with = |ending: &str| {
            let mut name = stem.as_os_str().to_owned();
            name.push(ending);
            Some(PathBuf::from(name))
        };
        Self { html: with(".html"), text: with(".txt") }
    }

    /// The files, the page first.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        [&self.html, &self.text].into_iter().flatten().map(PathBuf::as_path)
    }

    /// Fails if a file is there already: a kit is never written over, as it may be the only good
    /// one.
    ///
    /// # Errors
    /// [`Error::Local`].
    pub fn check_free(&self) -> Result<()> {
        match self.paths().find(|path| path.symlink_metadata().is_ok()) {
            Some(path) => Err(Error::local("create", path, ErrorKind::AlreadyExists)),
            None => Ok(()),
        }
    }

    /// Writes the files, readable by their owner alone. All are on disk for good when this
    /// returns, or none is there.
    ///
    /// # Errors
    /// [`Error::Local`], also if a file is there already.
    pub fn save(&self, kit: &Kit) -> Result<()> {
        let mut saved: Vec<&Path> = Vec::new();
        for (path, content) in [(&self.html, kit.html()), (&self.text, kit.text())] {
            let Some(path) = path else { continue };
            if let Err(error) = create_private(path, content.as_bytes()) {
                for path in saved {
                    let _ = std::fs::remove_file(path);
                }
                return Err(Error::local("create", path, error));
            }
            saved.push(path);
        }
        Ok(())
    }
}
