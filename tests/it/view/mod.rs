//! The repository as one tree of files: what is seen through a view is what is in the snapshots.

mod many;
mod meanwhile;
mod same;
mod top;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use larder::model::entry::compare_paths;
use larder::model::{FileKind, Xattr};
use larder::tree::SnapshotFilter;
use larder::view::{Attributes, NodeId, OpenFolder, Shown, View, ViewOptions};

use crate::support::{Lab, LabOptions, TreeCopy};

/// A view of a whole repository that looks at the log whenever it is asked.
fn view(lab: &Lab) -> View {
    view_with(lab, SnapshotFilter::default())
}

fn view_with(lab: &Lab, filter: SnapshotFilter) -> View {
    let options = ViewOptions {
        show: Shown::Everything(filter),
        refresh: Duration::ZERO,
        ..ViewOptions::default()
    };
    View::new(Arc::new(lab.open()), options).expect("opens a view")
}

/// A repository that costs little.
fn small(seed: u64) -> Lab {
    let options = LabOptions {
        suite: larder::crypto::Suite::None,
        samples: false,
        entries: 8,
        ..LabOptions::default()
    };
    Lab::with(seed, options)
}

/// The names in a folder, as listed.
fn names(view: &View, folder: NodeId) -> Vec<String> {
    let items = list(view, folder);
    items.into_iter().map(|(name, _)| String::from_utf8(name).expect("text")).collect()
}

/// What is in a folder, in one go.
fn list(view: &View, folder: NodeId) -> Vec<(Vec<u8>, Attributes)> {
    let mut folder = view.open_folder(folder).expect("opens a folder");
    list_on(view, &mut folder, 0)
}

fn list_on(view: &View, folder: &mut OpenFolder, mut from: u64) -> Vec<(Vec<u8>, Attributes)> {
    let mut found = Vec::new();
    while let Some(item) = folder.next(view, from).expect("lists a folder") {
        assert!((1..1 << 62).contains(&item.cursor), "{}", item.cursor);
        from = item.cursor;
        found.push((item.name, item.attributes));
    }
    found
}

/// The node of a path.
fn find(view: &View, path: &str) -> Option<Attributes> {
    find_bytes(view, NodeId::ROOT, path.as_bytes())
}

fn find_bytes(view: &View, from: NodeId, path: &[u8]) -> Option<Attributes> {
    let mut found = view.attributes(from).expect("a node");
    for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        found = view.lookup(found.node, name).expect("looks up")?;
    }
    Some(found)
}

/// All that is below a node, by path; the node itself has the empty path.
fn walk(view: &View, node: NodeId) -> BTreeMap<Vec<u8>, (Attributes, Arc<[Xattr]>)> {
    let mut all = BTreeMap::new();
    let mut todo = vec![(Vec::new(), view.attributes(node).expect("a node"))];
    while let Some((path, attributes)) = todo.pop() {
        if attributes.kind == FileKind::Dir {
            for (name, below) in list(view, attributes.node) {
                let below_path =
                    if path.is_empty() { name.clone() } else { [&path, &name[..]].join(&b'/') };
                assert_eq!(
                    view.lookup(attributes.node, &name).expect("looks up"),
                    Some(below.clone())
                );
                assert_eq!(view.attributes(below.node).expect("a node"), below);
                todo.push((below_path, below));
            }
        }
        let xattrs = view.xattrs(attributes.node).expect("attributes");
        assert!(all.insert(path, (attributes, xattrs)).is_none(), "listed twice");
    }
    all
}

/// What a walk saw, as it can be compared. Bodies are left as they are in `like`.
fn copy_of(
    seen: &BTreeMap<Vec<u8>, (Attributes, Arc<[Xattr]>)>,
    view: &View,
    like: &TreeCopy,
) -> TreeCopy {
    use crate::support::{Body, Node};
    let mut firsts: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    let mut paths: Vec<&Vec<u8>> = seen.keys().collect();
    paths.sort_by(|a, b| compare_paths(a, b));
    let mut copy = TreeCopy::default();
    for path in paths {
        let (attributes, xattrs) = &seen[path];
        let first = firsts.entry(attributes.node.0).or_insert_with(|| path.clone());
        let same_as = (first != path).then(|| first.clone());
        let body = match (attributes.kind, like.get(path).map(|node| &node.body)) {
            _ if same_as.is_some() => Body::Nothing,
            (FileKind::File, Some(Body::Bytes { hash, .. })) => {
                Body::Bytes { len: attributes.size, hash: *hash }
            }
            (FileKind::Symlink, _) => {
                let target = view.read_link(attributes.node).expect("a target");
                assert_eq!(target.len() as u64, attributes.size);
                Body::Target(target)
            }
            (FileKind::CharDevice | FileKind::BlockDevice, _) => {
                let (major, minor) = attributes.device.expect("a device");
                Body::Device(major, minor)
            }
            _ => Body::Nothing,
        };
        let node = Node {
            kind: attributes.kind,
            mode: attributes.mode,
            owner: (attributes.uid, attributes.gid),
            mtime: attributes.mtime,
            body,
            xattrs: xattrs.to_vec(),
            same_as,
        };
        copy.0.insert(path.clone(), node);
    }
    copy
}
