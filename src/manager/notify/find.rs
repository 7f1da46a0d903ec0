//! Which messages jobs and alerts make. What was told already is in the database, so that nothing
//! is forgotten or told twice after a restart.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::notice::{Notice, NoticeEvent};
use super::queue;
use super::settings::ChannelSettings;
use crate::error::Result;
use crate::fsmeta::host_name;
use crate::manager::alerts::{Alert, AlertKind, Alerts, NewAlert, PASSED, Place, read_alert};
use crate::manager::board::{Board, Happening, JobId, JobKind, JobStatus, JobView};
use crate::manager::fleet::Fleet;
use crate::model::format_duration;
use crate::runtime::Runtime;

/// A failure that lasts is told of again after so long.
const REMINDER_MS: i64 = 24 * 3_600_000;

/// What ended longer ago is no news: messages were off, or the machine was.
const NEWS_MS: i64 = 7 * 24 * 3_600_000;

/// Jobs and alerts that are looked at in one go.
const BATCH: i64 = 200;

/// What makes messages out of what happened.
pub(super) struct Finder<'f> {
    pub(super) board: &'f Board,
    pub(super) fleet: &'f Fleet,
    pub(super) channels: &'f [ChannelSettings],
    pub(super) runtime: &'f Runtime,
}

impl Finder<'_> {
    /// Puts everything that happened and was not told into the queue.
    ///
    /// # Errors
    /// As [`Database::with`](crate::manager::history::Database::with).
    pub(super) fn find(&self) -> Result<()> {
        for id in self.untold_jobs()? {
            // A job that this version cannot read is told by none.
            match JobId::parse(&id).and_then(|id| self.board.get(&id)) {
                Ok(job) => self.tell_job(&job)?,
                Err(_) => self.mark_job(&id)?,
            }
        }
        self.tell_alerts()
    }

    /// A job has begun: pings say so.
    ///
    /// # Errors
    /// As [`Finder::find`].
    pub(super) fn started(&self, job: &JobView) -> Result<()> {
        let pings = || self.channels.iter().filter(|channel| channel.is_ping());
        if pings().next().is_none() {
            return Ok(());
        }
        let notice = self.of_job(job, NoticeEvent::Start);
        self.board.database().transaction(|connection| {
            for channel in pings().filter(|channel| is_wanted(channel, &notice, Some(job))) {
                queue::add(connection, &channel.name, &notice, self.now_ms())?;
            }
            Ok(())
        })
    }

    fn untold_jobs(&self) -> Result<Vec<String>> {
        self.board.database().with(|connection| {
            let mut statement = connection.prepare(
                "SELECT job_id FROM jobs WHERE is_told = 0 AND ended_ms IS NOT NULL \
                 ORDER BY ended_ms, number LIMIT ?1",
            )?;
            let ids = statement.query_map([BATCH], |row| row.get(0))?;
            ids.collect()
        })
    }

    fn mark_job(&self, id: &str) -> Result<()> {
        self.board.database().with(|connection| mark(connection, id).map(|_| ()))
    }

    fn tell_job(&self, job: &JobView) -> Result<()> {
        let now_ms = self.now_ms();
        let ended_ms = job.ended.map_or(now_ms, Timestamp::as_millisecond);
        let is_news = now_ms.saturating_sub(ended_ms) < NEWS_MS;
        let id = job.job_id.as_str();
        if is_news {
            // Before the job counts as told: once more is no harm.
            self.raise_damage(job)?;
        }
        self.board.database().transaction(|connection| {
            if mark(connection, id)? == 0 || !is_news {
                return Ok(());
            }
            let streak = note_end(connection, job, ended_ms)?;
            for channel in self.channels {
                let Some(event) = event_for(channel, job, &streak) else { continue };
                let notice = self.of_job(job, event);
                if is_wanted(channel, &notice, Some(job)) {
                    queue::add(connection, &channel.name, &notice, now_ms)?;
                }
            }
            Ok(())
        })
    }

    /// What a check, a verification or a restore test found stays until a person has looked at it:
    /// another one may look at other parts.
    fn raise_damage(&self, job: &JobView) -> Result<()> {
        let (who, figure) = match job.kind {
            JobKind::Check => ("a check", "problems"),
            JobKind::Verify => ("a verification", "problems"),
            JobKind::RestoreTest => ("a restore test", "failed"),
            _ => return Ok(()),
        };
        let problems = job.result[figure].as_u64().unwrap_or_default();
        if problems == 0 {
            return Ok(());
        }
        let name = &job.repository;
        let open = self.fleet.site(name).ok().and_then(|site| site.opened());
        let repo_id = open.map(|open| open.manager.repository().id().to_string());
        let place = Place { repo_id: repo_id.unwrap_or_default(), name: name.clone() };
        let new = NewAlert {
            kind: AlertKind::Damage,
            subject: String::new(),
            message: format!("{who} found damage: {problems} problems (job {})", job.job_id),
            advice: "look at the log of the job and at `larder check`; `larder heal` brings back \
                     what mirrors have, `larder runbook damaged-repository` says the rest. Then \
                     `larder alert clear`"
                .into(),
        };
        Alerts::new(self.board.database(), self.runtime).raise(&place, &new).map(|_| ())
    }

    fn tell_alerts(&self) -> Result<()> {
        let sql = "SELECT alert_id, repository, repo_id, kind, subject, message, advice, \
                   raised_ms, cleared_ms, cleared_by FROM alerts \
                   WHERE told = 0 OR (cleared_ms IS NOT NULL AND told_clear = 0) \
                   ORDER BY number LIMIT ?1";
        let alerts: Vec<Alert> = self.board.database().with(|connection| {
            let mut statement = connection.prepare(sql)?;
            let alerts = statement.query_map([BATCH], read_alert)?;
            alerts.filter_map(Result::transpose).collect()
        })?;
        alerts.iter().try_for_each(|alert| self.tell_alert(alert))
    }

    fn tell_alert(&self, alert: &Alert) -> Result<()> {
        let now_ms = self.now_ms();
        let told = self.board.database().transaction(|connection| {
            let id = &alert.alert_id;
            let raised = connection
                .execute("UPDATE alerts SET told = 1 WHERE alert_id = ?1 AND told = 0", [id])?;
            let cleared = connection.execute(
                "UPDATE alerts SET told_clear = 1 WHERE alert_id = ?1 AND told_clear = 0 \
                 AND cleared_ms IS NOT NULL",
                [id],
            )?;
            let is_news = |time: Timestamp| now_ms - time.as_millisecond() < NEWS_MS;
            if raised > 0 && is_news(alert.raised) {
                self.queue_for_all(connection, &self.of_alert(alert, false))?;
            }
            // Whoever cleared it knows of it.
            let has_passed = alert.cleared_by.as_deref() == Some(PASSED);
            if cleared > 0 && has_passed && alert.cleared.is_some_and(is_news) {
                self.queue_for_all(connection, &self.of_alert(alert, true))?;
            }
            Ok((raised > 0, cleared > 0))
        })?;
        let (repository, alert_id) = (Some(&*alert.repository), alert.alert_id.clone());
        if told.0 {
            let message = alert.message.clone();
            let raised = Happening::AlertRaised { alert_id: alert_id.clone(), message };
            self.board.bus().tell(repository, raised);
        }
        if told.1 {
            self.board.bus().tell(repository, Happening::AlertCleared { alert_id });
        }
        Ok(())
    }

    fn queue_for_all(&self, connection: &Connection, notice: &Notice) -> rusqlite::Result<()> {
        let wanted =
            |channel: &&ChannelSettings| !channel.is_ping() && is_wanted(channel, notice, None);
        self.channels
            .iter()
            .filter(wanted)
            .try_for_each(|channel| queue::add(connection, &channel.name, notice, self.now_ms()))
    }

    fn of_job(&self, job: &JobView, event: NoticeEvent) -> Notice {
        let what = job.kind.as_str().replace('_', " ");
        let what = match job.title.is_empty() {
            true => what,
            false => format!("{what} `{}`", job.title),
        };
        let title = match event {
            NoticeEvent::Start => format!("{what} has begun"),
            NoticeEvent::Recovery => format!("{what} works again"),
            NoticeEvent::Failure if job.status == JobStatus::Interrupted => {
                format!("{what} was interrupted")
            }
            NoticeEvent::Failure => format!("{what} failed"),
            _ => format!("{what} succeeded"),
        };
        Notice {
            repository: job.repository.clone(),
            advice: job.hint.clone(),
            schedule_id: job.schedule_id.clone(),
            job_kind: Some(job.kind.as_str().into()),
            job: serde_json::to_value(job).unwrap_or_default(),
            time: job.ended.unwrap_or(job.started),
            ..self.blank(event, title, of_end(job))
        }
    }

    fn of_alert(&self, alert: &Alert, is_over: bool) -> Notice {
        let what = match alert.kind {
            AlertKind::Anomaly => "an unusual backup",
            AlertKind::Damage => "damage",
            AlertKind::Missing => "backups are missing",
            AlertKind::LowSpace => "little room is left",
            AlertKind::Away => "the repository cannot be opened",
        };
        let event = match alert.kind {
            _ if is_over => NoticeEvent::Recovery,
            AlertKind::Anomaly => NoticeEvent::Anomaly,
            AlertKind::Damage => NoticeEvent::Damage,
            AlertKind::Missing => NoticeEvent::Missing,
            AlertKind::LowSpace => NoticeEvent::LowSpace,
            AlertKind::Away => NoticeEvent::Failure,
        };
        let title = if is_over { format!("over: {what}") } else { what.to_owned() };
        let message = match is_over {
            true => format!("This is over: {}", alert.message),
            false => alert.message.clone(),
        };
        Notice {
            repository: alert.repository.clone(),
            advice: (!is_over).then(|| alert.advice.clone()).filter(|text| !text.is_empty()),
            alert_id: Some(alert.alert_id.clone()),
            time: alert.cleared.filter(|_| is_over).unwrap_or(alert.raised),
            ..self.blank(event, title, message)
        }
    }

    fn blank(&self, event: NoticeEvent, title: String, message: String) -> Notice {
        blank(self.runtime, event, title, message)
    }

    fn now_ms(&self) -> i64 {
        self.runtime.clock.now_ms()
    }
}

