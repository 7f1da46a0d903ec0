//! What a command shows as files: `larder mount` and others.

use std::ffi::OsStr;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::shared::{FilterArgs, size};
use crate::cli::context::Context;
use crate::error::Result;
use crate::repository::Repository;
use crate::view::{Shown, View, ViewOptions};

/// How snapshots are shown as files.
#[derive(Args, Debug)]
pub(crate) struct ShownArgs {
    /// Whose the files are
    #[arg(long, value_name = "WHOSE", default_value = "by-name")]
    owner: OwnerArg,

    /// Memory for what was read and what is read ahead
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = size)]
    cache_size: u64,

    #[command(flatten)]
    filter: FilterArgs,
}

/// Whose files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OwnerArg {
    /// The users and groups of the same names as at the source, else of the same numbers
    ByName,
    /// Yours
    Me,
}

impl ShownArgs {
    /// A view of the snapshot or folder that `name` means, else of all snapshots that fit.
    /// `change` has the last word.
    ///
    /// # Errors
    /// As [`FilterArgs::choose`] and [`View::new`].
    pub(super) fn view(
        &self,
        name: Option<&OsStr>,
        repository: Repository,
        context: &Context,
        change: impl FnOnce(&mut ViewOptions),
    ) -> Result<Arc<View>> {
        let show = match name {
            None => Shown::Everything(self.filter.filter()?),
            Some(_) => {
                let chosen = self.filter.choose(name, &repository, &context.out)?;
                let path = chosen.path.unwrap_or_default();
                Shown::One { snapshot: Box::new(chosen.snapshot), path }
            }
        };
        let memory = usize::try_from(self.cache_size).unwrap_or(usize::MAX);
        repository.keep_read(self.cache_size / 3);
        let mut options = ViewOptions {
            owner: (self.owner == OwnerArg::Me).then(crate::fsmeta::own_ids),
            show,
            cache_bytes: memory / 6,
            read_ahead_bytes: memory / 2,
            ..ViewOptions::default()
        };
        change(&mut options);
        View::new(Arc::new(repository), options).map(Arc::new)
    }
}
