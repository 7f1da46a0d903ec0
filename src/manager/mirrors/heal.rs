//! Healing a repository whose keys are at hand: what must be there is known.

use serde::Serialize;

use super::Mirrors;
use crate::error::Result;
use crate::format::pack::PackType;
use crate::mirror::{HealOptions, HealReport, Needed, heal, is_whole};
use crate::model::BackupId;
use crate::repository::pack_name;
use crate::runtime::Runtime;
use crate::storage::SharedStorage;

/// How often a heal looks again for what is missing: records name others.
const ROUNDS_MAX: usize = 8;

/// How a repository is healed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealingOptions {
    /// Only these mirrors; all if it is empty.
    pub from: Vec<String>,
    /// Only says what would be done.
    pub dry_run: bool,
    /// Does not read what has the right length.
    pub quick: bool,
}

/// What a heal of a repository found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Healing {
    /// What became of the objects.
    #[serde(flatten)]
    pub report: HealReport,
    /// Packs that were known to be damaged and are relied on again.
    pub trusted_again: u64,
    /// Snapshots in quarantine: whether they are whole again is for a check to say, and for people
    /// to judge.
    pub quarantined: Vec<BackupId>,
}

impl Mirrors<'_> {
    /// Replaces what is damaged or missing in the repository and its mirrors, from any of them that
    /// has it whole.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::error::Error::Usage) for a name that no mirror has; the
    /// storage's, of the repository itself, and [`Error::Cancelled`](crate::error::Error::Cancelled).
    /// Damage that is left is no error: it is in the report.
    pub fn heal(&self, options: &HealingOptions, runtime: &Runtime) -> Result<Healing> {
        let mut places = vec![self.primary.clone()];
        let mut unreachable = Vec::new();
        for place in self.chosen(&options.from)? {
            match self.connect_to_write(&place) {
                Ok(storage) => places.push(storage),
                Err(error) => unreachable.push((place.location, error.in_full())),
            }
        }
        let HealingOptions { dry_run, quick, .. } = *options;
        let mut needed = self.needed(&places[1..])?;
        let options = HealOptions { dry_run, quick, needed: needed.clone() };
        let mut report = heal(&places, &options, runtime)?;
        let tells_more = |report: &HealReport| {
            let mut names = report.healed.iter().map(|healed| &healed.name);
            !dry_run && names.any(|n| n.starts_with("index/") || n.starts_with("snapshots/"))
        };
        let mut has_told = tells_more(&report);
        for _ in 0..ROUNDS_MAX {
            if !has_told {
                break;
            }
            // What came back may name what is missing too.
            needed = self.needed(&places[1..])?;
            let options = HealOptions { dry_run, quick: true, needed: needed.clone() };
            let more = heal(&places, &options, runtime)?;
            has_told = tells_more(&more);
            add(&mut report, more);
        }
        // What packs came back for is there now; a dry run cannot tell what they bring.
        if !dry_run {
            needed = self.needed(&places[1..])?;
        }
        let is_pack = |name: &str| name.starts_with("data/") || name.starts_with("meta/");
        let brings_packs = report.healed.iter().any(|healed| is_pack(&healed.name));
        if !dry_run || !(needed.has_index() || brings_packs) {
            report.left.extend(needed.rootless(self.primary.location()));
            report.left.sort_unstable();
        }
        report.unreachable.extend(unreachable);
        let trusted_again = if dry_run { 0 } else { self.trust_again(runtime)? };
        let snapshots = self.repository.snapshots()?.snapshots.into_iter();
        let quarantined = snapshots.filter(|snapshot| snapshot.quarantine.is_some());
        let quarantined = quarantined.map(|snapshot| snapshot.id).collect();
        Ok(Healing { report, trusted_again, quarantined })
    }

    fn needed(&self, copies: &[SharedStorage]) -> Result<Needed> {
        for error in self.repository.load_index()? {
            tracing::warn!("a part of the index cannot be used: {error}");
        }
        Needed::with_copies(self.repository, copies)
    }

    /// Takes packs that are whole again off the damage lists.
    fn trust_again(&self, runtime: &Runtime) -> Result<u64> {
        let id = self.repository.id();
        let is_good = |pack: &_| {
            for pack_type in [PackType::Data, PackType::Meta] {
                if is_whole(&*self.primary, &pack_name(pack_type, *pack), id)? {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        self.repository.trust_again(&is_good, runtime.clock.now_ms())
    }
}

/// Adds what a second look found.
fn add(report: &mut HealReport, more: HealReport) {
    report.read.objects += more.read.objects;
    report.read.bytes += more.read.bytes;
    report.healed.extend(more.healed);
    report.left.extend(more.left);
    report.left.sort_unstable();
    report.left.dedup();
    report.synced = more.synced;
}
