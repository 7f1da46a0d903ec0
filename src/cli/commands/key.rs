//! `larder key`: what opens the repository.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::repo::KdfArg;
use crate::cli::Finish;
use crate::cli::context::Context;
use crate::cli::output::{Align, Table, iso_ms, local_ms};
use crate::cli::secrets::{SecretSource, create_key_file};
use crate::crypto::RecoveryCode;
use crate::error::Result;
use crate::model::escape_bytes;
use crate::repository::{Standing, Unlock};

const EXAMPLES: &str = "\
Examples:
  larder key list
  larder key add --label laptop              asks for another password
  larder key add --new-key-file ~/larder.key
  larder key passwd                          changes the password in use
  larder key recovery                        makes a new recovery code, the old one is void
  larder key recovery --test                 tries the code on paper";

const LIST_EXAMPLES: &str = "\
Examples:
  larder key list
  larder key list --json";

const ADD_EXAMPLES: &str = "\
Examples:
  larder key add --label laptop
  larder key add --new-password-file pw2 --label server
  larder key add --new-key-file ~/larder.key";

const REMOVE_EXAMPLES: &str = "\
Examples:
  larder key remove 3f9c";

const PASSWD_EXAMPLES: &str = "\
Examples:
  larder key passwd
  larder key passwd --password-file old --new-password-file new";

const RECOVERY_EXAMPLES: &str = "\
Examples:
  larder key recovery
  larder key recovery --test                 asks for the code, and says whether it works";

/// List, add, change and remove what opens the repository
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    List(ListArgs),
    Add(AddArgs),
    Remove(RemoveArgs),
    Passwd(PasswdArgs),
    Recovery(RecoveryArgs),
}

/// List the passwords, key files and codes that open the repository
#[derive(Args, Debug)]
#[command(after_help = LIST_EXAMPLES)]
struct ListArgs {}

/// Add a password or a key file
#[derive(Args, Debug)]
#[command(after_help = ADD_EXAMPLES)]
struct AddArgs {
    /// Text that tells this key from others
    #[arg(long, value_name = "TEXT", default_value = "")]
    label: String,

    #[command(flatten)]
    new: NewSecretArgs,

    /// Make a key file instead of asking for a password
    #[arg(long, value_name = "FILE",
          conflicts_with_all = ["new_password_file", "new_password_command"])]
    new_key_file: Option<PathBuf>,
}

/// Remove a key; the last one stays
#[derive(Args, Debug)]
#[command(after_help = REMOVE_EXAMPLES)]
struct RemoveArgs {
    /// Id of the key, or its first digits, as `larder key list` shows it
    #[arg(value_name = "KEY")]
    key: String,
}

/// Change the password that opened the repository
#[derive(Args, Debug)]
#[command(after_help = PASSWD_EXAMPLES)]
struct PasswdArgs {
    #[command(flatten)]
    new: NewSecretArgs,
}

/// Make a new recovery code and print it, or test the one on paper
#[derive(Args, Debug)]
#[command(after_help = RECOVERY_EXAMPLES)]
struct RecoveryArgs {
    /// Only try whether the code on paper opens the repository; nothing is printed or changed
    #[arg(long)]
    test: bool,

    /// File whose first line is the code to try; asked for on the terminal if not said
    #[arg(long, value_name = "FILE", requires = "test")]
    code_file: Option<PathBuf>,
}

/// Where a new password comes from; asked for twice on the terminal if not said.
#[derive(Args, Debug)]
struct NewSecretArgs {
    /// File whose first line is the new password
    #[arg(long, value_name = "FILE")]
    new_password_file: Option<PathBuf>,

    /// Shell command that prints the new password
    #[arg(long, value_name = "COMMAND", conflicts_with = "new_password_file")]
    new_password_command: Option<String>,

    /// How costly each guess at the password is
    #[arg(long, value_name = "COST", default_value = "standard")]
    kdf: KdfArg,
}

impl NewSecretArgs {
    fn source(&self) -> SecretSource {
        match (&self.new_password_file, &self.new_password_command) {
            (Some(path), _) => SecretSource::PasswordFile(path.clone()),
            (_, Some(command)) => SecretSource::PasswordCommand(command.clone()),
            _ => SecretSource::Prompt,
        }
    }
}

pub(super) fn run(args: KeyArgs, context: &Context) -> Result<Finish> {
    match args.command {
        KeyCommand::List(_) => list(context),
        KeyCommand::Add(args) => add(&args, context),
        KeyCommand::Remove(args) => remove(&args, context),
        KeyCommand::Passwd(args) => passwd(&args, context),
        KeyCommand::Recovery(args) if args.test => test_recovery(&args, context),
        KeyCommand::Recovery(_) => recovery(context),
    }
    .map(|()| Finish::Done)
}

