//! Decoders against bytes that nobody thought of: they never panic, and what they accept they
//! give back.

use proptest::prelude::*;

use super::pages::entries;
use super::samples::{Sample, samples};
use crate::crypto::Suite;
use crate::format::header::Header;
use crate::format::list;
use crate::format::pack::{TRAILER_LEN, Trailer};
use crate::format::page;
use crate::model::entry::{compare_paths, is_valid_path};
use crate::model::{ChunkId, Content, Entry, FileKind, PageId, Piece, Time, Xattr, XattrsRef};

/// What is accepted must come out the same a second time: then no two readings of it exist.
fn stands(sample: &Sample, bytes: &[u8]) {
    if let Ok(first) = (sample.again)(bytes) {
        let second = (sample.again)(&first);
        assert_eq!(second.expect("its own encoding decodes"), first, "{}", sample.name);
    }
}

thread_local! {
    /// Made once: a decoder may be any function.
    static SAMPLES: Vec<Sample> = samples();
}

fn all_stand(bytes: &[u8]) {
    SAMPLES.with(|all| all.iter().for_each(|sample| stands(sample, bytes)));
}

/// A change of encoded bytes: where (as a part of the length), and what.
#[derive(Clone, Debug)]
enum Change {
    Set(u16, u8),
    Flip(u16, u8),
    Cut(u16),
    Insert(u16, Vec<u8>),
    Remove(u16, u8),
    Repeat(u16, u8),
}

fn change() -> impl Strategy<Value = Change> {
    // Bytes that are headers of strings, arrays and numbers hit more than any byte would.
    let headers = prop::sample::select(vec![
        0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc4, 0xc5, 0xc6, 0xca, 0xcc,
        0xcd, 0xce, 0xcf, 0xd3, 0xd9, 0xdb, 0xdc, 0xdd, 0xdf, 0xff,
    ]);
    let byte = prop_oneof![any::<u8>(), headers];
    prop_oneof![
        4 => (any::<u16>(), byte.clone()).prop_map(|(at, byte)| Change::Set(at, byte)),
        2 => (any::<u16>(), 0_u8..8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        1 => any::<u16>().prop_map(Change::Cut),
        2 => (any::<u16>(), prop::collection::vec(byte, 1..6))
            .prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        1 => (any::<u16>(), 1_u8..40).prop_map(|(at, len)| Change::Remove(at, len)),
        1 => (any::<u16>(), 1_u8..40).prop_map(|(at, len)| Change::Repeat(at, len)),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    if bytes.is_empty() {
        return;
    }
    let place = |at: u16| usize::from(at) * bytes.len() / (usize::from(u16::MAX) + 1);
    match change {
        Change::Set(at, byte) => {
            let at = place(*at);
            bytes[at] = *byte;
        }
        Change::Flip(at, bit) => {
            let at = place(*at);
            bytes[at] ^= 1 << bit;
        }
        Change::Cut(at) => bytes.truncate(place(*at)),
        Change::Insert(at, new) => {
            let at = place(*at);
            bytes.splice(at..at, new.iter().copied());
        }
        Change::Remove(at, len) => {
            let at = place(*at);
            let end = (at + usize::from(*len)).min(bytes.len());
            bytes.drain(at..end);
        }
        Change::Repeat(at, len) => {
            let at = place(*at);
            let end = (at + usize::from(*len)).min(bytes.len());
            let part = bytes[at..end].to_vec();
            bytes.splice(at..at, part);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn decoders_survive_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        all_stand(&bytes);
        let _ = Header::decode(&bytes, "header");
        if let Some(end) = bytes.last_chunk::<TRAILER_LEN>() {
            let _ = Trailer::decode(end, bytes.len() as u64, "trailer");
        }
    }

    #[test]
    fn decoders_survive_changed_records(
        number in any::<prop::sample::Index>(),
        changes in prop::collection::vec(change(), 1..6),
    ) {
        let mut bytes = SAMPLES.with(|all| number.get(all).encoded.clone());
        changes.iter().for_each(|change| apply(&mut bytes, change));
        // All decoders: bytes of one kind may be taken for another.
        all_stand(&bytes);
    }

    #[test]
    fn changed_headers_are_refused_or_read_back(at in 0_usize..64, byte in any::<u8>()) {
        let good = Header::new(
            crate::format::header::ObjectType::LogRecord,
            Suite::Aes256.number(),
            crate::model::RepoId([7; 32]),
            crate::model::EpochId([8; 8]),
        );
        let mut bytes = good.encode();
        bytes[at] = byte;
        if let Ok(header) = Header::decode(&bytes, "header") {
            prop_assert_eq!(header.encode(), bytes);
        }
    }

    #[test]
    fn every_valid_page_comes_back(entries in leaf_entries()) {
        let bytes = page::encode_leaf(&entries);
        prop_assert_eq!(page::decode_leaf(&bytes, "page").expect("decodes"), entries);
    }

    #[test]
    fn every_valid_list_comes_back(pieces in prop::collection::vec(piece(), 1..40)) {
        let bytes = list::encode_leaf(&pieces);
        match list::decode_list(&bytes, 0, "list").expect("decodes") {
            list::ListPage::Leaf(again) => prop_assert_eq!(again, pieces),
            list::ListPage::Inner(_) => prop_assert!(false, "it was a leaf"),
        }
    }
}

fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        (any::<[u8; 32]>(), 1..=u32::MAX).prop_map(|(id, len)| Piece::Chunk(ChunkId(id), len)),
        (1_u64..=i64::MAX as u64).prop_map(Piece::Hole),
    ]
}

fn small_piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        (any::<[u8; 32]>(), 1..=u32::MAX).prop_map(|(id, len)| Piece::Chunk(ChunkId(id), len)),
        (1_u64..1 << 40).prop_map(Piece::Hole),
    ]
}

