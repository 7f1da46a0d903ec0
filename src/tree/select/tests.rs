use super::*;
use crate::format::log::{SnapshotBody, series};
use crate::format::record::Bin;
use crate::model::{ClientId, ObjectHash, SessionId};

/// A snapshot with an id of this first byte, started at `start_ms`.
fn snapshot(id: u8, host: &str, root: &str, tags: &[&str], start_ms: i64) -> Snapshot {
    let mut bytes = [7; 16];
    bytes[0] = id;
    let roots = vec![Bin(root.into())];
    Snapshot {
        id: BackupId(bytes),
        record: ObjectHash([0; 32]),
        object_name: String::new(),
        session_id: SessionId([0; 16]),
        client_id: ClientId([0; 16]),
        client_seq: 1,
        host: host.into(),
        user: String::new(),
        tool: String::new(),
        first_seen_ms: None,
        pinned: false,
        quarantine: None,
        suspect: false,
        cleared_here: false,
        body: SnapshotBody {
            series: series(host, &roots),
            roots,
            tags: tags.iter().map(ToString::to_string).collect(),
            ..SnapshotBody::new(start_ms)
        },
    }
}

fn list() -> SnapshotList {
    let mut list = SnapshotList::default();
    list.snapshots.extend([
        snapshot(0x4f, "web", "/srv", &["daily"], 100),
        snapshot(0x4e, "web", "/srv", &["daily", "keep"], 200),
        snapshot(0xa1, "web", "/etc", &[], 300),
        snapshot(0xb2, "db", "/srv", &["weekly"], 400),
    ]);
    list
}

fn found(text: &str, filter: &SnapshotFilter) -> Result<u8> {
    let list = list();
    SnapshotName::parse(text.as_bytes())?.find(&list, filter).map(|snapshot| snapshot.id.0[0])
}

#[test]
fn names_have_a_snapshot_and_a_path() {
    let parsed = |text: &[u8]| SnapshotName::parse(text).expect("a name");
    let name = |which, path: Option<&[u8]>| SnapshotName { which, path: path.map(Into::into) };
    assert_eq!(parsed(b"latest"), name(Which::Latest(0), None));
    assert_eq!(parsed(b"latest~12"), name(Which::Latest(12), None));
    assert_eq!(parsed(b"4F1c"), name(Which::Id("4f1c".into()), None));
    assert_eq!(parsed(b"4f:"), name(Which::Id("4f".into()), Some(b"")));
    assert_eq!(
        parsed(b"latest~1:/home//ann/./x:y/%FF\xfe%"),
        name(Which::Latest(1), Some(b"home/ann/x:y/\xff\xfe%"))
    );
}

#[test]
fn other_words_are_no_names() {
    for wrong in
        ["", "late", "latest~", "latest~x", "latest1", "xyz", ":etc", "4f:a/../b", "4f:a%00b"]
    {
        let parsed = SnapshotName::parse(wrong.as_bytes());
        assert!(matches!(parsed, Err(Error::Usage { .. })), "{wrong}");
    }
    assert!(SnapshotName::parse("a".repeat(33).as_bytes()).is_err());
}

#[test]
fn any_unique_beginning_of_an_id_finds_it_whatever_the_filter() {
    let none = SnapshotFilter { hosts: vec!["nobody".into()], ..SnapshotFilter::default() };
    assert_eq!(found("a", &none).expect("one"), 0xa1);
    assert_eq!(found("4E07", &none).expect("one"), 0x4e);
    assert!(matches!(found("4", &none), Err(Error::Ambiguous { count: 2, .. })));
    assert!(matches!(found("c", &none), Err(Error::NotFound { what: "snapshot", .. })));
}

#[test]
fn latest_counts_back_among_those_that_fit() {
    let all = SnapshotFilter::default();
    let web = SnapshotFilter { hosts: vec!["web".into()], ..SnapshotFilter::default() };
    assert_eq!(found("latest", &all).expect("one"), 0xb2);
    assert_eq!(found("latest", &web).expect("one"), 0xa1);
    assert_eq!(found("latest~2", &web).expect("one"), 0x4f);
    assert!(matches!(found("latest~3", &web), Err(Error::NotFound { .. })));
}

#[test]
fn filters_join_hosts_groups_of_tags_and_sources() {
    let fitting = |filter: SnapshotFilter| -> Vec<u8> {
        filter.fitting(&list()).map(|snapshot| snapshot.id.0[0]).collect()
    };
    let tags = |groups: &[&[&str]]| SnapshotFilter {
        tags: groups.iter().map(|g| g.iter().map(ToString::to_string).collect()).collect(),
        ..SnapshotFilter::default()
    };
    assert_eq!(fitting(tags(&[&["daily"]])), [0x4f, 0x4e]);
    assert_eq!(fitting(tags(&[&["daily", "keep"]])), [0x4e]);
    assert_eq!(fitting(tags(&[&["keep"], &["weekly"]])), [0x4e, 0xb2]);
    let paths = |paths: &[&[u8]]| SnapshotFilter {
        paths: paths.iter().map(|path| path.to_vec()).collect(),
        ..SnapshotFilter::default()
    };
    assert_eq!(fitting(paths(&[b"/srv/"])), [0x4f, 0x4e, 0xb2]);
    assert_eq!(fitting(paths(&[b"srv", b"etc"])), [0_u8; 0]);
    assert_eq!(fitting(SnapshotFilter { until_ms: Some(200), ..Default::default() }), [0x4f, 0x4e]);
}

#[test]
fn a_point_in_time_must_mean_one_series() {
    let list = list();
    let at = |until_ms, hosts: &[&str], paths: &[&str]| {
        let filter = SnapshotFilter {
            hosts: hosts.iter().map(ToString::to_string).collect(),
            paths: paths.iter().map(|path| path.as_bytes().to_vec()).collect(),
            until_ms: Some(until_ms),
            ..SnapshotFilter::default()
        };
        filter.newest(&list).map(|snapshot| snapshot.id.0[0])
    };
    assert_eq!(at(250, &[], &[]).expect("one series so far"), 0x4e);
    assert_eq!(at(199, &[], &[]).expect("one series so far"), 0x4f);
    assert_eq!(at(500, &["web"], &["/srv"]).expect("one series"), 0x4e);
    assert_eq!(at(500, &["db"], &[]).expect("one series"), 0xb2);
    let error = at(99, &[], &[]).expect_err("before the first");
    assert!(matches!(error, Error::Usage { .. }) && error.to_string().contains("the oldest is"));
    assert!(matches!(at(500, &["nobody"], &[]), Err(Error::NotFound { .. })));
    let error = at(500, &[], &["/srv"]).expect_err("two hosts").to_string();
    assert!(error.contains("`/srv` of host `web`") && error.contains("`/srv` of host `db`"));
    assert!(matches!(at(300, &["web"], &[]), Err(Error::Usage { .. })));
}
