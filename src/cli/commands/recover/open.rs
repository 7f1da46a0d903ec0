//! From a kit, or what is typed, to an open repository.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use zeroize::Zeroizing;

use super::args::RecoverArgs;
use super::ask;
use crate::cli::context::{Context, peek};
use crate::cli::secrets::{SecretSource, warn_if_shared};
use crate::error::{Error, Result};
use crate::manager::disaster::KitPaper;
use crate::model::RepoId;
use crate::repository::{Repository, Unlock};
use crate::storage::{Location, SharedStorage};

/// No kit is longer.
const KIT_LEN_MAX: u64 = 4 << 20;

/// Reads the kit that was given; an empty one without.
pub(super) fn read_kit(args: &RecoverArgs, context: &Context) -> Result<KitPaper> {
    let Some(path) = &args.kit else { return Ok(KitPaper::default()) };
    let failed = |error| Error::local("read", path, error);
    let mut text = Zeroizing::new(String::with_capacity(64 << 10));
    if path == Path::new("-") {
        std::io::stdin().lock().take(KIT_LEN_MAX).read_to_string(&mut text).map_err(failed)?;
    } else {
        let file = File::open(path).map_err(failed)?;
        warn_if_shared(&file, path, &context.out);
        file.take(KIT_LEN_MAX).read_to_string(&mut text).map_err(failed)?;
    }
    KitPaper::parse(&text).map_err(|error| match error {
        Error::Usage { message, hint } => {
            Error::Usage { message: format!("`{}`: {message}", path.display()), hint }
        }
        error => error,
    })
}

/// Finds and opens the repository.
pub(super) fn open(
    args: &RecoverArgs,
    kit: &mut KitPaper,
    context: &Context,
) -> Result<Repository> {
    let (location, storage) = find(args, kit, context)?;
    let repo = peek(&*storage)?;
    check_id(kit.repository, repo.repo_id, &location)?;
    let shown = location.to_string();
    let secret = &context.global.secret;
    let is_key_given = secret.key_file.is_some()
        || secret.password_file.is_some()
        || secret.password_command.is_some();
    if repo.suite == 0 {
        return open_with(storage, &Unlock::Nothing, context);
    }
    if let Some(file) = &args.recovery_code_file {
        let source = SecretSource::PasswordFile(file.clone());
        let code = source.recovery_code(&shown, &context.out)?;
        return open_with(storage, &Unlock::Recovery(code), context);
    }
    if let Some(code) = kit.code.take().filter(|_| !is_key_given) {
        match open_with(storage, &Unlock::Recovery(code), context) {
            Err(error @ Error::WrongKey { .. }) if ask::can_ask(&context.out) => {
                context.out.warn(&format!("{error}: a newer kit may have made this one void"));
            }
            Err(error @ Error::WrongKey { .. }) => {
                return Err(Error::usage_hint(
                    format!("{error}: a newer kit or code has made this kit void"),
                    "use the newest kit, or a password or key file (`--password-file`, `--key-file`)",
                ));
            }
            result => return result,
        }
    }
    let source = SecretSource::choose(secret);
    if source == SecretSource::Prompt && !context.out.json {
        context.out.note("The recovery code may be typed in place of a password.")?;
        context.out.flush()?;
    }
    context.open_at(&location, &source)
}

fn open_with(storage: SharedStorage, unlock: &Unlock, context: &Context) -> Result<Repository> {
    Repository::open(storage, unlock, &context.open_options(), &context.quiet_runtime())
}

/// The place that was given, or the first of the kit with a repository.
fn find(
    args: &RecoverArgs,
    kit: &KitPaper,
    context: &Context,
) -> Result<(Location, SharedStorage)> {
    let look = |location: Location| {
        let storage = context.wire.open(&location)?;
        peek(&*storage).map(|_| (location, storage))
    };
    if let Some(given) = context.global.repository.given()? {
        let shown = given.to_string();
        return look(given).map_err(|error| {
            let error = Repository::name_mirrors(error, &context.open_options(), &shown);
            name_kit_places(error, kit, &shown)
        });
    }
    let mut failed = None;
    for place in &kit.locations {
        match Location::parse(place).and_then(look) {
            Ok(found) => return Ok(found),
            Err(error) => {
                context.out.warn(&format!("not at `{place}`: {error}"));
                failed.get_or_insert(error);
            }
        }
    }
    if kit.locations.is_empty()
        && let Ok(location) = context.location()
    {
        let shown = location.to_string();
        match look(location) {
            Ok(found) => return Ok(found),
            Err(error) => {
                // Nothing there is no news, unless it was there once and has mirrors.
                let error = Repository::name_mirrors(error, &context.open_options(), &shown);
                if matches!(error, Error::MirrorsLeft { .. }) {
                    return Err(error);
                }
            }
        }
    }
    if ask::can_ask(&context.out)
        && let Some(place) = ask::line("Where is the repository (folder or URL)? ", &context.out)?
    {
        return look(Location::parse(&place)?);
    }
    Err(match failed {
        Some(error) => Error::usage_hint(
            format!("the repository is not where the kit says: {error}"),
            "bring its storage within reach, or give its place of now with `-r`",
        ),
        None if args.kit.is_some() => Error::usage_hint(
            "the kit does not say where the repository is",
            "give its location with `-r`, or add the line `Location` of the kit",
        ),
        None => Error::usage_hint(
            "nothing says where the repository is",
            "give its location with `-r`, or the kit with `--kit FILE`",
        ),
    })
}

/// If the repository is not where somebody says, the kit may know where else it is.
fn name_kit_places(error: Error, kit: &KitPaper, given: &str) -> Error {
    let is_lost = matches!(&error, Error::RepositoryMissing { .. } | Error::Storage(_));
    let others = kit.locations.iter().filter(|place| *place != given);
    let mirrors: Vec<String> = others.cloned().collect();
    match is_lost && !mirrors.is_empty() {
        true => Error::MirrorsLeft { source: Box::new(error), mirrors },
        false => error,
    }
}

fn check_id(expected: Option<RepoId>, found: RepoId, location: &Location) -> Result<()> {
    match expected {
        Some(expected) if expected != found => Err(Error::usage_hint(
            format!(
                "the kit is for repository {}, and at `{location}` is {}",
                expected.short(),
                found.short()
            ),
            "look for another folder beside it, or for the kit of this one",
        )),
        _ => Ok(()),
    }
}