/// A message about nothing yet.
pub(super) fn blank(
    runtime: &Runtime,
    event: NoticeEvent,
    title: String,
    message: String,
) -> Notice {
    Notice {
        id: format!("{:016x}", runtime.random.next_u64()),
        event,
        time: Timestamp::from_millisecond(runtime.clock.now_ms()).unwrap_or(Timestamp::MAX),
        host: host_name(),
        repository: String::new(),
        title,
        message,
        advice: None,
        schedule_id: None,
        job_kind: None,
        alert_id: None,
        job: serde_json::Value::Null,
        held_back: Vec::new(),
    }
}

/// How a job ended, in one line.
fn of_end(job: &JobView) -> String {
    if let Some(error) = &job.error {
        return error.clone();
    }
    let Some(ended) = job.ended else { return "It has begun.".into() };
    let took = ended.duration_since(job.started).unsigned_abs();
    let warnings = match job.warnings {
        0 => String::new(),
        1 => ", with one warning".into(),
        count => format!(", with {count} warnings"),
    };
    format!("It took {}{warnings}.", format_duration(took))
}

/// How often in a row a job failed.
#[derive(Clone, Copy, Debug, Default)]
struct Streak {
    /// Failures in a row before this end.
    before: u32,
    /// The same with it; 0 if it succeeded.
    now: u32,
    /// Whether it is time to say once more that it fails.
    is_reminder: bool,
}

