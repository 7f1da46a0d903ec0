//! What a command says of the mirrors of its repository.

use clap::Args;
use serde::Serialize;

use super::Finish;
use super::args::from_environment;
use super::commands::words;
use super::context::Context;
use super::output::{Output, local_ms, plural};
use crate::error::Result;
use crate::model::{MirrorPolicy, Place, Places, quoted};
use crate::repository::Repository;
use crate::storage::{AFTER_RUN, Storage};

/// What commits ask of mirrors.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct MirrorArgs {
    /// What a commit asks of mirrors: `all` of them, a `quorum`, or nothing (`async`); without it,
    /// what the repository says [env: LARDER_MIRROR_POLICY]
    #[arg(long, global = true, value_name = "POLICY",
          value_parser = words::<MirrorPolicy>(&["all", "quorum", "async"]))]
    pub(crate) mirror_policy: Option<MirrorPolicy>,
}

impl MirrorArgs {
    /// The policy as given by the option or the environment.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::error::Error::Usage) for what is none.
    pub(crate) fn policy(&self) -> Result<Option<MirrorPolicy>> {
        match self.mirror_policy {
            Some(given) => Ok(Some(given)),
            None => from_environment("LARDER_MIRROR_POLICY", str::parse),
        }
    }
}

/// At the end of a command: which mirrors missed its run, and what was read from mirrors. A run
/// that a mirror missed is not wholly done, unless nothing else was asked for.
pub(super) fn tell(context: &Context, mut finish: Finish) -> Finish {
    let out = &context.out;
    for mirrors in context.mirrors() {
        for missed in mirrors.missed_runs() {
            if missed.left.as_deref() == Some(AFTER_RUN) {
                out.aside(&waits(&missed.name));
                continue;
            }
            let why = missed.left.as_deref().unwrap_or("it does not delete");
            let cure = match missed.is_newer {
                true => bring_back(&missed.location, mirrors.location()),
                false => "`larder mirror sync` brings it up to date".into(),
            };
            let name = &missed.name;
            out.warn(&format!(
                "the mirror `{name}` does not have what this run wrote: {why}; {cure}"
            ));
            if missed.missed_deletes.iter().any(|name| name.starts_with("keys/")) {
                out.warn(&format!(
                    "what is no key of the repository any more still opens the copy at {}",
                    missed.location
                ));
            }
            if mirrors.policy() != MirrorPolicy::Async && finish == Finish::Done {
                finish = Finish::Incomplete;
            }
        }
        let report = mirrors.report();
        for read in &report.elsewhere {
            if out.verbose {
                let (object, mirror, why) = (&read.object, &read.mirror, &read.why);
                out.warn(&format!("`{object}` was read from the mirror `{mirror}`: {why}"));
            }
        }
        if report.elsewhere_count > 0 {
            out.warn(&format!(
                "{} could only be read from a mirror: `larder heal` puts the repository right",
                plural(report.elsewhere_count, "object"),
            ));
        }
    }
    finish
}

/// How the repository gets what only a mirror has.
pub(super) fn bring_back(mirror: &str, repository: &str) -> String {
    let (from, to) = (quoted(mirror), quoted(repository));
    format!("`larder mirror sync --from {from} --to {to}` brings them here")
}

fn waits(mirror: &str) -> String {
    format!("the mirror `{mirror}` waits for `larder mirror sync` (policy async)")
}

/// Which mirrors are behind, as somebody who backed up has written it down.
pub(super) fn warn_of_debts(repository: &Repository, out: &Output) -> Result<()> {
    let places = repository.places();
    if places.mirrors().next().is_none() {
        return Ok(());
    }
    let debts = repository.debts()?;
    for mirror in places.mirrors() {
        let own: Vec<_> = debts.iter().filter(|debt| debt.mirror == mirror.name).collect();
        match own.iter().find(|debt| debt.why != AFTER_RUN) {
            Some(first) => out.warn(&format!(
                "the mirror `{}` is behind since {}: {}; `larder mirror sync` brings it up to date",
                mirror.name,
                local_ms(first.time_ms),
                first.why,
            )),
            None if own.is_empty() => {}
            None => out.aside(&waits(&mirror.name)),
        }
    }
    Ok(())
}

/// A further location in JSON.
#[derive(Serialize)]
pub(crate) struct PlaceJson {
    role: &'static str,
    name: String,
    location: String,
}

impl PlaceJson {
    pub(crate) fn new(place: &Place) -> Self {
        let (name, location) = (place.name.clone(), place.location.clone());
        Self { role: place.role.as_str(), name, location }
    }
}

/// Mirrors, for people.
pub(super) fn print_places(places: &Places, out: &Output) -> Result<()> {
    if places.mirrors().next().is_some() {
        out.line(format!("{:<11} {}", "policy", places.policy))?;
    }
    for place in places.mirrors() {
        out.line(format!("{:<11} {} at {}", "mirror", place.name, place.location))?;
    }
    Ok(())
}
