use proptest::prelude::*;

use super::*;
use crate::tree::testing::{Lab, Store, dir, entry, inline};

/// A file of these chunk lengths (negative: holes), its bytes and its pieces.
fn make(store: &mut Store<'_>, lengths: &[i32], seed: u8) -> (Vec<u8>, Vec<Piece>) {
    let mut bytes = Vec::new();
    let mut pieces = Vec::new();
    for (number, len) in lengths.iter().enumerate() {
        let size = len.unsigned_abs() as usize;
        if *len < 0 {
            bytes.resize(bytes.len() + size, 0);
            pieces.push(Piece::Hole(size as u64));
        } else {
            let start = bytes.len();
            bytes.extend((0..size).map(|at| (at * 7 + number * 31) as u8 ^ seed));
            pieces.push(store.chunk(&bytes[start..]));
        }
    }
    (bytes, pieces)
}

fn file(size: usize, content: Content) -> Entry {
    Entry { size: size as u64, content, ..entry(b"f", FileKind::File) }
}

fn open<'l>(lab: &'l Lab, entry: &Entry) -> FileReader<'l> {
    let manifest = lab.manifest(std::slice::from_ref(entry));
    FileReader::open(&lab.repository, &manifest, entry).expect("opens")
}

#[test]
fn every_kind_of_content_reads_as_a_vec_does() {
    let lab = Lab::new();
    let lengths = prop::collection::vec(prop_oneof![1..2000_i32, -3000..0_i32], 1..40);
    let steps = prop::collection::vec((0.0..1.1_f64, 0..9000_usize), 1..20);
    let config = ProptestConfig { cases: 48, ..ProptestConfig::default() };
    proptest!(config, |(lengths in lengths, steps in steps, fan in 2..5_usize, kind in 0..3_u8, seed: u8)| {
        let (bytes, entry) = lab.store(|store| {
            let (bytes, pieces) = make(store, &lengths, seed);
            let content = match kind {
                0 => Content::Pieces(pieces),
                1 => Content::Inline(bytes.clone()),
                _ => store.list(&pieces, fan),
            };
            (bytes.clone(), file(bytes.len(), content))
        });
        let mut reader = open(&lab, &entry);
        for (place, len) in steps {
            let at = (bytes.len() as f64 * place) as usize;
            let mut buf = vec![9; len];
            let read = reader.read_at(at as u64, &mut buf).expect("reads");
            let want = &bytes[at.min(bytes.len())..(at + len).min(bytes.len())];
            prop_assert_eq!(&buf[..read], want);
            reader.seek(SeekFrom::Start(at as u64)).expect("seeks");
            let mut rest = Vec::new();
            let copied = reader.copy_to(&mut rest).expect("copies");
            prop_assert_eq!(copied, rest.len() as u64);
            prop_assert_eq!(&rest[..], &bytes[at.min(bytes.len())..]);
            prop_assert_eq!(reader.read_to_end(&mut rest).expect("reads"), 0);
        }
        reader.seek(SeekFrom::End(-(bytes.len() as i64))).expect("seeks");
        let mut all = Vec::new();
        reader.read_to_end(&mut all).expect("reads");
        prop_assert_eq!(all, bytes);
    });
}

#[test]
fn large_files_are_read_ahead_in_order_from_any_offset() {
    let lab = Lab::new();
    let mut lengths: Vec<i32> = (0..400).map(|n| n * 7919 % 90_000 + 1).collect();
    lengths[7] = -5_000_000;
    lengths[300] = -1;
    let (bytes, entry) = lab.store(|store| {
        let (bytes, pieces) = make(store, &lengths, 1);
        let content = store.list(&pieces, 16);
        (bytes.clone(), file(bytes.len(), content))
    });
    let mut reader = open(&lab, &entry);
    for at in [0, 1, 77_777, 2_000_000, bytes.len() - ahead_min() - 1] {
        reader.seek(SeekFrom::Start(at as u64)).expect("seeks");
        let mut copy = Vec::new();
        reader.copy_to(&mut copy).expect("copies");
        assert!(copy == bytes[at..], "from {at}");
    }
}

fn ahead_min() -> usize {
    4 << 20
}

