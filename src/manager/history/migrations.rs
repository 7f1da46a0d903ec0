//! The tables, as steps from one version of the file to the next.

/// Step `n` leads from `user_version` n to n + 1. Steps are only ever added, and what they make is
/// only ever added to: an older program goes without a file that is newer than it.
pub(super) const STEPS: &[&str] = &[RUNS];

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
