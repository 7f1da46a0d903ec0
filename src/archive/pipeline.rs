//! The threads of a run: emitter, workers, collector.

use std::sync::Arc;

use super::collect::{Collected, collect};
use super::control::Control;
use super::emit::Emitter;
use super::job::Job;
use super::options::StdinSource;
use super::parent::{Parent, ParentEntries};
use super::run::{Run, walk_options};
use super::worker::Worker;
use crate::error::{Error, Result};
use crate::model::{Entry, FileKind, Owner, Time};
use crate::repository::PackWriter;
use crate::source::{Item, Walk, WalkOptions};
use crate::tree::ManifestWriter;
use crate::tree::{Sink, WouldAdd};

/// Runs emitter, workers and collector until all is collected or something stops them.
pub(super) fn pipeline(
    run: &Run<'_>,
    walk: Option<Walk>,
    parent: Option<&Parent>,
    writer: Option<&PackWriter>,
    would_add: &WouldAdd,
) -> Result<Collected> {
    let (repository, options, runtime) = (run.repository, run.options, run.runtime);
    let cpus = || std::thread::available_parallelism().map_or(1, Into::into);
    let workers = options.readers.map_or_else(cpus, Into::into).min(64);
    let control = Control::default();
    let (job_sender, jobs) = crossbeam_channel::bounded(workers * 4);
    let (done_sender, done) = crossbeam_channel::unbounded();
    std::thread::scope(|scope| {
        let control = &control;
        if parent.is_none() && walk.is_some() && runtime.progress.wants_estimate() {
            scope.spawn(move || estimate(run, control));
        }
        for _ in 0..workers {
            let sink = Sink::new(repository, writer, would_add);
            let worker = Worker::new(repository, runtime, control, sink, done_sender.clone());
            let jobs = jobs.clone();
            scope.spawn(move || {
                let _guard = control.stop_on_panic();
                worker.run(&jobs);
            });
        }
        // The queues end when their last sender is gone.
        drop(done_sender);
        drop(jobs);
        let manifest = ManifestWriter::with_sink(Sink::new(repository, writer, would_add));
        let progress = &*runtime.progress;
        let collector = scope.spawn(move || {
            let _guard = control.stop_on_panic();
            collect(&done, manifest, control, progress)
        });
        let emitted = match (&options.stdin, walk) {
            (Some(source), _) => emit_stream(run, source, &job_sender),
            (None, Some(walk)) => {
                let entries = ParentEntries::new(repository, parent);
                Emitter::new(repository, options, runtime, control, job_sender.clone(), entries)
                    .run(walk)
                    .map(|_| ())
            }
            (None, None) => Ok(()),
        };
        // Before the queue ends: what was emitted so far must not be taken for all there is.
        if let Err(error) = emitted {
            control.stop(error);
        }
        drop(job_sender);
        let collected = collector
            .join()
            .map_err(|_| Error::Internal { what: "the collector panicked".into() })?;
        control.finish();
        // The collector was given the reason, if it noticed.
        collected
    })
}

/// Walks the sources ahead of the run, only to count: somebody is watching, and wants to know how
/// long it will take.
fn estimate(run: &Run<'_>, control: &Control) {
    let options = WalkOptions { threads: Some(0), ..walk_options(run.repository, run.options) };
    let Ok(walk) = Walk::start(&run.options.sources, &options, run.runtime) else { return };
    let (mut entries, mut bytes) = (0, 0);
    for item in walk {
        match item {
            Ok(Item::Entry(entry)) => {
                entries += 1;
                if entry.stat.kind == FileKind::File {
                    bytes += entry.stat.size;
                }
            }
            Ok(Item::Failed(_)) => {}
            Err(_) => return,
        }
        if control.is_stopped() || control.is_over() {
            return;
        }
    }
    run.runtime.progress.estimate(entries, bytes);
}

/// A stream is one file in the root of its snapshot.
fn emit_stream(
    run: &Run<'_>,
    source: &Arc<StdinSource>,
    jobs: &crossbeam_channel::Sender<Job>,
) -> Result<()> {
    let secs = i64::try_from(run.start_ns.div_euclid(1_000_000_000)).unwrap_or(0);
    let now = Time { secs, nanos: run.start_ns.rem_euclid(1_000_000_000) as u32 };
    let entry = Entry {
        mode: 0o600,
        owner: Arc::new(Owner {
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            ..Owner::default()
        }),
        mtime: now,
        ctime: now,
        ..Entry::new(source.name.clone(), FileKind::File)
    };
    run.runtime.progress.expect(1, 0);
    let _ = jobs.send(Job::Stream { seq: 0, entry: Box::new(entry), source: Arc::clone(source) });
    Ok(())
}
