//! `larder repo`: makes a repository and tells about it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use crate::cli::Finish;
use crate::cli::args::{SecretArgs, parse_location};
use crate::cli::context::{Context, peek};
use crate::cli::mirrors::{PlaceJson, print_places, warn_of_debts};
use crate::cli::output::{iso_ms, local_ms, plural};
use crate::cli::secrets::{SecretSource, create_key_file};
use crate::cli::select::warn_of_bad;
use crate::crypto::{RecoveryCode, Suite};
use crate::error::{Error, Result};
use crate::model::{MirrorPolicy, Place, PlaceRole, format_bytes};
use crate::repository::{HeadCode, InitOptions, KdfCost, LAYOUT, Likeness, Repository, Unlock};

const EXAMPLES: &str = "\
Examples:
  larder -r /mnt/disk/backup repo init
  larder -r /mnt/disk/backup repo info
  larder -r /mnt/disk/backup repo stats
  larder repo probe s3://bucket/backups
  larder -r /mnt/disk/backup repo rekey --remove 3f9c";

const INIT_EXAMPLES: &str = "\
Examples:
  larder -r /mnt/disk/backup repo init                       asks for a password
  larder -r /mnt/disk/backup repo init --password-file pw
  larder -r /mnt/disk/backup repo init --new-key-file ~/larder.key
  larder -r /mnt/disk/images repo init --encryption none
  larder -r /mnt/second/backup repo init --like /mnt/disk/backup --like-password-file pw
  larder -r /mnt/disk/backup repo init --data 's3://bucket/x?data_class=DEEP_ARCHIVE'

A recovery code is printed once: write it down, it opens the repository when all else is lost.";

const INFO_EXAMPLES: &str = "\
Examples:
  larder repo info
  larder repo info --json";

const STATS_EXAMPLES: &str = "\
Examples:
  larder repo stats
  larder repo stats --json

`original` is what all snapshots would take as plain files, `unique` what is left of it without
repetitions, `stored` what the repository really takes.";

/// Make a repository, or tell about it
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct RepoArgs {
    #[command(subcommand)]
    command: RepoCommand,
}

#[derive(Debug, Subcommand)]
enum RepoCommand {
    Init(InitArgs),
    Info(InfoArgs),
    Stats(StatsArgs),
    Rekey(super::rekey::RekeyArgs),
    Probe(super::probe::ProbeArgs),
    Retain(super::retain::RetainArgs),
    DataPlace(super::data_place::DataPlaceArgs),
}

/// Make a new repository
#[derive(Args, Debug)]
#[command(after_help = INIT_EXAMPLES)]
struct InitArgs {
    /// `none` stores everything readable for anybody, for ever
    #[arg(long, value_name = "SUITE", default_value = "aes256")]
    encryption: EncryptionArg,

    /// Make a key file that opens the repository, instead of a password
    #[arg(long, value_name = "FILE", conflicts_with_all = ["password_file", "password_command"])]
    new_key_file: Option<PathBuf>,

    /// Make no recovery code
    #[arg(long)]
    no_recovery: bool,

    /// How costly each guess at the password is
    #[arg(long, value_name = "COST", default_value = "standard")]
    kdf: KdfArg,

    /// Put the packs of data there: cold and large, while the repository is near and small
    #[arg(long, value_name = "LOCATION")]
    data: Option<OsString>,

    #[command(flatten)]
    like: LikeArgs,
}

/// Another repository that the new one is like.
#[derive(Args, Debug)]
#[command(next_help_heading = "Like another repository")]
struct LikeArgs {
    /// Cut and name content as this repository does: `copy` between the two moves it as it is
    #[arg(long, value_name = "LOCATION")]
    like: Option<OsString>,

    /// File whose first line is its password [env: LARDER_LIKE_PASSWORD_FILE, or
    /// LARDER_LIKE_PASSWORD]
    #[arg(long, value_name = "FILE", requires = "like")]
    like_password_file: Option<PathBuf>,

    /// Shell command that prints its password [env: LARDER_LIKE_PASSWORD_COMMAND]
    #[arg(long, value_name = "COMMAND", requires = "like", conflicts_with = "like_password_file")]
    like_password_command: Option<String>,

    /// Its key file [env: LARDER_LIKE_KEY_FILE]
    #[arg(long, value_name = "FILE", requires = "like",
          conflicts_with_all = ["like_password_file", "like_password_command"])]
    like_key_file: Option<PathBuf>,
}

