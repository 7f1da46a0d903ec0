//! Recovery points, and what is brought back from them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use larder::error::Error;
use larder::format::log::LogKind;
use larder::manager::progress::EventKind;
use larder::manager::{Point, PointQuery, RecoveryManager, RecoveryReport, RecoveryRequest};
use larder::model::{BackupId, BackupStrategy, escape_bytes};
use larder::repository::Author;
use larder::restore::{Asker, Overwrite, OwnerPolicy, Resolution, RestoreOptions, VerifyBefore};
use larder::runtime::{CancelToken, Phase, Progress, Runtime};
use larder::tree::SnapshotFilter;

use super::shop::Shop;
use super::support::TreeCopy;

const MINUTE_MS: i64 = 60_000;

fn recovery(shop: &Shop) -> RecoveryManager {
    RecoveryManager::new(shop.manager())
}

fn back_up(manager: &RecoveryManager) -> BackupId {
    manager.manager().create_backup(BackupStrategy::Incremental).expect("backs up")
}

/// A backup of another host: another series.
fn back_up_as(manager: &RecoveryManager, host: &str) -> BackupId {
    let mut request = manager.manager().request(BackupStrategy::Full);
    request.options.host = Some(host.into());
    let report = manager.manager().create_backup_with(&request).expect("backs up");
    report.snapshot.expect("a snapshot").id
}

fn quarantine(shop: &Shop, manager: &RecoveryManager, id: BackupId) {
    let repository = manager.manager().repository();
    let list = repository.snapshots().expect("lists");
    let snapshot = list.snapshots.iter().find(|snapshot| snapshot.id == id).expect("is there");
    let author = Author { host: "shop".into(), user: "tester".into() };
    let kind = LogKind::Quarantine;
    repository
        .append_about(kind, &[snapshot], "looks wrong", &author, &list, &shop.runtime())
        .expect("says so");
}

/// Restores the source's content straight into `target`.
fn into(shop: &Shop, target: &Path) -> RestoreOptions {
    RestoreOptions {
        target: target.to_path_buf(),
        subtree: Some(shop.source_in_snapshot()),
        owner: OwnerPolicy::Numeric,
        ..RestoreOptions::default()
    }
}

fn request(shop: &Shop, id: BackupId, target: &Path) -> RecoveryRequest {
    RecoveryRequest::new(Point::Backup(id), into(shop, target))
}

/// The id of a file of the source as a template.
fn template(shop: &Shop, name: &str) -> String {
    let path = [&shop.source_in_snapshot()[..], b"/", name.as_bytes()].concat();
    format!("/{}", escape_bytes(&path))
}

fn time_of(manager: &RecoveryManager, id: BackupId) -> Timestamp {
    manager.manager().backup(id).expect("is listed").timestamp
}

/// Files below a folder.
fn files(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut todo = vec![folder.to_path_buf()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !path.is_symlink() {
                todo.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("below");
                found.insert(name.to_string_lossy().into_owned());
            }
        }
    }
    found
}

fn read(path: PathBuf) -> String {
    fs::read_to_string(path).expect("a file")
}

