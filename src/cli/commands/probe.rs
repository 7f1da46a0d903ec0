//! `larder repo probe`: what a place for a repository really does.

use std::ffi::OsString;

use clap::Args;
use serde::Serialize;

use crate::cli::Finish;
use crate::cli::args::parse_location;
use crate::cli::context::Context;
use crate::cli::output::plural;
use crate::error::Result;
use crate::runtime::{Random, SystemClock};
use crate::storage::probe::{self, Probe, Verdict};

const EXAMPLES: &str = "\
Examples:
  larder repo probe s3://bucket/backups
  larder -P offsite repo probe
  larder repo probe sftp://me@host/srv/backup --json

It needs no password and no repository. What it writes is below `probe/` and removed again.
Exit code 0: fit for a repository, whatever it warns of; 1: not fit.";

/// Try what a place really does: create-once, listings, ranges, deletes, clock, object lock
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ProbeArgs {
    /// The place; without it, that of the repository
    #[arg(value_name = "LOCATION")]
    location: Option<OsString>,
}

#[derive(Serialize)]
struct Shown<'a> {
    message_type: &'static str,
    location: &'a str,
    verdict: Verdict,
    #[serde(flatten)]
    probe: &'a Probe,
}

pub(super) fn run(args: &ProbeArgs, context: &Context) -> Result<Finish> {
    let location = match &args.location {
        Some(location) => parse_location(location)?,
        None => context.location()?,
    };
    let storage = context.wire.open(&location)?;
    let found = probe::probe(&*storage, &SystemClock, &Random::os(), &context.cancel)?;
    context.cancel.check()?;
    show(&found, &location.to_string(), context)?;
    Ok(if found.verdict() == Verdict::Fails { Finish::Damaged } else { Finish::Done })
}

fn show(found: &Probe, location: &str, context: &Context) -> Result<()> {
    let out = &context.out;
    let verdict = found.verdict();
    if out.json {
        return out.object(&Shown { message_type: "probe", location, verdict, probe: found });
    }
    for finding in &found.findings {
        let mark = match finding.verdict {
            Verdict::Good => "ok",
            Verdict::Note => "note",
            Verdict::Warning => "WARNING",
            Verdict::Fails => "FAILS",
        };
        out.line(format!("{mark:<8} {:<17} {}", finding.check, finding.text))?;
    }
    out.line(format!("a small request takes {:.1} ms", found.request_ms))?;
    if !found.left.is_empty() {
        let left = plural(found.left.len() as u64, "small object");
        out.line(format!(
            "{left} of this probe could not be removed: `probe/`, of no use to anybody"
        ))?;
    }
    out.line(match verdict {
        Verdict::Fails => format!("`{location}` is NOT fit for a repository"),
        Verdict::Warning => {
            format!("`{location}` is fit for a repository, with the warnings above")
        }
        Verdict::Good | Verdict::Note => format!("`{location}` is fit for a repository"),
    })
}
