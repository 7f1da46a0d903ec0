//! Owner, mode, times and the like of an entry: from the manifest, onto the target.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use parking_lot::Mutex;

use super::options::OwnerPolicy;
use crate::fsmeta::{
    self, Metadata, OwnerNames, Stat, Target as MetaTarget, Unapplied, apply, read_flags,
    read_xattrs_fd,
};
use crate::model::{Entry, FileKind, Owner, Time, Xattr};

/// What is applied to an entry once its content is there.
#[derive(Clone, Debug)]
pub(super) struct Attributes {
    pub(super) kind: FileKind,
    pub(super) mode: u32,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime: Time,
    pub(super) atime: Option<Time>,
    pub(super) flags: u32,
    /// `None` if they are lost: then those that are there stay.
    pub(super) xattrs: Option<Box<[Xattr]>>,
}

impl Attributes {
    /// Those of an entry, with its extended attributes loaded.
    pub(super) fn of(entry: &Entry, xattrs: Option<Vec<Xattr>>, owners: &Owners) -> Self {
        let (uid, gid) = owners.resolve(&entry.owner);
        Self {
            kind: entry.kind,
            mode: entry.mode,
            uid,
            gid,
            mtime: entry.mtime,
            atime: entry.atime,
            flags: entry.inode_flags,
            xattrs: xattrs.map(Vec::into_boxed_slice),
        }
    }

    /// About how much memory they take beside their own size.
    pub(super) fn weight(&self) -> usize {
        let xattrs = self.xattrs.iter().flat_map(|list| list.iter());
        xattrs.map(|xattr| 64 + xattr.name.len() + xattr.value.len()).sum()
    }

    /// Applies them to what this restore made. If it is `plain`, it has nothing that would have
    /// to be removed.
    pub(super) fn apply_new(&self, target: MetaTarget<'_>, plain: bool) -> Vec<Unapplied> {
        let mut metadata = self.metadata();
        if plain {
            metadata.xattrs = metadata.xattrs.filter(|list| !list.is_empty());
            metadata.flags = metadata.flags.filter(|flags| *flags != 0);
        }
        apply(target, &metadata)
    }

    /// Applies them to an open file or folder that was there before. One that has them already is
    /// not touched: a change time that moves for nothing makes the next backup read the file.
    pub(super) fn apply_existing(&self, file: &File, stat: &Stat) -> Vec<Unapplied> {
        if self.is_applied(file, stat) {
            return Vec::new();
        }
        // What protects the file would keep all else from being set.
        let _ = fsmeta::clear_protection(file);
        apply(MetaTarget::open(file), &self.metadata())
    }

    /// Applies them to an entry that is only held.
    pub(super) fn apply_held(&self, target: MetaTarget<'_>) -> Vec<Unapplied> {
        apply(target, &self.metadata())
    }

    /// Whether an entry of this description has the right owner, mode and times.
    pub(super) fn matches(&self, stat: &Stat) -> bool {
        let mode_matters = self.kind != FileKind::Symlink;
        self.uid.is_none_or(|uid| uid == stat.uid)
            && self.gid.is_none_or(|gid| gid == stat.gid)
            && (!mode_matters || self.mode == stat.mode)
            && self.mtime == stat.mtime
            && self.atime.is_none_or(|atime| atime == stat.atime)
    }

    fn is_applied(&self, file: &File, stat: &Stat) -> bool {
        self.matches(stat)
            && read_flags(file).is_ok_and(|flags| flags == self.flags)
            && self.xattrs.as_deref().is_none_or(|wanted| {
                read_xattrs_fd(file)
                    .is_ok_and(|found| found.unreadable.is_empty() && found.list[..] == *wanted)
            })
    }

    fn metadata(&self) -> Metadata<'_> {
        Metadata {
            kind: self.kind,
            uid: self.uid,
            gid: self.gid,
            mode: self.mode,
            xattrs: self.xattrs.as_deref(),
            mtime: self.mtime,
            atime: self.atime,
            flags: Some(self.flags),
        }
    }
}

/// Finds out who is to own what.
pub(super) struct Owners {
    policy: OwnerPolicy,
    names: OwnerNames,
    /// Few owners own everything.
    known: Mutex<HashMap<Arc<Owner>, (u32, u32)>>,
}

impl Owners {
    pub(super) fn new(policy: OwnerPolicy) -> Self {
        let names = match policy {
            OwnerPolicy::ByName => OwnerNames::load(),
            OwnerPolicy::Numeric | OwnerPolicy::Skip => OwnerNames::default(),
        };
        Self { policy, names, known: Mutex::default() }
    }

    /// User and group on this machine; `None` leaves them to the system.
    fn resolve(&self, owner: &Arc<Owner>) -> (Option<u32>, Option<u32>) {
        if self.policy == OwnerPolicy::Skip {
            return (None, None);
        }
        let mut known = self.known.lock();
        let (uid, gid) = match known.get(owner) {
            Some(found) => *found,
            None => {
                let found = self.names.resolve(owner);
                // Hostile manifests may have an owner for every entry.
                if known.len() < OWNERS_KEPT {
                    known.insert(Arc::clone(owner), found);
                }
                found
            }
        };
        (Some(uid), Some(gid))
    }
}

const OWNERS_KEPT: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(uid: u32, user: &str) -> Arc<Owner> {
        Arc::new(Owner { uid, gid: 7, user: user.into(), group: Vec::new() })
    }

    #[test]
    fn names_count_before_numbers() {
        let names = OwnerNames::parse(b"alice:x:1000:1000::/:\n", b"");
        let owners = |policy| Owners { policy, names: names.clone(), known: Mutex::default() };
        let by_name = owners(OwnerPolicy::ByName);
        assert_eq!(by_name.resolve(&owner(5, "alice")), (Some(1000), Some(7)));
        assert_eq!(by_name.resolve(&owner(5, "bob")), (Some(5), Some(7)));
        assert_eq!(owners(OwnerPolicy::Skip).resolve(&owner(5, "alice")), (None, None));
    }
}
