//! `larder user` and `larder token`: who may use the daemon over HTTP.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;

use super::words;
use crate::cli::Finish;
use crate::cli::context::Context;
use crate::cli::output::{Align, Table, local_ms};
use crate::cli::secrets::new_text;
use crate::error::Result;
use crate::fsmeta::user_name;
use crate::runtime::Runtime;
use crate::server::audit::Audit;
use crate::server::auth::{Access, Role};

const USER_EXAMPLES: &str = "\
Examples:
  larder user add ann --role admin
  larder user list

A daemon that runs sees every change at once. Changes are written to the audit log, too.";

const TOKEN_EXAMPLES: &str = "\
Examples:
  larder token add grafana --role viewer
  larder token remove grafana

Programs send a token as `Authorization: Bearer TOKEN`.";

const ADD_USER_EXAMPLES: &str = "\
Examples:
  larder user add ann --role admin
  larder user add bob --role viewer --new-password-file /run/keys/bob

A viewer sees how things stand and what is in backups, an operator makes backups and restores, an
admin may everything. The password is asked for, or is the first line of a file.";

const LIST_USERS_EXAMPLES: &str = "\
Examples:
  larder user list";

const REMOVE_USER_EXAMPLES: &str = "\
Examples:
  larder user remove bob

Their sessions end. The last admin can only be removed as the last user.";

const PASSWD_EXAMPLES: &str = "\
Examples:
  larder user passwd ann

All sessions of the user end.";

const ADD_TOKEN_EXAMPLES: &str = "\
Examples:
  larder token add grafana --role viewer
  larder token add deploy --role operator --expires 2027-01-01T00:00:00Z

The token is printed once. What is kept is a hash of it.";

const LIST_TOKENS_EXAMPLES: &str = "\
Examples:
  larder token list";

const REMOVE_TOKEN_EXAMPLES: &str = "\
Examples:
  larder token remove grafana      by its name, if there is one of that name
  larder token remove 1f0c9a77     by its id";

/// Add, list and remove users of the daemon
#[derive(Args, Debug)]
#[command(after_help = USER_EXAMPLES)]
pub(crate) struct UserArgs {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    Add(AddUserArgs),
    List(ListUsersArgs),
    Remove(RemoveUserArgs),
    Passwd(PasswdArgs),
}

/// Add a user
#[derive(Args, Debug)]
#[command(after_help = ADD_USER_EXAMPLES)]
struct AddUserArgs {
    /// The name to log in with
    name: String,

    /// What they may do: `viewer`, `operator` or `admin`
    #[arg(long, value_parser = words::<Role>(&["viewer", "operator", "admin"]))]
    role: Role,

    /// File whose first line is the password; without it, it is asked for
    #[arg(long, value_name = "FILE")]
    new_password_file: Option<PathBuf>,
}

/// List the users
#[derive(Args, Debug)]
#[command(after_help = LIST_USERS_EXAMPLES)]
struct ListUsersArgs {}

/// Remove a user
#[derive(Args, Debug)]
#[command(after_help = REMOVE_USER_EXAMPLES)]
struct RemoveUserArgs {
    /// The name of the user
    name: String,
}

/// Set a new password
#[derive(Args, Debug)]
#[command(after_help = PASSWD_EXAMPLES)]
struct PasswdArgs {
    /// The name of the user
    name: String,

    /// File whose first line is the password; without it, it is asked for
    #[arg(long, value_name = "FILE")]
    new_password_file: Option<PathBuf>,
}

/// Make, list and remove tokens of the HTTP API
#[derive(Args, Debug)]
#[command(after_help = TOKEN_EXAMPLES)]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    Add(AddTokenArgs),
    List(ListTokensArgs),
    Remove(RemoveTokenArgs),
}

/// Make a token
#[derive(Args, Debug)]
#[command(after_help = ADD_TOKEN_EXAMPLES)]
struct AddTokenArgs {
    /// What it is for
    name: String,

    /// What it allows: `viewer`, `operator` or `admin`
    #[arg(long, value_parser = words::<Role>(&["viewer", "operator", "admin"]))]
    role: Role,

    /// When it ends: `2027-01-01T00:00:00Z`
    #[arg(long, value_name = "TIME")]
    expires: Option<Timestamp>,
}

/// List the tokens
#[derive(Args, Debug)]
#[command(after_help = LIST_TOKENS_EXAMPLES)]
struct ListTokensArgs {}

