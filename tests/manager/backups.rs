//! Backups made, listed, deleted.

use larder::archive::BackupOptions;
use larder::crypto::Suite;
use larder::error::Error;
use larder::manager::history::RunQuery;
use larder::manager::progress::{EventKind, ProgressEvent};
use larder::manager::{BackupManager, BackupQuery, BackupRequest, DeleteOptions};
use larder::model::{Backup, BackupId, BackupStatus, BackupStrategy, Encryption};
use larder::repository::{OpenOptions, Password, Repository, Unlock};
use larder::runtime::Phase;
use larder::source::SourcePath;
use larder::storage;

use super::shop::{Shop, ShopOptions, noise};
use super::support::TreeCopy;

const FULL: BackupStrategy = BackupStrategy::Full;
const INCREMENTAL: BackupStrategy = BackupStrategy::Incremental;

#[track_caller]
fn create(manager: &BackupManager, strategy: BackupStrategy) -> BackupId {
    manager.create_backup(strategy).expect("backs up")
}

fn ids(backups: &[Backup]) -> Vec<BackupId> {
    backups.iter().map(|backup| backup.backup_id).collect()
}

/// A full backup has everything, and its record says so.
#[test]
fn create_full_backup() {
    let shop = Shop::new();
    let manager = shop.manager();
    let id = create(&manager, FULL);
    let backup = manager.backup(id).expect("is there");
    assert_eq!((backup.backup_id, backup.backup_type), (id, FULL));
    assert_eq!((backup.status, backup.parent_backup_id), (BackupStatus::Completed, None));
    assert_eq!((backup.template_count, backup.errors), (4, 0));
    assert_eq!(backup.total_size, 13 + 300_000 + 40_000);
    assert_eq!(backup.encryption, Encryption::Aes256);
    assert_eq!(backup.sources, [shop.source().to_str().expect("text")]);
    assert!(backup.finished.is_some_and(|finished| finished >= backup.timestamp));
    shop.live_copy().assert_same(&shop.restored(&manager, id), "a full backup");

    // Another full one reads everything again, and stores nothing twice.
    let again = create(&manager, FULL);
    let second = manager.backup(again).expect("is there");
    assert_eq!((second.backup_type, second.total_size), (FULL, backup.total_size));
    assert!(second.compressed_size < 10_000, "{}", second.compressed_size);
}

/// An incremental backup adds what changed and restores everything; so does a differential one,
/// whose parent is the full one.
#[test]
fn create_incremental_backup() {
    let (shop, clock) = Shop::with_clock();
    let manager = shop.manager();
    let full = create(&manager, FULL);
    let before = shop.live_copy();
    shop.write("photos/new.jpg", noise(3, 50_000));
    shop.remove("photos/hill.jpg");
    clock.advance_ms(60_000);
    let report = manager.create_backup_with(&manager.request(INCREMENTAL)).expect("backs up");
    assert_eq!((report.stats.files_new, report.stats.files_unmodified), (1, 3));
    let second = report.snapshot.expect("no dry run").id;
    let backup = manager.backup(second).expect("is there");
    assert_eq!((backup.backup_type, backup.parent_backup_id), (INCREMENTAL, Some(full)));
    assert!((50_000..70_000).contains(&backup.compressed_size), "{}", backup.compressed_size);
    assert_eq!(backup.total_size, 13 + 300_000 + 50_000);

    clock.advance_ms(60_000);
    let third = create(&manager, BackupStrategy::Differential);
    assert_eq!(manager.backup(third).expect("is there").parent_backup_id, Some(full));
    shop.live_copy().assert_same(&shop.restored(&manager, second), "an incremental backup");
    shop.live_copy().assert_same(&shop.restored(&manager, third), "a differential backup");
    before.assert_same(&shop.restored(&manager, full), "the full one before");
}

