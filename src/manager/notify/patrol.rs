//! The thread that looks after repositories: whether they open, whether backups stay away, whether
//! room gets little, whether a snapshot is unusual. What it finds are alerts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::manager::alerts::{AlertKind, Alerts, NewAlert, Place};
use crate::manager::board::{Happening, JobKind};
use crate::manager::fleet::{Fleet, Site};
use crate::manager::status;
use crate::runtime::{CancelToken, Runtime};

/// How often it looks without a reason.
const LOOK_EVERY: Duration = Duration::from_secs(600);
/// How soon it notices that it is to end.
const TICK: Duration = Duration::from_millis(250);

pub(super) struct Patrol {
    pub(super) fleet: Arc<Fleet>,
    pub(super) runtime: Runtime,
    pub(super) cancel: CancelToken,
}

impl Patrol {
    pub(super) fn run(&self) {
        let bus = self.fleet.board().bus();
        let mut seen = bus.newest_id();
        let mut looked: Option<Instant> = None;
        while !self.cancel.is_cancelled() {
            let is_woken = self.listen(&mut seen);
            if is_woken || looked.is_none_or(|looked| looked.elapsed() >= LOOK_EVERY) {
                self.look();
                looked = Some(Instant::now());
            }
            bus.wait(seen, TICK);
        }
    }

    /// Whether something happened that may change what it finds.
    fn listen(&self, seen: &mut u64) -> bool {
        match self.fleet.board().bus().since(*seen) {
            Err(missed) => {
                *seen = missed.newest_id;
                true
            }
            Ok(events) => {
                *seen = events.last().map_or(*seen, |event| event.id);
                events.iter().any(|event| match &event.happening {
                    Happening::JobEnded { job } => job.kind == JobKind::Backup,
                    Happening::RepositoryBack | Happening::SettingsChanged => true,
                    _ => false,
                })
            }
        }
    }

    fn look(&self) {
        for site in self.fleet.sites() {
            if self.cancel.is_cancelled() {
                return;
            }
            if let Err(error) = self.look_at(site) {
                let name = site.name();
                tracing::warn!("repository `{name}` was not looked after: {}", error.in_full());
            }
        }
    }

    fn look_at(&self, site: &Site) -> Result<()> {
        let database = self.fleet.board().database();
        let alerts = Alerts::new(database, &self.runtime);
        let away = Place { repo_id: String::new(), name: site.name().to_owned() };
        let open = match site.open() {
            Ok(open) => open,
            Err(error) => {
                let new = NewAlert {
                    kind: AlertKind::Away,
                    subject: site.name().to_owned(),
                    message: error.in_full(),
                    advice: error.hint().unwrap_or_default(),
                };
                return alerts.raise(&away, &new).map(|_| ());
            }
        };
        alerts.pass("", AlertKind::Away, site.name())?;
        let list = open.manager.repository().snapshots()?;
        let watch = &open.manager.options().watch;
        let (name, location) = (site.name(), site.location());
        status::look(&open.manager, name, location, &list, watch, &self.runtime)
    }
}