/// Remove a token
#[derive(Args, Debug)]
#[command(after_help = REMOVE_TOKEN_EXAMPLES)]
struct RemoveTokenArgs {
    /// Its name or id
    name: String,
}

/// Who may use the daemon, and the log of who changed that.
struct Desk {
    access: Access,
    audit: Audit,
}

impl Desk {
    fn open(context: &Context) -> Result<Self> {
        let (state_dir, runtime) = (context.open_options().state_dir, Runtime::default());
        let clock = Arc::clone(&runtime.clock);
        let audit = match &state_dir {
            Some(folder) => Audit::beside(folder, clock)?,
            None => Audit::open(None, clock)?,
        };
        Ok(Self { access: Access::open(state_dir, runtime)?, audit })
    }

    /// Writes down what was done.
    fn note(&self, what: &str, detail: &str) {
        self.audit.record(Some(&user_name()), "this machine", what, 0, detail);
    }
}

pub(super) fn user(args: &UserArgs, context: &Context) -> Result<Finish> {
    let (desk, out) = (Desk::open(context)?, &context.out);
    let access = &desk.access;
    match &args.command {
        UserCommand::Add(args) => {
            let password = new_text(args.new_password_file.as_deref(), &args.name, out)?;
            access.add_user(&args.name, args.role, &password)?;
            desk.note(&format!("larder user add {}", args.name), &format!("role {}", args.role));
            out.note(format!("added {} as {}", args.name, args.role))?;
        }
        UserCommand::List(_) => list_users(access, context)?,
        UserCommand::Remove(args) => {
            access.remove_user(&args.name)?;
            desk.note(&format!("larder user remove {}", args.name), "");
            out.note(format!("removed {}", args.name))?;
        }
        UserCommand::Passwd(args) => {
            let password = new_text(args.new_password_file.as_deref(), &args.name, out)?;
            access.set_password(&args.name, &password)?;
            desk.note(&format!("larder user passwd {}", args.name), "");
            out.note(format!("{} has a new password", args.name))?;
        }
    }
    Ok(Finish::Done)
}

fn list_users(access: &Access, context: &Context) -> Result<()> {
    let (known, out) = (access.known(), &context.out);
    let mut table =
        Table::new(&[("user", Align::Left), ("role", Align::Left), ("password of", Align::Left)]);
    for user in &known.users {
        let changed = local_ms(user.changed.as_millisecond());
        match out.json {
            true => out.object(&json!({
                "name": user.name, "role": user.role, "changed": user.changed,
            }))?,
            false => table.row(vec![user.name.clone(), user.role.to_string(), changed]),
        }
    }
    if out.json { Ok(()) } else { table.print(out) }
}

pub(super) fn token(args: &TokenArgs, context: &Context) -> Result<Finish> {
    let (desk, out) = (Desk::open(context)?, &context.out);
    let access = &desk.access;
    match &args.command {
        TokenCommand::Add(args) => {
            let (token, text) = access.add_token(&args.name, args.role, args.expires)?;
            let detail = format!("id {}, role {}", token.token_id, token.role);
            desk.note(&format!("larder token add {}", token.name), &detail);
            match out.json {
                true => out.object(&json!({
                    "token_id": token.token_id, "name": token.name, "role": token.role,
                    "expires": token.expires, "token": *text,
                }))?,
                false => out.line(text.as_str())?,
            }
        }
        TokenCommand::List(_) => list_tokens(access, context)?,
        TokenCommand::Remove(args) => {
            access.remove_token(&args.name)?;
            desk.note(&format!("larder token remove {}", args.name), "");
            out.note(format!("removed {}", args.name))?;
        }
    }
    Ok(Finish::Done)
}

fn list_tokens(access: &Access, context: &Context) -> Result<()> {
    let (known, out) = (access.known(), &context.out);
    let columns = ["id", "token", "role", "made", "ends"].map(|name| (name, Align::Left));
    let mut table = Table::new(&columns);
    let time = |time: Timestamp| local_ms(time.as_millisecond());
    for token in &known.tokens {
        match out.json {
            true => out.object(&json!({
                "token_id": token.token_id, "name": token.name, "role": token.role,
                "made": token.made, "expires": token.expires,
            }))?,
            false => table.row(vec![
                token.token_id.clone(),
                token.name.clone(),
                token.role.to_string(),
                time(token.made),
                token.expires.map_or_else(|| "never".to_owned(), time),
            ]),
        }
    }
    if out.json { Ok(()) } else { table.print(out) }
}
