//! The tables, as steps from one version of the file to the next.

/// Step `n` leads from `user_version` n to n + 1. Steps are only ever added, and what they make is
/// only ever added to: an older program goes without a file that is newer than it.
pub(super) const STEPS: &[&str] = &[
    RUNS,
    SCHEDULES,
    SEEN,
    JOBS,
    SESSIONS,
    ALERTS,
    CHECK_ROUNDS,
    JOBS_BY_REPOSITORY,
    JUDGED_STEPS,
];

/// One row for each run of a backup that this machine started.
///
/// Times are milliseconds since 1970. `sources`, `tags` and `stats` are JSON. `process` names the
/// process that the run belongs to, so that a run nobody works on any more can be told.
const RUNS: &str = "
CREATE TABLE runs (
    number      INTEGER PRIMARY KEY,
    repo_id     TEXT NOT NULL,
    backup_id   TEXT NOT NULL,
    schedule_id TEXT,
    attempt     INTEGER NOT NULL,
    strategy    TEXT NOT NULL,
    status      TEXT NOT NULL,
    started_ms  INTEGER NOT NULL,
    finished_ms INTEGER,
    error       TEXT,
    host        TEXT NOT NULL,
    sources     TEXT NOT NULL,
    tags        TEXT NOT NULL,
    description TEXT NOT NULL,
    stats       TEXT,
    process     TEXT NOT NULL,
    UNIQUE (repo_id, backup_id)
) STRICT;
CREATE INDEX runs_by_time ON runs (repo_id, started_ms);
CREATE INDEX runs_by_schedule ON runs (repo_id, schedule_id, started_ms);
";

/// One row for each schedule: its definition as JSON, and how far it is (`manager::schedule`).
///
/// `running` names who works on a run of it, and is NULL while nobody does.
const SCHEDULES: &str = "
CREATE TABLE schedules (
    repo_id         TEXT NOT NULL,
    schedule_id     TEXT NOT NULL,
    created_ms      INTEGER NOT NULL,
    definition      TEXT NOT NULL,
    changes         INTEGER NOT NULL,
    settled_ms      INTEGER NOT NULL,
    failed_attempts INTEGER NOT NULL,
    retry_ms        INTEGER,
    running         TEXT,
    started_ms      INTEGER,
    ended_ms        INTEGER,
    succeeded_ms    INTEGER,
    error           TEXT,
    PRIMARY KEY (repo_id, schedule_id)
) STRICT;
";

/// When the scheduler that works on a run last said that it is there.
const SEEN: &str = "
ALTER TABLE schedules ADD COLUMN seen_ms INTEGER;
";

/// One row for each job of a daemon, and the lines of its log (`manager::board`).
const JOBS: &str = "
CREATE TABLE jobs (
    number      INTEGER PRIMARY KEY,
    job_id      TEXT NOT NULL UNIQUE,
    repository  TEXT NOT NULL,
    kind        TEXT NOT NULL,
    title       TEXT NOT NULL,
    schedule_id TEXT,
    attempt     INTEGER NOT NULL,
    wanted_by   TEXT NOT NULL,
    status      TEXT NOT NULL,
    started_ms  INTEGER NOT NULL,
    ended_ms    INTEGER,
    backup_id   TEXT,
    error       TEXT,
    hint        TEXT,
    warnings    INTEGER NOT NULL,
    result      TEXT,
    process     TEXT NOT NULL
) STRICT;
CREATE INDEX jobs_by_schedule ON jobs (schedule_id, number);
CREATE INDEX jobs_by_status ON jobs (status, number);
CREATE TABLE job_lines (
    number  INTEGER PRIMARY KEY,
    job_id  TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    level   TEXT NOT NULL,
    message TEXT NOT NULL
) STRICT;
CREATE INDEX job_lines_by_job ON job_lines (job_id, number);
";

