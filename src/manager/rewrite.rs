//! Makes new snapshots out of old ones: without some paths, with other tags, for another host.
//!
//! Nothing is changed: a new snapshot names the chunks of the old one, and only pages that differ
//! are stored. The old one stays, or gets a tombstone when all new ones are committed.

use crate::archive::recorded_excludes;
use crate::commit::commit_derived;
use crate::error::{Error, Result};
use crate::format::log::{LogKind, SnapshotBody, SourceError, series};
use crate::model::{BackupId, FileKind, escape_bytes};
use crate::repository::{
    Added, Author, NewSnapshot, PackWriter, Repository, Session, Snapshot, SnapshotList,
    WriterOptions,
};
use crate::retention::Sights;
use crate::runtime::{Phase, Runtime};
use crate::source::{Excludes, WalkOptions};
use crate::tree::{Derivation, Derived, Lost, Manifest, PagesTo, Verdict, WouldAdd, derive};

/// Snapshots that one tombstone names at most.
const NAMED_MAX: usize = 10_000;

/// What becomes of tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagChange {
    /// These and no others.
    pub set: Option<Vec<String>>,
    /// These too.
    pub add: Vec<String>,
    /// Without these.
    pub remove: Vec<String>,
}

impl TagChange {
    fn apply(&self, tags: &[String]) -> Vec<String> {
        let mut tags = self.set.clone().unwrap_or_else(|| tags.to_vec());
        tags.retain(|tag| !self.remove.contains(tag));
        for tag in &self.add {
            if !tags.contains(tag) {
                tags.push(tag.clone());
            }
        }
        tags
    }
}

/// What is different in the new snapshots.
#[derive(Clone, Debug)]
pub struct RewriteOptions {
    /// Patterns of what is left out; of all options only those that are patterns play a part.
    pub exclude: WalkOptions,
    /// Tags.
    pub tags: TagChange,
    /// The host.
    pub host: Option<String>,
    /// The description.
    pub description: Option<String>,
    /// When its run started, milliseconds since 1970; its end moves along.
    pub time_ms: Option<i64>,
    /// Forget the old ones.
    pub forget: bool,
    /// Only find out what would be different.
    pub dry_run: bool,
    /// Who wants it.
    pub author: Author,
}

/// What became of a snapshot.
#[derive(Clone, Debug)]
pub struct Rewritten {
    /// The snapshot as it was.
    pub original: Snapshot,
    /// The new one; `None` if there is no difference, and in a dry run.
    pub snapshot: Option<Snapshot>,
    /// Whether anything is different.
    pub is_different: bool,
    /// Entries that the new one lacks.
    pub entries_left_out: u64,
    /// Bytes of files that the new one lacks.
    pub bytes_left_out: u64,
}

/// Rewrites snapshots, in their order.
///
/// What was committed before an error stays; nothing is forgotten then. A further run finds what
/// is rewritten already, and does not do it twice.
///
/// # Errors
/// [`Error::Usage`] if there is nothing to change, for a snapshot in quarantine or suspect, for one
/// of which nothing would be left, and for a pinned one that is to be forgotten; what reading the
/// snapshots fails with: one that is damaged is for repair. The storage's, [`Error::Cancelled`].
pub fn rewrite(
    repository: &Repository,
    snapshots: &[&Snapshot],
    known: &SnapshotList,
    options: &RewriteOptions,
    runtime: &Runtime,
) -> Result<Vec<Rewritten>> {
    let excludes = Excludes::new(&options.exclude)?;
    check(snapshots, options, excludes.is_empty())?;
    let expected = |count: fn(&Snapshot) -> u64| snapshots.iter().map(|one| count(one)).sum();
    if !excludes.is_empty() {
        runtime.progress.expect(expected(|one| one.body.entries), expected(|one| one.body.bytes));
        runtime.progress.expect_no_more();
    }
    let sights = Sights::of(known);
    let rewriter = Rewriter { repository, known, sights, options, excludes, runtime };
    let done: Vec<Rewritten> =
        snapshots.iter().map(|snapshot| rewriter.one(snapshot)).collect::<Result<_>>()?;
    if options.forget && !options.dry_run {
        let originals: Vec<&Snapshot> = done
            .iter()
            .filter(|rewritten| rewritten.snapshot.is_some())
            .map(|rewritten| &rewritten.original)
            .collect();
        rewriter.forget(&originals)?;
    }
    Ok(done)
}

fn check(snapshots: &[&Snapshot], options: &RewriteOptions, no_excludes: bool) -> Result<()> {
    let changes_nothing = no_excludes
        && options.tags == TagChange::default()
        && options.host.is_none()
        && options.description.is_none()
        && options.time_ms.is_none();
    if changes_nothing {
        return Err(Error::usage_hint(
            "nothing says what to change",
            "give `--exclude`, `--add-tag`, `--host` or another option of `larder help rewrite`",
        ));
    }
    for snapshot in snapshots {
        let id = snapshot.id.short();
        if snapshot.suspect || snapshot.quarantine.is_some() {
            return Err(Error::usage_hint(
                format!("snapshot {id} is quarantined or suspect; nothing was rewritten"),
                "a new snapshot would not show it: look at this one first",
            ));
        }
        if snapshot.pinned && options.forget {
            return Err(Error::usage_hint(
                format!("snapshot {id} is pinned; nothing was rewritten"),
                format!("`larder unpin {id}` lets go of it"),
            ));
        }
    }
    Ok(())
}

