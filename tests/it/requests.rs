//! What each command asks of storage: nothing twice, but for what is said here with its reason.
//!
//! Services bill every request, and far away each costs a tenth of a second. A listing may only be
//! repeated where the protocol needs to know what came meanwhile (SPEC.md, section 13), and an
//! object may only be read again where holding it would cost memory without bound.

use std::collections::BTreeMap;

use larder::format::log::LogKind;
use larder::prune::{MaxUnused, PruneOptions, run};
use larder::repository::Author;
use larder::restore::{RestoreOptions, restore};
use larder::storage::record::Operation::{self, Get, GetRange, Head, List};
use larder::verify::{CheckOptions, check};

use crate::support::{Lab, LabOptions};

/// So often may be asked in runs of this kind: for a folder, or for objects whose name begins so.
struct Again {
    step: &'static str,
    asked: Operation,
    prefix: &'static str,
    times: u64,
    /// Why, for those who read this.
    _reason: &'static str,
}

const fn again(
    step: &'static str,
    (asked, prefix, times): (Operation, &'static str, u64),
    reason: &'static str,
) -> Again {
    Again { step, asked, prefix, times, _reason: reason }
}

const FRESH: &str = "opening; the check looks at what is stored, whatever opening or a cache said";
const TWO_PASSES: &str = "p2, and p6 again: what came while the mark was waiting";
const SEEN_WITH: &str =
    "read whenever `gc/` is listed, because a prune must know of every lease and mark";

const AGAIN: &[Again] = &[
    again(
        "backup",
        (List, "keyring/", 2),
        "a session writes with the newest keys, however long the repository was open",
    ),
    again(
        "backup",
        (List, "gc/", 4),
        "w2: marks; with the log: who is fenced; w4: marks; w6: fences",
    ),
    again("backup", (List, "index/", 2), "w2: the index; w4: drop lists that came meanwhile"),
    again(
        "backup",
        (List, "snapshots/", 2),
        "the log; after the commit: whether a checkpoint lets go of it",
    ),
    again("backup", (Head, "sessions/", 2), "w4, w6: whether the own announcement is there"),
    again("check", (List, "keys/", 2), FRESH),
    again("check", (List, "keyring/", 2), FRESH),
    again("check", (List, "config/", 2), FRESH),
    again(
        "check",
        (List, "gc/", 3),
        "with the log: who is fenced; what is to be checked; damage lists, after the packs",
    ),
    again(
        "check",
        (List, "index/", 2),
        "what is to be checked, before the index is loaded: it may be merged meanwhile",
    ),
    again("check", (Get, "repo", 2), FRESH),
    again("check", (Get, "keys/", 2), FRESH),
    again("check", (Get, "keyring/", 2), FRESH),
    again("check", (Get, "config/", 2), FRESH),
    again("check", (Get, "index/", 2), FRESH),
    again(
        "prune",
        (List, "gc/", 6),
        "leases; p1: marks; with the log: who is fenced; p2: marks; damage lists, after the packs; spent ones at the end",
    ),
    again("prune", (Get, "gc/lease-", 3), SEEN_WITH),
    again(
        "prune at once",
        (List, "gc/", 14),
        "as above for p2 and p6; p4: marks and sessions; p7: the log, and what is left",
    ),
    again("prune at once", (Get, "gc/", 6), SEEN_WITH),
    again("prune at once", (List, "sessions/", 2), "p1 and p4"),
    again("prune at once", (List, "snapshots/", 3), "p2, p6, and p7: what a checkpoint covers"),
    again("prune at once", (Get, "snapshots/", 3), "p2, p6, p7: as they are listed"),
    again(
        "prune at once",
        (List, "index/", 8),
        "p2, after packing anew, p6, after the deletes; drop lists; and to merge what is left",
    ),
    again("prune at once", (List, "data/", 4), "p2, after packing anew, p6, after the deletes"),
    again("prune at once", (List, "meta/", 4), "p2, after packing anew, p6, after the deletes"),
    again("prune at once", (Get, "index/", 4), "as it is listed, because this lab has no cache"),
    again("prune at once", (GetRange, "meta/", 2), TWO_PASSES),
    again("prune at once", (GetRange, "data/", 2), TWO_PASSES),
];

/// Fails for everything that was asked too often since the last look.
fn assert_asked_once(lab: &Lab, step: &str) {
    let mut asked: BTreeMap<(String, String), (Operation, u64)> = BTreeMap::new();
    for call in lab.record.calls() {
        let place = match call.operation {
            GetRange => format!("bytes {}+{} of {}", call.offset, call.len, call.name),
            Operation::Put | Operation::Delete => continue,
            _ => call.name.clone(),
        };
        let key = (format!("{:?} {place}", call.operation), call.name);
        asked.entry(key).or_insert((call.operation, 0)).1 += 1;
    }
    let mut complaints = Vec::new();
    for ((what, name), (operation, times)) in &asked {
        let rules = AGAIN.iter().filter(|rule| rule.step == step && rule.asked == *operation);
        let allowed = rules
            .filter(|rule| match operation {
                List => *name == rule.prefix,
                _ => name.starts_with(rule.prefix),
            })
            .map(|rule| rule.times)
            .max();
        if *times > allowed.unwrap_or(1) {
            complaints.push(format!("{what}: {times} times"));
        }
    }
    lab.record.clear();
    assert!(complaints.is_empty(), "{step}:\n{}", complaints.join("\n"));
}

fn author() -> Author {
    Author { host: "lab".into(), user: "tester".into() }
}

/// The life of a repository, each step as the command line does it.
#[test]
fn nothing_is_asked_twice() {
    let mut lab = Lab::with(77, LabOptions { entries: 60, ..LabOptions::default() });
    lab.backup_named("first");
    assert_asked_once(&lab, "backup");
    lab.backup();
    assert_asked_once(&lab, "backup");
    for _ in 0..4 {
        lab.tree().edit(10);
        lab.backup();
        assert_asked_once(&lab, "backup");
    }

    lab.try_open().expect("opens").snapshots().expect("lists");
    assert_asked_once(&lab, "snapshots");

    let repository = lab.try_open().expect("opens");
    let id = lab.id_of("first");
    let first = repository.snapshots().expect("lists");
    let first = first.snapshots.iter().find(|one| one.id == id).expect("is there");
    let target = lab.scratch("restored");
    let options = RestoreOptions { target, ..RestoreOptions::default() };
    let report = restore(&repository, first, &options, &lab.runtime()).expect("restores");
    assert!(report.is_complete());
    assert_asked_once(&lab, "restore");

    let repository = lab.try_open().expect("opens");
    let report = check(&repository, &CheckOptions::default(), &lab.runtime()).expect("checks");
    assert!(report.is_clean());
    assert_asked_once(&lab, "check");
    assert!(lab.try_check().expect("checks").is_clean());
    assert_asked_once(&lab, "check");

    let repository = lab.try_open().expect("opens");
    let list = repository.snapshots().expect("lists");
    let gone: Vec<_> = list.snapshots.iter().take(3).collect();
    repository
        .append_about(LogKind::Forget, &gone, "test", &author(), &list, &lab.runtime())
        .expect("forgets");
    assert_asked_once(&lab, "forget");

    let at_once = PruneOptions {
        grace_ms: 0,
        max_unused: MaxUnused::Bytes(0),
        ..PruneOptions::new(author())
    };
    run(&lab.try_open().expect("opens"), &at_once, &lab.runtime()).expect("prunes");
    assert_asked_once(&lab, "prune at once");
    run(&lab.try_open().expect("opens"), &PruneOptions::new(author()), &lab.runtime())
        .expect("prunes");
    assert_asked_once(&lab, "prune");
}
