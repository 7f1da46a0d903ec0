//! What every [`Storage`] must do, as one function that tests call with their implementation.
//!
//! Panics with the first promise that is broken. Part of the library, and hidden from its
//! documentation, so that tests against real servers can use it too.

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::{ObjectMeta, PutMode, SharedStorage, Storage, list_sorted};
use crate::error::{StorageError, StorageErrorKind};

/// What may be asked of an implementation.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Objects in the large listing.
    pub objects: usize,
    /// Whether exactly one of several simultaneous `CreateOnce` writers wins. Some services cannot
    /// promise it; they still must refuse a later one.
    pub exclusive: bool,
}

impl Default for Scale {
    fn default() -> Self {
        Self { objects: 10_000, exclusive: true }
    }
}

/// Tries everything, with 10,000 objects. `make` gives empty storage.
pub fn conformance(make: impl Fn() -> SharedStorage) {
    conformance_at(Scale::default(), make);
}

/// What a service is known not to do. Tests of it look whether that is still so.
#[derive(Clone, Copy, Debug, Default)]
pub struct Exceptions {
    /// `CreateOnce` replaces what is there.
    pub creates_again: bool,
    /// To delete `a/b` deletes the object `a`.
    pub deletes_above: bool,
}

/// Tries everything at this scale. `make` gives empty storage.
pub fn conformance_at(scale: Scale, make: impl Fn() -> SharedStorage) {
    conformance_but(scale, Exceptions::default(), make);
}

/// The same, but for what the service does not do.
pub fn conformance_but(scale: Scale, but: Exceptions, make: impl Fn() -> SharedStorage) {
    if !but.creates_again {
        names_are_taken_once(&*make());
        one_creator_wins(&*make(), scale);
    }
    reads_give_what_was_written(&*make());
    lengths_are_capped(&*make());
    what_is_missing_is_missing(&*make(), !but.deletes_above);
    folders_are_no_objects(&*make());
    names_are_checked(&*make());
    parts_are_joined(&*make());
    content_can_be_written_again(&*make());
    wrong_bytes_are_replaced(&*make());
    deleted_objects_are_gone(&*make());
    listings_are_whole(&*make());
    listings_allow_calls(&*make());
    many_objects_are_listed(&*make(), scale.objects);
    readers_see_whole_objects(&*make());
    assert!(make().concurrency() > 0, "some calls make sense");
}

fn put(storage: &dyn Storage, name: &str, bytes: &[u8]) {
    storage.put(name, &[bytes], PutMode::Content).expect("an object can be written");
}

fn get(storage: &dyn Storage, name: &str) -> Vec<u8> {
    storage.get(name, 1 << 30).expect("an object can be read")
}

fn kind<T>(result: Result<T, StorageError>) -> Option<StorageErrorKind> {
    result.err().map(|error| error.kind)
}

fn names(storage: &dyn Storage, prefix: &str) -> Vec<String> {
    let all = list_sorted(storage, prefix).expect("a folder can be listed");
    all.into_iter().map(|meta| meta.name).collect()
}

/// Bytes that repeat nowhere near.
fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn reads_give_what_was_written(storage: &dyn Storage) {
    for len in [0, 1, 4095, 4096, 1 << 20, (5 << 20) + 7] {
        let name = format!("data/{len}");
        let bytes = pattern(len);
        put(storage, &name, &bytes);
        assert!(get(storage, &name) == bytes, "{len} bytes come back");
        let meta = storage.head(&name).expect("an object has a length");
        assert_eq!((meta.name.as_str(), meta.len), (&*name, len as u64));
        for (from, to) in [(0, len), (0, len / 2), (len / 3, len), (len, len), (len / 2, len / 2)] {
            let mut buf = vec![0xaa; to - from];
            storage.get_range(&name, from as u64, &mut buf).expect("a range can be read");
            assert!(buf == bytes[from..to], "bytes {from}..{to} of {len} come back");
        }
        for (from, wanted) in [(0, len + 1), (len, 1), (len + 1, 0), (len / 2, len + 9)] {
            let read = storage.get_range(&name, from as u64, &mut vec![0; wanted]);
            let refused = Some(StorageErrorKind::Permanent);
            assert_eq!(kind(read), refused, "{wanted} bytes at {from} of {len}");
        }
        let read = storage.get_range(&name, u64::MAX, &mut [0; 2]);
        assert_eq!(kind(read), Some(StorageErrorKind::Permanent), "the end of all numbers");
    }
}

