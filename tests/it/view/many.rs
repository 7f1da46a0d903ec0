//! Many snapshots: opening a view and looking again costs little, and snapshots come and go while
//! it is open.

use std::sync::Arc;
use std::time::{Duration, Instant};

use larder::format::log::LogKind;
use larder::model::BackupId;
use larder::repository::{Author, NewSnapshot, Repository};
use larder::storage::record::Operation;
use larder::tree::SnapshotFilter;
use larder::view::{NodeId, Shown, View, ViewOptions, is_gone};

use super::{find, list, names, small, view, view_with};
use crate::rounds;
use crate::support::Lab;

/// Makes many snapshots of one state, a minute apart.
fn make(lab: &Lab, repository: &Repository, count: u64) {
    let snapshot = lab.backup().snapshot.expect("a snapshot");
    let runtime = lab.runtime();
    let (session, _) = repository.begin_session("test", "lab", &runtime).expect("begins");
    let mut known = repository.snapshots().expect("lists");
    for number in 1..count {
        // Each commit looks at the records that are newer than this list.
        if number % 100 == 0 {
            known = repository.snapshots().expect("lists");
        }
        let mut body = snapshot.body.clone();
        body.start_ms += number as i64 * 60_000;
        body.tags = vec![format!("{}", number % 7)];
        let id = BackupId(runtime.random.bytes());
        let host = format!("host {}", number % 5);
        let new = NewSnapshot { id, host, user: "tester".into(), body };
        repository.commit_snapshot(new, &session, &known, &runtime).expect("commits");
    }
    session.end().expect("ends");
}

/// A look at an unchanged log is one listing; snapshots are listed without reading any of them.
#[test]
fn looking_again_costs_a_listing() {
    let count = rounds(300, 10_000);
    let lab = small(7_200);
    let repository = Arc::new(lab.open());
    make(&lab, &repository, count);
    repository.load_index().expect("loads the index");
    let before = Instant::now();
    let options = ViewOptions { refresh: Duration::ZERO, ..ViewOptions::default() };
    let view = View::new(Arc::clone(&repository), options).expect("opens");
    println!("opened with {count} snapshots in {:?}", before.elapsed());
    let before = Instant::now();
    let snapshots = find(&view, "snapshots").expect("a folder").node;
    println!("looked again in {:?}", before.elapsed());
    lab.record.clear();
    let before = Instant::now();
    let all = list(&view, snapshots);
    println!("listed in {:?}", before.elapsed());
    assert_eq!(all.len() as u64, count);
    assert_eq!(lab.record.count(Operation::List, "snapshots/"), 1);
    assert_eq!(lab.record.calls().len(), 1, "{:?}", lab.record.calls());
    let nodes: std::collections::HashSet<_> = all.iter().map(|(_, a)| a.node).collect();
    assert_eq!(nodes.len(), all.len());
    // One more.
    let before = Instant::now();
    lab.backup();
    println!("backed up in {:?}", before.elapsed());
    lab.record.clear();
    let before = Instant::now();
    assert_eq!(list(&view, snapshots).len() as u64, count + 1);
    println!("found one more in {:?}", before.elapsed());
    assert_eq!(lab.record.count(Operation::Get, "snapshots/"), 1, "the new one alone is read");
}

#[test]
fn snapshots_come_and_go() {
    let lab = small(7_210);
    make(&lab, &lab.open(), 12);
    let view = view(&lab);
    let snapshots = find(&view, "snapshots").expect("a folder").node;
    let times = names(&view, snapshots);
    assert_eq!(times.len(), 12);
    let inside = find(&view, &format!("snapshots/{}/{}", times[3], "tmp"));
    let gone = find(&view, &format!("snapshots/{}", times[3])).expect("a folder");
    let mut folder = view.open_folder(snapshots).expect("opens");
    let third =
        (0..3).fold(0, |from, _| folder.next(&view, from).expect("lists").expect("an item").cursor);
    let repository = lab.open();
    let known = repository.snapshots().expect("lists");
    let chosen: Vec<_> =
        known.snapshots.iter().filter(|s| s.time_ms() / 1000 == gone.mtime.secs).collect();
    assert_eq!(chosen.len(), 1);
    let author = Author { host: "lab".into(), user: "tester".into() };
    let kind = LogKind::Forget;
    repository
        .append_about(kind, &chosen, "test", &author, &known, &lab.runtime())
        .expect("forgets");
    assert!(find(&view, &format!("snapshots/{}", times[3])).is_none());
    assert_eq!(names(&view, snapshots).len(), 11);
    // Whoever is in it stays in it, and a listing that was begun is not mixed up.
    assert_eq!(view.attributes(gone.node).expect("still known").node, gone.node);
    if let Some(inside) = inside {
        assert_eq!(view.attributes(inside.node).expect("still known"), inside);
    }
    let mut other = view.open_folder(snapshots).expect("opens");
    let next = other.next(&view, third).expect("lists").expect("an item");
    assert_eq!(next.name, times[4].as_bytes());
    // A view that is opened later has the same numbers.
    let later = super::view(&lab);
    let later_node = find(&later, &format!("snapshots/{}", times[5])).expect("a folder").node;
    assert_eq!(find(&view, &format!("snapshots/{}", times[5])).expect("a folder").node, later_node);
    let error = later.attributes(gone.node).expect_err("nobody asked for it there");
    assert!(is_gone(&error));
}

