//! A live folder with everything that a file system can hold, from a seed.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};

use super::Dice;

/// A folder that is backed up. Its entries are of all kinds that this user may make.
pub(crate) struct LiveTree {
    root: PathBuf,
    pub(super) dice: Dice,
    made: u64,
}

impl LiveTree {
    /// An empty folder at `root`, which must not exist.
    pub(crate) fn new(root: PathBuf, seed: u64) -> Self {
        fs::create_dir_all(&root).expect("makes a folder");
        Self { root, dice: Dice::seeded(seed), made: 0 }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.join(name)
    }

    /// Adds `count` entries of random kinds in random folders.
    pub(crate) fn grow(&mut self, count: u64) {
        for _ in 0..count {
            self.add_one();
        }
    }

    /// Adds a file of `len` bytes that do not compress.
    pub(crate) fn add_noise(&mut self, name: &str, len: usize) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, self.dice.noise(len)).expect("writes a file");
        path
    }

    /// Every kind of entry once, with the awkward cases that a random tree may lack.
    pub(crate) fn add_samples(&mut self) {
        let folder = self.path("samples");
        fs::create_dir(&folder).expect("makes a folder");
        let at = |name: &str| folder.join(name);
        fs::write(at("empty"), b"").expect("writes");
        fs::write(at("tiny"), b"tiny").expect("writes");
        fs::write(at("zeros"), vec![0; 200_000]).expect("writes");
        fs::write(at("text"), self.dice.text(90_000)).expect("writes");
        fs::write(at("noise"), self.dice.noise(600_001)).expect("writes");
        self.sparse_file(&at("sparse"), 2 << 20);
        fs::hard_link(at("text"), at("a further name")).expect("links");
        fs::hard_link(at("text"), self.path("another further name")).expect("links");
        std::os::unix::fs::symlink("text", at("link")).expect("links");
        std::os::unix::fs::symlink("/nowhere/at all", at("dangling")).expect("links");
        fs::create_dir_all(at("deep/er/and/deeper")).expect("makes folders");
        fs::create_dir(at("empty folder")).expect("makes a folder");
        for kind in [FileType::Fifo, FileType::Socket, FileType::CharacterDevice] {
            make_special(&at(&format!("{kind:?}")), kind);
        }
        let odd = OsString::from_vec(b"\xff\xfe not UTF-8 \n".to_vec());
        fs::write(folder.join(odd), b"odd").expect("writes");
        let tiny = at("tiny");
        set_xattr(&tiny, "user.comment", b"a comment");
        set_xattr(&at("text"), "user.long", &self.dice.noise(900));
        set_times(&tiny, -1_000_000_000, 123_456_789);
        fs::set_permissions(&tiny, fs::Permissions::from_mode(0o4751)).expect("sets a mode");
    }

    fn add_one(&mut self) {
        let folders = self.all(|path| path.is_dir() && !path.is_symlink());
        let name = self.new_name();
        let path = self.dice.pick(&folders).join(name);
        if path.symlink_metadata().is_ok() {
            return;
        }
        match self.dice.below(24) {
            0..=4 => fs::create_dir(&path).expect("makes a folder"),
            5..=6 => {
                let target = self.dice.pick(&["a", "../b", "/etc/passwd", "nowhere", "."]);
                std::os::unix::fs::symlink(target, &path).expect("links");
            }
            7..=8 => self.link_to_some(&path),
            9 => {
                const KINDS: [FileType; 4] = [
                    FileType::Fifo,
                    FileType::Socket,
                    FileType::CharacterDevice,
                    FileType::BlockDevice,
                ];
                make_special(&path, *self.dice.pick(&KINDS));
            }
            10 => {
                let len = self.dice.below(2 << 20);
                self.sparse_file(&path, len);
            }
            _ => fs::write(&path, self.content()).expect("writes a file"),
        }
        if path.symlink_metadata().is_ok() {
            self.decorate(&path);
        }
    }

    /// Random bytes of a random sort, mostly short.
    pub(super) fn content(&self) -> Vec<u8> {
        let len = match self.dice.below(12) {
            0 if self.dice.once_in(4) => self.dice.below(2_500_000),
            0 => self.dice.below(300_000),
            1..=4 => *self.dice.pick(&[0, 1, 255, 256, 257, 4096, 65_535, 65_536, 65_537]),
            _ => self.dice.len(20_000),
        } as usize;
        match self.dice.below(6) {
            0 => vec![0; len],
            1 | 2 => self.dice.text(len),
            3 => {
                let mut bytes = self.dice.noise(len);
                let from = self.dice.below(len as u64 + 1) as usize;
                bytes[from..].fill(0);
                bytes
            }
            _ => self.dice.noise(len),
        }
    }

    fn new_name(&mut self) -> OsString {
        const TRAPS: [&[u8]; 12] = [
            b"a",
            b"a.b",
            b"a-b",
            b"a b",
            b"b",
            b"\xff",
            b"\x01",
            b"new\nline",
            b"A",
            b"-rf",
            b"~",
            b"\xc3\xa4",
        ];
        self.made += 1;
        let mut name = match self.dice.below(10) {
            0..=3 => self.dice.pick(&TRAPS).to_vec(),
            4 => vec![b'n'; 240],
            _ => b"entry".to_vec(),
        };
        if self.dice.below(3) > 0 {
            name.extend_from_slice(format!("{:x}", self.made).as_bytes());
        }
        OsString::from_vec(name)
    }

    fn link_to_some(&mut self, path: &Path) {
        let files = self.all(|path| !path.is_dir() || path.is_symlink());
        if !files.is_empty() {
            // Some systems link no special files.
            let _ = fs::hard_link(self.dice.pick(&files), path);
        }
    }

    fn sparse_file(&mut self, path: &Path, len: u64) {
        let file = fs::File::create(path).expect("makes a file");
        file.set_len(len).expect("sets a length");
        for _ in 0..self.dice.below(4) {
            let at = self.dice.below(len + 1);
            let bytes = self.dice.noise(self.dice.below(90_000) as usize);
            let room = usize::try_from(len - at).unwrap_or(usize::MAX).min(bytes.len());
            file.write_all_at(&bytes[..room], at).expect("writes");
        }
    }

    /// Gives an entry a random mode, owner, attributes and time.
    pub(super) fn decorate(&mut self, path: &Path) {
        let is_link = path.is_symlink();
        if self.dice.once_in(4) && rustix::process::getuid().is_root() {
            let owner = Some(self.dice.below(70_000) as u32);
            std::os::unix::fs::lchown(path, owner, owner).expect("changes the owner");
        }
        if !is_link && self.dice.once_in(3) {
            let readable = if path.is_dir() { 0o500 } else { 0o400 };
            let mode = self.dice.below(0o10000) as u32 | readable | 0o200;
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("sets a mode");
        }
        if !is_link && (path.is_file() || path.is_dir()) && self.dice.once_in(5) {
            let name = format!("user.{}", self.dice.below(3));
            let value = self.dice.noise(self.dice.len(1500) as usize);
            set_xattr(path, &name, &value);
        }
        if self.dice.once_in(2) {
            let secs = self.dice.below(4_000_000_000) as i64 - 1_000_000_000;
            set_times(path, secs, self.dice.below(1_000_000_000) as i64);
        }
    }

    /// All paths that fit, the root among them, in an order that depends on nothing but names.
    pub(super) fn all(&self, fits: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
        let mut found = vec![self.root.clone()];
        let mut at = 0;
        while at < found.len() {
            if found[at].is_dir() && !found[at].is_symlink() {
                let entries = fs::read_dir(&found[at]).expect("lists a folder");
                let mut paths: Vec<PathBuf> =
                    entries.map(|entry| entry.expect("lists a folder").path()).collect();
                paths.sort_by(|a, b| a.as_os_str().as_bytes().cmp(b.as_os_str().as_bytes()));
                found.extend(paths);
            }
            at += 1;
        }
        found.retain(|path| fits(path));
        found
    }
}

/// Makes a fifo, a socket or the device node of `/dev/null`, if this user may.
fn make_special(path: &Path, kind: FileType) {
    let device = rustix::fs::makedev(1, 3);
    let made = rustix::fs::mknodat(CWD, path, kind, Mode::from_raw_mode(0o640), device);
    if let Err(error) = made {
        let is_device = matches!(kind, FileType::CharacterDevice | FileType::BlockDevice);
        assert!(is_device, "makes a {kind:?}: {error}");
    }
}

/// Sets an attribute, where the file system has attributes.
pub(crate) fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    let _ = rustix::fs::lsetxattr(path, name, value, XattrFlags::empty());
}

/// Sets both times of an entry, not of what a link leads to.
pub(crate) fn set_times(path: &Path, secs: i64, nanos: i64) {
    let time = Timespec { tv_sec: secs, tv_nsec: nanos as _ };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).expect("sets times");
}
