//! `larder serve`: the daemon.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use etcetera::BaseStrategy;
use serde::Serialize;

use crate::cli::Finish;
use crate::cli::args::parse_duration;
use crate::cli::context::{Context, folders};
use crate::cli::{signals, sites};
use crate::daemon::{Daemon, DaemonOptions, ServeSettings, lower_priority};
use crate::error::{Error, Result};
use crate::manager::board::{Board, EventBus};
use crate::manager::fleet::Fleet;
use crate::manager::history::Database;
use crate::runtime::{CancelToken, Runtime};
use crate::server::api::Limits;
use crate::server::audit::Audit;
use crate::server::auth::{Access, Auth, AuthOptions};
use crate::server::listen::{DEFAULT_LISTEN, ListenOptions, Listener, TlsFiles};

const EXAMPLES: &str = "\
Examples:
  larder serve                                 look after the repository of this user
  larder serve -P home --with photos           after those of two profiles
  larder serve --listen 0.0.0.0:4817 --tls-cert cert.pem --tls-key key.pem
  larder serve --nice 10 --idle-io             give way to all other programs

It runs the schedules of its repositories and answers over HTTP at the address that it prints. At
the first start there is no user: the log has a token to make the first one with in a browser, or
`larder user add NAME --role admin` makes it. Other machines reach it only over TLS, and only when
there is a user or token. Passwords of repositories come from files, commands or variables: nobody
is asked. What it was asked for is in the audit log (`larder audit`). SIGTERM and Ctrl-C let jobs
finish for a minute, then stop them with what they have stored; once more stops at once. With
`--json` the log is JSON. All of it can stand below `[serve]` in a profile.";

/// Run schedules, and answer over HTTP, until stopped
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ServeArgs {
    /// Address and port to listen on; port 0: any that is free (default: 127.0.0.1:4817)
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,

    /// A name of this server, beside its addresses and `localhost`; may be repeated
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,

    /// Certificate with its chain, PEM; read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// Its key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Profile of a further repository to look after; may be repeated
    #[arg(long, value_name = "PROFILE")]
    with: Vec<String>,

    /// Folder that files may be restored into over HTTP (default: your home folder)
    #[arg(long, value_name = "DIR")]
    restore_root: Vec<PathBuf>,

    /// Folder that backups may be made of over HTTP (default: your home folder)
    #[arg(long, value_name = "DIR")]
    source_root: Vec<PathBuf>,

    /// Jobs of schedules at the same time (default: 2)
    #[arg(long, value_name = "N")]
    max_parallel: Option<NonZeroUsize>,

    /// How long jobs may go on when it is stopped (default: 1m)
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    stop_grace: Option<Duration>,

    /// Give way to other programs at the processor: 0 to 19
    #[arg(long, value_name = "N")]
    nice: Option<u8>,

    /// Read and write only when no other program does (needs `ionice`)
    #[arg(long)]
    idle_io: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Told<'t> {
    url: &'t str,
    repositories: Vec<&'t str>,
    needs_setup: bool,
}

pub(super) fn run(args: &ServeArgs, context: &Context) -> Result<Finish> {
    signals::say_when_stopping("finishing what runs; once more stops at once");
    let settings = args.settings().or(context.profile.serve_settings().clone());
    // Before there are threads: each has a priority of its own.
    lower_priority(settings.nice.unwrap_or_default(), settings.idle_io.unwrap_or_default())?;
    let (runtime, state_dir) = (Runtime::default(), context.open_options().state_dir);
    let database = Arc::new(Database::new(state_dir.clone(), Arc::clone(&runtime.clock)));
    let bus = EventBus::new(Arc::clone(&runtime.clock));
    let board = Board::new(Arc::clone(&database), bus, runtime.clone());
    let cut = CancelToken::default();
    let sites = sites::sites(context, &settings.profiles, &board, &cut)?;
    let fleet = Arc::new(Fleet::new(sites, board)?);

    let known = Access::open(state_dir.clone(), runtime.clone())?.known();
    let listener = Listener::bind(&ListenOptions {
        address: settings.listen.unwrap_or(DEFAULT_LISTEN),
        tls: tls(&settings)?,
        hosts: settings.hosts.clone(),
        has_somebody: !known.users.is_empty() || !known.tokens.is_empty(),
    })?;
    let auth = Auth::open(
        AuthOptions {
            state_dir: state_dir.clone(),
            is_encrypted: listener.is_encrypted(),
            port: listener.address().port(),
            runtime: runtime.clone(),
        },
        database,
    )?;
    let audit = Audit::open(state_dir.as_deref(), Arc::clone(&runtime.clock))?;
    let (url, address) = (listener.url(), listener.address());
    let options = DaemonOptions {
        fleet: Arc::clone(&fleet),
        auth: auth.clone(),
        audit,
        limits: limits(&settings),
        notify: context.profile.notify_settings(),
        state_dir,
        runtime: runtime.clone(),
        max_parallel: settings.max_parallel,
        grace: settings.stop_grace_seconds.map(Duration::from_secs),
        stop: context.cancel.clone(),
        cut,
    };
    let daemon = Daemon::start(listener, options)?;
    say_where(&url, &fleet, &auth, context)?;
    if auth.needs_setup() && address.ip().is_loopback() {
        let token = auth.setup_token();
        context.out.aside(&format!(
            "there is no user yet: make the first one at {url}setup#{} or with `larder user add NAME \
             --role admin`",
            *token
        ));
    }
    daemon.run();
    Ok(Finish::Done)
}

fn say_where(url: &str, fleet: &Fleet, auth: &Auth, context: &Context) -> Result<()> {
    let out = &context.out;
    if out.json {
        let repositories = fleet.sites().iter().map(|site| site.name()).collect();
        let needs_setup = auth.needs_setup();
        out.message("serving", &Told { url, repositories, needs_setup })?;
    } else {
        out.line(url)?;
    }
    // Whoever reads the address waits for it.
    out.flush()
}

fn tls(settings: &ServeSettings) -> Result<Option<TlsFiles>> {
    match (&settings.tls_cert, &settings.tls_key) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => {
            Ok(Some(TlsFiles { certificate: certificate.clone(), key: key.clone() }))
        }
        _ => Err(Error::usage_hint(
            "a certificate and its key are needed, and only one of them is said",
            "give both `tls-cert` and `tls-key`",
        )),
    }
}

/// Without a word of what may be named, it is what belongs to the user.
fn limits(settings: &ServeSettings) -> Limits {
    let own = || -> Vec<PathBuf> {
        folders().ok().map(|folders| folders.home_dir().to_path_buf()).into_iter().collect()
    };
    Limits {
        restore_roots: settings.restore_roots.clone().unwrap_or_else(own),
        source_roots: settings.source_roots.clone().unwrap_or_else(own),
    }
}

impl ServeArgs {
    fn settings(&self) -> ServeSettings {
        let some = |paths: &[PathBuf]| (!paths.is_empty()).then(|| paths.to_vec());
        ServeSettings {
            listen: self.listen,
            hosts: self.host.clone(),
            tls_cert: self.tls_cert.clone(),
            tls_key: self.tls_key.clone(),
            restore_roots: some(&self.restore_root),
            source_roots: some(&self.source_root),
            max_parallel: self.max_parallel,
            nice: self.nice,
            idle_io: self.idle_io.then_some(true),
            stop_grace_seconds: self.stop_grace.map(|grace| grace.as_secs()),
            profiles: self.with.clone(),
        }
    }
}
