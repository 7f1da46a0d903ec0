//! An entry of a snapshot as a line and as JSON.

use serde::Serialize;

use super::output::{Output, iso_ns, local_ns};
use super::select::shown_path;
use crate::error::Result;
use crate::model::{Content, Entry, FileKind, escape_bytes, format_bytes};

/// How entries are listed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryStyle {
    /// Mode, owner, size and time too.
    pub(crate) long: bool,
}

impl EntryStyle {
    /// Prints one entry, as JSON if that is wanted.
    pub(crate) fn print(self, entry: &Entry, out: &Output) -> Result<()> {
        if out.json { out.object(&EntryJson::new(entry)) } else { out.line(self.line(entry)) }
    }

    /// `-rw-r--r-- ann      users       1.50 KiB 2026-11-01 12:00:03 +01:00 /home/ann/a`
    pub(crate) fn line(self, entry: &Entry) -> String {
        let path = shown_path(&entry.path);
        if !self.long {
            return path;
        }
        let name_or_number = |name: &[u8], number: u32| match name {
            b"" => number.to_string(),
            name => escape_bytes(name).into_owned(),
        };
        let owner = &entry.owner;
        let size = match entry.device {
            Some((major, minor)) => format!("{major}, {minor}"),
            None if entry.kind == FileKind::File => format_bytes(entry.size),
            None => "-".to_owned(),
        };
        let mut line = format!(
            "{} {:<8} {:<8} {:>9} {} {path}",
            permissions(entry.kind, entry.mode),
            name_or_number(&owner.user, owner.uid),
            name_or_number(&owner.group, owner.gid),
            size,
            local_ns(entry.mtime.as_ns()),
        );
        if let Some(target) = link_target(entry) {
            line.push_str(" -> ");
            line.push_str(&target);
        } else if let Some(first) = &entry.link_to {
            line.push_str(" = ");
            line.push_str(&shown_path(first));
        }
        line
    }
}

fn link_target(entry: &Entry) -> Option<String> {
    match (&entry.kind, &entry.content) {
        (FileKind::Symlink, Content::Inline(target)) => Some(escape_bytes(target).into_owned()),
        _ => None,
    }
}

/// `drwxr-sr-t`, as `ls` writes it.
fn permissions(kind: FileKind, mode: u32) -> String {
    let first = match kind {
        FileKind::File => '-',
        FileKind::Dir => 'd',
        FileKind::Symlink => 'l',
        FileKind::Fifo => 'p',
        FileKind::Socket => 's',
        FileKind::CharDevice => 'c',
        FileKind::BlockDevice => 'b',
    };
    let mut text = String::from(first);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// An entry in JSON, wherever one is told of. Fields are only ever added.
#[derive(Serialize)]
pub(crate) struct EntryJson {
    path: String,
    kind: &'static str,
    permissions: String,
    /// In octal, as people read it.
    mode: String,
    uid: u32,
    gid: u32,
    user: String,
    group: String,
    size_bytes: u64,
    mtime: Option<String>,
    ctime: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    atime: Option<String>,
    inode: u64,
    nlink: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    link_target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hard_link_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<(u32, u32)>,
    sparse: bool,
    changed_while_read: bool,
}

impl EntryJson {
    pub(crate) fn new(entry: &Entry) -> Self {
        let owner = &entry.owner;
        Self {
            path: shown_path(&entry.path),
            kind: entry.kind.as_str(),
            permissions: permissions(entry.kind, entry.mode),
            mode: format!("{:04o}", entry.mode),
            uid: owner.uid,
            gid: owner.gid,
            user: escape_bytes(&owner.user).into_owned(),
            group: escape_bytes(&owner.group).into_owned(),
            size_bytes: entry.size,
            mtime: iso_ns(entry.mtime.as_ns()),
            ctime: iso_ns(entry.ctime.as_ns()),
            atime: entry.atime.and_then(|atime| iso_ns(atime.as_ns())),
            inode: entry.inode,
            nlink: entry.nlink,
            link_target: link_target(entry),
            hard_link_to: entry.link_to.as_deref().map(shown_path),
            device: entry.device,
            sparse: entry.sparse,
            changed_while_read: entry.torn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_look_as_in_ls() {
        assert_eq!(permissions(FileKind::File, 0o644), "-rw-r--r--");
        assert_eq!(permissions(FileKind::Dir, 0o1777), "drwxrwxrwt");
        assert_eq!(permissions(FileKind::File, 0o6644), "-rwSr-Sr--");
        assert_eq!(permissions(FileKind::Symlink, 0o777), "lrwxrwxrwx");
    }
}