impl LikeArgs {
    fn likeness(&self, context: &Context) -> Result<Option<Likeness>> {
        let Some(location) = &self.like else { return Ok(None) };
        let secret = SecretArgs {
            password_file: self.like_password_file.clone(),
            password_command: self.like_password_command.clone(),
            key_file: self.like_key_file.clone(),
        };
        let source = SecretSource::choose_for(&secret, "LARDER_LIKE_");
        let other = context.open_at(&parse_location(location)?, &source)?;
        Ok(Some(other.likeness()))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum EncryptionArg {
    /// AES-256-GCM-SIV
    Aes256,
    /// Nothing is encrypted; damage is still noticed
    None,
}

/// How costly each guess at a password is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum KdfArg {
    /// Argon2id with 64 MiB
    Standard,
    /// Argon2id with 256 MiB
    Strong,
}

impl From<KdfArg> for KdfCost {
    fn from(arg: KdfArg) -> Self {
        match arg {
            KdfArg::Standard => Self::Standard,
            KdfArg::Strong => Self::Strong,
        }
    }
}

/// Tell what the repository is
#[derive(Args, Debug)]
#[command(after_help = INFO_EXAMPLES)]
struct InfoArgs {}

/// Count what is stored, and what deduplication and compression save
#[derive(Args, Debug)]
#[command(after_help = STATS_EXAMPLES)]
struct StatsArgs {}

pub(super) fn run(args: RepoArgs, context: &Context) -> Result<Finish> {
    match args.command {
        RepoCommand::Init(args) => init(args, context),
        RepoCommand::Info(_) => info(context),
        RepoCommand::Stats(_) => super::repo_stats::run(context),
        RepoCommand::Rekey(args) => super::rekey::run(&args, context),
        RepoCommand::Probe(args) => super::probe::run(&args, context),
        RepoCommand::Retain(args) => super::retain::run(&args, context),
        RepoCommand::DataPlace(args) => super::data_place::run(&args, context),
    }
}

/// The object that `repo init` prints.
#[derive(Serialize)]
struct Made<'a> {
    id: String,
    location: &'a str,
    encryption: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery_code: Option<&'a str>,
}

fn init(args: InitArgs, context: &Context) -> Result<Finish> {
    let out = &context.out;
    let location = context.location()?;
    let runtime = context.quiet_runtime();
    // Asking for a password only makes sense where a repository can be made.
    if let Ok(storage) = context.wire.open(&location)
        && peek(&*storage).is_ok()
    {
        return Err(Error::RepositoryExists { location: location.to_string() });
    }
    let like = args.like.likeness(context)?;
    let data = data_place(&args, context)?;
    let mut options = InitOptions { kdf: args.kdf.into(), like, data, ..InitOptions::default() };
    let mut unlocks = Vec::new();
    let mut code_text = None;
    if args.encryption == EncryptionArg::None {
        if args.new_key_file.is_some() {
            return Err(Error::usage("a repository without encryption takes no key file"));
        }
        options.suite = Suite::None;
        unlocks.push(Unlock::Nothing);
    } else {
        unlocks.push(match &args.new_key_file {
            Some(path) => Unlock::KeyFile(create_key_file(path, &runtime.random)?),
            None => first_secret(context, &location.to_string())?,
        });
        if !args.no_recovery {
            let code = RecoveryCode::generate(&runtime.random);
            code_text = Some(code.to_text());
            unlocks.push(Unlock::Recovery(code));
        }
    }
    let made = context.wire.create(&location, LAYOUT).and_then(|storage| {
        Repository::init(storage, &unlocks, &options, &context.open_options(), &runtime)
    });
    let repository = made.inspect_err(|_| {
        // A key file that opens nothing would only be in the way of the next try.
        if let Some(path) = &args.new_key_file {
            let _ = std::fs::remove_file(path);
        }
    })?;

    let recovery_code = code_text.as_ref().map(|text| text.as_str());
    if out.json {
        out.object(&Made {
            id: repository.id().to_string(),
            location: repository.location(),
            encryption: encryption(repository.suite()),
            key_file: args.new_key_file.map(|path| path.display().to_string()),
            recovery_code,
        })?;
        return Ok(Finish::Done);
    }
    out.note(format!(
        "made repository {} in `{}`",
        repository.id().short(),
        repository.location()
    ))?;
    match &args.new_key_file {
        Some(path) => {
            out.note(format!(
                "it opens with `--key-file {}`: keep a copy elsewhere",
                path.display()
            ))?;
        }
        None if options.suite == Suite::None => {
            out.warn("it is not encrypted: whoever reads the storage reads the backups");
        }
        None => {}
    }
    if let Some(code) = recovery_code {
        out.note("")?;
        out.line(format!("recovery code: {code}"))?;
        out.note("")?;
        out.note(
            "Write it down, and keep it away from this computer. It opens the repository when",
        )?;
        out.note("everything else is lost; type it where a password is asked for.")?;
    }
    Ok(Finish::Done)
}

