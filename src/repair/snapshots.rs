//! Keeps what is left of damaged snapshots, under new ones.
//!
//! The new snapshot names its original and has everything that can be read in full; files that
//! lack something are left out, or kept with zeros in place of what is lost. The original goes
//! into quarantine: no rule removes it, and whoever wants what is left of a lost file still finds
//! it there.

use serde::Serialize;

use super::content::{Left, Loss};
use crate::commit::commit_derived;
use crate::error::Result;
use crate::format::log::{LogKind, SnapshotBody, SourceError};
use crate::format::record::Bin;
use crate::model::{BackupId, Entry, FileKind, XattrsRef, escape_bytes};
use crate::repository::{
    Added, Author, Damage, NewSnapshot, PackWriter, Repository, Session, Snapshot, SnapshotList,
    WriterOptions,
};
use crate::runtime::{Phase, Runtime};
use crate::tree::{
    Derivation, Derived, Lost, Manifest, PagesTo, Sink, Verdict, WouldAdd, content_of, derive,
};

/// A repaired snapshot has this tag.
pub const REPAIRED_TAG: &str = "repaired";

/// Errors that a snapshot keeps at most (SPEC.md, section 12).
const ERRORS_MAX: usize = 1000;

/// How snapshots are repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotRepairOptions {
    /// Says what would be kept, and writes nothing.
    pub dry_run: bool,
    /// Keeps files that lack content, with zeros in place of what is lost.
    pub keep_partial: bool,
    /// Most lost paths that are listed for each snapshot; the others are counted.
    pub paths_max: usize,
}

impl Default for SnapshotRepairOptions {
    fn default() -> Self {
        Self { dry_run: false, keep_partial: false, paths_max: 100_000 }
    }
}

/// What a repair of snapshots did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SnapshotRepair {
    /// Whether nothing was written.
    pub dry_run: bool,
    /// The snapshots that lacked something, in the order they were given.
    pub snapshots: Vec<RepairedSnapshot>,
}

/// One damaged snapshot.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RepairedSnapshot {
    /// The damaged one, in quarantine now.
    pub original: BackupId,
    /// On which host it was made.
    pub host: String,
    /// When its run started, milliseconds since 1970.
    pub time_ms: i64,
    /// What became of it.
    pub outcome: RepairOutcome,
    /// The new one.
    pub repaired: Option<BackupId>,
    /// Entries of the new one.
    pub entries: u64,
    /// Files that lack something, listed or not.
    pub lost_count: u64,
    /// Bytes that they lack, as far as that is known.
    pub lost_bytes: u64,
    /// These files.
    pub lost: Vec<LostPath>,
    /// Parts of the tree of which not even names are known.
    pub ranges: Vec<LostRange>,
}

/// What became of a damaged snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RepairOutcome {
    /// What is left is in a new snapshot.
    Repaired,
    /// It was repaired before.
    AlreadyRepaired,
    /// Nothing of its tree can be read.
    NothingLeft,
    /// It turned out to lack nothing.
    Whole,
}

/// A file that lacks something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LostPath {
    /// Its path, from `/`, with `%XX` for bytes that cannot be shown.
    pub path: String,
    /// The same as it stands in the manifest.
    #[serde(skip)]
    pub raw: Vec<u8>,
    /// What it lacks.
    pub part: LostPart,
    /// Bytes of content that it lacks.
    pub lost_bytes: u64,
    /// Whether it is in the new snapshot, with what is left of it.
    pub kept: bool,
}

/// What a file lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LostPart {
    /// Some of its content, or all.
    Content,
    /// Its extended attributes.
    Attributes,
    /// It is a further name of a file whose first name is lost.
    Link,
}

/// A part of a tree that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LostRange {
    /// What is lost comes after this path; `None` from the start.
    pub after: Option<String>,
    /// Its last path; `None` to the end.
    pub last: Option<String>,
    /// How many entries it has, where that is known.
    pub entries: Option<u64>,
}

/// Repairs `snapshots`, given what is damaged. `is_in_time` tells whether the time of a snapshot
/// can be believed; then that of the repaired one can.
///
/// # Errors
/// The storage's, and [`crate::error::Error::Cancelled`]. Snapshots that were repaired before it stay.
pub fn repair_snapshots(
    repository: &Repository,
    snapshots: &[Snapshot],
    damage: &Damage,
    is_in_time: &dyn Fn(&Snapshot) -> bool,
    options: &SnapshotRepairOptions,
    author: &Author,
    runtime: &Runtime,
) -> Result<SnapshotRepair> {
    runtime.progress.phase(Phase::RepairingSnapshots);
    for snapshot in snapshots {
        runtime.progress.expect(snapshot.body.entries, 0);
    }
    runtime.progress.expect_no_more();
    let list = repository.snapshots()?;
    let mut report = SnapshotRepair { dry_run: options.dry_run, ..SnapshotRepair::default() };
    for snapshot in snapshots {
        let repair =
            Repair { repository, damage, options, author, runtime, list: &list, is_in_time };
        report.snapshots.push(repair.snapshot(snapshot)?);
    }
    Ok(report)
}