fn lengths_are_capped(storage: &dyn Storage) {
    put(storage, "a", &pattern(3 << 20));
    assert_eq!(kind(storage.get("a", (3 << 20) - 1)), Some(StorageErrorKind::Permanent));
    assert_eq!(kind(storage.get("a", 0)), Some(StorageErrorKind::Permanent));
    assert!(storage.get("a", 3 << 20).is_ok(), "the cap itself is allowed");
    assert!(storage.get("a", u64::MAX).is_ok(), "no cap reserves no memory");
    put(storage, "b", b"");
    assert_eq!(storage.get("b", 0).expect("nothing fits into nothing"), b"");
}

fn what_is_missing_is_missing(storage: &dyn Storage, deletes_below: bool) {
    let missing = Some(StorageErrorKind::Missing);
    put(storage, "data/00/a", b"x");
    for name in ["b", "data/00/b", "data/01/a", "c/d/e", "data/00/a/b"] {
        assert_eq!(kind(storage.get(name, 9)), missing, "{name}");
        assert_eq!(kind(storage.get_range(name, 0, &mut [0; 1])), missing, "{name}");
        assert_eq!(kind(storage.get_range(name, 0, &mut [])), missing, "{name}");
        assert_eq!(kind(storage.head(name)), missing, "{name}");
        if deletes_below || name != "data/00/a/b" {
            assert_eq!(kind(storage.delete(name)), None, "{name}");
        }
    }
    assert_eq!(names(storage, ""), ["data/00/a"]);
}

fn folders_are_no_objects(storage: &dyn Storage) {
    put(storage, "data/00/a", b"x");
    for name in ["data", "data/00"] {
        assert_eq!(kind(storage.get(name, 9)), Some(StorageErrorKind::Missing), "{name}");
        assert_eq!(kind(storage.head(name)), Some(StorageErrorKind::Missing), "{name}");
        // Services differ in what they say to this, but nothing inside may go.
        let _ = storage.delete(name);
    }
    assert_eq!(names(storage, ""), ["data/00/a"]);
}

fn names_are_checked(storage: &dyn Storage) {
    let refused = Some(StorageErrorKind::Permanent);
    let long = "a/".repeat(100) + "a";
    let bad = [
        "",
        "/",
        ".",
        "..",
        "../a",
        "a/../b",
        "/etc/passwd",
        "a//b",
        "a/",
        "A",
        "a b",
        "a\0",
        "ä",
        "tmp/a",
        "tmp",
        &long,
    ];
    for name in bad {
        assert_eq!(kind(storage.put(name, &[b"x"], PutMode::Content)), refused, "{name:?}");
        assert_eq!(kind(storage.put(name, &[b"x"], PutMode::CreateOnce)), refused, "{name:?}");
        assert_eq!(kind(storage.get(name, 9)), refused, "{name:?}");
        assert_eq!(kind(storage.get_range(name, 0, &mut [0; 1])), refused, "{name:?}");
        assert_eq!(kind(storage.head(name)), refused, "{name:?}");
        assert_eq!(kind(storage.delete(name)), refused, "{name:?}");
    }
    for prefix in ["data", "/", "../", "a//", "tmp/"] {
        assert_eq!(kind(storage.list(prefix, &mut |_| {})), refused, "{prefix:?}");
    }
    assert_eq!(names(storage, ""), [""; 0]);
    let longest = "a/".repeat(99) + "aa";
    for name in ["a.b-c_d.9", "...", "-", &longest] {
        put(storage, name, name.as_bytes());
        assert_eq!(get(storage, name), name.as_bytes());
    }
    assert_eq!(names(storage, "").len(), 4);
}

