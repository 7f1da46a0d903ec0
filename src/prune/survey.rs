//! What is there: marks, sessions, log, index, packs, and which ids live. Everything that decides
//! what lives has to be readable, and nothing is taken for empty because it could not be listed.

use std::collections::HashSet;

use super::lease::Lease;
use super::living::{Living, LivingBuilder};
use super::options::{PruneOptions, Wait};
use super::times::{Times, Verdict};
use super::weigh::{Standing, Weights, weigh};
use crate::error::{Error, Result};
use crate::format::pack::PackType;
use crate::model::{BackupId, ObjectHash, PageId};
use crate::repository::{
    Forgotten, GcState, PackInfo, Repository, SeenDropList, SeenMark, SeenSession, SnapshotList,
};
use crate::runtime::{Phase, Runtime};
use crate::tree::{IdKind, SeenPages, each_id};

/// No command removes objects in doubt; these say what a person can do.
const BAD_INDEX: &str = "run `larder repair index`, then `larder check`; if that finds no damage but \
                         this object, move the object out of the repository by hand, and prune again";
const BAD_RECORD: &str = "put the object back from a copy of the repository; if there is none, look \
                          with `larder snapshots` whether a snapshot is missing, then move the \
                          object out of the repository by hand, and prune with `--accept-history`";

/// Packs that the index names and storage does not list: more than these and one in a hundred, or
/// half of all, are not lost but hidden.
const LOST_PACKS_MAX: usize = 3;

/// A pack that storage lists.
#[derive(Clone, Copy, Debug)]
pub(super) struct ListedPack {
    pub(super) hash: ObjectHash,
    pub(super) len: u64,
    pub(super) pack_type: PackType,
    pub(super) modified_ms: Option<i64>,
}

impl ListedPack {
    pub(super) fn name(&self) -> String {
        format!("{}/{:02x}/{}", self.pack_type.folder(), self.hash.0[0], self.hash)
    }
}

/// Packs that storage lists, sorted by name.
#[derive(Default)]
pub(super) struct ListedPacks(Vec<ListedPack>);

impl ListedPacks {
    fn load(repository: &Repository) -> Result<Self> {
        let mut all = Vec::new();
        for pack_type in [PackType::Data, PackType::Meta] {
            let prefix = format!("{}/", pack_type.folder());
            repository.storage().list(&prefix, &mut |meta| {
                let hash = meta.name.rsplit('/').next().and_then(ObjectHash::from_hex);
                if let Some(hash) = hash {
                    let (len, modified_ms) = (meta.len, meta.modified_ms);
                    all.push(ListedPack { hash, len, pack_type, modified_ms });
                }
            })?;
        }
        all.sort_unstable_by_key(|pack: &ListedPack| pack.hash);
        all.dedup_by_key(|pack| pack.hash);
        Ok(Self(all))
    }

    pub(super) fn get(&self, hash: &ObjectHash) -> Option<&ListedPack> {
        let at = self.0.binary_search_by(|pack| pack.hash.cmp(hash)).ok()?;
        self.0.get(at)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &ListedPack> {
        self.0.iter()
    }
}

/// A mark, and what it waits for.
pub(super) struct JudgedMark {
    pub(super) mark: SeenMark,
    pub(super) verdict: Verdict,
}

/// All that a decision rests on.
pub(super) struct Survey<'a> {
    pub(super) repository: &'a Repository,
    pub(super) options: &'a PruneOptions,
    pub(super) runtime: &'a Runtime,
    pub(super) times: Times,
    /// A plan has none.
    pub(super) lease: Option<&'a Lease<'a>>,
    /// As it was before the log was read: what follows from it may be finished.
    pub(super) gc: GcState,
    pub(super) sessions: Vec<SeenSession>,
    pub(super) marks: Vec<JudgedMark>,
    /// Packs that some mark condemns.
    pub(super) condemned: HashSet<ObjectHash>,
    pub(super) list: SnapshotList,
    pub(super) drop_lists: Vec<SeenDropList>,
    /// Packs that they name.
    pub(super) dropped: HashSet<ObjectHash>,
    pub(super) packs: ListedPacks,
    /// Packs that no index object names, and whose directory is read.
    pub(super) orphans: HashSet<ObjectHash>,
    /// Packs that no index object names, and that cannot be opened.
    pub(super) unreadable: HashSet<ObjectHash>,
    pub(super) damaged: HashSet<ObjectHash>,
    /// Condemned packs of which something could not be copied.
    pub(super) damaged_condemned: HashSet<ObjectHash>,
    /// Snapshot records that this run has let go.
    pub(super) finished_records: HashSet<ObjectHash>,
    pub(super) living: Living,
    /// Chunk ids of content that lies in pages that live, if asked for.
    pub(super) inline: Living,
    pub(super) seen: SeenPages,
    pub(super) warnings: Vec<String>,
}