/// What is restored is what was backed up, to the last attribute; ids and targets that make no
/// sense are refused.
#[test]
fn restore_backup() {
    let shop = Shop::new();
    let manager = shop.manager();
    let id = create(&manager, INCREMENTAL);
    let live = shop.live_copy();
    shop.write("letter.txt", "overwritten");
    let target = shop.path("restored");
    let report = manager.restore_backup(id, &target).expect("restores");
    assert!(report.is_complete(), "{:?}", report.failures);
    live.assert_same(&TreeCopy::of_folder(&shop.source_below(&target)), "restored");

    let unknown = manager.restore_backup(BackupId([9; 16]), &target).expect_err("unknown");
    assert!(matches!(unknown, Error::NotFound { what: "snapshot", .. }), "{unknown}");
    for inside in ["repository", "repository/data/new"] {
        let refused = manager.restore_backup(id, &shop.path(inside)).expect_err("refused");
        assert!(refused.to_string().contains("lies in the repository"), "{refused}");
    }
    assert!(!shop.path("repository/data/new").exists());
}

/// The list is sorted, filtered and cut into pages that fit together, and it is the same for every
/// manager.
#[test]
fn list_backups() {
    let (shop, clock) = Shop::with_clock();
    let manager = shop.manager();
    assert!(manager.list_backups(None).expect("lists").is_empty());
    let mut made = Vec::new();
    for number in 0..7 {
        clock.advance_ms(60_000);
        let mut request = manager.request(if number % 3 == 0 { FULL } else { INCREMENTAL });
        request.options.tags = vec![if number % 2 == 0 { "even" } else { "odd" }.into()];
        request.options.host = Some(if number == 6 { "other" } else { "shop" }.into());
        made.push(manager.create_backup_with(&request).expect("backs up").snapshot);
    }
    let mut made: Vec<BackupId> = made.into_iter().flatten().map(|made| made.id).collect();
    made.reverse();
    assert_eq!(ids(&manager.list_backups(None).expect("lists")), made);
    assert_eq!(ids(&shop.manager().list_backups(Some(2)).expect("lists")), made[..2]);

    let list = |query: &BackupQuery| manager.list_backups_with(query).expect("lists");
    let mut paged = Vec::new();
    let mut query = BackupQuery { limit: Some(3), ..BackupQuery::default() };
    loop {
        let page = list(&query);
        assert_eq!(page.total, 7 + paged.len().min(1));
        paged.extend(ids(&page.backups));
        let Some(next) = page.next_page else { break };
        // A backup made meanwhile moves no page.
        if paged.len() == 3 {
            clock.advance_ms(60_000);
            create(&manager, INCREMENTAL);
        }
        query.page_token = Some(next);
    }
    assert_eq!(paged, made);
    let bad = BackupQuery { page_token: Some("7".into()), ..BackupQuery::default() };
    assert!(manager.list_backups_with(&bad).is_err());

    let all = list(&BackupQuery::default()).backups;
    let count = |query: BackupQuery| list(&query).total;
    assert_eq!(count(BackupQuery { tags: vec![vec!["odd".into()]], ..Default::default() }), 3);
    assert_eq!(count(BackupQuery { hosts: vec!["other".into()], ..Default::default() }), 1);
    assert_eq!(count(BackupQuery { paths: all[0].sources.clone(), ..Default::default() }), 8);
    assert_eq!(count(BackupQuery { paths: vec!["/nowhere".into()], ..Default::default() }), 0);
    let full = BackupQuery { backup_type: vec![FULL], ..Default::default() };
    // The one of another host had no parent and became full.
    assert_eq!(count(full), 3);
    let (from, until) = (Some(all[5].timestamp), Some(all[3].timestamp));
    assert_eq!(count(BackupQuery { from, until, ..Default::default() }), 3);
    let failed = BackupQuery { status: vec![BackupStatus::Failed], ..Default::default() };
    assert_eq!(count(failed), 0);
}