struct Repair<'a> {
    repository: &'a Repository,
    damage: &'a Damage,
    options: &'a SnapshotRepairOptions,
    author: &'a Author,
    runtime: &'a Runtime,
    list: &'a SnapshotList,
    is_in_time: &'a dyn Fn(&Snapshot) -> bool,
}

impl Repair<'_> {
    fn snapshot(&self, original: &Snapshot) -> Result<RepairedSnapshot> {
        let mut report = RepairedSnapshot {
            original: original.id,
            host: original.host.clone(),
            time_ms: original.time_ms(),
            outcome: RepairOutcome::AlreadyRepaired,
            repaired: None,
            entries: 0,
            lost_count: 0,
            lost_bytes: 0,
            lost: Vec::new(),
            ranges: Vec::new(),
        };
        let is_successor = |s: &&Snapshot| {
            s.body.original == Some(original.id) && s.body.tags.iter().any(|t| t == REPAIRED_TAG)
        };
        if let Some(successor) = self.list.snapshots.iter().find(is_successor) {
            report.repaired = Some(successor.id);
            report.entries = successor.body.entries;
            // Broken off just before: what was not said yet is made up for.
            if original.quarantine.is_none() && !self.options.dry_run {
                self.clear(original, successor)?;
                self.quarantine(original, &report)?;
            }
            return Ok(report);
        }
        if self.options.dry_run {
            // As the session would, which takes packs into the index that it does not name.
            self.repository.recover_in_memory()?;
            let would_add = WouldAdd::default();
            let sink = Sink::new(self.repository, None, &would_add);
            let derived = self.derive(original, PagesTo::Nowhere(&would_add), sink, &mut report)?;
            report.conclude(&derived);
            return Ok(report);
        }
        let purpose = "repair snapshots";
        let (session, _) =
            self.repository.begin_session(purpose, &self.author.host, self.runtime)?;
        let repaired = self.in_session(original, &session, &mut report);
        if let Err(error) = session.end() {
            // What was committed is valid without this.
            tracing::warn!("the session could not be closed: {error}");
        }
        repaired?;
        match report.outcome {
            RepairOutcome::Whole => {}
            // Once is enough.
            RepairOutcome::NothingLeft if original.quarantine.is_some() => {}
            _ => self.quarantine(original, &report)?,
        }
        Ok(report)
    }

    fn in_session(
        &self,
        original: &Snapshot,
        session: &Session,
        report: &mut RepairedSnapshot,
    ) -> Result<()> {
        let writer = self.repository.pack_writer(&WriterOptions::default(), self.runtime);
        let sink = Sink::storing(self.repository, &writer);
        let derived = self.derive(original, PagesTo::Packs(&writer), sink, report);
        // Without a snapshot that needs them, pages that were written are only garbage.
        let added = PackWriter::finish(writer);
        let derived = derived?;
        report.conclude(&derived);
        if report.outcome != RepairOutcome::Repaired {
            return added.map(|_| ());
        }
        let mut body = body_of(original, &derived, &added?, report);
        // Of two states of one time the one that ended later counts as the later one. It must not
        // end today: when its original is gone, that would be the day at which it counts.
        body.end_ms = body.end_ms.saturating_add(1);
        let id = BackupId(self.runtime.random.bytes());
        // The host stays: it is part of the series.
        let (host, user) = (original.host.clone(), self.author.user.clone());
        let new = NewSnapshot { id, host, user, body };
        let (repository, list) = (self.repository, self.list);
        let snapshot = commit_derived(repository, session, new, list, self.runtime)?;
        report.repaired = Some(id);
        self.clear(original, &snapshot)?;
        Ok(())
    }

    /// Says that the time of a repaired snapshot is right, if that of its original is: when the
    /// original is gone, nothing else tells.
    fn clear(&self, original: &Snapshot, repaired: &Snapshot) -> Result<()> {
        if !(self.is_in_time)(original) || original.quarantine.is_some() {
            return Ok(());
        }
        let (author, list) = (self.author, self.list);
        let reason = "repaired here";
        self.repository
            .append_about(LogKind::Clear, &[repaired], reason, author, list, self.runtime)
            .map(|_| ())
    }

    fn derive(
        &self,
        original: &Snapshot,
        pages_to: PagesTo<'_>,
        mut sink: Sink<'_>,
        report: &mut RepairedSnapshot,
    ) -> Result<Derived> {
        let mut loss = Loss::new(self.repository, self.damage);
        let options = self.options;
        let report = std::cell::RefCell::new(report);
        let mut decide = |entry: &mut Entry| {
            decide(entry, &mut loss, &mut sink, options, &mut report.borrow_mut())
        };
        let mut on_lost = |lost: Lost| {
            let mut report = report.borrow_mut();
            match lost {
                Lost::Pages(pages, _) => {
                    let shown = |path: Option<Vec<u8>>| path.as_deref().map(shown);
                    let (after, last) = (shown(pages.after), shown(pages.last));
                    report.ranges.push(LostRange { after, last, entries: pages.entries });
                }
                Lost::Link(entry) => report.lose(&entry.path, LostPart::Link, 0, false, options),
            }
            Ok(())
        };
        let derivation = Derivation { decide: &mut decide, on_lost: &mut on_lost };
        let manifest = Manifest::of(original);
        let derived = derive(self.repository, manifest, pages_to, derivation, self.runtime)?;
        sink.flush()?;
        Ok(derived)
    }

    fn quarantine(&self, original: &Snapshot, report: &RepairedSnapshot) -> Result<()> {
        let reason = match report.repaired {
            Some(id) => format!("damaged; what is left is in {}", id.short()),
            None => "damaged; nothing of it can be read".to_owned(),
        };
        let (author, list) = (self.author, self.list);
        self.repository
            .append_about(LogKind::Quarantine, &[original], &reason, author, list, self.runtime)
            .map(|_| ())
    }
}