#[test]
fn point_in_time_recovery() {
    let (shop, clock) = Shop::with_clock();
    let manager = recovery(&shop);
    let mut states = Vec::new();
    for day in 0..3 {
        shop.write("letter.txt", format!("day {day}\n"));
        shop.write(&format!("day-{day}"), "new");
        let id = back_up(&manager);
        states.push((id, time_of(&manager, id), shop.live_copy()));
        clock.advance_ms(30 * MINUTE_MS);
    }
    let all = SnapshotFilter::default();
    for (number, (id, time, state)) in states.iter().enumerate() {
        // Any time until the next one.
        for later_min in [0, 1, 29] {
            let at = Timestamp::from_millisecond(time.as_millisecond() + later_min * 60_000);
            let at = at.expect("a time");
            let point = manager.point_at(at, &all).expect("there is one");
            assert_eq!(point.backup_id, *id);
            assert!(point.is_available);
            let target = shop.path(&format!("back-{number}-{later_min}"));
            let at = Point::At { time: at, filter: all.clone() };
            let report =
                manager.restore(&RecoveryRequest::new(at, into(&shop, &target))).expect("restores");
            assert_eq!((report.backup_id, report.timestamp), (*id, *time));
            assert!(report.restored.is_complete());
            TreeCopy::of_folder(&target).assert_same(state, "restored");
        }
    }
    // Before the first there is nothing, and the error says since when there is.
    let (first, time, _) = &states[0];
    let before = Timestamp::from_millisecond(time.as_millisecond() - 1).expect("a time");
    let error = manager.point_at(before, &all).expect_err("too early");
    assert!(matches!(error, Error::Usage { .. }), "{error}");
    assert!(error.to_string().contains("the oldest is"), "{error}");
    assert!(error.to_string().contains(&first.short()), "{error}");
    // Another series: which one is meant is not guessed.
    let other = back_up_as(&manager, "other-host");
    let now = Timestamp::from_millisecond(i64::MAX / 1_000_000).expect("a time");
    let error = manager.point_at(now, &all).expect_err("two series");
    assert!(error.to_string().contains("shop") && error.to_string().contains("other-host"));
    let of = |host: &str| SnapshotFilter { hosts: vec![host.into()], ..all.clone() };
    assert_eq!(manager.point_at(now, &of("other-host")).expect("one").backup_id, other);
    assert_eq!(manager.point_at(now, &of("shop")).expect("one").backup_id, states[2].0);
    let error = manager.point_at(now, &of("nobody")).expect_err("no such host");
    assert!(matches!(error, Error::NotFound { what: "snapshot", .. }), "{error}");
}

/// What somebody put into quarantine is not taken unless it is named.
#[test]
fn quarantined_points_are_passed_over() {
    let (shop, clock) = Shop::with_clock();
    let manager = recovery(&shop);
    let good = back_up(&manager);
    clock.advance_ms(MINUTE_MS);
    shop.write("letter.txt", "encrypted by somebody");
    let bad = back_up(&manager);
    quarantine(&shop, &manager, bad);
    let newest = RecoveryRequest::new(
        Point::Newest { filter: SnapshotFilter::default() },
        into(&shop, &shop.path("back")),
    );
    let report = manager.restore(&newest).expect("restores");
    assert_eq!(report.backup_id, good);
    assert_eq!(read(shop.path("back/letter.txt")), "Dear reader,\n");
    let page = manager.recovery_points(&PointQuery::default()).expect("lists");
    let available: Vec<_> = page.points.iter().map(|p| (p.backup_id, p.is_available)).collect();
    assert_eq!(available, [(bad, false), (good, true)]);
    let only = PointQuery { only_available: true, ..PointQuery::default() };
    assert_eq!(manager.recovery_points(&only).expect("lists").points.len(), 1);
    manager.restore(&request(&shop, bad, &shop.path("named"))).expect("restores");
    assert_eq!(read(shop.path("named/letter.txt")), "encrypted by somebody");
}

#[test]
fn recovery_points_come_in_pages_and_by_the_hour() {
    let (shop, clock) = Shop::with_clock();
    let manager = recovery(&shop);
    let mut ids = Vec::new();
    for n in 0..7 {
        shop.write("letter.txt", format!("{n}"));
        ids.push(back_up(&manager));
        clock.advance_ms(25 * MINUTE_MS);
    }
    ids.reverse();
    let mut listed = Vec::new();
    let mut query = PointQuery { limit: Some(3), ..PointQuery::default() };
    loop {
        let page = manager.recovery_points(&query).expect("lists");
        assert!(page.points.len() <= 3);
        listed.extend(page.points.iter().map(|point| point.backup_id));
        query.page_token = page.next_page;
        if query.page_token.is_none() {
            break;
        }
    }
    assert_eq!(listed, ids);
    let from = Some(time_of(&manager, ids[1]));
    let recent = PointQuery { from, ..PointQuery::default() };
    assert_eq!(manager.recovery_points(&recent).expect("lists").points.len(), 2);
    let bad = PointQuery { page_token: Some("nonsense".into()), ..PointQuery::default() };
    assert!(matches!(manager.recovery_points(&bad), Err(Error::Usage { .. })));

    let hours = manager.timeline(None, None, &SnapshotFilter::default()).expect("lists");
    assert_eq!(hours.iter().map(|hour| hour.count).sum::<u64>(), 7);
    assert!(hours.len() >= 3 && hours.is_sorted_by(|a, b| a.start > b.start));
    assert_eq!(hours[0].newest.backup_id, ids[0]);
    for hour in &hours {
        assert_eq!(hour.start.as_second() % 3600, 0);
        let within = hour.newest.timestamp.as_second() - hour.start.as_second();
        assert!((0..3600).contains(&within));
    }
    let last = manager
        .timeline(from, None, &SnapshotFilter::default())
        .expect("lists")
        .iter()
        .map(|hour| hour.count)
        .sum::<u64>();
    assert_eq!(last, 2);
}