/// Deleting hides a backup and keeps its data until a prune; it can be taken back. Pinned ones,
/// unknown ids and last ones of their series are refused where that was asked for.
#[test]
fn delete_backup() {
    let (shop, clock) = Shop::with_clock();
    let manager = shop.manager();
    let first = create(&manager, FULL);
    clock.advance_ms(60_000);
    let second = create(&manager, INCREMENTAL);
    let live = shop.live_copy();
    let before = shop.stored();
    manager.delete_backup(first).expect("deletes");
    assert_eq!(ids(&manager.list_backups(None).expect("lists")), [second]);
    let unknown = manager.delete_backup(first).expect_err("gone");
    assert!(matches!(unknown, Error::NotFound { what: "backup", .. }), "{unknown}");
    let after = shop.stored();
    assert!(before.keys().all(|name| after.contains_key(name)), "nothing is removed");

    let back = manager.undelete_backup(first).expect("takes it back");
    assert_eq!((back.backup_id, back.status), (first, BackupStatus::Completed));
    assert_eq!(ids(&shop.manager().list_backups(None).expect("lists")), [second, first]);
    live.assert_same(&shop.restored(&manager, first), "undeleted");

    let refused = manager
        .delete_backups(&[first, second], &DeleteOptions::default())
        .expect_err("nothing would be left");
    assert!(refused.to_string().contains("would be left"), "{refused}");
    let unknown = manager.delete_backups(&[first, BackupId([9; 16])], &DeleteOptions::default());
    assert!(matches!(unknown, Err(Error::NotFound { .. })), "all or none");
    assert_eq!(manager.list_backups(None).expect("lists").len(), 2);
    manager.delete_backups(&[first, first], &DeleteOptions::default()).expect("deletes");
    manager.delete_backup(second).expect("the last one, too");
    assert!(manager.list_backups(None).expect("lists").is_empty());
    let stats = manager.get_backup_stats().expect("counts");
    assert_eq!((stats.total_backups, stats.success_rate), (0, 1.0));
}

/// With encryption, nothing of the files is in storage as it is, and only the key opens it.
#[test]
fn backup_with_encryption() {
    let shop = Shop::new();
    let secret = b"nobody but Ann may ever read this sentence";
    shop.write("secret letter.txt", secret);
    let manager = shop.manager();
    let id = create(&manager, FULL);
    assert_eq!(manager.backup(id).expect("is there").encryption, Encryption::Aes256);
    let holds = |bytes: &[u8], text: &[u8]| bytes.windows(text.len()).any(|part| part == text);
    for (name, bytes) in shop.stored() {
        assert!(!holds(&bytes, secret), "{}: content", name.display());
        assert!(!holds(&bytes, b"secret letter"), "{}: a name", name.display());
        assert!(!holds(&bytes, &noise(1, 300_000)[..64]), "{}: content", name.display());
    }
    let open = |unlock: &Unlock| {
        let storage = storage::open(&shop.location()).expect("is there");
        Repository::open(storage, unlock, &OpenOptions::default(), &shop.runtime()).map(|_| ())
    };
    let wrong = open(&Unlock::Password(Password::new("wrong horse")));
    assert!(matches!(wrong, Err(Error::WrongKey { .. })));
    assert!(matches!(open(&Unlock::Nothing), Err(Error::KeyNeeded { .. })));

    let plain = Shop::with(ShopOptions { suite: Suite::None, ..Default::default() });
    let manager = plain.manager();
    let id = create(&manager, FULL);
    assert_eq!(manager.backup(id).expect("is there").encryption, Encryption::None);
}

