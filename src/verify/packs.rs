//! The second step: what the index names is there, with the right length.

use std::collections::{HashMap, HashSet};

use super::Damage;
use super::report::{Collector, Severity, add};
use crate::error::Result;
use crate::format::pack::PackType;
use crate::model::{ObjectHash, format_bytes};
use crate::repository::{PackInfo, PackRef, Repository};

/// A pack that can be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct PresentPack {
    pub(super) pack: PackRef,
    pub(super) info: PackInfo,
    /// Its length in storage, which may be wrong.
    pub(super) stored_len: u64,
}

/// What the index names, and how it is.
pub(super) struct Packs {
    pub(super) present: Vec<PresentPack>,
    pub(super) damage: Damage,
}

/// Compares the index with a listing.
pub(super) fn check(
    repository: &Repository,
    condemned: &HashSet<ObjectHash>,
    collector: &Collector,
) -> Result<Packs> {
    let mut listed = repository.list_packs()?;
    let mut indexed = repository.index().packs();
    let fits = |info: &PackInfo, listed: &HashMap<ObjectHash, (u64, PackType)>| {
        listed.get(&info.hash) == Some(&(info.len, info.pack_type))
    };
    if !indexed.iter().all(|(_, info)| fits(info, &listed)) {
        // A prune may have removed packs between the load of the index and the listing.
        for error in repository.load_index()? {
            collector.damage(error)?;
        }
        indexed = repository.index().packs();
        listed = repository.list_packs()?;
    }
    add(&collector.counts.packs, indexed.len() as u64);
    let mut packs = Packs { present: Vec::with_capacity(indexed.len()), damage: Damage::default() };
    for (pack, info) in indexed {
        let name = info.object_name();
        let found = listed.remove(&info.hash);
        match found.filter(|(_, pack_type)| *pack_type == info.pack_type) {
            None if condemned.contains(&info.hash) => {}
            None => {
                collector.put(Severity::Damage, name, "it is missing", Some(LOST_HINT));
                packs.damage.missing_packs.insert(info.hash);
            }
            Some((stored_len, _)) => {
                if stored_len != info.len {
                    let what = format!("it has {stored_len} bytes and should have {}", info.len);
                    collector.put(Severity::Damage, name, what, Some(LOST_HINT));
                }
                if stored_len < info.len {
                    packs.damage.short_packs.insert(info.hash, stored_len);
                }
                packs.present.push(PresentPack { pack, info, stored_len });
            }
        }
    }
    listed.retain(|hash, _| !condemned.contains(hash));
    if !listed.is_empty() {
        let bytes: u64 = listed.values().map(|(len, _)| len).sum();
        let what = format!(
            "{} packs ({}) are in no index: an interrupted backup left them, and the next one \
             takes them in",
            listed.len(),
            format_bytes(bytes)
        );
        collector.put(Severity::Note, "", what, None);
    }
    Ok(packs)
}

const LOST_HINT: &str = "back up again while the files still exist: what is lost is stored anew; or copy it from a mirror";