/// Marks a job as told. Whether it was not: 1 or 0.
fn mark(connection: &Connection, id: &str) -> rusqlite::Result<usize> {
    connection.execute("UPDATE jobs SET is_told = 1 WHERE job_id = ?1 AND is_told = 0", [id])
}

/// Counts how often in a row what `job` does has failed.
fn note_end(connection: &Connection, job: &JobView, ended_ms: i64) -> rusqlite::Result<Streak> {
    let of = job.schedule_id.as_deref().unwrap_or(&job.title);
    let subject = format!("{}\n{}\n{of}", job.repository, job.kind.as_str());
    let known: Option<(u32, Option<i64>)> = connection
        .query_row("SELECT failures, told_ms FROM streaks WHERE subject = ?1", [&subject], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let (before, told_ms) = known.unwrap_or_default();
    match job.status {
        JobStatus::Succeeded => {
            connection.execute("DELETE FROM streaks WHERE subject = ?1", [&subject])?;
            Ok(Streak { before, now: 0, is_reminder: false })
        }
        JobStatus::Failed | JobStatus::Interrupted => {
            let is_reminder = told_ms.is_some_and(|told_ms| ended_ms - told_ms >= REMINDER_MS);
            let told_ms = if is_reminder { ended_ms } else { told_ms.unwrap_or(ended_ms) };
            connection.execute(
                "INSERT INTO streaks (subject, failures, since_ms, told_ms) \
                 VALUES (?1, 1, ?2, ?3) ON CONFLICT (subject) \
                 DO UPDATE SET failures = failures + 1, told_ms = ?3",
                params![subject, ended_ms, told_ms],
            )?;
            Ok(Streak { before, now: before.saturating_add(1), is_reminder })
        }
        JobStatus::Running | JobStatus::Cancelled => {
            Ok(Streak { before, now: before, is_reminder: false })
        }
    }
}

/// What the end of a job is to a channel.
fn event_for(channel: &ChannelSettings, job: &JobView, streak: &Streak) -> Option<NoticeEvent> {
    let least = channel.after_failures.max(1);
    match job.status {
        JobStatus::Succeeded => {
            let tells_recovery = !channel.is_ping()
                && streak.before >= least
                && channel.events().contains(&NoticeEvent::Recovery);
            Some(if tells_recovery { NoticeEvent::Recovery } else { NoticeEvent::Success })
        }
        JobStatus::Failed | JobStatus::Interrupted => {
            let is_news = streak.now == least || (streak.now > least && streak.is_reminder);
            (is_news || channel.is_ping()).then_some(NoticeEvent::Failure)
        }
        JobStatus::Running | JobStatus::Cancelled => None,
    }
}

/// Whether a channel is to tell this.
fn is_wanted(channel: &ChannelSettings, notice: &Notice, job: Option<&JobView>) -> bool {
    let fits = |list: &[String], value: Option<&str>| {
        list.is_empty() || value.is_some_and(|value| list.iter().any(|one| one == value))
    };
    let schedule_fits = fits(&channel.schedules, notice.schedule_id.as_deref())
        || fits(&channel.schedules, job.map(|job| job.title.as_str()));
    channel.events().contains(&notice.event)
        && fits(&channel.repositories, Some(&notice.repository))
        // What is about no job is for everybody.
        && (job.is_none() || schedule_fits && fits(&channel.jobs, notice.job_kind.as_deref()))
}
