//! What is seen through a view equals what was backed up.

use std::os::unix::ffi::OsStrExt;

use crate::rounds;
use crate::support::Lab;

use super::{copy_of, find_bytes, view, walk};
use larder::view::NodeId;

/// Trees with everything that a file system can hold, edited a few times.
#[test]
fn every_snapshot_is_seen_as_it_was() {
    for seed in 0..rounds(2, 40) {
        let mut lab = Lab::seeded(7_000 + seed);
        for round in 0..3 {
            lab.backup_named(&format!("{round}"));
            lab.tree().edit(10);
        }
        let view = view(&lab);
        let source = lab.source();
        for (name, id, copy) in lab.all_remembered() {
            let path = [b"ids/", id.to_string().as_bytes(), source.as_os_str().as_bytes()].concat();
            let root = find_bytes(&view, NodeId::ROOT, &path).expect("the tree is there");
            let seen = walk(&view, root.node);
            copy.assert_same(&copy_of(&seen, &view, copy), format!("seed {seed}, {name}"));
        }
    }
}