#[test]
fn templates_are_listed_in_pages() {
    let shop = Shop::new();
    for n in 0..1_200 {
        shop.write(&format!("many/{n:04}"), format!("{n}"));
    }
    let manager = recovery(&shop);
    let id = back_up(&manager);
    let query = PointQuery { with_templates: true, ..PointQuery::default() };
    let point = manager.recovery_points(&query).expect("lists").points.remove(0);
    assert_eq!((point.template_ids.len(), point.truncated), (1_000, true));
    assert_eq!(point.template_count, 1_204);
    assert_eq!(point.template_ids[0], template(&shop, "empty"));
    let mut all = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = manager.template_ids(id, after.as_deref(), 250).expect("lists");
        all.extend(page.template_ids);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(all.len(), 1_204);
    assert_eq!(all[..1_000], point.template_ids);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 1_204);
    let unknown = BackupId([9; 16]);
    assert!(matches!(manager.template_ids(unknown, None, 1), Err(Error::NotFound { .. })));
}

#[test]
fn selective_restore() {
    let shop = Shop::new();
    shop.write("work/a/one.txt", "1");
    shop.write("work/a/two.rs", "2");
    shop.write("work/b/three.txt", "3");
    shop.write("work/b/four.rs", "4");
    let manager = recovery(&shop);
    let id = back_up(&manager);
    let path = |name: &str| [&shop.source_in_snapshot()[..], b"/", name.as_bytes()].concat();
    let restored = |change: &dyn Fn(&mut RestoreOptions)| {
        let target = tempfile::tempdir_in(shop.path("")).expect("a folder");
        let mut request = request(&shop, id, &target.path().join("back"));
        change(&mut request.restore);
        let report = manager.restore(&request).expect("restores");
        assert!(report.restored.is_complete());
        files(&target.path().join("back")).into_iter().collect::<Vec<_>>()
    };
    // By pattern, by subtree, by several subtrees at once, and both.
    let globs = restored(&|options| options.include = vec!["*.txt".into()]);
    assert_eq!(globs, ["letter.txt", "work/a/one.txt", "work/b/three.txt"]);
    let subtree = restored(&|options| options.subtree = Some(path("work/b")));
    assert_eq!(subtree, ["four.rs", "three.txt"]);
    let several = restored(&|options| options.paths = vec![path("work/a"), path("photos/sea.jpg")]);
    assert_eq!(several, ["photos/sea.jpg", "work/a/one.txt", "work/a/two.rs"]);
    let both = restored(&|options| {
        options.paths = vec![path("work/a")];
        options.include = vec!["three.*".into()];
        options.exclude = vec!["*.rs".into()];
    });
    assert_eq!(both, ["work/a/one.txt", "work/b/three.txt"]);
    let nothing = shop.path("nothing");
    let mut missing = request(&shop, id, &nothing);
    missing.restore.paths = vec![path("work/no-such")];
    let error = manager.restore(&missing).expect_err("is not there");
    assert!(matches!(error, Error::PathMissing { .. }), "{error}");
    assert!(!nothing.exists());
}

