//! Figures for Prometheus, from the database and from memory: nothing is asked of storage.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::alerts::Alerts;
use super::board::JobQuery;
use super::fleet::{Fleet, Site};
use super::history::RunQuery;
use crate::error::{Error, Result};
use crate::model::BackupStatus;
use crate::runtime::Runtime;

/// Jobs whose ends are counted and timed: the newest.
const JOBS_LOOKED_AT: usize = 2_000;

/// Runs of a repository among which the newest completed one is looked for.
const RUNS_LOOKED_AT: usize = 200;

type Labels = Vec<(&'static str, String)>;
type Gauges = Family<Labels, Gauge<f64, AtomicU64>>;
type Counters = Family<Labels, Counter>;

/// All figures of a fleet, in the text format of OpenMetrics.
///
/// # Errors
/// [`Error::Local`] if the database cannot be read.
pub fn text(fleet: &Fleet, runtime: &Runtime) -> Result<String> {
    let mut registry = Registry::with_prefix("larder");
    of_jobs(fleet, &mut registry)?;
    of_alerts(fleet, runtime, &mut registry)?;
    of_sites(fleet, runtime, &mut registry)?;
    let mut text = String::new();
    let failed = |error| Error::Internal { what: format!("figures cannot be written: {error}") };
    encode(&mut text, &registry).map_err(failed)?;
    Ok(text)
}

fn gauges(registry: &mut Registry, name: &str, help: &str) -> Gauges {
    let family = Gauges::default();
    registry.register(name, help, family.clone());
    family
}

fn counters(registry: &mut Registry, name: &str, help: &str) -> Counters {
    let family = Counters::default();
    registry.register(name, help, family.clone());
    family
}

fn of_jobs(fleet: &Fleet, registry: &mut Registry) -> Result<()> {
    let success =
        gauges(registry, "last_success_timestamp_seconds", "When such a job succeeded last");
    let duration =
        gauges(registry, "last_success_duration_seconds", "How long its last success took");
    let ended = gauges(registry, "jobs_recent", "The newest 2,000 jobs by how they ended");
    let running = gauges(registry, "jobs_running", "Jobs that go on");
    let query = JobQuery { limit: JOBS_LOOKED_AT, ..JobQuery::default() };
    let mut seen = std::collections::HashSet::new();
    for job in fleet.board().list(&query)?.jobs {
        let of = vec![("repository", job.repository.clone()), ("kind", job.kind.as_str().into())];
        let status = [of.clone(), vec![("status", job.status.as_str().into())]].concat();
        ended.get_or_create(&status).inc();
        let title = [of, vec![("job", job.title.clone())]].concat();
        let succeeded = job.status == super::board::JobStatus::Succeeded;
        if let Some(end) = job.ended.filter(|_| succeeded)
            && seen.insert(title.clone())
        {
            success.get_or_create(&title).set(end.as_duration().as_secs_f64());
            let took = end.duration_since(job.started).as_secs_f64();
            duration.get_or_create(&title).set(took);
        }
    }
    for site in fleet.sites() {
        running.get_or_create(&of_site(site)).set(0.0);
    }
    for job in fleet.board().live() {
        running.get_or_create(&vec![("repository", job.repository)]).inc();
    }
    Ok(())
}

fn of_alerts(fleet: &Fleet, runtime: &Runtime, registry: &mut Registry) -> Result<()> {
    let open = gauges(registry, "alerts_open", "What needs a person");
    for alert in Alerts::new(fleet.board().database(), runtime).open()? {
        let kind = alert.kind.as_str().into();
        open.get_or_create(&vec![("repository", alert.repository), ("kind", kind)]).inc();
    }
    let waiting = gauges(registry, "messages_waiting", "Messages that wait for their channel");
    let count: Vec<(String, u32)> = fleet.board().database().with(|connection| {
        let sql = "SELECT channel, COUNT(*) FROM notices GROUP BY channel";
        let mut statement = connection.prepare(sql)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect()
    })?;
    for (channel, count) in count {
        waiting.get_or_create(&vec![("channel", channel)]).set(count.into());
    }
    Ok(())
}

fn of_sites(fleet: &Fleet, runtime: &Runtime, registry: &mut Registry) -> Result<()> {
    let is_open = gauges(registry, "repository_open", "1 if the repository is open");
    let next = gauges(registry, "next_run_timestamp_seconds", "When a schedule runs next");
    let failed = gauges(registry, "schedule_failed_attempts", "Failed attempts in a row");
    let requests = counters(registry, "storage_requests", "What was asked of storage");
    let bytes = counters(registry, "storage_bytes", "What went to and came from storage");
    let last = LastBackup {
        files: gauges(registry, "last_backup_files", "Files of the newest backup made here"),
        bytes: gauges(registry, "last_backup_bytes", "Bytes of these files"),
        stored: gauges(registry, "last_backup_stored_bytes", "What it added to storage"),
        ratio: gauges(registry, "last_backup_read_stored_ratio", "Bytes read by bytes stored"),
    };
    for site in fleet.sites() {
        let own = of_site(site);
        let with = |name, value: &str| [own.clone(), vec![(name, value.to_owned())]].concat();
        let open = site.opened();
        is_open.get_or_create(&own).set(f64::from(u8::from(open.is_some())));
        let Some(open) = open else { continue };
        for run in open.manager.next_runs(RUNS_LOOKED_AT)?.iter().rev() {
            let schedule = with("schedule", &run.schedule_id);
            next.get_or_create(&schedule).set(run.time.as_duration().as_secs_f64());
        }
        for state in open.manager.schedule_states()? {
            let schedule = with("schedule", &state.schedule.schedule_id);
            failed.get_or_create(&schedule).set(state.failed_attempts.into());
        }
        let used = open.requests.used();
        for (kind, count) in [
            ("put", used.puts),
            ("get", used.gets),
            ("range", used.ranges),
            ("head", used.heads),
            ("list", used.lists),
            ("delete", used.deletes),
            ("failed", used.errors),
            ("repeated", used.retries),
        ] {
            requests.get_or_create(&with("kind", kind)).inc_by(count);
        }
        bytes.get_or_create(&with("direction", "up")).inc_by(used.uploaded_bytes);
        bytes.get_or_create(&with("direction", "down")).inc_by(used.downloaded_bytes);
        last.note(site, &open.manager, runtime)?;
    }
    Ok(())
}

/// Figures of the newest backup that this machine made.
struct LastBackup {
    files: Gauges,
    bytes: Gauges,
    stored: Gauges,
    ratio: Gauges,
}

impl LastBackup {
    #[allow(clippy::cast_precision_loss, reason = "figures need no more than 52 bits")]
    fn note(&self, site: &Site, manager: &super::BackupManager, runtime: &Runtime) -> Result<()> {
        let query = RunQuery { limit: Some(RUNS_LOOKED_AT), ..RunQuery::default() };
        let runs = manager.run_history().list(&query, runtime.clock.now_ms())?;
        let newest = runs.iter().find(|run| run.status == BackupStatus::Completed);
        let Some(stats) = newest.and_then(|run| run.stats.as_ref()) else { return Ok(()) };
        let own = of_site(site);
        self.files.get_or_create(&own).set(stats.files as f64);
        self.bytes.get_or_create(&own).set(stats.bytes as f64);
        self.stored.get_or_create(&own).set(stats.bytes_stored as f64);
        let ratio = stats.bytes_read as f64 / stats.bytes_stored.max(1) as f64;
        self.ratio.get_or_create(&own).set(ratio);
        Ok(())
    }
}

fn of_site(site: &Site) -> Labels {
    vec![("repository", site.name().to_owned())]
}
