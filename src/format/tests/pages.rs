//! Samples of pages, and the entries in them.

use std::sync::Arc;

use super::samples::{Sample, bin, counting, other, sample};
use crate::format::list::{self, ListChild, ListPage};
use crate::format::page::{self, Child, OwnerRecord};
use crate::model::{
    ChunkId, Content, Entry, FileKind, Owner, PageId, Piece, Time, Xattr, XattrsRef,
};

fn time(secs: i64, nanos: u32) -> Time {
    Time { secs, nanos }
}

/// Entries of all kinds, with every field in use somewhere.
pub(super) fn entries() -> Vec<Entry> {
    let root = Arc::new(Owner { uid: 0, gid: 0, user: b"root".to_vec(), group: b"root".to_vec() });
    let other = Arc::new(Owner {
        uid: 1000,
        gid: 100,
        user: Vec::new(),
        group: "grüße".as_bytes().to_vec(),
    });
    let (t1, t2) = (time(1_700_000_000, 5), time(1_700_000_060, 999_999_999));
    let entry = |path: &[u8], kind, mode, inode: u64| Entry {
        mode,
        owner: Arc::clone(&root),
        mtime: t1,
        ctime: t1,
        inode,
        ..Entry::new(path.to_vec(), kind)
    };
    let chunk = |byte, len| Piece::Chunk(ChunkId([byte; 32]), len);
    let xattr = |name: &[u8], value: &[u8]| Xattr { name: name.to_vec(), value: value.to_vec() };
    let folder = Entry { ctime: t2, nlink: 3, ..entry(b"a", FileKind::Dir, 0o755, (1 << 63) + 5) };
    let small = Entry {
        owner: Arc::clone(&other),
        nlink: 2,
        size: 3,
        content: Content::Inline(b"abc".to_vec()),
        sparse: true,
        inode_flags: 0x10,
        ..entry(b"a/b", FileKind::File, 0o4644, 10)
    };
    let one = Entry {
        mtime: time(-5, 0),
        ctime: t2,
        size: 70_000,
        content: Content::Pieces(vec![chunk(0x21, 70_000)]),
        ..entry(b"a/b-one", FileKind::File, 0o600, 11)
    };
    let pieces = Entry {
        size: 200_000,
        content: Content::Pieces(vec![
            chunk(0x22, 65_536),
            Piece::Hole(68_928),
            chunk(0x23, 65_536),
        ]),
        xattrs: XattrsRef::Inline(vec![xattr(b"user.a", b"1"), xattr(b"user.b", b"")]),
        atime: Some(time(1_700_000_001, 1)),
        ..entry(b"a/b\xff", FileKind::File, 0, 12)
    };
    let list = Entry {
        size: 1 << 33,
        content: Content::List { root: PageId([0x24; 32]), depth: 1, pieces: 8192 },
        xattrs: XattrsRef::Page(PageId([0x25; 32])),
        ..entry(b"a/list", FileKind::File, 0o644, 13)
    };
    let link = Entry {
        owner: other,
        nlink: 2,
        size: 3,
        link_to: Some(b"a/b".to_vec()),
        ..entry(b"a/other name", FileKind::File, 0o4644, 10)
    };
    let device = |path, kind, mode, inode, device| Entry {
        device: Some(device),
        ..entry(path, kind, mode, inode)
    };
    let symlink = Entry {
        content: Content::Inline(b"../a/b".to_vec()),
        ..entry(b"e-link", FileKind::Symlink, 0o777, 18)
    };
    let hole = Entry {
        size: 1 << 40,
        sparse: true,
        torn: true,
        ..entry(b"f-hole", FileKind::File, 0o644, 19)
    };
    let least = Entry {
        mtime: time(0, 0),
        ctime: time(0, 0),
        nlink: 0,
        ..entry(b"g-least", FileKind::File, 0, 19)
    };
    vec![
        folder,
        small,
        one,
        pieces,
        list,
        link,
        device(b"a-char", FileKind::CharDevice, 0o620, 14, (5, 1)),
        device(b"b-block", FileKind::BlockDevice, 0o660, 15, (259, 65_536)),
        entry(b"c-fifo", FileKind::Fifo, 0o600, 16),
        entry(b"d-socket", FileKind::Socket, 0o777, 17),
        symlink,
        hole,
        least,
    ]
}

pub(super) fn pages() -> Vec<Sample> {
    let owner =
        OwnerRecord { uid: 1000, gid: 100, user: bin(b""), group: bin("grüße".as_bytes()) };
    let child = |last: &[u8], page, entries, files, bytes| Child {
        last: bin(last),
        page: PageId([page; 32]),
        entries,
        files,
        bytes,
    };
    let children = [child(b"a/b\xff", 0x26, 80, 70, 1 << 33), child(b"a-b", 0x27, 1, 0, 0)];
    let leaf_again =
        |bytes: &[u8]| page::decode_leaf(bytes, "page").map(|entries| page::encode_leaf(&entries));
    let leaf = page::encode_leaf(&entries());
    assert_eq!(page::decode_leaf(&leaf, "page").expect("decodes"), entries());
    let xattrs = [
        Xattr { name: b"security.capability".to_vec(), value: counting(20).0 },
        Xattr { name: b"user.b".to_vec(), value: Vec::new() },
    ];
    let pieces = [
        Piece::Chunk(ChunkId([0x22; 32]), 65_536),
        Piece::Hole(1 << 40),
        Piece::Chunk(ChunkId([0x23; 32]), 1),
    ];
    let list_child = |page, bytes, pieces| ListChild { page: PageId([page; 32]), bytes, pieces };
    let list_children = [list_child(0x28, 1 << 33, 300), list_child(0x29, 5, 1)];
    let list_again = |level| {
        move |bytes: &[u8]| {
            list::decode_list(bytes, level, "list").map(|page| match page {
                ListPage::Leaf(pieces) => list::encode_leaf(&pieces),
                ListPage::Inner(children) => list::encode_inner(level, &children),
            })
        }
    };
    vec![
        sample("page::OwnerRecord", owner),
        other("page::LeafRecord", leaf, leaf_again),
        other("page::LeafRecord empty", page::encode_leaf(&[]), leaf_again),
        sample("page::Child", children[0].clone()),
        other("page::InnerRecord", page::encode_inner(2, &children), |bytes| {
            page::decode_inner(bytes, 2, "page").map(|children| page::encode_inner(2, &children))
        }),
        other("page/xattrs::XattrsPage", page::encode_xattrs(&xattrs), |bytes| {
            page::decode_xattrs(bytes, "page").map(|list| page::encode_xattrs(&list))
        }),
        other("list::LeafRecord", list::encode_leaf(&pieces), list_again(0)),
        sample("list::ListChild", list_children[0].clone()),
        other("list::InnerRecord", list::encode_inner(2, &list_children), list_again(2)),
    ]
}