#[test]
fn a_writer_that_fails_ends_the_copy() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let lab = Lab::new();
    let entry = lab.store(|store| {
        let (bytes, pieces) = make(store, &[60_000; 150], 1);
        file(bytes.len(), Content::Pieces(pieces))
    });
    let error = open(&lab, &entry).copy_to(&mut Full).expect_err("fails");
    assert!(matches!(error, Error::Local { source, .. }
        if source.kind() == io::ErrorKind::BrokenPipe));
}

#[test]
fn what_is_lost_is_told_and_the_rest_is_read() {
    for chunk_len in [40_i32, 90_000] {
        let lab = Lab::new();
        let (bytes, entry) = lab.store(|store| {
            let (bytes, mut pieces) = make(store, &[chunk_len; 60], 1);
            // A chunk that nobody has, and one that is shorter than it should be.
            pieces[20] = Piece::Chunk(ChunkId([1; 32]), chunk_len as u32);
            let Piece::Chunk(id, _) = pieces[41] else { panic!("a chunk") };
            pieces[40] = Piece::Chunk(id, chunk_len as u32 - 1);
            pieces[41] = Piece::Hole(chunk_len as u64 + 1);
            (bytes.clone(), file(bytes.len(), Content::Pieces(pieces)))
        });
        let len = chunk_len as u64;
        let mut reader = open(&lab, &entry);
        let mut read = Vec::new();
        let mut gaps = Vec::new();
        reader
            .read_parts(&mut |part| {
                match part {
                    Part::Bytes(part) => read.extend_from_slice(part),
                    Part::Hole(len) => read.resize(read.len() + len as usize, 0),
                    Part::Gap(gap) => {
                        assert!(gap.error.is_damage());
                        gaps.push((gap.start, gap.end));
                        read.extend_from_slice(&bytes[gap.start as usize..gap.end as usize]);
                    }
                }
                Ok(())
            })
            .expect("goes on");
        assert_eq!(gaps, [(20 * len, 21 * len), (40 * len, 41 * len - 1)]);
        assert_eq!(read.len(), bytes.len());
        assert!(read[..40 * len as usize] == bytes[..40 * len as usize]);
        assert!(read[42 * len as usize..] == bytes[42 * len as usize..]);
        assert!(reader.copy_to(&mut Vec::new()).is_ok(), "at the end nothing is left");
        reader.seek(SeekFrom::Start(0)).expect("seeks");
        assert!(matches!(reader.copy_to(&mut Vec::new()), Err(Error::NotFound { .. })));
        let mut buf = vec![0; 100];
        assert_eq!(reader.read_at(20 * len - 5, &mut buf).expect("reads five"), 5);
        assert!(reader.read_at(20 * len, &mut buf).is_err());
        assert!(reader.read(&mut []).expect("nothing") == 0);
    }
}

#[test]
fn list_pages_that_lie_about_their_length_are_refused() {
    let lab = Lab::new();
    for wrong in [-1_i64, 1] {
        let entry = lab.store(|store| {
            let (bytes, pieces) = make(store, &[50; 20], 1);
            let content = store.list(&pieces, 4);
            file((bytes.len() as i64 + wrong) as usize, content)
        });
        let mut reader = open(&lab, &entry);
        assert!(matches!(reader.read_at(0, &mut [0]), Err(Error::Damaged { .. })));
    }
}

#[test]
fn hard_links_have_the_content_of_their_group() {
    let lab = Lab::new();
    let first = inline(b"a", b"hello");
    let link = Entry {
        path: b"b".to_vec(),
        content: Content::None,
        link_to: Some(b"a".to_vec()),
        ..first.clone()
    };
    let lost = Entry { path: b"c".to_vec(), link_to: Some(b"b".to_vec()), ..link.clone() };
    let folder = dir(b"d");
    let manifest = lab.manifest(&[first, link.clone(), lost.clone(), folder.clone()]);
    let open = |entry| FileReader::open(&lab.repository, &manifest, entry);
    let mut text = String::new();
    open(&link).expect("opens").read_to_string(&mut text).expect("reads");
    assert_eq!(text, "hello");
    assert!(matches!(open(&lost), Err(Error::Damaged { .. })));
    assert!(matches!(open(&folder), Err(Error::Usage { .. })));
}