impl<'a> Survey<'a> {
    /// Looks at everything, in the order that the protocol asks for (p5, p6).
    pub(super) fn take(
        repository: &'a Repository,
        options: &'a PruneOptions,
        times: Times,
        list: impl FnOnce() -> Result<SnapshotList>,
        with_inline: bool,
        runtime: &'a Runtime,
    ) -> Result<Self> {
        runtime.progress.phase(Phase::Planning);
        let gc = repository.load_gc()?;
        let (sessions, bad) = repository.load_sessions()?;
        let mut warnings: Vec<String> =
            gc.bad.iter().chain(&bad).map(|error| format!("not understood: {error}")).collect();
        let list = list()?;
        refuse_bad(&list.bad, "a record of the log cannot be read", BAD_RECORD)?;
        let now = repository.load_gc()?;
        gc.check_marks()?;
        now.check_marks()?;
        let marks: Vec<JudgedMark> = now
            .marks
            .iter()
            .map(|mark| {
                // A mark that came while the log was read is for another run.
                let mut verdict = times.judge(mark, &sessions, &gc);
                if !gc.marks.contains(mark) {
                    verdict.waits.push(another_prune());
                }
                JudgedMark { mark: mark.clone(), verdict }
            })
            .collect();
        let mut survey = Self {
            repository,
            options,
            runtime,
            times,
            lease: None,
            condemned: now.condemned(),
            gc,
            sessions,
            marks,
            list,
            drop_lists: Vec::new(),
            dropped: HashSet::new(),
            packs: ListedPacks::default(),
            orphans: HashSet::new(),
            unreadable: HashSet::new(),
            damaged: HashSet::new(),
            damaged_condemned: HashSet::new(),
            finished_records: HashSet::new(),
            living: Living::default(),
            inline: Living::default(),
            seen: if with_inline { SeenPages::with_inline() } else { SeenPages::default() },
            warnings: Vec::new(),
        };
        survey.load_index()?;
        survey.warnings.append(&mut warnings);
        survey.find_living()?;
        Ok(survey)
    }

    /// Index, drop lists, packs. Marks were read before.
    pub(super) fn load_index(&mut self) -> Result<()> {
        let repository = self.repository;
        // What was made up from orphans is made up anew: some may be gone, some in the index.
        repository.read_orphans(&[])?;
        refuse_bad(&repository.load_index()?, "an index object cannot be read", BAD_INDEX)?;
        self.drop_lists = repository.load_drop_lists()?;
        self.dropped = self.drop_lists.iter().flat_map(|list| list.packs.iter().copied()).collect();
        self.packs = ListedPacks::load(repository)?;
        let mut bad = Vec::new();
        self.damaged = repository.damaged_packs(&mut bad)?;
        self.warnings.extend(bad.iter().map(|error| format!("not understood: {error}")));
        let known = repository.index().packs();
        let is_known =
            |hash: &ObjectHash| known.binary_search_by(|(_, info)| info.hash.cmp(hash)).is_ok();
        let is_lost = |info: &PackInfo| self.packs.get(&info.hash).is_none();
        let lost = known.iter().filter(|(_, info)| is_lost(info)).count();
        if lost > LOST_PACKS_MAX + known.len() / 100 || lost > 0 && lost * 2 >= known.len() {
            return Err(refused(
                format!("{lost} of {} packs that the index names are not listed", known.len()),
                "check that the storage is mounted and complete; if they are lost for good, give \
                 them up with `larder repair index --without-missing`",
            ));
        }
        // What is young may be on its way to the index just now.
        let orphans: Vec<_> = self
            .packs
            .iter()
            .filter(|pack| !is_known(&pack.hash) && !self.dropped.contains(&pack.hash))
            .filter(|pack| self.may_touch(pack) || self.condemned.contains(&pack.hash))
            .map(|pack| (pack.hash, (pack.len, pack.pack_type)))
            .collect();
        self.orphans = orphans.iter().map(|(hash, _)| *hash).collect();
        self.unreadable = HashSet::new();
        for (hash, error) in repository.read_orphans(&orphans)? {
            self.warnings
                .push(format!("a pack that no index object names cannot be read: {error}"));
            self.orphans.remove(&hash);
            self.unreadable.insert(hash);
        }
        Ok(())
    }