/// Every object of an encrypted repository is sealed with AES-256: equal content in two
/// repositories looks different, and one changed bit is noticed.
#[test]
fn backup_encryption() {
    let (first, second) = (Shop::new(), Shop::new());
    for shop in [&first, &second] {
        create(&shop.manager(), FULL);
    }
    let folder = |shop: &Shop, folder: &str| -> Vec<Vec<u8>> {
        let stored = shop.stored().into_iter();
        stored.filter(|(name, _)| name.starts_with(folder)).map(|(_, bytes)| bytes).collect()
    };
    for name in ["data", "meta", "snapshots", "index"] {
        let (ours, theirs) = (folder(&first, name), folder(&second, name));
        assert!(!ours.is_empty() && !theirs.is_empty(), "{name}");
        assert!(ours.iter().all(|object| !theirs.contains(object)), "{name}: equal objects");
    }
    // Sealed bytes are noise: none of the 256 values is much more frequent than the others.
    let packs = folder(&first, "data").concat();
    let mut counts = [0_usize; 256];
    packs.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    let mean = packs.len() / 256;
    assert!(counts.iter().all(|count| (mean / 2..mean * 2).contains(count)), "{counts:?}");
    assert_eq!(first.manager().repository().suite(), Suite::Aes256);

    let data = first.stored().into_keys().find(|name| name.starts_with("data")).expect("a pack");
    let path = first.repository_folder().join(data);
    let mut bytes = std::fs::read(&path).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).expect("writes");
    let manager = first.manager();
    let id = manager.list_backups(None).expect("lists")[0].backup_id;
    let report = manager.restore_backup(id, &first.path("restored")).expect("restores the rest");
    assert!(!report.is_complete());
    assert!(!manager.verify_backup_integrity(id).expect("looks").0);
}

/// A running backup tells of its phases, its counts never go back, it can be cancelled, and both
/// ends are listed.
#[test]
fn backup_progress_tracking() {
    let shop = Shop::new();
    for number in 0..40 {
        shop.write(&format!("many/{number}"), noise(100 + number, 100_000));
    }
    let manager = shop.manager();
    let running = manager.start_backup(&manager.request(FULL)).expect("starts");
    let id = running.id();
    // Listed from the first moment, by every manager.
    let listed = shop.manager().backup(id).expect("is listed");
    assert!(listed.error.is_none(), "{listed:?}");
    let events: Vec<ProgressEvent> = running.events().iter().collect();
    let report = running.wait().expect("backs up");
    assert_eq!(report.snapshot.expect("no dry run").id, id);
    let phases: Vec<Phase> = events
        .iter()
        .filter(|event| event.kind == EventKind::Phase)
        .filter_map(|event| event.phase)
        .collect();
    assert_eq!(phases, [Phase::Opening, Phase::BackingUp, Phase::Committing]);
    let last = events.last().expect("there are some");
    assert_eq!(last.kind, EventKind::End);
    assert_eq!((last.files_done, last.files_total), (last.files_total, last.files_done));
    assert_eq!(last.bytes_done, 13 + 340_000 + 4_000_000);
    assert_eq!((last.fraction_done, last.errors), (Some(1.0), 0));
    assert!(last.transferred_bytes > 4_000_000 && last.bytes_per_second > 0);
    for pair in events.windows(2) {
        assert!(pair[0].elapsed_ms <= pair[1].elapsed_ms);
        assert!(pair[0].bytes_done <= pair[1].bytes_done);
    }
    assert_eq!(manager.backup(id).expect("is there").status, BackupStatus::Completed);

    let request = manager.request(FULL);
    request.runtime.cancel.cancel();
    let running = manager.start_backup(&request).expect("starts");
    let id = running.id();
    running.cancel();
    assert!(matches!(running.wait(), Err(Error::Cancelled { .. })));
    let cancelled = manager.backup(id).expect("is listed");
    assert_eq!(cancelled.status, BackupStatus::Failed);
    assert_eq!(cancelled.error.as_deref(), Some("interrupted"));
    // The next one has a token of its own.
    create(&manager, INCREMENTAL);
}

