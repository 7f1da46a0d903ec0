//! Arguments that several commands share.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::cli::select::{Filter, source_path};
use crate::cli::time::parse_at;
use crate::error::Result;
use crate::model::{BackupStrategy, parse_bytes};

/// Which snapshots.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Which snapshots")]
pub(crate) struct FilterArgs {
    /// Only snapshots of this host (may be repeated)
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Vec<String>,

    /// Only snapshots with this tag; `a,b` means both (may be repeated: any of them)
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Vec<String>,

    /// Only snapshots of this source, an absolute path (may be repeated: all of them)
    #[arg(long, value_name = "PATH")]
    pub(crate) path: Vec<std::path::PathBuf>,

    /// Only snapshots from before this time: `2026-11-01`, `2026-11-01T12:00`, `3 days ago`
    #[arg(long, value_name = "TIME", value_parser = parse_at, allow_hyphen_values = true)]
    pub(crate) at: Option<i64>,
}

impl FilterArgs {
    /// The same for the list of snapshots.
    ///
    /// # Errors
    /// [`Error::Local`](crate::Error::Local) if a path is relative to a folder that is gone.
    pub(crate) fn filter(&self) -> Result<Filter> {
        let tags = self.tag.iter().map(|group| group.split(',').map(str::to_owned).collect());
        Ok(Filter {
            hosts: self.host.clone(),
            tags: tags.collect(),
            paths: self.path.iter().map(source_path).collect::<Result<_>>()?,
            until_ms: self.at,
        })
    }
}

/// Takes the words of any type that reads itself from text, and shows them in the help.
pub(crate) fn words<T>(values: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: std::str::FromStr<Err: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Clone
        + Send
        + Sync
        + 'static,
{
    PossibleValuesParser::new(values).try_map(|word| word.parse::<T>())
}

/// Takes a strategy.
pub(crate) fn strategy() -> impl TypedValueParser<Value = BackupStrategy> {
    words(&["incremental", "full", "differential"])
}

/// Takes a size such as `64K` or `1.5GiB`.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    parse_bytes(text)
}
