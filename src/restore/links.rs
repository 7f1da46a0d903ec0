//! Hard links: which file has the content, and giving it further names.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;

use parking_lot::Mutex;

use super::attributes::Attributes;
use super::target::{Target, split_path};
use crate::fsmeta::{self, OpenDir};
use crate::model::FileKind;

/// Names a group of hard links: hash of the path of its first entry in the snapshot.
pub(super) type LeaderKey = [u8; 16];

/// What became of the member of a group that is restored first: the others are linked to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeaderState {
    /// It is, or will be, there.
    Good,
    /// Parts of it are lost.
    Damaged,
    /// It could not be made.
    Missing,
}

/// The first restored members of all groups. Only what is in here is ever linked to: a manifest
/// that names something else in the target gains nothing.
#[derive(Default)]
pub(super) struct Leaders(Mutex<HashMap<LeaderKey, Leader>>);

#[derive(Clone, Debug)]
pub(super) struct Leader {
    /// Its path in the target.
    pub(super) path: Box<[u8]>,
    pub(super) state: LeaderState,
}

impl Leaders {
    /// The key of the group whose first entry has this path in the snapshot.
    pub(super) fn key(path: &[u8]) -> LeaderKey {
        let mut key = [0; 16];
        key.copy_from_slice(&blake3::hash(path).as_bytes()[..16]);
        key
    }

    /// A member is going to be restored.
    pub(super) fn insert(&self, key: LeaderKey, path: &[u8]) {
        let leader = Leader { path: path.into(), state: LeaderState::Good };
        self.0.lock().insert(key, leader);
    }

    /// Something happened to the member of this group, if it is one.
    pub(super) fn set(&self, key: Option<LeaderKey>, state: LeaderState) {
        if let Some(key) = key
            && let Some(leader) = self.0.lock().get_mut(&key)
        {
            leader.state = state;
        }
    }

    /// The member that was restored.
    pub(super) fn get(&self, key: &LeaderKey) -> Option<Leader> {
        self.0.lock().get(key).cloned()
    }
}

/// Gives the entry at `leader`, which has these attributes, the further name `name` in the open
/// folder `dir`.
///
/// # Errors
/// What the system says.
pub(super) fn link(
    target: &Target,
    leader: &[u8],
    attributes: &Attributes,
    dir: impl AsFd,
    name: &[u8],
) -> io::Result<()> {
    let (folder, leader_name) = split_path(leader);
    let leader_dir = target.open_dir(folder, OpenDir::Path)?;
    match fsmeta::hard_link_at(&leader_dir, leader_name, &dir, name) {
        // An immutable file takes no further name: it has to wait for a moment.
        Err(error)
            if error.kind() == io::ErrorKind::PermissionDenied
                && attributes.kind == FileKind::File =>
        {
            let file = fsmeta::open_file_at(&leader_dir, leader_name)?;
            let flags = fsmeta::read_flags(&file)?;
            fsmeta::clear_protection(&file)?;
            let linked = fsmeta::hard_link_at(&leader_dir, leader_name, &dir, name);
            let attributes = Attributes { flags, ..attributes.clone() };
            attributes.apply_existing(&file, &fsmeta::stat_fd(&file)?);
            linked
        }
        result => result,
    }
}