    /// Whether a pack is so old that no open session is likely to have written it.
    pub(super) fn may_touch(&self, pack: &ListedPack) -> bool {
        let oldest = self
            .sessions
            .iter()
            .filter(|session| !session.ended && !self.times.is_silent(session))
            .map(|session| session.announced_ms)
            .min();
        match (oldest, pack.modified_ms) {
            (None, _) => true,
            (Some(Some(announced_ms)), Some(modified_ms)) => modified_ms < announced_ms,
            (Some(_), _) => false,
        }
    }

    /// Whether nobody would want to have it back, or take it up, any more.
    pub(super) fn is_past_grace(&self, pack: &ListedPack) -> bool {
        // Without times of storage's own only the wait for the mark protects it.
        self.times.immediate
            || !self.times.has_clock
            || self.times.age_ms(pack.modified_ms, 0) >= self.options.grace_ms
    }

    /// Whether packs of data cannot be read at once, and are not to be packed anew.
    pub(super) fn is_cold(&self) -> bool {
        let archive = self.repository.storage().archive();
        !self.options.repack_cold && archive.is_some_and(|archive| archive.is_cold())
    }

    /// Says that this run is still at work, if it has a lease and it is time.
    pub(super) fn renew_lease(&self) -> Result<()> {
        self.lease.map_or(Ok(()), Lease::renew)
    }