fn parts_are_joined(storage: &dyn Storage) {
    storage.put("none", &[], PutMode::Content).expect("no part is an empty object");
    storage.put("empty", &[b"", b""], PutMode::CreateOnce).expect("empty parts too");
    assert!(get(storage, "none").is_empty() && get(storage, "empty").is_empty());

    let bytes = pattern(3_000_000);
    // More parts than one system call takes, of all lengths, none among them.
    let mut parts: Vec<&[u8]> = Vec::new();
    let mut rest = &bytes[..];
    for at in 0.. {
        let (part, tail) = rest.split_at((at * 7 % 2000).min(rest.len()));
        parts.push(part);
        rest = tail;
        if rest.is_empty() {
            break;
        }
    }
    assert!(parts.len() > 2500);
    storage.put("many", &parts, PutMode::Content).expect("many parts can be written");
    assert!(get(storage, "many") == bytes, "they come back in order");
}

fn names_are_taken_once(storage: &dyn Storage) {
    storage.put("once", &[b"first"], PutMode::CreateOnce).expect("a new name");
    let again = storage.put("once", &[b"other"], PutMode::CreateOnce);
    assert_eq!(kind(again), Some(StorageErrorKind::Exists));
    let again = storage.put("once", &[b""], PutMode::CreateOnce);
    assert_eq!(kind(again), Some(StorageErrorKind::Exists));
    assert_eq!(get(storage, "once"), b"first");
    put(storage, "content", b"");
    let over = storage.put("content", &[b"x"], PutMode::CreateOnce);
    assert_eq!(kind(over), Some(StorageErrorKind::Exists));
    assert_eq!(names(storage, ""), ["content", "once"]);
}

fn content_can_be_written_again(storage: &dyn Storage) {
    put(storage, "content", b"same");
    put(storage, "content", b"same");
    assert_eq!(get(storage, "content"), b"same");
    // A torn object of earlier days is healed by writing it again.
    put(storage, "content", b"longer");
    assert_eq!(get(storage, "content"), b"longer");
    put(storage, "content", b"");
    assert_eq!(get(storage, "content"), b"");
    assert_eq!(names(storage, ""), ["content"]);
}

/// What heals damage: the same length is no reason to leave an object as it is.
fn wrong_bytes_are_replaced(storage: &dyn Storage) {
    put(storage, "data/00/a", b"wrong");
    for bytes in [&b"right"[..], b"right", b"longer than before", b"", b"short"] {
        storage.put("data/00/a", &[bytes], PutMode::Replace).expect("an object can be replaced");
        assert_eq!(get(storage, "data/00/a"), bytes, "it holds what was written last");
        assert_eq!(storage.head("data/00/a").expect("it is there").len, bytes.len() as u64);
    }
    storage.put("new", &[b"x", b"y"], PutMode::Replace).expect("there may be nothing to replace");
    assert_eq!(get(storage, "new"), b"xy");
    storage.put("once", &[b"a"], PutMode::CreateOnce).expect("a new name");
    storage.put("once", &[b"b"], PutMode::Replace).expect("whoever made it");
    assert_eq!(get(storage, "once"), b"b");
    assert_eq!(names(storage, ""), ["data/00/a", "new", "once"]);
}

fn deleted_objects_are_gone(storage: &dyn Storage) {
    put(storage, "data/00/a", b"x");
    put(storage, "data/00/b", b"y");
    storage.delete("data/00/a").expect("an object can be deleted");
    storage.delete("data/00/a").expect("twice is not an error");
    assert_eq!(kind(storage.head("data/00/a")), Some(StorageErrorKind::Missing));
    assert_eq!(names(storage, "data/"), ["data/00/b"]);
    storage.put("data/00/a", &[b"z"], PutMode::CreateOnce).expect("the name is free again");
    assert_eq!(get(storage, "data/00/a"), b"z");
}

fn listings_are_whole(storage: &dyn Storage) {
    for prefix in ["", "data/", "data/00/"] {
        assert_eq!(names(storage, prefix), [""; 0], "{prefix:?}");
    }
    let all = ["dat", "data-x/a", "data/00/a", "data/00/b", "data/01/c/d", "data/e", "repo"];
    for name in all {
        put(storage, name, name.as_bytes());
    }
    assert_eq!(names(storage, ""), all);
    // A folder, not a beginning of names; at any depth.
    assert_eq!(names(storage, "data/"), all[2..6]);
    assert_eq!(names(storage, "data/00/"), all[2..4]);
    assert_eq!(names(storage, "data/0/"), [""; 0]);
    assert_eq!(names(storage, "repo/"), [""; 0]);
    for listed in list_sorted(storage, "").expect("a folder can be listed") {
        let head = storage.head(&listed.name).expect("what is listed is there");
        assert_eq!(listed.len, listed.name.len() as u64);
        assert_eq!((head.len, &head.name), (listed.len, &listed.name));
        if let (Some(a), Some(b)) = (head.modified_ms, listed.modified_ms) {
            // Some services keep seconds in one place and milliseconds in the other.
            assert!(a.abs_diff(b) < 1000, "both times are the same: {a} {b}");
        }
    }
}