#[test]
fn template_selective_restore() {
    let shop = Shop::new();
    use std::os::unix::ffi::OsStrExt;
    let raw = shop.source().join(std::ffi::OsStr::from_bytes(b"bytes\xff\xfe%"));
    fs::write(&raw, "no text").expect("writes");
    fs::hard_link(shop.source().join("letter.txt"), shop.source().join("copy.txt")).expect("links");
    let manager = recovery(&shop);
    let id = back_up(&manager);
    // Every template by itself, by the id that the list gives.
    let page = manager.template_ids(id, None, 100).expect("lists");
    assert_eq!((page.template_ids.len(), page.next), (5, None));
    for (number, template) in page.template_ids.iter().enumerate() {
        let target = shop.path(&format!("one-{number}"));
        let request =
            RecoveryRequest { template_ids: vec![template.clone()], ..request(&shop, id, &target) };
        let report = manager.restore(&request).expect("restores");
        assert_eq!((report.restored.files, files(&target).len()), (1, 1), "{template}");
    }
    // Several at once, in full below the target, as names of this machine.
    let target = shop.path("several");
    let ids = vec![template(&shop, "letter.txt"), template(&shop, "photos")];
    let mut several = RecoveryRequest { template_ids: ids, ..request(&shop, id, &target) };
    several.restore.subtree = None;
    let report = manager.restore(&several).expect("restores");
    assert_eq!(report.restored.files, 3);
    let below = shop.source_below(&target);
    assert_eq!(
        files(&below).into_iter().collect::<Vec<_>>(),
        ["letter.txt", "photos/hill.jpg", "photos/sea.jpg"]
    );
    assert_eq!(
        fs::read(below.join("photos/sea.jpg")).expect("reads"),
        fs::read(shop.source().join("photos/sea.jpg")).expect("reads")
    );
    let unknown = RecoveryRequest {
        template_ids: vec![template(&shop, "no-such")],
        ..request(&shop, id, &shop.path("none"))
    };
    assert!(matches!(manager.restore(&unknown), Err(Error::PathMissing { .. })));
}

/// The packs that hold data, largest first.
fn data_packs(shop: &Shop) -> Vec<PathBuf> {
    let mut packs: Vec<PathBuf> = files(&shop.repository_folder().join("data"))
        .into_iter()
        .map(|name| shop.repository_folder().join("data").join(name))
        .collect();
    packs.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).expect("there").len()));
    packs
}

fn flip(path: &Path, at: u64) {
    let mut bytes = fs::read(path).expect("reads");
    bytes[at as usize] ^= 1;
    // Packs are read-only.
    fs::remove_file(path).expect("removes");
    fs::write(path, bytes).expect("writes");
}

#[test]
fn recovery_verification() {
    let shop = Shop::new();
    let manager = recovery(&shop);
    shop.write("first.bin", super::shop::noise(11, 700_000));
    back_up(&manager);
    shop.write("second.bin", super::shop::noise(12, 700_000));
    let id = back_up(&manager);
    let verified = |depth, target: &Path| {
        let request = RecoveryRequest { verify_before: depth, ..request(&shop, id, target) };
        recovery(&shop).restore(&request)
    };
    // All is well: what was verified is counted.
    for depth in [VerifyBefore::Structure, VerifyBefore::Data] {
        let target = shop.path(&format!("well-{depth:?}"));
        let report = verified(depth, &target).expect("restores");
        assert_eq!(report.verified_before, report.restored.created);
        TreeCopy::of_folder(&target).assert_same(&shop.live_copy(), "restored");
    }
    // A flipped bit is seen by reading everything, before anything of the target is touched.
    let target = shop.path("target");
    fs::create_dir(&target).expect("makes");
    fs::write(target.join("letter.txt"), "mine").expect("writes");
    let before = TreeCopy::of_folder(&target);
    let pack = data_packs(&shop).remove(0);
    let whole = fs::read(&pack).expect("reads");
    flip(&pack, 10_000);
    let error = verified(VerifyBefore::Data, &target).expect_err("refuses");
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("nothing was restored"), "{error}");
    assert!(error.to_string().contains(".bin") || error.to_string().contains(".jpg"), "{error}");
    TreeCopy::of_folder(&target).assert_same(&before, "restored");
    // What is asked for may be whole all the same.
    let mut letter = RecoveryRequest {
        template_ids: vec![template(&shop, "letter.txt")],
        verify_before: VerifyBefore::Data,
        ..request(&shop, id, &shop.path("letter"))
    };
    recovery(&shop).restore(&letter).expect("is whole");
    letter.template_ids.clear();
    let report = recovery(&shop).verify(&letter).expect("says what is lost");
    assert!(report.failed > 0 && report.failures.iter().all(|failure| !failure.lost.is_empty()));
    // Structure alone does not see a flipped bit, but does a pack that is gone or cut off.
    let report = verified(VerifyBefore::Structure, &shop.path("blind")).expect("goes on");
    assert!(!report.restored.is_complete());
    for is_cut in [false, true] {
        let _ = fs::remove_file(&pack);
        if is_cut {
            fs::write(&pack, &whole[..whole.len() / 2]).expect("writes");
        }
        let error = verified(VerifyBefore::Structure, &target).expect_err("refuses");
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
        TreeCopy::of_folder(&target).assert_same(&before, "restored");
    }
    fs::write(&pack, &whole).expect("writes");
    verified(VerifyBefore::Data, &target).expect("all is well again");
    TreeCopy::of_folder(&target).assert_same(&shop.live_copy(), "restored");
}