fn list(context: &Context) -> Result<()> {
    let out = &context.out;
    let mut table = Table::new(&[
        ("Key", Align::Left),
        ("Opened by", Align::Left),
        ("Made", Align::Left),
        ("Rekeyed", Align::Right),
        ("Label", Align::Left),
    ]);
    let (mut doubtful, mut repeated) = (0, 0);
    let (slots, bad) = context.open()?.slots_and_bad()?;
    for error in bad {
        out.warn(&format!("a key object cannot be read: {error}"));
    }
    for slot in slots {
        if out.json {
            out.object(&json!({
                "id": slot.id,
                "kind": slot.kind.as_str(),
                "created": iso_ms(slot.created_ms),
                "label": slot.label,
                "in_use": slot.in_use,
                "rewraps": slot.rewraps,
                "standing": slot.standing.as_str(),
                "objects": slot.objects,
            }))?;
            continue;
        }
        let mut label = escape_bytes(slot.label.as_bytes()).into_owned();
        if slot.in_use {
            label.push_str(if label.is_empty() { "(in use)" } else { " (in use)" });
        }
        if slot.standing != Standing::Current {
            doubtful += 1;
            let note = format!("({})", standing(slot.standing));
            label.push_str(if label.is_empty() { "" } else { " " });
            label.push_str(&note);
        }
        if slot.objects > 1 {
            repeated += 1;
            label.push_str(if label.is_empty() { "" } else { " " });
            label.push_str(&format!("(stored {} times)", slot.objects));
        }
        let kind = slot.kind.as_str().to_owned();
        table.row(vec![
            slot.id.short(),
            kind,
            local_ms(slot.created_ms),
            if slot.rewraps == 0 { String::new() } else { format!("{}x", slot.rewraps) },
            label,
        ]);
    }
    table.print(out)?;
    if doubtful > 0 && !out.json {
        out.note("Keys in doubt get nothing new; `larder repo rekey` leaves them out.")?;
    }
    if repeated > 0 && !out.json {
        out.note("A key is stored more than once after a change of it that was interrupted, or where storage")?;
        out.note(
            "deletes nothing: an earlier password may open it, too. Change it again to end that.",
        )?;
    }
    Ok(())
}

fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Current => "good",
        Standing::Older => "opens older data only",
        Standing::Ahead => "has newer keys than the one in use",
        Standing::Unknown => "made by nobody with the current keys",
    }
}

fn add(args: &AddArgs, context: &Context) -> Result<()> {
    let repository = context.open()?;
    let runtime = context.quiet_runtime();
    let unlock = match &args.new_key_file {
        Some(path) => Unlock::KeyFile(create_key_file(path, &runtime.random)?),
        None => {
            let source = args.new.source();
            Unlock::Password(source.new_password(repository.location(), &context.out)?)
        }
    };
    let added = repository.add_slot(&unlock, &args.label, args.new.kdf.into(), &runtime);
    let id = added.inspect_err(|_| {
        // A key file that opens nothing would only be in the way of the next try.
        if let Some(path) = &args.new_key_file {
            let _ = std::fs::remove_file(path);
        }
    })?;
    say(context, &id, "added")
}

fn remove(args: &RemoveArgs, context: &Context) -> Result<()> {
    let id = context.open()?.remove_slot(&args.key)?;
    say(context, &id, "removed")?;
    context.out.note(
        "Whoever copied it can still use it on copies of the repository: `larder repo rekey` shuts",
    )?;
    context.out.note("them out of all that is backed up from now on.")
}

fn passwd(args: &PasswdArgs, context: &Context) -> Result<()> {
    let repository = context.open()?;
    let cost = args.new.kdf.into();
    let password = args.new.source().new_password(repository.location(), &context.out)?;
    repository.change_password(&password, cost, &context.quiet_runtime())?;
    say(context, &repository.slot_id(), "changed")?;
    context.out.note(
        "The old password opens nothing any more, but whoever copied the old key and knows the",
    )?;
    context.out.note("old password still holds the keys of what was backed up so far.")
}

fn recovery(context: &Context) -> Result<()> {
    let out = &context.out;
    let repository = context.open()?;
    repository
        .renew_recovery_code(&mut |code| show_code(code, context), &context.quiet_runtime())?;
    if out.json {
        return Ok(());
    }
    out.note("Write it down, and keep it away from this computer. Codes printed before are void.")?;
    // The code is good whether the log can be read or not.
    if let Some(head) = repository.snapshots().ok().and_then(|list| list.head_code()) {
        out.note(format!("Write this beside it, for `larder check --expect-head`: {head}"))?;
    }
    Ok(())
}

/// Opens the repository with a code that somebody reads from paper, and says no more than whether
/// that works.
fn test_recovery(args: &RecoveryArgs, context: &Context) -> Result<()> {
    let location = context.location()?.to_string();
    let source = match &args.code_file {
        Some(path) => SecretSource::PasswordFile(path.clone()),
        None => SecretSource::Prompt,
    };
    let id = context.open()?.test_recovery(&source.recovery_code(&location, &context.out)?)?;
    say(context, &id, "tested")?;
    context.out.note("The recovery code opens the repository. Put it back where it is safe.")
}

/// Shows a new recovery code, once.
pub(super) fn show_code(code: &RecoveryCode, context: &Context) -> Result<()> {
    let text = code.to_text();
    if context.out.json {
        return context.out.object(&json!({ "recovery_code": text.as_str() }));
    }
    context.out.line(format!("recovery code: {}", text.as_str()))
}

fn say(context: &Context, id: &crate::model::SlotId, what: &str) -> Result<()> {
    if context.out.json {
        context.out.object(&json!({ "id": id, "action": what }))
    } else {
        context.out.note(format!("{what} key {}", id.short()))
    }
}