struct Rewriter<'a> {
    repository: &'a Repository,
    known: &'a SnapshotList,
    sights: Sights,
    options: &'a RewriteOptions,
    excludes: Excludes,
    runtime: &'a Runtime,
}

impl Rewriter<'_> {
    fn one(&self, original: &Snapshot) -> Result<Rewritten> {
        let mut body = self.changed_body(original);
        let host = self.options.host.clone().unwrap_or_else(|| original.host.clone());
        if self.excludes.is_empty() {
            let is_different = host != original.host || body != original.body;
            return self.committed(original, body, host, is_different, 0, None);
        }
        self.runtime.progress.phase(Phase::BackingUp);
        if self.options.dry_run {
            let would_add = WouldAdd::default();
            let derived = self.derive(original, PagesTo::Nowhere(&would_add))?;
            take(&mut body, &derived, &would_add.added());
            let is_different = host != original.host || is_changed(&body, &original.body);
            return self.committed(original, body, host, is_different, derived.dropped, None);
        }
        let (session, _) = self.begin()?;
        let written = self.write(original);
        let (derived, added) = match written {
            Ok(written) => written,
            Err(error) => {
                end(session);
                return Err(error);
            }
        };
        take(&mut body, &derived, &added);
        let is_different = host != original.host || is_changed(&body, &original.body);
        let dropped = derived.dropped;
        self.committed(original, body, host, is_different, dropped, Some(session))
    }

    /// What is different without a look at the entries.
    fn changed_body(&self, original: &Snapshot) -> SnapshotBody {
        let old = &original.body;
        let options = self.options;
        let host = options.host.as_ref().unwrap_or(&original.host);
        let start_ms = options.time_ms.unwrap_or(old.start_ms);
        let moved_ms = start_ms.saturating_sub(old.start_ms);
        let (errors, error_count) = self.errors_left(old);
        SnapshotBody {
            errors,
            error_count,
            tags: options.tags.apply(&old.tags),
            series: series(host, &old.roots),
            description: options.description.clone().unwrap_or_else(|| old.description.clone()),
            start_ms,
            end_ms: old.end_ms.saturating_add(moved_ms),
            ..old.clone()
        }
    }

    /// What could not be read, without what is left out: its names shall go, too.
    fn errors_left(&self, old: &SnapshotBody) -> (Vec<SourceError>, u64) {
        let mut errors = old.errors.clone();
        errors.retain(|error| !self.is_left_out(&error.path.0));
        let dropped = (old.errors.len() - errors.len()) as u64;
        (errors, old.error_count.saturating_sub(dropped))
    }

    /// Whether a path or a folder that it lies in is left out, whatever it is.
    fn is_left_out(&self, path: &[u8]) -> bool {
        let path = path.strip_prefix(b"/").unwrap_or(path);
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        let is_out = |path: &[u8], is_dir| {
            let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            self.excludes.exclude(path, name, is_dir)
        };
        is_out(path, false) || ends.chain([path.len()]).any(|end| is_out(&path[..end], true))
    }

    fn write(&self, original: &Snapshot) -> Result<(Derived, Added)> {
        let writer = self.repository.pack_writer(&WriterOptions::default(), self.runtime);
        let derived = self.derive(original, PagesTo::Packs(&writer));
        // Whatever happened: what was stored is named, so it need not be stored again.
        let added = PackWriter::finish(writer)?;
        Ok((derived?, added))
    }

    fn derive(&self, original: &Snapshot, pages_to: PagesTo<'_>) -> Result<Derived> {
        let mut left_out: Option<Vec<u8>> = None;
        let mut decide = |entry: &mut crate::model::Entry| {
            // What lies in a folder that is left out goes with it, as in a backup.
            if let Some(folder) = &left_out
                && crate::model::entry::is_within(&entry.path, folder)
            {
                return Ok(Verdict::Drop);
            }
            let name = entry.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            let is_dir = entry.kind == FileKind::Dir;
            if !self.excludes.exclude(&entry.path, name, is_dir) {
                return Ok(Verdict::Keep);
            }
            self.runtime.progress.detail("left out", &entry.path);
            left_out = is_dir.then(|| entry.path.clone());
            Ok(Verdict::Drop)
        };
        let mut on_lost = |lost: Lost| match lost {
            Lost::Pages(_, error) => Err(error),
            Lost::Link(entry) => Err(Error::damaged(
                format!("/{}", escape_bytes(&entry.path)),
                "its other name is lost",
            )),
        };
        let derivation = Derivation { decide: &mut decide, on_lost: &mut on_lost };
        derive(self.repository, Manifest::of(original), pages_to, derivation, self.runtime)
    }

    fn committed(
        &self,
        original: &Snapshot,
        mut body: SnapshotBody,
        host: String,
        is_different: bool,
        entries_left_out: u64,
        session: Option<Session>,
    ) -> Result<Rewritten> {
        let rewritten = Rewritten {
            original: original.clone(),
            snapshot: None,
            is_different,
            entries_left_out,
            bytes_left_out: original.body.bytes.saturating_sub(body.bytes),
        };
        if body.files == 0 && original.body.files > 0 {
            session.into_iter().for_each(end);
            return Err(Error::usage_hint(
                format!("no file of snapshot {} would be left", original.id.short()),
                "`larder forget` takes a whole snapshot away",
            ));
        }
        if self.options.dry_run || !is_different {
            session.into_iter().for_each(end);
            return Ok(rewritten);
        }
        if entries_left_out > 0 || body.errors != original.body.errors {
            body.excludes.extend(recorded_excludes(&self.options.exclude));
        }
        body.original = Some(original.id);
        if let Some(before) = self.rewritten_before(original, &body, &host) {
            session.into_iter().for_each(end);
            // Broken off before it said so.
            if self.sights.candidate(before).retention_ms().is_none() {
                self.clear(original, before)?;
            }
            return Ok(Rewritten { snapshot: Some(before.clone()), ..rewritten });
        }
        let session = match session {
            Some(session) => session,
            None => self.begin()?.0,
        };
        let committed = self.commit(original, body, host, &session);
        end(session);
        Ok(Rewritten { snapshot: Some(committed?), ..rewritten })
    }

    /// The same, made by a run that was broken off or forgot nothing.
    fn rewritten_before(
        &self,
        original: &Snapshot,
        body: &SnapshotBody,
        host: &str,
    ) -> Option<&Snapshot> {
        let is_good = |other: &Snapshot| other.quarantine.is_none() && !other.suspect;
        self.known.snapshots.iter().find(|other| {
            other.body.original == Some(original.id)
                && other.host == host
                && is_good(other)
                && !is_changed(body, &other.body)
        })
    }

    fn commit(
        &self,
        original: &Snapshot,
        body: SnapshotBody,
        host: String,
        session: &Session,
    ) -> Result<Snapshot> {
        let id = BackupId(self.runtime.random.bytes());
        let new = NewSnapshot { id, host, user: original.user.clone(), body };
        let (repository, runtime) = (self.repository, self.runtime);
        let snapshot = commit_derived(repository, session, new, self.known, runtime)?;
        self.clear(original, &snapshot)?;
        Ok(snapshot)
    }

    /// Says that the time of a new snapshot is right, if that of its original is, or if it was
    /// given: storage sees the new one only now, and when the original is gone, nothing else tells.
    fn clear(&self, original: &Snapshot, new: &Snapshot) -> Result<()> {
        let is_in_time = self.sights.candidate(original).retention_ms().is_some();
        if !is_in_time && self.options.time_ms.is_none() {
            return Ok(());
        }
        let (author, reason) = (&self.options.author, "rewritten here");
        let (known, runtime) = (self.known, self.runtime);
        self.repository
            .append_about(LogKind::Clear, &[new], reason, author, known, runtime)
            .map(|_| ())
    }

    fn begin(&self) -> Result<(Session, crate::repository::Findings)> {
        self.repository.begin_session("rewrite", &self.options.author.host, self.runtime)
    }

    fn forget(&self, originals: &[&Snapshot]) -> Result<()> {
        let author = &self.options.author;
        let (known, runtime) = (self.known, self.runtime);
        for part in originals.chunks(NAMED_MAX) {
            let (kind, reason) = (LogKind::Forget, "rewritten");
            self.repository.append_about(kind, part, reason, author, known, runtime)?;
        }
        Ok(())
    }
}

fn end(session: Session) {
    if let Err(error) = session.end() {
        // The snapshot is valid without this.
        tracing::warn!("the session could not be closed: {error}");
    }
}

/// Takes over what a derivation counted.
fn take(body: &mut SnapshotBody, derived: &Derived, added: &Added) {
    let root = derived.manifest;
    (body.root, body.depth) = (root.root, root.depth);
    body.entries = root.entries;
    body.files = root.files;
    body.folders = root.folders;
    body.bytes = root.bytes;
    body.added_bytes = added.plain_bytes;
    body.added_stored = added.stored_bytes;
    body.added_chunks = added.chunks;
}

/// Whether more differs than what was added to the repository.
fn is_changed(new: &SnapshotBody, old: &SnapshotBody) -> bool {
    let same_added = SnapshotBody {
        added_bytes: old.added_bytes,
        added_stored: old.added_stored,
        added_chunks: old.added_chunks,
        ..new.clone()
    };
    same_added != *old
}