#[test]
fn hosts_and_tags_have_folders() {
    let lab = small(7_220);
    make(&lab, &lab.open(), 30);
    let everything = view(&lab);
    let folder = |view: &View, path: &str| names(view, find(view, path).expect("a folder").node);
    let mut hosts = folder(&everything, "hosts");
    hosts.sort();
    assert_eq!(hosts, ["host 0", "host 1", "host 2", "host 3", "host 4", "lab"]);
    assert_eq!(folder(&everything, "tags").len(), 7);
    let of_host = folder(&everything, "hosts/host 3");
    assert_eq!(of_host.len(), 1 + 6);
    assert_eq!(of_host[0], "latest");
    // Listings that begin anew after each item see the same.
    let node = find(&everything, "hosts/host 3").expect("a folder").node;
    let (mut again, mut from) = (Vec::new(), 0);
    while let Some(item) =
        everything.open_folder(node).expect("opens").next(&everything, from).expect("lists")
    {
        from = item.cursor;
        again.push(String::from_utf8(item.name).expect("text"));
    }
    assert_eq!(again, of_host);
    for path in ["hosts", "tags", "ids", "snapshots", ""] {
        let node = find(&everything, path).expect("a folder").node;
        let mut from = 0;
        for (name, _) in list(&everything, node) {
            let mut folder = everything.open_folder(node).expect("opens");
            let item = folder.next(&everything, from).expect("lists").expect("an item");
            assert_eq!(item.name, name, "{path}");
            from = item.cursor;
        }
    }
    assert!(find(&everything, &format!("hosts/host 2/{}", of_host[1])).is_none());
    let filter = SnapshotFilter { hosts: vec!["host 3".into()], ..SnapshotFilter::default() };
    let one = view_with(&lab, filter);
    assert_eq!(folder(&one, "hosts"), ["host 3"]);
    assert_eq!(folder(&one, "snapshots"), of_host[1..]);
    assert_eq!(one.space().snapshots, 6);
    assert!(one.space().bytes > 0);
    // The place is part of the number: no folder has two names.
    let at = |path: String| find(&everything, &path).expect("a folder").node;
    let first = at(format!("snapshots/{}", of_host[1]));
    let second = at(format!("hosts/host 3/{}", of_host[1]));
    assert_ne!(first, second);
}

/// Names that are no names of folders, and snapshots of the same second.
#[test]
fn odd_names_and_equal_times_are_told_apart() {
    let lab = small(7_230);
    let repository = lab.open();
    let snapshot = lab.backup().snapshot.expect("a snapshot");
    let runtime = lab.runtime();
    let (session, _) = repository.begin_session("test", "lab", &runtime).expect("begins");
    let known = repository.snapshots().expect("lists");
    let hosts = ["", ".", "..", "a/b", "a%2Fb", "\u{1}", "latest", &"x".repeat(300)];
    for (number, host) in hosts.iter().enumerate() {
        let mut body = snapshot.body.clone();
        body.start_ms = 1_795_457_490_000 + number as i64 / 2;
        body.tags = vec![(*host).to_owned(), (*host).to_owned()];
        let id = BackupId(runtime.random.bytes());
        let new = NewSnapshot { id, host: (*host).to_owned(), user: "tester".into(), body };
        repository.commit_snapshot(new, &session, &known, &runtime).expect("commits");
    }
    session.end().expect("ends");
    let view = view(&lab);
    for folder in ["hosts", "tags"] {
        let node = find(&view, folder).expect("a folder").node;
        let all = list(&view, node);
        assert_eq!(all.len(), hosts.len() + usize::from(folder == "hosts"));
        for (name, attributes) in all {
            assert!(!name.contains(&b'/') && name.len() <= 255 && name != b"." && name != b"..");
            let found = view.lookup(node, &name).expect("looks up").expect("is there");
            assert_eq!(found, attributes);
            assert_eq!(list(&view, found.node).len(), 2);
        }
    }
    let times = names(&view, find(&view, "snapshots").expect("a folder").node);
    let same: Vec<_> =
        times.iter().filter(|time| time.starts_with("2026-11-23T18:11:30Z")).collect();
    assert_eq!(same.len(), 8);
    for name in &same {
        let id = name.strip_prefix("2026-11-23T18:11:30Z-").expect("they share a second");
        assert!(id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
    }
    let nodes: std::collections::HashSet<_> = same
        .iter()
        .map(|time| find(&view, &format!("snapshots/{time}")).expect("there").node)
        .collect();
    assert_eq!(nodes.len(), 8);
    assert_eq!(view.attributes(NodeId::ROOT).expect("a node").nlink, 1);
}

/// One show of a single snapshot has the numbers that the whole has.
#[test]
fn one_snapshot_is_shown_with_the_same_numbers() {
    let lab = small(7_240);
    let snapshot = lab.backup().snapshot.expect("a snapshot");
    let whole = view(&lab);
    let show = Shown::One { snapshot: Box::new(snapshot), path: Vec::new() };
    let options = ViewOptions { show, owner: Some((77, 88)), ..ViewOptions::default() };
    let one = View::new(Arc::new(lab.open()), options).expect("opens");
    let times = names(&whole, find(&whole, "snapshots").expect("a folder").node);
    let root = find(&whole, &format!("snapshots/{}", times[0])).expect("a folder");
    let (all, same) = (list(&whole, root.node), list(&one, NodeId::ROOT));
    assert_eq!(all.len(), same.len());
    for ((name, attributes), (other_name, other)) in all.iter().zip(&same) {
        assert_eq!((name, attributes.node), (other_name, other.node));
        assert_eq!((other.uid, other.gid), (77, 88), "`owner` owns everything");
    }
}
