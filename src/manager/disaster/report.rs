//! What a recovery did: as data, and as a text that stays beside the files.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::damage::DamageReport;
use super::plan::RecoverStep;
use super::recover::Done;
use super::state::{StepDone, replace};
use crate::error::{Error, Result};
use crate::model::{escape_bytes, format_bytes};
use crate::restore::{RestoreFailure, UnappliedSummary};
use crate::verify::{HitPart, HitSnapshot, Hits};

/// The report in the target.
const NAME: &str = "larder-recovery-report.txt";

/// What a recovery did.
#[derive(Clone, Debug, Serialize)]
pub struct RecoverReport {
    /// The id of the repository.
    pub repository: String,
    /// Where it was.
    pub location: String,
    /// Below which folder the files are.
    pub target: PathBuf,
    /// When it was begun, milliseconds since 1970.
    pub begun_ms: i64,
    /// When it ended.
    pub ended_ms: i64,
    /// Whether an earlier run did a part of it.
    pub resumed: bool,
    /// Whether all that was restored was read again and compared, now or by the earlier run that
    /// restored it.
    pub verified: bool,
    /// What came of the head code, if there was one.
    pub head: Option<String>,
    /// What people should know about the plan.
    pub notes: Vec<String>,
    /// The steps.
    pub steps: Vec<StepReport>,
    /// What damaged packs held, if something could not be restored.
    pub damage: Option<DamageReport>,
}

/// What came of a step.
#[derive(Clone, Debug, Serialize)]
pub struct StepReport {
    /// Its place in the plan, from 0.
    pub number: usize,
    /// The snapshot.
    pub snapshot: String,
    /// The host that it is of.
    pub host: String,
    /// When its run started.
    pub time: Option<Timestamp>,
    /// What was restored.
    pub paths: Vec<String>,
    /// Below which folder.
    pub target: PathBuf,
    /// Whether an earlier run had done it.
    pub earlier: bool,
    /// When it ended, milliseconds since 1970.
    pub ended_ms: i64,
    /// Files that are as in the snapshot; in place those that were not before.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Entries that were read again and compared.
    pub verified: u64,
    /// Entries that are not, or not wholly, as in the snapshot.
    pub failed: u64,
    /// Which, and why.
    pub failures: Vec<RestoreFailure>,
    /// Why nothing of it was done, where it is wholly or not at all: in place.
    pub untouched: Option<String>,
    /// Owners, attributes and the like that the system did not take.
    pub unapplied: Vec<UnappliedSummary>,
}

impl StepReport {
    fn of(number: usize, step: &RecoverStep, target: PathBuf) -> Self {
        Self {
            number,
            snapshot: step.snapshot.clone(),
            host: step.host.clone(),
            time: step.time,
            paths: step.paths.clone(),
            target,
            earlier: false,
            ended_ms: 0,
            files: 0,
            bytes: 0,
            verified: 0,
            failed: 0,
            failures: Vec::new(),
            untouched: None,
            unapplied: Vec::new(),
        }
    }

    pub(super) fn of_earlier(
        number: usize,
        step: &RecoverStep,
        target: PathBuf,
        done: &StepDone,
    ) -> Self {
        Self {
            earlier: true,
            ended_ms: done.ended_ms,
            files: done.files,
            bytes: done.bytes,
            verified: done.verified,
            ..Self::of(number, step, target)
        }
    }

    pub(super) fn of_now(
        number: usize,
        step: &RecoverStep,
        target: PathBuf,
        done: Done,
        now_ms: i64,
    ) -> Self {
        let report = Self { ended_ms: now_ms, ..Self::of(number, step, target) };
        match done {
            Done::Restored(done) => Self {
                files: done.files,
                bytes: done.bytes,
                verified: done.verified,
                failed: done.failed,
                failures: done.failures,
                unapplied: done.unapplied,
                ..report
            },
            Done::InPlace(done) => Self {
                files: done.counts.files,
                bytes: done.counts.bytes,
                verified: done.verified,
                unapplied: done.unapplied,
                ..report
            },
            Done::Untouched(why) => Self { failed: 1, untouched: Some(why), ..report },
        }
    }

    /// What is remembered of it.
    pub(super) fn done(&self) -> StepDone {
        StepDone {
            step: self.number,
            snapshot: self.snapshot.clone(),
            files: self.files,
            bytes: self.bytes,
            verified: self.verified,
            ended_ms: self.ended_ms,
        }
    }
}

impl RecoverReport {
    /// Entries that are not, or not wholly, as in their snapshot.
    pub fn failed(&self) -> u64 {
        self.steps.iter().map(|step| step.failed).sum()
    }

    /// Files that are as in their snapshot.
    pub fn files(&self) -> u64 {
        self.steps.iter().map(|step| step.files).sum()
    }

    /// The bytes of these.
    pub fn bytes(&self) -> u64 {
        self.steps.iter().map(|step| step.bytes).sum()
    }

    /// Writes the text into a folder, in the place of that of an earlier run.
    ///
    /// # Errors
    /// [`Error::Local`].
    pub fn save(&self, folder: &Path) -> Result<PathBuf> {
        let path = folder.join(NAME);
        replace(&path, self.text().as_bytes())
            .map_err(|error| Error::local("write", &path, error))?;
        Ok(path)
    }