/// Makes the place of the data, if it is another one.
fn data_place(args: &InitArgs, context: &Context) -> Result<Option<Place>> {
    let Some(given) = &args.data else { return Ok(None) };
    let location = parse_location(given)?;
    let made = context.wire.create(&location, LAYOUT)?;
    let place =
        Place { role: PlaceRole::Data, name: "data".into(), location: location.to_string() };
    drop(made);
    Ok(Some(place))
}

/// The password or key file that a new repository opens with.
fn first_secret(context: &Context, location: &str) -> Result<Unlock> {
    let source = SecretSource::choose(&context.global.secret);
    match &source {
        // A key file that exists may open this repository too.
        SecretSource::KeyFile(_) => source.unlock(location, &context.out),
        _ => source.new_password(location, &context.out).map(Unlock::Password),
    }
}

/// The object that `repo info` prints.
#[derive(Serialize)]
struct Info<'a> {
    id: String,
    location: &'a str,
    encryption: &'static str,
    format: u16,
    created: Option<String>,
    generation: u32,
    pack_bytes: u64,
    keys: usize,
    /// Times between two changes of the keys.
    epochs: usize,
    /// Bytes of data sealed with keys that are not current.
    old_key_bytes: u64,
    head_code: Option<HeadCode>,
    /// Where its data is, if elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    data_location: Option<String>,
    /// Further locations.
    places: Vec<PlaceJson>,
    mirror_policy: MirrorPolicy,
}

fn info(context: &Context) -> Result<Finish> {
    let out = &context.out;
    let repository = context.open()?;
    let config = repository.config();
    let keys = repository.slots()?.len();
    let epochs = repository.epochs().len();
    // Only then the index tells anything.
    let old = if epochs > 1 { super::rekey::old_bytes(&repository, context)?.0 } else { 0 };
    let list = repository.snapshots()?;
    warn_of_bad(&list, out);
    warn_of_debts(&repository, out)?;
    let head_code = list.head_code();
    let places = repository.places();
    if out.json {
        out.object(&Info {
            id: repository.id().to_string(),
            location: repository.location(),
            encryption: encryption(repository.suite()),
            format: crate::format::FORMAT_VERSION,
            created: iso_ms(config.created_ms),
            generation: config.generation,
            pack_bytes: config.pack_target,
            keys,
            epochs,
            old_key_bytes: old,
            head_code,
            data_location: repository.split().map(|split| split.cold().location().to_owned()),
            places: places.all.iter().map(PlaceJson::new).collect(),
            mirror_policy: places.policy,
        })?;
        return Ok(Finish::Done);
    }
    let draft = format!("{}, draft {}", crate::format::FORMAT_VERSION, crate::format::DRAFT);
    for (name, value) in [
        ("repository", repository.id().to_string()),
        ("location", repository.location().to_owned()),
        ("encryption", encryption(repository.suite()).to_owned()),
        ("format", draft),
        ("made", local_ms(config.created_ms)),
        ("pack size", format_bytes(config.pack_target)),
        ("keys", keys.to_string()),
        ("head code", head_code.map_or("none yet".to_owned(), |code| code.to_string())),
    ] {
        out.line(format!("{name:<11} {value}"))?;
    }
    if let Some(split) = repository.split() {
        out.line(format!("{:<11} {}", "data", split.cold().location()))?;
    }
    print_places(&places, out)?;
    if epochs > 1 {
        out.line(format!("{:<11} {}", "rekeyed", plural(epochs as u64 - 1, "time")))?;
        let note = if old > 0 { ": `larder repo rekey --re-encrypt`" } else { "" };
        out.line(format!("{:<11} {} of data{note}", "old keys", format_bytes(old)))?;
    }
    nag(&repository, context)?;
    Ok(Finish::Done)
}

/// One line as long as the recovery code was never tried: what is on paper may be mistyped or lost.
pub(super) fn nag(repository: &Repository, context: &Context) -> Result<()> {
    let out = &context.out;
    if !out.json && !out.quiet && repository.has_untested_recovery()? {
        out.note("The recovery code was never tried here: `larder key recovery --test`")?;
    }
    Ok(())
}

fn encryption(suite: Suite) -> &'static str {
    match suite {
        Suite::None => "none",
        Suite::Aes256 => "aes256",
    }
}