#[test]
fn recovery_progress() {
    let shop = Shop::new();
    for n in 0..200 {
        shop.write(&format!("many/{n}"), super::shop::noise(n, 5_000));
    }
    let manager = recovery(&shop);
    let id = back_up(&manager);
    let request = RecoveryRequest {
        verify_before: VerifyBefore::Structure,
        ..request(&shop, id, &shop.path("back"))
    };
    let running = manager.start(&request).expect("starts");
    let events: Vec<_> = running.events().iter().collect();
    let report = running.wait().expect("restores");
    let phases: Vec<_> = events
        .iter()
        .filter(|event| event.kind == EventKind::Phase)
        .filter_map(|event| event.phase)
        .collect();
    let at = |phase| phases.iter().position(|other| *other == phase);
    assert!(at(Phase::CheckingStructure) < at(Phase::Restoring), "{phases:?}");
    assert!(at(Phase::CheckingStructure).is_some(), "{phases:?}");
    let last = events.last().expect("events");
    assert_eq!(last.kind, EventKind::End);
    assert_eq!((last.warnings, last.errors), (0, 0));
    assert!(last.files_done >= report.restored.created && last.bytes_done >= report.restored.bytes);
    assert_eq!(last.files_done, last.files_total);
    assert!(events.is_sorted_by_key(|event| event.bytes_done));
    TreeCopy::of_folder(&shop.path("back")).assert_same(&shop.live_copy(), "restored");
}

#[test]
fn recovery_conflict_resolution() {
    let shop = Shop::new();
    let manager = recovery(&shop);
    let id = back_up(&manager);
    let beside = |folder: &Path| {
        files(folder).into_iter().filter(|name| name.contains("(restored from")).count() as u64
    };
    let restore = |name: &str, overwrite, ask| -> (PathBuf, RecoveryReport) {
        let target = shop.path(name);
        fs::create_dir_all(target.join("photos")).expect("makes");
        fs::write(target.join("letter.txt"), "mine").expect("writes");
        fs::write(target.join("empty"), "").expect("writes");
        let mut request = request(&shop, id, &target);
        request.restore.overwrite = overwrite;
        request.restore.ask = ask;
        let plan = manager.plan(&request).expect("plans");
        let report = manager.restore(&request).expect("restores");
        let restored = &report.restored;
        let done = [restored.created, restored.replaced, restored.kept_both, restored.skipped];
        assert_eq!([plan.create, plan.replace, plan.keep_both, plan.skip], done, "{name}");
        assert!(plan.has_room() && plan.room_needed > 300_000, "{plan:?}");
        (target, report)
    };
    let (target, report) = restore("overwrite", Overwrite::Always, None);
    assert_eq!(read(target.join("letter.txt")), "Dear reader,\n");
    assert_eq!((report.restored.replaced, beside(&target)), (1, 0));
    let (target, report) = restore("skip", Overwrite::Never, None);
    assert_eq!(read(target.join("letter.txt")), "mine");
    assert_eq!((report.restored.skipped, beside(&target)), (2, 0));
    let (target, report) = restore("keep-newer", Overwrite::IfNewer, None);
    assert_eq!(read(target.join("letter.txt")), "mine");
    assert!(report.restored.skipped >= 1);
    let (target, report) = restore("keep-both", Overwrite::KeepBoth, None);
    assert_eq!(read(target.join("letter.txt")), "mine");
    assert_eq!((report.restored.kept_both, beside(&target)), (1, 1));
    // Somebody is asked, once for each conflict and for nothing else.
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    let ask = Asker::new(move |conflict| {
        assert!(conflict.path.ends_with(b"letter.txt"));
        count.fetch_add(1, Ordering::Relaxed);
        Ok(Resolution::KeepBoth)
    });
    let (target, report) = restore("ask", Overwrite::Ask, Some(ask));
    assert_eq!((report.restored.kept_both, beside(&target)), (1, 1));
    assert_eq!(asked.load(Ordering::Relaxed), 2, "once for the plan, once for the restore");
}

