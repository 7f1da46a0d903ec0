//! The folders above the snapshots.

use larder::model::FileKind;
use larder::view::NodeId;

use super::{find, list, names, small, view};

#[test]
fn snapshots_are_found_by_time_id_host_and_as_the_latest() {
    let mut lab = small(7_100);
    let view = view(&lab);
    assert_eq!(names(&view, NodeId::ROOT), ["snapshots", "ids", "hosts", "tags"]);
    let snapshots = find(&view, "snapshots").expect("a folder").node;
    assert!(names(&view, snapshots).is_empty());
    assert!(find(&view, "latest").is_none());

    let first = lab.backup_named("first").snapshot.expect("a snapshot");
    let second = lab.backup_named("second").snapshot.expect("a snapshot");
    assert_eq!(names(&view, NodeId::ROOT), ["snapshots", "ids", "hosts", "tags", "latest"]);
    let times = names(&view, snapshots);
    assert_eq!(times.len(), 2);
    assert!(times[0] < times[1]);
    let latest = find(&view, "latest").expect("a link");
    assert_eq!(latest.kind, FileKind::Symlink);
    let target = view.read_link(latest.node).expect("a target");
    assert_eq!(target, format!("snapshots/{}", times[1]).as_bytes());

    let mut ids = names(&view, find(&view, "ids").expect("a folder").node);
    ids.sort();
    let mut want = [first.id.to_string(), second.id.to_string()];
    want.sort();
    assert_eq!(ids, want);
    let of_host = find(&view, &format!("hosts/{}", first.host)).expect("the host");
    assert_eq!(names(&view, of_host.node), ["latest", &times[0], &times[1]]);
    assert_eq!(
        view.read_link(list(&view, of_host.node)[0].1.node).expect("a target"),
        times[1].as_bytes()
    );
    assert!(find(&view, "hosts/nobody").is_none());
    let folder = find(&view, &format!("snapshots/{}", times[0])).expect("a folder");
    assert_eq!(folder.mtime.secs, first.time_ms().div_euclid(1000));
    assert_eq!(view.attributes(folder.node).expect("a node"), folder);
}
