//! Keys that cannot delete, buckets with versions and with object lock: nothing fails, what is kept
//! is reported, and what is needed is kept for longer.

use std::time::Duration;

use larder::storage::{self, ObjectLock, Retention, Storage};

use crate::machine::Machine;
use crate::servers::{Response, Seaweed, Server};

/// Two versions of a file, in packs of their own, one of them forgotten.
fn two_versions(machine: &Machine) {
    machine.ok("repo init --encryption none");
    machine.write("stays", 1, 300_000);
    machine.ok("snapshot data --quiet");
    machine.write("large", 2, 400_000);
    machine.ok("snapshot data --quiet");
    machine.write("large", 3, 400_000);
    machine.ok("snapshot data --quiet");
    machine.ok("forget latest~1");
}

/// The names of objects below a folder of the bucket, as the repository sees them.
fn names(server: &Seaweed, path: &str, prefix: &str) -> Vec<String> {
    let location = server.location(path).parse().expect("a location");
    let storage = storage::open_with(&location, &server.connection()).expect("opens");
    let listed = storage::list_sorted(&*storage, prefix).expect("lists");
    listed.into_iter().map(|meta| meta.name).collect()
}

#[test]
fn keys_without_delete_and_locked_buckets() {
    let Some(mut server) = Seaweed::start() else { return };
    a_key_that_cannot_delete(&mut server);
    a_bucket_with_versions(&mut server);
    a_bucket_with_object_lock(&mut server);
    unfinished_uploads(&mut server);
}

fn a_key_that_cannot_delete(server: &mut Seaweed) {
    let append = server.without_delete();
    server.use_key(append);
    let mut machine = Machine::plain(server.location("append"), server.secrets());
    two_versions(&machine);
    let before = names(server, "append", "data/");
    let said = machine.ok("prune --grace 0").stdout;
    assert!(said.contains("retained ") && said.contains("the next prune tries again"), "{said}");
    let report = machine.summary("prune --grace 0 --ignore-lease");
    assert!(report["retained"]["packs"].as_u64() > Some(0), "{report}");
    assert_eq!(report["deleted"]["packs"], 0, "{report}");
    assert_eq!(names(server, "append", "data/").len(), before.len());
    machine.ok("check --read-data");
    machine.assert_restores("back-1");
    machine.write("large", 4, 400_000);
    machine.ok("snapshot data --quiet");
    machine.ok("check --read-data");
    // Who may delete finishes it.
    server.use_key(server.admin());
    machine.secrets = server.secrets();
    let report = machine.summary("prune --grace 0 --ignore-lease");
    assert!(report["deleted"]["packs"].as_u64() > Some(0), "{report}");
    assert_eq!(report["retained"]["packs"], 0, "{report}");
    machine.ok("check --read-data");
    machine.assert_restores("back-2");
}

fn a_bucket_with_versions(server: &mut Seaweed) {
    server.make_bucket("versioned");
    let on = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    server.s3("PUT", "/versioned?versioning", &[], on.as_bytes()).expect("keeps versions");
    server.use_bucket("versioned");
    let machine = Machine::plain(server.location("r"), server.secrets());
    two_versions(&machine);
    let said = machine.ok("prune --grace 0").stdout;
    assert!(said.contains("deleted ") && said.contains("old versions"), "{said}");
    machine.ok("check --read-data");
    machine.assert_restores("back");
    let refused = machine.run("repo retain --for 30d");
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("no object lock"), "{}", refused.stderr);
}