/// One row for each browser that is logged in to a daemon (`server::auth`), by a hash of what its
/// cookie holds.
const SESSIONS: &str = "
CREATE TABLE sessions (
    hash        TEXT PRIMARY KEY,
    user        TEXT NOT NULL,
    password_ms INTEGER NOT NULL,
    made_ms     INTEGER NOT NULL,
    seen_ms     INTEGER NOT NULL
) STRICT;
";

/// What needs a person (`manager::alerts`), what the guard has judged (`manager::guard`), and what
/// is to be sent to whom (`manager::notify`).
///
/// `subject` says what an alert is about: a series, a schedule, or nothing for the repository.
/// Jobs of before this step count as told.
const ALERTS: &str = "
CREATE TABLE alerts (
    number     INTEGER PRIMARY KEY,
    alert_id   TEXT NOT NULL UNIQUE,
    repo_id    TEXT NOT NULL,
    repository TEXT NOT NULL,
    kind       TEXT NOT NULL,
    subject    TEXT NOT NULL,
    message    TEXT NOT NULL,
    advice     TEXT NOT NULL,
    raised_ms  INTEGER NOT NULL,
    cleared_ms INTEGER,
    cleared_by TEXT,
    told       INTEGER NOT NULL DEFAULT 0,
    told_clear INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX alerts_open ON alerts (repo_id, kind, subject) WHERE cleared_ms IS NULL;
CREATE TABLE judged (
    repo_id   TEXT NOT NULL,
    series    TEXT NOT NULL,
    start_ms  INTEGER NOT NULL,
    PRIMARY KEY (repo_id, series)
) STRICT;
CREATE TABLE notices (
    number     INTEGER PRIMARY KEY,
    channel    TEXT NOT NULL,
    event      TEXT NOT NULL,
    notice     TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    due_ms     INTEGER NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    is_held    INTEGER NOT NULL DEFAULT 0,
    error      TEXT
) STRICT;
CREATE INDEX notices_by_time ON notices (due_ms);
CREATE TABLE sent (
    channel TEXT NOT NULL,
    event   TEXT NOT NULL,
    sent_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX sent_by_channel ON sent (channel, event, sent_ms);
CREATE TABLE streaks (
    subject  TEXT PRIMARY KEY,
    failures INTEGER NOT NULL,
    since_ms INTEGER NOT NULL,
    told_ms  INTEGER
) STRICT;
ALTER TABLE jobs ADD COLUMN is_told INTEGER NOT NULL DEFAULT 0;
UPDATE jobs SET is_told = 1;
CREATE INDEX jobs_to_tell ON jobs (ended_ms) WHERE is_told = 0;
";

/// How far a schedule's check is through all stored bytes (`manager::jobs`), as JSON.
const CHECK_ROUNDS: &str = "
CREATE TABLE check_rounds (
    repo_id     TEXT NOT NULL,
    schedule_id TEXT NOT NULL,
    round       TEXT NOT NULL,
    PRIMARY KEY (repo_id, schedule_id)
) STRICT;
";

/// Which repository a job is of, by its id: people may call it by several names. Jobs of before this
/// step have none, and are found by name only.
const JOBS_BY_REPOSITORY: &str = "
ALTER TABLE jobs ADD COLUMN repo_id TEXT NOT NULL DEFAULT '';
CREATE INDEX jobs_by_repository ON jobs (repo_id, kind, number);
";

/// How much each snapshot that the guard has judged differed from the one before it, in shares of
/// its files and bytes. It stands for the table `judged`, which only told when the last was made.
const JUDGED_STEPS: &str = "
CREATE TABLE judged_steps (
    repo_id   TEXT NOT NULL,
    series    TEXT NOT NULL,
    backup_id TEXT NOT NULL,
    time_ms   INTEGER NOT NULL,
    gone      REAL NOT NULL,
    changed   REAL NOT NULL,
    new       REAL NOT NULL,
    dense     REAL NOT NULL,
    PRIMARY KEY (repo_id, series, backup_id)
) STRICT;
";