    /// The report as text.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "LARDER RECOVERY REPORT\n");
        let _ = writeln!(out, "Repository  {} at {}", self.repository, self.location);
        let _ = writeln!(out, "Target      {}", self.target.display());
        let _ = writeln!(out, "Begun       {}", local(self.begun_ms));
        let _ = writeln!(out, "Ended       {}", local(self.ended_ms));
        let head =
            self.head.as_deref().unwrap_or("not given: whether snapshots are hidden is not known");
        let _ = writeln!(out, "Head code   {head}");
        let verified = match (self.verified, self.steps.iter().any(|step| step.earlier)) {
            (true, false) => "all that was restored was read again and compared with the snapshots",
            (true, true) => {
                "all that was restored was read again and compared with the snapshots, steps of an \
                 earlier run by that one"
            }
            (false, _) => "restored files were not read again (`--verify` does that)",
        };
        let _ = writeln!(out, "Verified    {verified}");
        for note in &self.notes {
            let _ = writeln!(out, "Note        {note}");
        }
        for step in &self.steps {
            write_step(&mut out, step);
        }
        match self.failed() {
            0 => out.push_str("\nEverything that was asked for is restored.\n"),
            number => {
                let _ = writeln!(
                    out,
                    "\nNOT EVERYTHING IS RESTORED: {number} entries or steps, named above."
                );
            }
        }
        if let Some(damage) = &self.damage {
            out.push_str(&damage.text());
        }
        out
    }
}

fn write_step(out: &mut String, step: &StepReport) {
    let time = step.time.map_or(String::new(), |time| format!(" of {}", zoned(time)));
    let number = step.number + 1;
    let _ = writeln!(out, "\n{number}. {}", step.paths.join(" "));
    let _ = writeln!(out, "   from    snapshot {}{time}, host {}", step.snapshot, step.host);
    let _ = writeln!(out, "   below   {}", step.target.display());
    let when = if step.earlier { "earlier, at" } else { "at" };
    let _ = writeln!(out, "   ended   {when} {}", local(step.ended_ms));
    let _ = writeln!(out, "   files   {} ({})", step.files, format_bytes(step.bytes));
    if step.verified > 0 {
        let _ = writeln!(out, "   equal   {} entries, read again", step.verified);
    }
    for one in &step.unapplied {
        let example = escape_bytes(&one.example);
        let _ = writeln!(
            out,
            "   without {} on {} entries, such as {example}: {}",
            one.aspect, one.count, one.reason
        );
    }
    if let Some(why) = &step.untouched {
        let _ = writeln!(out, "   FAILED  nothing was changed: {why}");
    } else if step.failed > 0 {
        let _ = writeln!(out, "   FAILED  {} entries:", step.failed);
    }
    for failure in &step.failures {
        let _ = writeln!(out, "     {}: {}", escape_bytes(&failure.path), failure.message);
    }
}

impl DamageReport {
    /// What damaged packs held, as text, file by file.
    pub fn text(&self) -> String {
        self.told(true)
    }

    /// The same without the files: which packs are damaged, and how many files of which snapshots
    /// they hit.
    pub fn brief(&self) -> String {
        self.told(false)
    }

    fn told(&self, with_files: bool) -> String {
        let mut out = String::new();
        for held in &self.packs {
            let pack = &held.pack;
            let _ = writeln!(
                out,
                "\nPack {} is {}: {} chunks can be saved, {} are safe elsewhere, {} are lost.",
                pack.name,
                pack.state.as_str(),
                pack.salvaged_chunks,
                pack.safe_chunks,
                pack.lost_chunks
            );
            match &held.hits {
                Some(hits) if hits.snapshots.is_empty() => {
                    out.push_str("  No snapshot lacks anything for it.\n");
                }
                Some(hits) => write_hits(&mut out, hits, with_files),
                None => {}
            }
        }
        if self.packs.is_empty() {
            out.push_str(
                "\nNo pack is damaged that the storage or the index still knows. Where one is \
                 missing, its part\nof the index is missing, too: what it held shows in the \
                 snapshots alone.\n",
            );
        }
        let is_told_already = self.packs.len() == 1 && self.packs[0].hits.is_some();
        if !is_told_already && !self.hits.snapshots.is_empty() {
            out.push_str("\nAll that is hit, in all snapshots:\n");
            write_hits(&mut out, &self.hits, with_files);
        }
        out
    }
}

fn write_hits(out: &mut String, hits: &Hits, with_files: bool) {
    for hit in &hits.snapshots {
        write_hit(out, hit, with_files);
    }
    if with_files && hits.left_out > 0 {
        let _ = writeln!(out, "  ... and {} files more", hits.left_out);
    }
}

fn write_hit(out: &mut String, hit: &HitSnapshot, with_files: bool) {
    let _ = writeln!(
        out,
        "  snapshot {} of host {}, {}: {} files hit, {} lost",
        hit.id.short(),
        escape_bytes(hit.host.as_bytes()),
        local(hit.time_ms),
        hit.file_count,
        format_bytes(hit.lost_bytes),
    );
    if !with_files {
        return;
    }
    for file in &hit.files {
        let what = match (file.part, file.lost_bytes) {
            (HitPart::Attributes, _) => "its extended attributes".to_owned(),
            (HitPart::Content, 0) => "its list of contents".to_owned(),
            (HitPart::Content, bytes) => format_bytes(bytes),
        };
        let _ = writeln!(out, "    {} lacks {what}", file.path);
    }
    for range in &hit.ranges {
        let part = |path: &Option<String>, none: &str| path.clone().unwrap_or_else(|| none.into());
        let _ = writeln!(
            out,
            "    the names after {} up to {} are lost",
            part(&range.after, "the beginning"),
            part(&range.last, "the end")
        );
    }
}

fn local(time_ms: i64) -> String {
    Timestamp::from_millisecond(time_ms).map_or_else(|_| "?".to_owned(), zoned)
}

fn zoned(time: Timestamp) -> String {
    time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}
