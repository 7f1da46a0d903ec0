//! Removes staging folders, and gives the folders that they were in their times back.

use std::io;
use std::os::fd::AsFd;

use super::described::{Described, Open};
use super::extras::join;
use super::journal;
use super::options::Steps;
use super::registry::KeptFolder;
use crate::fsmeta::{self, OpenDir};
use crate::model::FileKind;
use crate::restore::target::{Target, split_path};

/// Removes a staging folder, its journal last, and then makes the folder above it what `above`
/// says; `None` is what it is like now. One that is gone is removed.
///
/// # Errors
/// What the system says. What could be removed is.
pub(super) fn remove_staging(
    tree: &Target,
    path: &[u8],
    above: Option<&Described>,
    steps: &Steps,
) -> io::Result<()> {
    let (folder, name) = split_path(path);
    let top = match tree.open_dir(folder, OpenDir::Path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        top => top?,
    };
    let (found, now) = Described::read(&top, b".")?;
    match fsmeta::open_dir_at(&top, name, OpenDir::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
        Ok(dir) => {
            let mut names = Vec::new();
            fsmeta::read_dir_names(&dir, &mut Vec::new(), |name, _| names.push(name.to_vec()))?;
            // Without its journal, nobody knows what the rest is about.
            names.sort_by_key(|name| (name == journal::NAME, name.clone()));
            for inner in names {
                steps.at("clean")?;
                remove_tree(&dir, &inner)?;
            }
            steps.at("clean folder")?;
            match fsmeta::remove_dir_at(&top, name) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    Open::entry(&top, b".", FileKind::Dir)?.make_usable(&found)?;
                    fsmeta::remove_dir_at(&top, name)?;
                }
                result => result?,
            }
            steps.at("cleaned folder")?;
        }
    }
    above.unwrap_or(&now).apply(&top, b".")?;
    steps.at("cleaned")
}

/// What the folders that staging folders are in are like now.
pub(super) fn folders_now(tree: &Target, folders: &[KeptFolder]) -> Vec<KeptFolder> {
    let now = |folder: &KeptFolder| {
        let (above, _) = split_path(&folder.path);
        let above = tree.open_dir(above, OpenDir::Path);
        let now = above.and_then(|above| Described::read(above, b"."));
        let above = now.map_or_else(|_| folder.above.clone(), |(_, now)| now);
        KeptFolder { above, ..folder.clone() }
    };
    folders.iter().map(now).collect()
}

/// Removes the entry `name` of `dir` with all that is in it, even what is protected. Other mounts
/// are never entered. Depth costs neither stack nor open files.
///
/// # Errors
/// What the system says.
pub(super) fn remove_tree(dir: impl AsFd, name: &[u8]) -> io::Result<()> {
    let mount = fsmeta::mount_of(&dir)?;
    // Paths below `dir`, and the names in them that are left.
    let mut frames: Vec<(Vec<u8>, Vec<Vec<u8>>)> = vec![(Vec::new(), vec![name.to_vec()])];
    while let Some((path, names)) = frames.last_mut() {
        let open = fsmeta::open_dir_beneath(&dir, path, OpenDir::Path)?;
        let Some(name) = names.last().cloned() else {
            frames.pop();
            continue;
        };
        let inner = join(path, &name);
        let found = match fsmeta::stat_at(&open, &name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                names.pop();
                continue;
            }
            found => found?,
        };
        let removed = match found.is_dir() {
            true => fsmeta::remove_dir_at(&open, &name),
            false => fsmeta::remove_file_at(&open, &name),
        };
        match removed {
            Ok(()) => {
                names.pop();
            }
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                let entered = Open::entry(&open, &name, FileKind::Dir)?;
                entered.make_usable(&found)?;
                let entered = fsmeta::open_dir_at(&open, &name, OpenDir::Read)?;
                if fsmeta::mount_of(&entered)? != mount {
                    let text = "another file system is mounted in what is to be removed";
                    return Err(io::Error::other(text));
                }
                let mut names = Vec::new();
                fsmeta::read_dir_names(&entered, &mut Vec::new(), |name, _| {
                    names.push(name.to_vec());
                })?;
                frames.push((inner, names));
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                // It, or the folder that it is in, is protected.
                let above = Open::entry(&open, b".", FileKind::Dir)?;
                above.make_usable(&fsmeta::stat_fd(&open)?)?;
                if matches!(found.kind, FileKind::File | FileKind::Dir) {
                    Open::entry(&open, &name, found.kind)?.make_usable(&found)?;
                }
                match found.is_dir() {
                    true => match fsmeta::remove_dir_at(&open, &name) {
                        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                        result => result?,
                    },
                    false => fsmeta::remove_file_at(&open, &name)?,
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
