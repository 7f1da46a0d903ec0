//! `larder runbook`: what to do when it is bad.

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::json;

use crate::cli::Finish;
use crate::cli::context::Context;
use crate::cli::help::{TOPICS, Topic, roff};
use crate::error::Result;

const EXAMPLES: &str = "\
Examples:
  larder runbook                             the topics
  larder runbook lost-machine                what to do, step by step
  larder runbook ransomware --markdown > ransomware.md
  larder runbook lost-password --man | man -l -

The commands of each are run by a test of this program as they are printed. Print them before you need
them: the day they are needed, this computer may be the one that is lost.";

/// Say what to do in a disaster, step by step
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RunbookArgs {
    /// What has happened; without it, the topics are listed
    #[arg(value_name = "TOPIC", value_parser = topics())]
    topic: Option<String>,

    /// Print it as Markdown
    #[arg(long, requires = "topic")]
    markdown: bool,

    /// Print it as a manual page; `larder man --output` writes those of all topics
    #[arg(long, requires = "topic", conflicts_with = "markdown")]
    man: bool,
}

fn topics() -> PossibleValuesParser {
    PossibleValuesParser::new(TOPICS.iter().map(|topic| topic.name))
}

pub(super) fn run(args: &RunbookArgs, context: &Context) -> Result<Finish> {
    let out = &context.out;
    match args.topic.as_deref().and_then(Topic::find) {
        Some(topic) if out.json => {
            out.object(&json!({ "topic": topic.name, "markdown": topic.markdown() }))?;
        }
        Some(topic) if args.man => out.bytes(roff(topic).as_bytes())?,
        Some(topic) if args.markdown => out.bytes(topic.markdown().as_bytes())?,
        Some(topic) => out.bytes(topic.text().as_bytes())?,
        None => list(context)?,
    }
    Ok(Finish::Done)
}

fn list(context: &Context) -> Result<()> {
    let out = &context.out;
    for topic in TOPICS {
        if out.json {
            out.object(&json!({ "topic": topic.name, "about": topic.about }))?;
        } else {
            out.line(format!("{:<20}{}", topic.name, topic.about))?;
        }
    }
    if out.json {
        Ok(())
    } else {
        out.note("\n`larder runbook TOPIC` says what to do, step by step.")
    }
}