fn a_bucket_with_object_lock(server: &mut Seaweed) {
    server.make_locked_bucket("locked", "GOVERNANCE", 1);
    server.use_bucket("locked");
    let machine = Machine::plain(server.location("r"), server.secrets());
    two_versions(&machine);
    let packs = names(server, "r", "data/");
    let report = machine.summary("prune --grace 0");
    assert!(report["deleted"]["packs"].as_u64() > Some(0), "{report}");
    assert_eq!(report["keeps_versions"], true, "{report}");
    // What a delete hides is still there, and cannot be removed.
    let left = names(server, "r", "data/");
    let hidden = packs.iter().find(|name| !left.contains(name)).expect("one was deleted");
    let listed = versions(server, &format!("r/{hidden}")).text();
    assert!(listed.contains("<Version>") && listed.contains("<DeleteMarker>"), "{listed}");
    machine.ok("check --read-data");
    machine.assert_restores("back");

    let tried = machine.summary("repo retain --for 5d --dry-run");
    let extended = machine.summary("repo retain --for 5d");
    assert!(extended["extended"].as_u64() > Some(5), "{extended}");
    assert_eq!(tried["extended"], extended["extended"], "{tried}");
    let location = server.location("r").parse().expect("a location");
    let storage = storage::open_with(&location, &server.connection()).expect("opens");
    let lock = storage.object_lock().expect("S3 has locks");
    let settings = lock.settings().expect("tells");
    assert!(settings.object_lock && settings.versions, "{settings:?}");
    assert_eq!(settings.default.map(|default| default.days), Some(1));
    let in_4_days = jiff::Timestamp::now().as_millisecond() + 4 * 24 * 3_600_000;
    for name in left.iter().map(String::as_str).chain(["repo"]) {
        let kept = lock.retention(name).expect("tells").expect("it is kept");
        assert!(kept.until_ms > in_4_days, "{name}: {kept:?}");
    }
    let missing = lock.retention("data/aa/none").expect_err("is not there");
    assert_eq!(missing.kind, larder::error::StorageErrorKind::Missing, "{missing:?}");
    let again = machine.summary("repo retain --for 5d --enough 4d");
    assert_eq!((&again["extended"], &again["enough"]), (&0.into(), &extended["extended"]));
    longer_and_stricter(&*storage, lock);
    let said = machine.ok("repo retain --for 9d --mode compliance").stdout;
    assert!(said.contains("kept "), "{said}");
    // Nobody takes it away now.
    let listed = versions(server, &format!("r/{}", left[0]));
    let version = listed.element("VersionId").expect("has a version");
    let bypass = [("x-amz-bypass-governance-retention", "true")];
    let target = format!("/locked/r/{}?versionId={version}", left[0]);
    server.s3("DELETE", &target, &bypass, b"").expect_err("it is locked");
    machine.ok("check --read-data");
}

/// One object by hand: what was asked for is what is there.
fn longer_and_stricter(storage: &dyn Storage, lock: &dyn ObjectLock) {
    storage.put("index/probe", &[b"x"], storage::PutMode::Content).expect("writes");
    let had = lock.retention("index/probe").expect("tells").expect("the bucket keeps it");
    let longer = Retention { until_ms: had.until_ms / 1000 * 1000 + 60_000, ..had };
    lock.retain("index/probe", &longer).expect("extends");
    assert_eq!(lock.retention("index/probe").expect("tells"), Some(longer));
    storage.delete("index/probe").expect("hides it");
}

fn versions(server: &Seaweed, key: &str) -> Response {
    let prefix = key.replace('/', "%2F");
    let listed = server.s3("GET", &format!("/locked?prefix={prefix}&versions="), &[], b"");
    listed.expect("lists versions")
}

/// Uploads that nobody will finish are given up when they are old.
fn unfinished_uploads(server: &mut Seaweed) {
    server.use_bucket(Seaweed::BUCKET);
    let location = server.location("uploads").parse().expect("a location");
    let storage = storage::open_with(&location, &server.connection()).expect("opens");
    let keys =
        ["uploads/data/aa/one", "uploads/data/bb/two", "uploads/photos/four", "elsewhere/three"];
    for key in keys {
        let target = format!("/{}/{key}?uploads", Seaweed::BUCKET);
        server.s3("POST", &target, &[], b"").expect("begins an upload");
    }
    let clean = |age| storage.clean_unfinished(Duration::from_secs(age)).expect("cleans");
    assert_eq!(clean(3600), 0, "they are young");
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(clean(0), 2);
    assert_eq!(clean(0), 0);
    let left = server.s3("GET", &format!("/{}?uploads", Seaweed::BUCKET), &[], b"");
    let left = left.expect("lists").text();
    assert!(left.contains("elsewhere/three") && left.contains("uploads/photos"), "{left}");
    assert!(!left.contains("uploads/data"), "{left}");
}