fn time() -> impl Strategy<Value = Time> {
    (any::<i64>(), 0_u32..1_000_000_000).prop_map(|(secs, nanos)| Time { secs, nanos })
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    let name = prop::collection::vec(prop::sample::select(b"ab-.0 \xff".to_vec()), 1..4);
    prop::collection::vec(name, 0..5)
        .prop_map(|names| names.join(&b'/'))
        .prop_filter("valid", |path| is_valid_path(path))
}

fn content() -> impl Strategy<Value = (FileKind, u64, Content)> {
    use FileKind::{BlockDevice, CharDevice, Dir, Fifo, File, Socket, Symlink};
    let bytes = || prop::collection::vec(any::<u8>(), 0..300);
    prop_oneof![
        prop::sample::select(vec![Dir, Fifo, Socket, CharDevice, BlockDevice]).prop_map(|kind| (
            kind,
            0,
            Content::None
        )),
        bytes().prop_map(|target| (Symlink, 0, Content::Inline(target))),
        bytes().prop_map(|bytes| (File, bytes.len() as u64, Content::Inline(bytes))),
        any::<u64>().prop_map(|size| (File, size, Content::None)),
        prop::collection::vec(small_piece(), 1..8).prop_map(|pieces| {
            let size = pieces.iter().map(Piece::len).sum();
            (File, size, Content::Pieces(pieces))
        }),
        (any::<[u8; 32]>(), 0_u8..8, any::<u64>(), any::<u64>()).prop_map(
            |(root, depth, pieces, size)| {
                (File, size, Content::List { root: PageId(root), depth, pieces })
            }
        ),
    ]
}

fn xattrs() -> impl Strategy<Value = XattrsRef> {
    let name = prop::collection::vec(1_u8.., 1..20);
    let xattr = (name, prop::collection::vec(any::<u8>(), 0..40))
        .prop_map(|(name, value)| Xattr { name, value });
    prop_oneof![
        3 => Just(XattrsRef::None),
        1 => prop::collection::vec(xattr, 1..4).prop_map(XattrsRef::Inline),
        1 => any::<[u8; 32]>().prop_map(|id| XattrsRef::Page(PageId(id))),
    ]
}

prop_compose! {
    fn some_entry()(
        path in path(),
        (kind, size, content) in content(),
        (mode, nlink, inode, inode_flags) in (0_u32..0o10000, any::<u64>(), any::<u64>(), any::<u32>()),
        (mtime, ctime, atime) in (time(), time(), prop::option::of(time())),
        xattrs in xattrs(),
        (sparse, torn) in any::<(bool, bool)>(),
        device in prop::option::of(any::<(u32, u32)>()),
        owner in 0_usize..3,
        link_to in prop::option::of(path()),
    ) -> Entry {
        let owner = entries()[owner].owner.clone();
        // A later name of a hard link has no content of its own.
        let content = if link_to.is_some() { Content::None } else { content };
        Entry {
            path, kind, mode, owner, mtime, ctime, atime, inode, nlink, size, content, link_to,
            sparse, torn, inode_flags, xattrs, device,
        }
    }
}

fn leaf_entries() -> impl Strategy<Value = Vec<Entry>> {
    prop::collection::vec(some_entry(), 0..20).prop_map(|mut entries| {
        entries.sort_by(|a, b| compare_paths(&a.path, &b.path));
        entries.dedup_by(|a, b| a.path == b.path);
        entries
    })
}
