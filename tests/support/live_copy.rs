//! Reads a live folder with plain system calls, apart from the code under test.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use larder::model::entry::compare_paths;
use larder::model::{FileKind, Time, Xattr};
use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, Stat};

use super::tree_copy::{Body, Node, TreeCopy};

impl TreeCopy {
    /// Copies everything below `folder`, however deep, and `folder` itself.
    pub(crate) fn of_folder(folder: &Path) -> Self {
        let mut reading = Reading::default();
        let parent = open_dir(CWD, folder);
        reading.node(&parent, b".", b"");
        reading.folder(&parent, b"");
        reading.name_links();
        Self(reading.nodes)
    }
}

#[derive(Default)]
struct Reading {
    nodes: BTreeMap<Vec<u8>, Node>,
    links: HashMap<(u64, u64), Vec<Vec<u8>>>,
}

impl Reading {
    fn folder(&mut self, folder: &OwnedFd, path: &[u8]) {
        let names: Vec<Vec<u8>> = Dir::read_from(folder)
            .expect("lists a folder")
            .map(|entry| entry.expect("lists a folder").file_name().to_bytes().to_vec())
            .filter(|name| name != b"." && name != b"..")
            .collect();
        for name in names {
            let path = if path.is_empty() { name.clone() } else { [path, b"/", &name].concat() };
            if self.node(folder, &name, &path) == FileKind::Dir {
                self.folder(&open_dir(folder, &name[..]), &path);
            }
        }
    }

    fn node(&mut self, folder: &OwnedFd, name: &[u8], path: &[u8]) -> FileKind {
        let stat =
            rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).expect("looks at an entry");
        let kind = kind(&stat);
        let body = match kind {
            FileKind::File => bytes(folder, name),
            FileKind::Symlink => {
                let target = rustix::fs::readlinkat(folder, name, Vec::new()).expect("a target");
                Body::Target(target.into_bytes())
            }
            FileKind::CharDevice | FileKind::BlockDevice => {
                Body::Device(rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev))
            }
            _ => Body::Nothing,
        };
        if stat.st_nlink > 1 && kind != FileKind::Dir {
            self.links.entry((stat.st_dev, stat.st_ino)).or_default().push(path.to_vec());
        }
        let node = Node {
            kind,
            mode: stat.st_mode & 0o7777,
            owner: (stat.st_uid, stat.st_gid),
            mtime: Time { secs: stat.st_mtime, nanos: stat.st_mtime_nsec as u32 },
            body,
            xattrs: xattrs(folder, name),
            same_as: None,
        };
        self.nodes.insert(path.to_vec(), node);
        kind
    }

    fn name_links(&mut self) {
        for names in self.links.values_mut() {
            names.sort_by(|a, b| compare_paths(a, b));
            for name in &names[1..] {
                let node = self.nodes.get_mut(name).expect("was read");
                node.same_as = Some(names[0].clone());
                node.body = Body::Nothing;
            }
        }
    }
}

fn open_dir(parent: impl AsFd, path: impl rustix::path::Arg) -> OwnedFd {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, path, flags, Mode::empty()).expect("opens a folder")
}

fn kind(stat: &Stat) -> FileKind {
    use rustix::fs::FileType;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => FileKind::File,
        FileType::Directory => FileKind::Dir,
        FileType::Symlink => FileKind::Symlink,
        FileType::Fifo => FileKind::Fifo,
        FileType::Socket => FileKind::Socket,
        FileType::CharacterDevice => FileKind::CharDevice,
        FileType::BlockDevice => FileKind::BlockDevice,
        FileType::Unknown => panic!("an entry of unknown kind"),
    }
}

fn bytes(folder: &OwnedFd, name: &[u8]) -> Body {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(folder, name, flags, Mode::empty()).expect("opens a file");
    let mut file = File::from(file);
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    let mut len = 0;
    loop {
        let read = file.read(&mut buffer).expect("reads a file");
        if read == 0 {
            return Body::Bytes { len, hash: hasher.finalize() };
        }
        hasher.update(&buffer[..read]);
        len += read as u64;
    }
}

/// Through `/proc`, because the calls for attributes know no folders and paths may be long.
fn xattrs(folder: &OwnedFd, name: &[u8]) -> Vec<Xattr> {
    let path = [format!("/proc/self/fd/{}/", folder.as_raw_fd()).as_bytes(), name].concat();
    let mut names = vec![0; 64 << 10];
    let Ok(len) = rustix::fs::llistxattr(&path[..], &mut names[..]) else { return Vec::new() };
    let mut found = Vec::new();
    for name in names[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 64 << 10];
        if let Ok(len) = rustix::fs::lgetxattr(&path[..], name, &mut value[..]) {
            value.truncate(len);
            found.push(Xattr { name: name.to_vec(), value });
        }
    }
    found.sort();
    found
}
