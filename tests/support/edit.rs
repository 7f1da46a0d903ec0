//! Random changes to a live folder.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::LiveTree;

impl LiveTree {
    /// Makes `count` random changes: content, names, kinds, attributes, links.
    pub(crate) fn edit(&mut self, count: u64) {
        for _ in 0..count {
            self.edit_one();
        }
    }

    fn edit_one(&mut self) {
        let Some(path) = self.some_entry(|_| true) else { return self.grow(1) };
        match self.dice.below(14) {
            0..=2 => self.grow(1),
            3 => remove(&path),
            4 => self.rename(&path),
            5 => {
                // Another kind under the same name.
                remove(&path);
                match self.dice.below(3) {
                    0 => fs::create_dir(&path).expect("makes a folder"),
                    1 => std::os::unix::fs::symlink("other", &path).expect("links"),
                    _ => fs::write(&path, self.content()).expect("writes"),
                }
            }
            6 => self.decorate(&path),
            7 => self.swap_names(),
            8 => {
                if let Some(path) = self.some_file() {
                    fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).expect("a mode");
                }
            }
            _ => self.rewrite(),
        }
    }

    fn rewrite(&mut self) {
        let Some(path) = self.some_file() else { return };
        let len = path.symlink_metadata().expect("is there").len();
        let file = fs::OpenOptions::new().write(true).open(&path).expect("opens a file");
        match self.dice.below(5) {
            0 => file.write_all_at(&self.content(), len).expect("appends"),
            1 => file.set_len(self.dice.below(len + 1)).expect("truncates"),
            2 => file.set_len(len + self.dice.below(1 << 20)).expect("extends"),
            3 => {
                // New content under a new inode, as editors save.
                let new = path.with_extension("new");
                fs::write(&new, self.content()).expect("writes");
                fs::rename(&new, &path).expect("renames");
            }
            // The same length: only times tell.
            _ if len > 0 => {
                let at = self.dice.below(len);
                let end = (len - at).min(5000) as usize;
                let bytes = self.dice.noise(end.max(1));
                file.write_all_at(&bytes[..end.max(1)], at).expect("overwrites");
            }
            _ => {}
        }
    }

    fn rename(&mut self, path: &Path) {
        let folders =
            self.all(|other| other.is_dir() && !other.is_symlink() && !other.starts_with(path));
        let folder = self.dice.pick(&folders);
        let to = folder.join(format!("renamed{}", self.dice.below(1 << 30)));
        fs::rename(path, to).expect("renames");
    }

    fn swap_names(&mut self) {
        let (Some(a), Some(b)) = (self.some_file(), self.some_file()) else { return };
        if a != b {
            let between = self.path(".between");
            fs::rename(&a, &between).expect("renames");
            fs::rename(&b, &a).expect("renames");
            fs::rename(&between, &b).expect("renames");
        }
    }

    fn some_file(&self) -> Option<PathBuf> {
        self.some_entry(|path| path.symlink_metadata().is_ok_and(|meta| meta.is_file()))
    }

    fn some_entry(&self, fits: impl Fn(&Path) -> bool) -> Option<PathBuf> {
        let found = self.all(|path| path != self.root() && fits(path));
        if found.is_empty() { None } else { Some(self.dice.pick(&found).clone()) }
    }
}

fn remove(path: &Path) {
    let meta = path.symlink_metadata().expect("is there");
    if meta.is_dir() && meta.nlink() > 0 {
        fs::remove_dir_all(path).expect("removes a folder");
    } else {
        fs::remove_file(path).expect("removes a file");
    }
}
