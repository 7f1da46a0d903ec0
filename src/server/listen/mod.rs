//! Where a daemon answers: an address, encryption, and what every request and answer must have.

mod gate;
mod tls;

pub use tls::TlsFiles;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::mpsc;
use std::time::Duration;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;

use self::gate::{Hosts, check_request, harden_response};
use super::audit::{Audit, record_request};
use crate::error::{Error, Result};

/// Where it listens if nobody says otherwise.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4817);

/// Threads for requests. What waits for storage or a disk does not run on them.
const WORKERS: usize = 2;
/// Whoever does not send the head of a request in so long is cut off.
const HEAD_WAIT: Duration = Duration::from_secs(30);
/// Requests that go on are cut off so long after the server was asked to stop.
const STOP_WAIT: Duration = Duration::from_secs(3);

/// What a [`Listener`] is made of.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// Address and port; port 0 stands for any that is free.
    pub address: SocketAddr,
    /// Certificate and key; without them nothing is encrypted.
    pub tls: Option<TlsFiles>,
    /// Names of this server that requests may be for, beside its addresses and `localhost`.
    pub hosts: Vec<String>,
    /// Whether there is a user or token already.
    pub has_somebody: bool,
}

/// A server that has its address, and does not answer yet.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    tls: Option<(TlsFiles, RustlsConfig)>,
    hosts: Hosts,
}

/// A server that answers, until it is dropped or stopped.
pub struct Serving {
    handle: Handle<SocketAddr>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Listener {
    /// Takes an address. One that other machines reach needs encryption, and somebody who may
    /// come in: nobody else is to be the first.
    ///
    /// # Errors
    /// [`Error::Usage`] for an address that is refused or taken, and for files that are no
    /// certificate and key; [`Error::Local`] if those cannot be read.
    pub fn bind(options: &ListenOptions) -> Result<Self> {
        let ListenOptions { address, tls, hosts, has_somebody } = options;
        if !address.ip().to_canonical().is_loopback() {
            check_public(*address, tls.is_some(), *has_somebody)?;
        }
        let tls = match tls {
            Some(files) => Some((files.clone(), RustlsConfig::from_config(files.load()?))),
            None => None,
        };
        let taken = |error| {
            Error::usage_hint(
                format!("could not listen on `{address}`: {error}"),
                "give another address with `--listen`; port 0 is any that is free",
            )
        };
        let socket = TcpListener::bind(address).map_err(taken)?;
        socket.set_nonblocking(true).map_err(taken)?;
        let address = socket.local_addr().map_err(taken)?;
        Ok(Self { socket, address, tls, hosts: Hosts::new(hosts) })
    }

    /// The address, with the port that it got.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether connections are encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Where browsers find it.
    pub fn url(&self) -> String {
        let scheme = if self.is_encrypted() { "https" } else { "http" };
        format!("{scheme}://{}/", self.address)
    }

    /// Answers with `router`, and with `/healthz`, which anybody may ask. What was asked for is
    /// written into `audit`.
    ///
    /// # Errors
    /// [`Error::Local`] if the system gives no threads.
    pub fn start(self, router: Router, audit: Audit) -> Result<Serving> {
        let failed = |error| Error::local("serve", "HTTP", error);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name("http")
            .enable_all()
            .build()
            .map_err(failed)?;
        let router = Router::new()
            .route("/healthz", get(async || "ok\n"))
            .merge(router)
            .layer(from_fn_with_state(audit, record_request))
            .layer(from_fn_with_state(self.hosts, check_request))
            .layer(from_fn(harden_response));
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let handle = Handle::new();
        let entered = runtime.enter();
        let mut server = axum_server::from_tcp(self.socket).map_err(failed)?.handle(handle.clone());
        server.http_builder().http1().header_read_timeout(HEAD_WAIT);
        match self.tls {
            Some((files, config)) => {
                runtime.spawn(files.reload(config.clone()));
                let acceptor = axum_server::tls_rustls::RustlsAcceptor::new(config);
                runtime.spawn(server.acceptor(acceptor).serve(service));
            }
            None => {
                runtime.spawn(server.serve(service));
            }
        }
        drop(entered);
        Ok(Serving { handle, runtime: Some(runtime) })
    }
}

impl Serving {
    /// Whether its threads get to new work within so long.
    pub fn is_alive(&self, longest: Duration) -> bool {
        let Some(runtime) = &self.runtime else { return false };
        let (here, there) = mpsc::channel();
        runtime.spawn(async move { _ = here.send(()) });
        there.recv_timeout(longest).is_ok()
    }

    /// Takes no more requests, and returns when those that go on are answered, or soon anyway.
    pub fn stop(mut self) {
        self.handle.graceful_shutdown(Some(STOP_WAIT));
        let until = std::time::Instant::now() + STOP_WAIT;
        while self.handle.connection_count() > 0 && std::time::Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.end();
    }

    fn end(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Threads may still wait for storage: their answers are wanted no more.
            runtime.shutdown_background();
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.end();
    }
}

/// # Errors
/// [`Error::Usage`].
fn check_public(address: SocketAddr, is_encrypted: bool, has_somebody: bool) -> Result<()> {
    if !is_encrypted {
        return Err(Error::usage_hint(
            format!(
                "`{address}` can be reached from other machines, and what is sent would not be encrypted"
            ),
            "give `--tls-cert` and `--tls-key`, or listen on 127.0.0.1 and use `ssh -L` or a proxy with TLS",
        ));
    }
    if !has_somebody {
        return Err(Error::usage_hint(
            format!("`{address}` can be reached from other machines, and nobody can log in yet"),
            "make the first user with `larder user add NAME --role admin`",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
