//! What damaged and missing packs held, for whoever has just restored what was left.
//!
//! Only packs under suspicion are read: those that are missing, those of files that could not be
//! restored wholly, and, where a manifest itself is damaged, those of manifests.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde::Serialize;

use crate::error::Result;
use crate::format::pack::PackType;
use crate::model::{ObjectHash, Piece};
use crate::repair::{PackRepairOptions, PackState, RepairedPack, repair_packs};
use crate::repository::{Author, Damage, Repository, Snapshot, SnapshotList};
use crate::restore::RestoreFailure;
use crate::runtime::Runtime;
use crate::tree::{Manifest, Pieces};
use crate::verify::{Hits, hits};

/// Files whose packs are looked for. More are hardly ever in other packs.
const FILES_MAX: usize = 10_000;

/// Packs for which it is said one by one what they held: each is a walk over all snapshots.
const PACKS_EACH: usize = 16;

/// Most files that are listed for one pack, and for all.
const LISTED_MAX: usize = 10_000;

/// Why files could not be restored wholly.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DamageReport {
    /// The packs that are damaged or missing.
    pub packs: Vec<PackHeld>,
    /// All snapshots and files that lack something, restored now or not.
    pub hits: Hits,
}

/// A damaged or missing pack.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PackHeld {
    /// Its object, and how much of it can be saved.
    #[serde(flatten)]
    pub pack: RepairedPack,
    /// The snapshots and files that need what was only in it. `None` if there are too many packs
    /// to say it of each.
    pub hits: Option<Hits>,
}

/// What could not be restored of a snapshot.
pub(super) struct LostIn<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) failures: &'a [RestoreFailure],
}

/// Finds out which packs are to blame, and what else they held. Writes nothing.
pub(super) fn explain(
    repository: &Repository,
    list: &SnapshotList,
    lost: &[LostIn<'_>],
    runtime: &Runtime,
) -> Result<DamageReport> {
    let packs = suspects(repository, lost, runtime)?;
    let author = Author { host: String::new(), user: String::new() };
    let dry_run = PackRepairOptions { dry_run: true };
    let mut looked = repair_packs(repository, &packs, &dry_run, &author, runtime)?;
    // It looked at the stored index; what is not in that has to be found again.
    repository.recover_in_memory()?;
    looked.packs.retain(|pack| pack.state != PackState::Whole);
    let mut snapshots: Vec<Snapshot> = list.snapshots.clone();
    snapshots.reverse();
    let find = |damage: &Damage| hits(repository, &snapshots, damage, LISTED_MAX, runtime);
    let is_few = looked.packs.len() <= PACKS_EACH;
    let mut held = Vec::new();
    for pack in looked.packs {
        let hash = pack.name.rsplit('/').next().and_then(ObjectHash::from_hex);
        let own = hash.filter(|_| is_few).map(|hash| of_pack(&looked.damage, hash));
        let hits = own.map(|damage| find(&damage)).transpose()?;
        held.push(PackHeld { pack, hits });
    }
    Ok(DamageReport { packs: held, hits: find(&looked.damage)? })
}

/// The part of `damage` that is about one pack.
fn of_pack(damage: &Damage, pack: ObjectHash) -> Damage {
    let same = |hash: &ObjectHash| *hash == pack;
    Damage {
        missing_packs: damage.missing_packs.iter().copied().filter(same).collect(),
        bad_packs: damage
            .bad_packs
            .iter()
            .map(|(h, t)| (*h, *t))
            .filter(|(h, _)| same(h))
            .collect(),
        short_packs: damage
            .short_packs
            .iter()
            .map(|(h, l)| (*h, *l))
            .filter(|(h, _)| same(h))
            .collect(),
        segments: damage.segments.iter().copied().filter(|(h, _)| same(h)).collect(),
        copies: damage.copies.iter().copied().filter(|(h, _)| same(h)).collect(),
        ..Damage::default()
    }
}

/// The packs that may be to blame.
fn suspects(
    repository: &Repository,
    lost: &[LostIn<'_>],
    runtime: &Runtime,
) -> Result<Vec<ObjectHash>> {
    let listed = repository.list_packs()?;
    let index = repository.index();
    let mut packs: BTreeSet<ObjectHash> = index
        .packs()
        .into_iter()
        .map(|(_, info)| info.hash)
        .filter(|hash| !listed.contains(hash))
        .collect();
    let mut files: HashMap<&[u8], &Snapshot> = HashMap::new();
    let mut is_manifest_hit = false;
    for one in lost {
        for failure in one.failures.iter().take(FILES_MAX) {
            files.insert(&failure.path, one.snapshot);
        }
    }
    let mut seen: HashSet<[u8; 32]> = HashSet::new();
    for (path, snapshot) in files {
        runtime.cancel.check()?;
        let path = crate::tree::clean_path(path);
        let manifest = Manifest::of(snapshot);
        let entry = match manifest.find(repository, &path) {
            Ok(Some(entry)) => manifest.content_entry(repository, &entry).map(|e| e.into_owned()),
            // A folder of which not even the names are known, or a page that is lost.
            Ok(None) => {
                is_manifest_hit = true;
                continue;
            }
            Err(error) => Err(error),
        };
        let Ok(entry) = entry else {
            is_manifest_hit = true;
            continue;
        };
        for piece in Pieces::new(repository, &entry) {
            match piece {
                Ok(Piece::Chunk(id, _)) if seen.insert(id.0) => {
                    let places = index.find_all(&id.0);
                    packs.extend(places.iter().map(|place| index.pack(place.pack).hash));
                }
                Ok(_) => {}
                Err(_) => is_manifest_hit = true,
            }
        }
        is_manifest_hit |= entry.kind != crate::model::FileKind::File;
    }
    if is_manifest_hit {
        let meta = listed.iter().filter(|(_, (_, pack_type))| *pack_type == PackType::Meta);
        packs.extend(meta.map(|(hash, _)| hash));
    }
    Ok(packs.into_iter().collect())
}