/// Cancels after so many entries.
struct StopAfter {
    left: AtomicU64,
    cancel: CancelToken,
}

impl Progress for StopAfter {
    fn done(&self, entries: u64, _: u64) {
        if entries > 0 && self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.cancel.cancel();
        }
    }
}

/// The same request again goes on where the first one ended, and says how much was there.
#[test]
fn an_interrupted_recovery_goes_on() {
    let shop = Shop::new();
    for n in 0..300 {
        shop.write(&format!("many/{n:03}"), super::shop::noise(n, 3_000));
    }
    let manager = recovery(&shop);
    let id = back_up(&manager);
    let cancel = CancelToken::default();
    let progress = Arc::new(StopAfter { left: AtomicU64::new(150), cancel: cancel.clone() });
    let runtime = Runtime { cancel, progress, ..shop.runtime() };
    let target = shop.path("back");
    let first = RecoveryRequest { runtime: Some(runtime), ..request(&shop, id, &target) };
    assert!(matches!(manager.restore(&first), Err(Error::Cancelled { .. })));
    assert!(!files(&target).is_empty());
    let report = manager.restore(&request(&shop, id, &target)).expect("goes on").restored;
    assert!(report.is_complete() && report.unchanged > 0, "{report:?}");
    assert!(report.bytes_written < report.bytes, "{report:?}");
    TreeCopy::of_folder(&target).assert_same(&shop.live_copy(), "restored");
}

#[test]
fn a_plan_changes_nothing_and_tells_of_room() {
    let shop = Shop::new();
    let manager = recovery(&shop);
    let id = back_up(&manager);
    let target = shop.path("not/there/yet");
    let plan = manager.plan(&request(&shop, id, &target)).expect("plans");
    assert!(!shop.path("not").exists());
    assert_eq!((plan.create, plan.files, plan.replace), (6, 4, 0));
    assert!(plan.bytes_to_write >= 340_000 && plan.room_needed >= plan.bytes_to_write);
    let inside = shop.repository_folder().join("data");
    let error = manager.plan(&request(&shop, id, &inside)).expect_err("refuses");
    assert!(matches!(error, Error::Usage { .. }), "{error}");
    let error = manager.restore(&request(&shop, id, &inside)).expect_err("refuses");
    assert!(error.to_string().contains("lies in the repository"), "{error}");
    let unknown = request(&shop, BackupId([7; 16]), &target);
    let error = manager.restore(&unknown).expect_err("no such backup");
    assert!(matches!(error, Error::NotFound { what: "snapshot", .. }), "{error}");
}

/// To where it came from, wholly or not at all, and only if all of it can be had.
#[test]
fn recovery_in_place_is_verified_first() {
    let shop = Shop::new();
    let manager = recovery(&shop);
    let id = back_up(&manager);
    let before = shop.live_copy();
    shop.write("letter.txt", "spoiled");
    shop.remove("photos/sea.jpg");
    let spoiled = shop.live_copy();
    let mut request = RecoveryRequest {
        verify_before: VerifyBefore::Data,
        ..RecoveryRequest::new(Point::Backup(id), RestoreOptions::default())
    };
    let pack = data_packs(&shop).remove(0);
    let whole = fs::read(&pack).expect("reads");
    flip(&pack, 10_000);
    let error = recovery(&shop).restore_in_place(&request).expect_err("refuses");
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    shop.live_copy().assert_same(&spoiled, "refused");
    fs::write(&pack, &whole).expect("writes");
    request.template_ids = vec![template(&shop, "letter.txt")];
    let report = recovery(&shop).restore_in_place(&request).expect("restores");
    assert_eq!((report.restored.counts.replaced, report.restored.counts.created), (1, 0));
    request.template_ids.clear();
    let report = recovery(&shop).restore_in_place(&request).expect("restores");
    assert_eq!(report.restored.counts.created, 1);
    assert!(report.verified_before > 5);
    shop.live_copy().assert_same(&before, "restored");
}