/// A run that fails is listed with its reason, in every manager and after a restart, and does not
/// harm the others; a run whose process died is listed as interrupted.
#[test]
fn backup_failure_handling() {
    let (shop, clock) = Shop::with_clock();
    let manager = shop.manager();
    let good = create(&manager, FULL);
    clock.advance_ms(60_000);
    let missing = |options: &mut BackupOptions| {
        options.sources = vec![SourcePath::new(&shop.path("nowhere")).expect("a path")];
        options.tags = vec!["bad".into()];
    };
    let mut request = manager.request(INCREMENTAL);
    missing(&mut request.options);
    let error = manager.create_backup_with(&request).expect_err("no source");
    assert!(matches!(error, Error::SourcesMissing { .. }), "{error}");
    let in_repository = shop.repository_folder().join("data");
    request.options.sources = vec![SourcePath::new(&in_repository).expect("a path")];
    clock.advance_ms(60_000);
    let error = manager.create_backup_with(&request).expect_err("the repository itself");
    assert!(error.to_string().contains("repository"), "{error}");
    assert!(error.hint().is_some());

    let failed = BackupQuery { status: vec![BackupStatus::Failed], ..Default::default() };
    let page = shop.manager().list_backups_with(&failed).expect("lists");
    assert_eq!(page.total, 2);
    let first = &page.backups[1];
    assert!(first.error.as_ref().is_some_and(|error| error.contains("nowhere")), "{first:?}");
    assert_eq!((first.checksum, first.backup_type), (None, INCREMENTAL));
    assert_eq!((first.host.as_str(), &first.tags[..]), ("shop", &["bad".to_owned()][..]));
    assert_eq!(first.sources, [shop.path("nowhere").to_str().expect("text")]);
    assert!(first.finished.is_some());
    let stats = manager.get_backup_stats().expect("counts");
    assert_eq!((stats.total_backups, stats.failed_backups), (1, 2));
    assert!((stats.success_rate - 1.0 / 3.0).abs() < 1e-9, "{}", stats.success_rate);
    let unknown = manager.restore_backup(first.backup_id, &shop.path("x")).expect_err("none");
    assert!(matches!(unknown, Error::NotFound { what: "snapshot", .. }), "{unknown}");

    // The process of a run is gone: as after `kill -9` or a power failure.
    let id = BackupId([7; 16]);
    let history = manager.run_history();
    let start = larder::manager::history::NewRun {
        backup_id: id,
        schedule_id: None,
        attempt: 1,
        strategy: FULL,
        status: BackupStatus::InProgress,
        started_ms: 0,
        host: "shop".into(),
        sources: Vec::new(),
        tags: Vec::new(),
        description: String::new(),
    };
    history.begin(&start).expect("begins");
    assert_eq!(manager.backup(id).expect("is listed").status, BackupStatus::InProgress);
    let busy = manager.delete_backup(id).expect_err("it is running");
    assert!(matches!(busy, Error::Busy { .. }), "{busy}");
    let sql = "UPDATE runs SET process = replace(process, '\"start\":', '\"start\":9') \
               WHERE started_ms = 0";
    manager.database().with(|connection| connection.execute(sql, [])).expect("changes");
    let backup = shop.manager().backup(id).expect("is listed");
    assert_eq!(backup.status, BackupStatus::Failed);
    assert!(backup.error.is_some_and(|error| error.contains("interrupted")));
    manager.delete_backup(id).expect("forgets the run");
    assert!(matches!(manager.backup(id), Err(Error::NotFound { .. })));

    // Losing the history loses the failed runs and nothing else.
    let path = manager.database().path().expect("a file");
    drop(manager);
    std::fs::remove_file(path.with_extension("sqlite-wal")).expect("removes");
    std::fs::write(&path, "no database").expect("writes");
    let manager = shop.manager();
    assert_eq!(ids(&manager.list_backups(None).expect("lists")), [good]);
    assert_eq!(manager.database().take_warnings().len(), 1);
    let next = create(&manager, INCREMENTAL);
    shop.live_copy().assert_same(&shop.restored(&manager, next), "with a new history");
    assert_eq!(manager.run_history().list(&RunQuery::default(), 0).expect("lists").len(), 1);
}