fn listings_allow_calls(storage: &dyn Storage) {
    for at in 0..20 {
        put(storage, &format!("data/{at}"), b"x");
    }
    let mut read = 0;
    let listed = storage.list("data/", &mut |meta: ObjectMeta| {
        read += get(storage, &meta.name).len();
    });
    assert_eq!((kind(listed), read), (None, 20));
}

fn many_objects_are_listed(storage: &dyn Storage, objects: usize) {
    let name = |at: usize| format!("data/{:02x}/{at:06}", at % 256);
    let threads = storage.concurrency().clamp(1, 8);
    thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                for at in (thread..objects).step_by(threads) {
                    put(storage, &name(at), &pattern(at % 5));
                }
            });
        }
    });
    let all = list_sorted(storage, "data/").expect("a folder can be listed");
    let listed: BTreeMap<_, _> = all.iter().map(|meta| (meta.name.clone(), meta.len)).collect();
    assert_eq!((all.len(), listed.len()), (objects, objects), "each once");
    for at in 0..objects {
        assert_eq!(listed.get(&name(at)), Some(&((at % 5) as u64)), "{}", name(at));
    }
    assert_eq!(names(storage, "data/07/").len(), objects.saturating_sub(7).div_ceil(256));
}

fn one_creator_wins(storage: &dyn Storage, scale: Scale) {
    const THREADS: u8 = 16;
    // Over a network, most of the sixteen are told to come again.
    let rounds = if scale.objects < 2000 { 8 } else { 20 };
    for round in 0..rounds {
        let name = format!("round/{round}");
        let together = Barrier::new(THREADS.into());
        let results: Vec<_> = thread::scope(|scope| {
            let create = |thread: u8| {
                let (name, together) = (&name, &together);
                move || {
                    let bytes = vec![thread; 5000];
                    together.wait();
                    (thread, kind(storage.put(name, &[&bytes], PutMode::CreateOnce)))
                }
            };
            let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(create(thread))).collect();
            let join = |thread: thread::ScopedJoinHandle<'_, _>| thread.join();
            threads.into_iter().map(join).map(|result| result.expect("no panic")).collect()
        });
        let winners: Vec<u8> = results
            .iter()
            .filter(|(_, error)| error.is_none())
            .map(|(thread, _)| *thread)
            .collect();
        assert!(!winners.is_empty(), "somebody wins");
        assert!(!scale.exclusive || winners.len() == 1, "{} won", winners.len());
        let failures = results.iter().filter_map(|(_, error)| *error);
        assert!(failures.clone().all(|kind| kind == StorageErrorKind::Exists), "others are told");
        let stored = get(storage, &name);
        assert!(winners.iter().any(|thread| stored == vec![*thread; 5000]), "a winner's bytes");
    }
}

fn readers_see_whole_objects(storage: &dyn Storage) {
    let bytes = pattern(1 << 20);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let (bytes, done) = (&bytes, &done);
        scope.spawn(move || {
            while !done.load(Ordering::SeqCst) {
                match storage.get("data/a", 1 << 20) {
                    Ok(read) => assert!(read == *bytes, "a reader saw {} bytes", read.len()),
                    Err(error) => assert_eq!(error.kind, StorageErrorKind::Missing, "{error:?}"),
                }
                for meta in list_sorted(storage, "data/").expect("a folder can be listed") {
                    assert_eq!(meta.len, 1 << 20, "a listing shows whole objects");
                }
            }
        });
        let writers: Vec<_> =
            (0..16).map(|_| scope.spawn(move || put(storage, "data/a", bytes))).collect();
        let failed = writers.into_iter().map(|writer| writer.join()).any(|end| end.is_err());
        done.store(true, Ordering::SeqCst);
        assert!(!failed, "all writers of the same bytes succeed");
    });
    assert!(get(storage, "data/a") == bytes);
}

#[cfg(test)]
mod tests;
