//! The second step: what the index names is there, with the right length.

use std::collections::HashSet;

use super::report::{Collector, Finding, Severity, add};
use crate::error::Result;
use crate::model::{ObjectHash, format_bytes};
use crate::repository::{Damage, ListedPacks, PackInfo, PackRef, Repository};

/// A pack that can be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct PresentPack {
    pub(super) pack: PackRef,
    pub(super) info: PackInfo,
    /// Its length in storage, which may be wrong.
    pub(super) stored_len: u64,
}

/// What the index names, and how it is.
#[derive(Default)]
pub(super) struct Packs {
    /// Those that can be read, if they are asked for, sorted by name.
    pub(super) present: Vec<PresentPack>,
    pub(super) damage: Damage,
}

/// Compares the index with a listing. The packs that are there are collected only if
/// `with_present` asks for them: there may be millions.
pub(super) fn check(
    repository: &Repository,
    condemned: &HashSet<ObjectHash>,
    with_present: bool,
    collector: &Collector,
) -> Result<Packs> {
    let mut listed = repository.list_packs()?;
    let mut indexed = repository.index().packs();
    let fits = |info: &PackInfo, listed: &ListedPacks| {
        listed.get(&info.hash) == Some((info.len, info.pack_type))
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
    // Packs that storage has and the index lacks; both lists are sorted by name.
    let mut rest = listed.iter().peekable();
    let mut unknown = (0, 0);
    let mut pass_until = |end: Option<&ObjectHash>| {
        while let Some((hash, (len, _))) = rest.next_if(|(hash, _)| end.is_none_or(|e| hash < e)) {
            if !condemned.contains(&hash) {
                unknown = (unknown.0 + 1, unknown.1 + len);
            }
        }
        rest.next_if(|(hash, _)| Some(hash) == end);
    };
    // Lists that cannot be read are reported with the small objects.
    let distrusted_packs = repository.damaged_packs(&mut Vec::new())?;
    let damage = Damage { distrusted_packs, ..Damage::default() };
    let mut packs = Packs { damage, ..Packs::default() };
    for (pack, info) in indexed {
        pass_until(Some(&info.hash));
        if packs.damage.distrusted_packs.contains(&info.hash) {
            let name = info.object_name();
            collector.put(Severity::Warning, name, DISTRUSTED, Some(RETURNED_HINT));
        }
        match listed.get(&info.hash).filter(|(_, pack_type)| *pack_type == info.pack_type) {
            None if condemned.contains(&info.hash) => {}
            None => {
                let name = info.object_name();
                collector.put(Severity::Damage, name, "it is missing", Some(LOST_HINT));
                packs.damage.missing_packs.insert(info.hash);
            }
            Some((stored_len, _)) => {
                if stored_len != info.len {
                    packs.damage.bad_packs.insert(info.hash, info.pack_type);
                    let what = format!("it has {stored_len} bytes and should have {}", info.len);
                    collector.put(Severity::Damage, info.object_name(), what, Some(LOST_HINT));
                }
                if stored_len < info.len {
                    packs.damage.short_packs.insert(info.hash, stored_len);
                }
                if with_present {
                    packs.present.push(PresentPack { pack, info, stored_len });
                }
            }
        }
    }
    pass_until(None);
    let (count, bytes) = unknown;
    if count == 0 {
        collector.soften(
            |finding| finding.object.starts_with("index/"),
            "it costs nothing: everything in storage is known without it",
        );
    } else {
        let what = format!(
            "{count} packs ({}) are in no index: an interrupted backup left them, or index objects \
             are gone; the next backup takes them in, and so does `larder repair index`",
            format_bytes(bytes)
        );
        collector.put(Severity::Note, "", what, None);
    }
    Ok(packs)
}

/// Once it is known that no snapshot needs what a pack lacks.
pub(super) fn soften_unneeded(
    missing: &HashSet<ObjectHash>,
    known_bad: &HashSet<ObjectHash>,
    collector: &Collector,
) {
    let is_in = |finding: &Finding, packs: &HashSet<ObjectHash>| {
        let hash = finding.object.rsplit('/').next().and_then(ObjectHash::from_hex);
        hash.is_some_and(|hash| packs.contains(&hash))
    };
    collector.soften(|f| is_in(f, missing), "no snapshot needs what was in it");
    collector.soften(
        |f| is_in(f, known_bad),
        "that is known: no backup relies on it, and no snapshot needs what it lacks",
    );
}

const DISTRUSTED: &str =
    "it is known to be damaged: what could be read of it was saved, and no backup relies on it";

const RETURNED_HINT: &str =
    "if it was put back from a copy since, `larder repair packs` saves what is in it";

const LOST_HINT: &str = "`larder heal` takes it from a mirror that has it; else back up again while the files still exist: what is lost is stored anew";