/// Keeps what is whole, and decides about what is not.
fn decide(
    entry: &mut Entry,
    loss: &mut Loss<'_>,
    sink: &mut Sink<'_>,
    options: &SnapshotRepairOptions,
    report: &mut RepairedSnapshot,
) -> Result<Verdict> {
    if entry.kind == FileKind::File
        && entry.link_to.is_none()
        && let Some(Left { pieces, lost_bytes }) = loss.of(entry)?
    {
        report.lose(&entry.path, LostPart::Content, lost_bytes, options.keep_partial, options);
        if !options.keep_partial {
            return Ok(Verdict::Drop);
        }
        entry.content = content_of(pieces, sink)?;
        entry.torn = true;
    }
    if let XattrsRef::Page(page) = entry.xattrs
        && !loss.has_xattrs(page)?
    {
        report.lose(&entry.path, LostPart::Attributes, 0, true, options);
        entry.xattrs = XattrsRef::None;
        // The next backup must not take it for unchanged.
        entry.torn = true;
    }
    Ok(Verdict::Keep)
}

impl RepairedSnapshot {
    fn lose(
        &mut self,
        path: &[u8],
        part: LostPart,
        lost_bytes: u64,
        kept: bool,
        options: &SnapshotRepairOptions,
    ) {
        self.lost_count += 1;
        self.lost_bytes = self.lost_bytes.saturating_add(lost_bytes);
        if self.lost.len() < options.paths_max {
            let raw = path.to_vec();
            self.lost.push(LostPath { path: shown(path), raw, part, lost_bytes, kept });
        }
    }

    fn conclude(&mut self, derived: &Derived) {
        self.entries = derived.manifest.entries;
        self.outcome = match (self.lost_count + self.ranges.len() as u64, self.entries) {
            (0, _) => RepairOutcome::Whole,
            (_, 0) => RepairOutcome::NothingLeft,
            _ => RepairOutcome::Repaired,
        };
    }
}

/// The record of a repaired snapshot: that of its original, as far as it still holds.
fn body_of(
    original: &Snapshot,
    derived: &Derived,
    added: &Added,
    report: &RepairedSnapshot,
) -> SnapshotBody {
    let mut body = original.body.clone();
    let manifest = &derived.manifest;
    (body.root, body.depth) = (manifest.root, manifest.depth);
    (body.entries, body.files) = (manifest.entries, manifest.files);
    (body.folders, body.bytes) = (manifest.folders, manifest.bytes);
    body.added_bytes = added.plain_bytes;
    body.added_stored = added.stored_bytes;
    body.added_chunks = added.chunks;
    body.original = Some(original.id);
    body.partial = true;
    if !body.tags.iter().any(|tag| tag == REPAIRED_TAG) {
        body.tags.push(REPAIRED_TAG.to_owned());
    }
    let lost = report.lost_count + report.ranges.len() as u64;
    body.error_count = body.error_count.saturating_add(lost);
    let room = ERRORS_MAX.saturating_sub(body.errors.len());
    let errors = report.lost.iter().map(|lost| {
        let text = match (lost.part, lost.kept) {
            (LostPart::Content, true) => "zeros stand in place of lost content",
            (LostPart::Content, false) => "its content is lost",
            (LostPart::Attributes, _) => "its extended attributes are lost",
            (LostPart::Link, _) => "the first name of the file is lost, and its content with it",
        };
        SourceError { path: Bin(lost.raw.clone()), message: text.to_owned() }
    });
    body.errors.extend(errors.take(room));
    body
}

/// A path of a manifest as people know it.
fn shown(path: &[u8]) -> String {
    format!("/{}", escape_bytes(path))
}
