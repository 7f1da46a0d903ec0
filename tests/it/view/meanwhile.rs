//! What happens while a view is open: prunes, outages, damage, many readers.

use larder::error::StorageErrorKind;
use larder::format::log::LogKind;
use larder::prune::{MaxUnused, PruneOptions};
use larder::repository::Author;
use larder::storage::fault::{Fault, On, Rule};
use larder::view::{NodeId, is_gone};

use super::{copy_of, find, find_bytes, list, names, small, view, walk};
use crate::support::Lab;
use std::os::unix::ffi::OsStrExt;

fn author() -> Author {
    Author { host: "lab".into(), user: "tester".into() }
}

/// Forgets all but the newest, and rewrites all that is left.
fn prune(lab: &Lab) {
    let repository = lab.open();
    let known = repository.snapshots().expect("lists");
    let all: Vec<_> = known.snapshots.iter().collect();
    let gone = &all[..all.len() - 1];
    repository
        .append_about(LogKind::Forget, gone, "test", &author(), &known, &lab.runtime())
        .expect("forgets");
    let options = PruneOptions {
        grace_ms: 0,
        max_unused: MaxUnused::Bytes(0),
        ..PruneOptions::new(author())
    };
    larder::prune::run(&lab.open(), &options, &lab.runtime()).expect("prunes");
}

/// The packs that a view knows are gone: it finds those that came in their place.
#[test]
fn a_prune_meanwhile_is_not_noticed() {
    let mut lab = Lab::seeded(7_300);
    for round in 0..4 {
        lab.backup_named(&format!("{round}"));
        lab.tree().edit(15);
    }
    let view = view(&lab);
    let times = names(&view, find(&view, "snapshots").expect("a folder").node);
    let old = find(&view, &format!("snapshots/{}", times[0])).expect("a folder");
    prune(&lab);
    let id = lab.id_of("3").to_string();
    let path = [b"ids/", id.as_bytes(), lab.source().as_os_str().as_bytes()].concat();
    let root = find_bytes(&view, NodeId::ROOT, &path).expect("the tree is there");
    let seen = walk(&view, root.node);
    let (_, _, copy) = lab.all_remembered().find(|(name, ..)| *name == "3").expect("remembered");
    copy.assert_same(&copy_of(&seen, &view, copy), "after the prune");
    // What is gone gives an error and nothing else.
    if let Ok(mut folder) = view.open_folder(old.node)
        && let Err(error) = folder.next(&view, 0)
    {
        assert!(error.is_damage() && !is_gone(&error), "{error}");
    }
    // New snapshots have packs that the view has not seen.
    lab.tree().edit(15);
    lab.backup_named("after");
    let id = lab.id_of("after").to_string();
    let path = [b"ids/", id.as_bytes(), lab.source().as_os_str().as_bytes()].concat();
    lab.record.clear();
    let root = find_bytes(&view, NodeId::ROOT, &path).expect("the tree is there");
    let seen = walk(&view, root.node);
    let (_, _, copy) =
        lab.all_remembered().find(|(name, ..)| *name == "after").expect("remembered");
    copy.assert_same(&copy_of(&seen, &view, copy), "a new snapshot");
}

/// While storage is away, what needs it fails, and what is known is shown; when it is back, all is
/// as before.
#[test]
fn an_outage_passes() {
    let lab = small(7_310);
    lab.backup();
    let view = view(&lab);
    let times = names(&view, find(&view, "snapshots").expect("a folder").node);
    let root = find(&view, &format!("snapshots/{}", times[0])).expect("a folder");
    let away = Rule {
        on: On::Any,
        prefix: String::new(),
        nth: 1,
        times: u64::MAX,
        fault: Fault::Fail(StorageErrorKind::Temporary),
    };
    lab.storage.inject(away);
    assert_eq!(names(&view, find(&view, "snapshots").expect("a folder").node), times);
    let mut folder = view.open_folder(root.node).expect("opens");
    for _ in 0..3 {
        let error = folder.next(&view, 0).expect_err("storage is away");
        assert!(!error.is_damage() && !is_gone(&error), "{error}");
    }
    lab.storage.heal();
    assert!(folder.next(&view, 0).expect("storage is back").is_some());
    let seen = walk(&view, root.node).len();
    assert!(seen > 8, "{seen}");
    lab.backup();
    assert_eq!(names(&view, find(&view, "snapshots").expect("a folder").node).len(), 2);
}

/// A record that is damaged is a snapshot that is not shown, and nothing more.
#[test]
fn a_damaged_record_is_left_out() {
    let lab = small(7_320);
    let first = lab.backup().snapshot.expect("a snapshot");
    let second = lab.backup().snapshot.expect("a snapshot");
    let view = view(&lab);
    lab.memory.replace(&first.object_name, b"what is this?");
    let ids = names(&view, find(&view, "ids").expect("a folder").node);
    assert_eq!(ids, [second.id.to_string()]);
}

/// Readers at once see the same as one.
#[test]
fn threads_see_the_same() {
    let mut lab = Lab::seeded(7_330);
    for round in 0..3 {
        lab.backup_named(&format!("{round}"));
        lab.tree().edit(10);
    }
    let view = view(&lab);
    let snapshots = find(&view, "snapshots").expect("a folder").node;
    let roots: Vec<_> = list(&view, snapshots).into_iter().map(|(_, a)| a.node).collect();
    let alone: Vec<_> = roots.iter().map(|root| walk(&view, *root)).collect();
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let (view, roots, alone) = (&view, &roots, &alone);
            scope.spawn(move || {
                for step in 0..roots.len() {
                    let at = (thread + step) % roots.len();
                    assert_eq!(walk(view, roots[at]), alone[at]);
                }
            });
        }
    });
}
