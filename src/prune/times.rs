//! How late it is, by storage's clock wherever it has one (SPEC.md, section 13, p5).

use super::options::{HOUR_MS, PruneOptions, Wait};
use crate::repository::{GcState, LISTING_LAG_MS, SeenMark, SeenSession};

/// A mark waits at most so long for time to pass.
const MARK_AGE_MS: i64 = 24 * HOUR_MS;
/// And at least so long: sessions announced up to an hour later are waited for, and listed up to an
/// hour late.
const MARK_AGE_MIN_MS: i64 = 3 * HOUR_MS;
/// A session that gave no sign for so long may be fenced.
const SILENCE_MS: i64 = 12 * HOUR_MS;
/// Without a clock of storage's own, times are those of who wrote the record.
const NO_CLOCK_MS: i64 = 72 * HOUR_MS;
/// A session announced so long after a mark has seen it, however late its listing was.
const SEEN_AFTER_MS: i64 = HOUR_MS;

/// Now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Milliseconds since 1970.
    pub(super) now_ms: i64,
    /// Whether that is storage's time.
    pub(super) has_clock: bool,
    /// Whether listings count as fresh, and nothing is waited for.
    pub(super) immediate: bool,
    /// How long a mark has to be there.
    mark_age_ms: i64,
    /// How long a session has to be silent.
    silence_ms: i64,
}

/// What a mark, or a new one, waits for.
#[derive(Clone, Debug, Default)]
pub(super) struct Verdict {
    /// Empty: nothing.
    pub(super) waits: Vec<Wait>,
    /// Silent sessions that have no fence of this mark.
    pub(super) to_fence: Vec<crate::model::SessionId>,
}

impl Verdict {
    /// When all waiting is over; `None` if nobody knows.
    pub(super) fn until_ms(&self) -> Option<i64> {
        self.waits
            .iter()
            .map(|wait| wait.until_ms)
            .try_fold(i64::MIN, |latest, until| Some(latest.max(until?)))
    }
}

impl Times {
    /// `probe_ms` is storage's time, `here_ms` that of this machine.
    pub(super) fn new(probe_ms: Option<i64>, here_ms: i64, options: &PruneOptions) -> Self {
        let least = |ms: i64| if probe_ms.is_some() { ms } else { ms.max(NO_CLOCK_MS) };
        Self {
            now_ms: probe_ms.unwrap_or(here_ms),
            has_clock: probe_ms.is_some(),
            immediate: options.is_immediate(),
            mark_age_ms: least(options.grace_ms.clamp(MARK_AGE_MIN_MS, MARK_AGE_MS)),
            silence_ms: least(SILENCE_MS),
        }
    }

    /// How old an object is: by storage's time, or by what it says where there is none.
    pub(super) fn age_ms(&self, modified_ms: Option<i64>, stated_ms: i64) -> i64 {
        if self.has_clock {
            modified_ms.map_or(0, |modified_ms| self.now_ms.saturating_sub(modified_ms))
        } else {
            self.now_ms.saturating_sub(stated_ms)
        }
    }

    /// Whether a session gave no sign for long.
    pub(super) fn is_silent(&self, session: &SeenSession) -> bool {
        let stated_ms = session.record.as_ref().map_or(self.now_ms, |record| record.now_ms);
        self.age_ms(session.newest_ms, stated_ms) >= self.silence_ms
    }

    /// What a mark waits for.
    pub(super) fn judge(&self, mark: &SeenMark, sessions: &[SeenSession], gc: &GcState) -> Verdict {
        let mut verdict = Verdict::default();
        let age_ms = self.age_ms(mark.modified_ms, mark.time_ms);
        if !self.immediate && age_ms < self.mark_age_ms {
            verdict.waits.push(Wait {
                session: None,
                what: "time to pass, so that everybody has seen what is condemned".into(),
                since_ms: Some(self.now_ms - age_ms),
                until_ms: Some(self.now_ms - age_ms + self.mark_age_ms),
            });
        }
        for session in sessions {
            let came_later = match (session.announced_ms, mark.modified_ms) {
                (Some(announced_ms), Some(marked_ms)) if self.has_clock && !self.immediate => {
                    announced_ms.saturating_sub(SEEN_AFTER_MS) > marked_ms
                }
                _ => false,
            };
            if !came_later {
                self.judge_session(session, mark, gc, &mut verdict);
            }
        }
        verdict
    }

    fn judge_session(
        &self,
        session: &SeenSession,
        mark: &SeenMark,
        gc: &GcState,
        verdict: &mut Verdict,
    ) {
        let mut wait = |what: String, until_ms| {
            verdict.waits.push(Wait {
                session: Some(session.id),
                what,
                since_ms: session.announced_ms,
                until_ms,
            });
        };
        if session.ended {
            let ended_ms = session.ended_ms.unwrap_or(self.now_ms);
            if !self.immediate && self.now_ms.saturating_sub(ended_ms) < LISTING_LAG_MS {
                wait("a session that has just ended".into(), Some(ended_ms + LISTING_LAG_MS));
            }
            return;
        }
        if !self.is_silent(session) {
            let newest_ms = session.newest_ms.unwrap_or(self.now_ms);
            // The latest that it can take: silence, and then a fence.
            let until_ms = newest_ms + self.silence_ms + LISTING_LAG_MS;
            wait(session.describe(), self.has_clock.then_some(until_ms));
            return;
        }
        let fence = gc
            .fences
            .iter()
            .find(|fence| fence.session_id == session.id && fence.gc_id == mark.gc_id);
        let age_ms = fence.map(|fence| self.age_ms(fence.modified_ms, fence.time_ms));
        if age_ms.is_none() {
            verdict.to_fence.push(session.id);
        }
        let age_ms = age_ms.unwrap_or(0);
        if !self.immediate && age_ms < LISTING_LAG_MS {
            let what = format!("{}, silent for long and now fenced", session.describe());
            wait(what, Some(self.now_ms - age_ms + LISTING_LAG_MS));
        }
    }
}