/// Sizes are those of the files; what is stored is less, and counted once.
#[test]
fn backup_size_calculation() {
    let (shop, clock) = Shop::with_clock();
    let stats = shop.manager().get_backup_stats().expect("counts");
    assert_eq!((stats.total_backups, stats.oldest_backup, stats.newest_backup), (0, None, None));
    assert_eq!((stats.success_rate, stats.avg_backup_duration_ms), (1.0, 0));
    shop.write("zeros", vec![0; 1 << 20]);
    shop.write("photos/copy of sea.jpg", noise(1, 300_000));
    let manager = shop.manager();
    let first = manager.backup(create(&manager, FULL)).expect("is there");
    let size = 13 + 300_000 + 40_000 + (1 << 20) + 300_000;
    assert_eq!(first.total_size, size);
    // Zeros compress to nearly nothing, and the copy is stored once.
    assert!((340_000..400_000).contains(&first.compressed_size), "{}", first.compressed_size);
    clock.advance_ms(3_600_000);
    shop.write("letter.txt", "Dear reader, how are you?\n");
    let second = manager.backup(create(&manager, INCREMENTAL)).expect("is there");
    assert_eq!(second.total_size, size + 13);
    assert!(second.compressed_size < 20_000, "{}", second.compressed_size);
    let stats = manager.get_backup_stats().expect("counts");
    assert_eq!((stats.total_backups, stats.total_size), (2, 2 * size + 13));
    assert_eq!(
        (stats.oldest_backup, stats.newest_backup),
        (Some(first.timestamp), Some(second.timestamp))
    );
    let packs: u64 = shop
        .stored()
        .iter()
        .filter(|(name, _)| name.starts_with("data") || name.starts_with("meta"))
        .map(|(_, bytes)| bytes.len() as u64)
        .sum();
    assert_eq!(stats.stored_size, packs);
    assert!(stats.stored_size >= first.compressed_size + second.compressed_size);
}

/// Backups at the same time through one manager all run, and each makes a snapshot of its own.
#[test]
fn concurrent_backups() {
    let shop = Shop::new();
    let manager = shop.manager();
    let live = shop.live_copy();
    let made: Vec<BackupId> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let manager = manager.clone();
                scope.spawn(move || create(&manager, if number == 0 { FULL } else { INCREMENTAL }))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let mut listed = ids(&shop.manager().list_backups(None).expect("lists"));
    let mut expected = made.clone();
    listed.sort();
    expected.sort();
    expected.dedup();
    assert_eq!((listed.len(), &listed), (4, &expected));
    for id in made {
        live.assert_same(&shop.restored(&manager, id), "one of several at once");
        assert!(manager.verify_backup_integrity(id).expect("looks").0);
    }
}

/// A repository in a folder of this machine: it can be copied with `cp`, and what was left out of
/// a source that contains it is the repository itself.
#[test]
fn local_storage() {
    let shop = Shop::new();
    let manager = shop.manager();
    let live = shop.live_copy();
    let first = create(&manager, FULL);
    // The folder around everything: source, repository, state.
    let mut request: BackupRequest = manager.request(FULL);
    request.options.sources = vec![SourcePath::new(&shop.path("")).expect("a path")];
    let running = manager.start_backup(&request).expect("starts");
    let warnings: Vec<String> = running
        .events()
        .iter()
        .filter_map(|event| event.issue)
        .map(|issue| issue.message)
        .collect();
    let report = running.wait().expect("backs up");
    assert!(warnings.iter().any(|text| text.contains("the repository itself")), "{warnings:?}");
    let second = report.snapshot.expect("no dry run").id;
    let target = shop.path("restored");
    manager.restore_backup(second, &target).expect("restores");
    let below = target.join(shop.path("").strip_prefix("/").expect("absolute"));
    assert!(below.join("source/letter.txt").is_file() && !below.join("repository").exists());
    let cache = manager.repository().id().to_string();
    assert!(shop.path("cache").join(&cache).is_dir() && !below.join("cache").join(cache).exists());

    let copied = std::process::Command::new("cp")
        .arg("-r")
        .args([shop.repository_folder(), shop.path("copy")])
        .status();
    assert!(copied.expect("cp runs").success());
    std::fs::remove_dir_all(shop.repository_folder()).expect("removes it");
    std::fs::rename(shop.path("copy"), shop.repository_folder()).expect("moves the copy there");
    let manager = shop.manager();
    live.assert_same(&shop.restored(&manager, first), "from a copy");
    assert!(manager.verify_backup_integrity(second).expect("looks").0);
}
