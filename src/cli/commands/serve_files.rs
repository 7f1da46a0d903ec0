//! `larder serve-files`: the files of snapshots over WebDAV.

use std::ffi::OsString;
use std::net::SocketAddr;

use clap::Args;
use serde::Serialize;

use super::shown::ShownArgs;
use crate::cli::Finish;
use crate::cli::context::Context;
use crate::cli::signals;
use crate::error::Result;
use crate::runtime::Random;
use crate::server::files::{DEFAULT_ADDRESS, FileServer};

const EXAMPLES: &str = "\
Examples:
  larder serve-files                          all snapshots: by time, id, host and tag
  larder serve-files latest:home/ann          one folder of one snapshot
  larder serve-files --listen 127.0.0.1:8080

The address that it prints opens in a browser, in file managers (Finder: Go, Connect to Server;
Explorer: Map network drive), and with davfs2, rclone and curl. Whoever knows it can read
everything that is shown, so it has a secret part that is new at each start. Other machines reach
it by `ssh -L`. Links to folders, devices and pipes are not shown: WebDAV has no form for them.
Ends with Ctrl-C.";

/// Show snapshots over WebDAV, read-only, where nothing can be mounted
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ServeFilesArgs {
    /// One snapshot, or a folder of it, instead of all of them: `latest`, `ID:path/in/it`
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    snapshot: Option<OsString>,

    /// Address of this machine to listen on; port 0: any that is free
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t = DEFAULT_ADDRESS)]
    listen: SocketAddr,

    /// No secret in the address: every user of this machine can read what is shown
    #[arg(long)]
    no_secret: bool,

    #[command(flatten)]
    shown: ShownArgs,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Told<'t> {
    url: &'t str,
}

pub(super) fn run(args: &ServeFilesArgs, context: &Context) -> Result<Finish> {
    let out = &context.out;
    signals::say_when_stopping("stopping; once more stops at once");
    let (name, repository) = (args.snapshot.as_deref(), context.open_indexed()?);
    let view = args.shown.view(name, repository, context, |options| options.plain_times = true)?;
    let server = FileServer::bind(args.listen, view, !args.no_secret, &Random::os())?;
    let url = server.url();
    if out.json {
        out.message("serving", &Told { url: &url })?;
    } else {
        out.line(&url)?;
        out.note("serving files until Ctrl-C")?;
    }
    // Whoever reads the address waits for it.
    out.flush()?;
    server.run(&context.cancel)?;
    Ok(Finish::Done)
}
