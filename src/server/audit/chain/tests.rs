use super::*;
use crate::runtime::SystemClock;

fn written(count: u64) -> (tempfile::TempDir, Audit) {
    let folder = tempfile::tempdir().unwrap();
    let audit = open(folder.path());
    for number in 0..count {
        audit.record(Some("ann"), "127.0.0.1", &format!("POST /{number}"), 200, "");
    }
    (folder, audit)
}

fn open(folder: &Path) -> Audit {
    Audit::open(Some(folder), Arc::new(SystemClock)).unwrap()
}

fn text(folder: &Path) -> String {
    fs::read_to_string(folder.join(NAME)).unwrap()
}

#[test]
fn a_log_goes_on_after_a_restart() {
    let (folder, audit) = written(3);
    let seen = audit.head();
    drop(audit);
    open(folder.path()).record(None, "::1", "DELETE /x", 403, "why");
    let report = verify(folder.path(), Some(&seen)).unwrap();
    assert_eq!((report.head.number, report.wrong), (4, None));
    let last = newest(folder.path(), 2, None).unwrap();
    assert_eq!(last.iter().map(|entry| entry.number).collect::<Vec<_>>(), [4, 3]);
    assert_eq!((last[0].who.as_deref(), last[0].detail.as_str()), (None, "why"));
    let older = newest(folder.path(), 2, Some(3)).unwrap();
    assert_eq!(older.iter().map(|entry| entry.number).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn every_change_shows() {
    let (folder, audit) = written(5);
    let (whole, path) = (text(folder.path()), folder.path().join(NAME));
    let head = audit.head();
    let lines: Vec<&str> = whole.lines().collect();
    let wrong = |text: String| {
        fs::write(&path, text).unwrap();
        verify(folder.path(), Some(&head)).unwrap().wrong.map(|(line, _)| line)
    };
    assert_eq!(wrong(whole.clone()), None);
    assert_eq!(wrong(whole.replace("/1\"", "/7\"")), Some(3), "changed");
    assert_eq!(wrong([&lines[..1], &lines[2..]].concat().join("\n")), Some(2), "removed");
    assert_eq!(wrong([lines[0], lines[2], lines[1]].join("\n")), Some(2), "moved");
    assert_eq!(wrong(lines[..4].join("\n")), Some(4), "cut off");
    assert_eq!(wrong(whole.replacen('{', "x", 1)), Some(1), "no entry");
    assert_eq!(wrong(String::new()), Some(0), "emptied");
    let other = AuditHead { number: 3, hash: BEGIN.into() };
    fs::write(&path, &whole).unwrap();
    assert!(verify(folder.path(), Some(&other)).unwrap().wrong.is_some(), "rewritten");
}

#[test]
fn half_a_line_of_a_power_failure_is_left_behind() {
    let (folder, audit) = written(2);
    drop(audit);
    let half = text(folder.path());
    fs::write(folder.path().join(NAME), format!("{half}{{\"number\":3,\"ti")).unwrap();
    let audit = open(folder.path());
    assert_eq!(audit.head().number, 2);
    audit.record(None, "", "daemon started", 0, "");
    let report = verify(folder.path(), None).unwrap();
    assert_eq!((report.head.number, report.wrong), (3, None));
}

#[test]
fn long_texts_are_cut() {
    let (folder, audit) = written(0);
    audit.record(Some(&"ä".repeat(9_000)), "", &"\u{1}".repeat(9_000), 200, "");
    assert!(verify(folder.path(), None).unwrap().wrong.is_none());
    let head = audit.head();
    drop(audit);
    let audit = open(folder.path());
    assert_eq!(audit.head(), head);
    assert!(matches!(
        Audit::open(Some(folder.path()), Arc::new(SystemClock)),
        Err(Error::Busy { .. })
    ));
    verify(Path::new("/nonexistent"), None).expect_err("there is none");
}

/// A command may write beside the daemon: each line follows from the one before, whoever wrote it.
#[test]
fn several_processes_write_one_chain() {
    let (folder, daemon) = written(2);
    let beside = || Audit::beside(folder.path(), Arc::new(SystemClock)).unwrap();
    let (first, second) = (beside(), beside());
    for _ in 0..3 {
        first.record(Some("ann"), "", "larder user add bob", 0, "");
        daemon.record(None, "::1", "POST /x", 200, "");
        second.record(Some("ann"), "", "larder user remove bob", 0, "");
    }
    let report = verify(folder.path(), None).unwrap();
    assert_eq!((report.head.number, report.wrong), (11, None));
    // Half a line, of one that was killed.
    fs::OpenOptions::new()
        .append(true)
        .open(folder.path().join(NAME))
        .unwrap()
        .write_all(b"{\"number\":12,")
        .unwrap();
    daemon.record(None, "::1", "POST /y", 200, "");
    let report = verify(folder.path(), None).unwrap();
    assert_eq!((report.head.number, report.wrong), (12, None));
    assert_eq!(daemon.head(), report.head);
}