    /// Packs that are condemned and wait: no drop list names them yet.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &ListedPack> {
        let is_waiting = |pack: &&ListedPack| {
            self.condemned.contains(&pack.hash) && !self.dropped.contains(&pack.hash)
        };
        self.packs.iter().filter(is_waiting)
    }

    /// The forgotten snapshots whose data goes.
    pub(super) fn going(&self) -> impl Iterator<Item = &Forgotten> {
        self.list.forgotten.iter().filter(|forgotten| self.goes(forgotten))
    }

    fn goes(&self, forgotten: &Forgotten) -> bool {
        let age_ms = forgotten.forgotten_ms.map_or(0, |ms| self.times.now_ms.saturating_sub(ms));
        self.times.immediate || age_ms >= self.options.grace_ms
    }

    /// Walks all manifests that live.
    fn find_living(&mut self) -> Result<()> {
        let roots: Vec<_> =
            self.list.snapshots.iter().map(|s| (s.body.root, s.body.depth)).collect();
        let kept: Vec<_> = self
            .list
            .forgotten
            .iter()
            .filter(|forgotten| !self.goes(forgotten))
            .map(|f| (f.snapshot.body.root, f.snapshot.body.depth))
            .collect();
        self.walk(&roots)?;
        // One that cannot be read was forgotten to get rid of it; the rest of it is kept.
        let bad = self.collect(&kept)?;
        self.warnings.extend(bad.iter().map(|e| format!("a forgotten snapshot is damaged: {e}")));
        Ok(())
    }

    /// Adds what these manifests need to what lives.
    ///
    /// # Errors
    /// If a page cannot be read: nobody knows what it needs.
    pub(super) fn walk(&mut self, roots: &[(PageId, u8)]) -> Result<()> {
        let bad = self.collect(roots)?;
        let Some(error) = bad.first() else { return Ok(()) };
        let hit = self.list.snapshots.iter().find(|snapshot| {
            let root = [(snapshot.body.root, snapshot.body.depth)];
            let mut seen = SeenPages::default();
            let mut ignore = |_: IdKind, _: &[u8; 32]| {};
            each_id(self.repository, &root, &mut seen, &mut ignore, self.runtime)
                .is_ok_and(|bad| !bad.is_empty())
        });
        let id =
            hit.map_or_else(|| "of a snapshot".into(), |s| format!("of snapshot {}", s.id.short()));
        Err(refused(
            format!("a page {id} cannot be read, so nobody knows what it needs: {error}"),
            "run `larder check`; then `larder repair snapshots`, or `larder forget` the snapshots \
             that are hit",
        ))
    }

    /// Looks again at what may have changed since: log, marks, index, packs. Snapshots that came
    /// are walked; what lived before lives on.
    pub(super) fn refresh(&mut self) -> Result<()> {
        let repository = self.repository;
        let known: HashSet<ObjectHash> =
            self.list.snapshots.iter().map(|snapshot| snapshot.record).collect();
        let options = self.options;
        let list =
            repository.trusted_snapshots(options.accept_history, &options.author, self.runtime)?;
        refuse_bad(&list.bad, "a record of the log cannot be read", BAD_RECORD)?;
        self.list = list;
        let now = repository.load_gc()?;
        now.check_marks()?;
        self.condemned.extend(now.condemned());
        self.load_index()?;
        let new: Vec<_> = self
            .list
            .snapshots
            .iter()
            .filter(|snapshot| !known.contains(&snapshot.record))
            .map(|snapshot| (snapshot.body.root, snapshot.body.depth))
            .collect();
        self.walk(&new)
    }

    fn collect(&mut self, roots: &[(PageId, u8)]) -> Result<Vec<Error>> {
        let options = self.options;
        let builder = || {
            let limit = options.living_in_memory;
            LivingBuilder::new(limit, &options.temporary, &self.runtime.random)
        };
        let (mut stored, mut inline) = (builder(), builder());
        let mut on_id = |kind: IdKind, id: &[u8; 32]| match kind {
            IdKind::Page | IdKind::Chunk => stored.insert(id),
            IdKind::Inline => inline.insert(id),
        };
        let bad = each_id(self.repository, roots, &mut self.seen, &mut on_id, self.runtime)?;
        self.living.add(stored.finish()?);
        self.inline.add(inline.finish()?);
        Ok(bad)
    }

    /// What a copy in a pack is worth, with `condemned` beside what marks condemn.
    pub(super) fn standing(&self, info: &PackInfo, condemned: &HashSet<ObjectHash>) -> Standing {
        match self.packs.get(&info.hash) {
            None => Standing::Absent,
            // Whatever the index of this machine still says: somebody deletes it.
            Some(_) if self.dropped.contains(&info.hash) => Standing::Absent,
            Some(listed) if listed.len != info.len => Standing::Absent,
            Some(_) if self.damaged_condemned.contains(&info.hash) => Standing::Damaged,
            Some(_) if self.condemned.contains(&info.hash) || condemned.contains(&info.hash) => {
                Standing::Condemned
            }
            Some(_) if self.damaged.contains(&info.hash) => Standing::Damaged,
            Some(_) if self.orphans.contains(&info.hash) => Standing::Orphan,
            Some(_) => Standing::Usable,
        }
    }

    /// Weighs all packs, with `condemned` beside what marks condemn.
    pub(super) fn weigh(&self, condemned: &HashSet<ObjectHash>) -> Result<Weights> {
        let standing = |info: &PackInfo| self.standing(info, condemned);
        weigh(self.repository, &self.living, &standing, self.runtime)
    }

    /// The ids of snapshots whose data goes. One that was undeleted lives, though its old record is
    /// a forgotten one; one that was forgotten again has two of them.
    pub(super) fn going_ids(&self) -> Vec<BackupId> {
        let mut seen: HashSet<BackupId> = self.list.snapshots.iter().map(|s| s.id).collect();
        seen.extend(self.list.forgotten.iter().filter(|f| !self.goes(f)).map(|f| f.snapshot.id));
        self.going().map(|forgotten| forgotten.snapshot.id).filter(|id| seen.insert(*id)).collect()
    }
}

fn another_prune() -> Wait {
    Wait {
        session: None,
        what: "another prune that has just condemned packs".into(),
        since_ms: None,
        until_ms: None,
    }
}

fn refuse_bad(bad: &[Error], what: &str, hint: &str) -> Result<()> {
    let Some(first) = bad.first() else { return Ok(()) };
    let others = match bad.len() {
        1 => String::new(),
        number => format!(" (and {} more)", number - 1),
    };
    Err(refused(format!("{what}, so nobody knows what is needed: {first}{others}"), hint))
}

/// Nothing is removed.
pub(super) fn refused(what: String, hint: &str) -> Error {
    Error::Refused { what, hint: hint.into() }
}
