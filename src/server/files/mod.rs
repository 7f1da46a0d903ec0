//! The files of snapshots over WebDAV, for where nothing can be mounted.
//!
//! Read-only, and on this machine alone: there is no encryption on the way. Every user of this
//! machine can connect, and so can pages that a browser shows, so the address has a secret part
//! that is made anew at each start, and requests that name another host are refused.

mod gate;
mod tree;
mod walk;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use dav_server::{DavHandler, DavMethodSet};
use futures_util::{Stream, StreamExt, future, stream};

use super::Threads;
use crate::error::{Error, Result};
use crate::runtime::{CancelToken, Random};
use crate::view::View;
use gate::Gate;
use tree::Tree;

/// Where it listens if nobody says otherwise: a port that is free.
pub const DEFAULT_ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Requests that may wait for storage at the same time.
const THREADS: usize = 16;
/// A file goes out in pieces of this many bytes.
const PIECE_LEN: usize = 1 << 20;
/// How often the server looks whether it is to stop.
const STOP_POLL: Duration = Duration::from_millis(100);
/// Downloads that go on are cut off so long after the server was asked to stop.
const STOP_WAIT: Duration = Duration::from_secs(2);

/// A server that has its address, and answers once it runs.
pub struct FileServer {
    listener: TcpListener,
    address: SocketAddr,
    view: Arc<View>,
    secret: Option<String>,
}

impl FileServer {
    /// Takes an address of this machine; port 0 stands for any that is free. `with_secret` puts a
    /// secret into the URL: without it every user of this machine can read everything.
    ///
    /// # Errors
    /// [`Error::Usage`] for an address that other machines reach or that is taken already.
    pub fn bind(
        address: SocketAddr,
        view: Arc<View>,
        with_secret: bool,
        random: &Random,
    ) -> Result<Self> {
        if !address.ip().is_loopback() {
            return Err(Error::usage_hint(
                format!(
                    "`{address}` can be reached from other machines, and what is sent is not encrypted"
                ),
                "listen on 127.0.0.1 and let `ssh -L 8080:127.0.0.1:8080 THIS-MACHINE` bring the files to another one",
            ));
        }
        let taken = |error| {
            Error::usage_hint(
                format!("could not listen on `{address}`: {error}"),
                "give another port, or port 0 for any that is free",
            )
        };
        let listener = TcpListener::bind(address).map_err(taken)?;
        let address = listener.local_addr().map_err(taken)?;
        let secret = with_secret.then(|| format!("{:032x}", u128::from_le_bytes(random.bytes())));
        Ok(Self { listener, address, view, secret })
    }

    /// Where the files are.
    pub fn url(&self) -> String {
        match &self.secret {
            Some(secret) => format!("http://{}/{secret}/", self.address),
            None => format!("http://{}/", self.address),
        }
    }

    /// Answers until `cancel` is set.
    ///
    /// # Errors
    /// [`Error::Local`] if the system gives no threads or takes the socket away.
    pub fn run(self, cancel: &CancelToken) -> Result<()> {
        let threads = Arc::new(Threads::start(THREADS)?);
        let failed = |error| Error::local("serve", "files", error);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("http")
            .enable_all()
            .build()
            .map_err(failed)?;
        let prefix = self.secret.as_ref().map(|secret| format!("/{secret}"));
        let handler = DavHandler::builder()
            .methods(DavMethodSet::WEBDAV_RO)
            .strip_prefix(prefix.clone().unwrap_or_default())
            .autoindex(true)
            .read_buf_size(PIECE_LEN)
            .build_handler();
        let gate = Arc::new(Gate::new(prefix));
        let answers = Answers { gate, handler, view: Arc::clone(&self.view), threads };
        let router = Router::new().fallback(answer).with_state(answers);
        let served = runtime.block_on(async {
            self.listener.set_nonblocking(true)?;
            let listener = tokio::net::TcpListener::from_std(self.listener)?;
            let stop = stopped(cancel.clone());
            let serving = axum::serve(listener, router).with_graceful_shutdown(stop);
            let cut_off = async {
                stopped(cancel.clone()).await;
                tokio::time::sleep(STOP_WAIT).await;
            };
            tokio::select! {
                served = serving => served,
                () = cut_off => Ok(()),
            }
        });
        // Threads may still wait for storage: their answers are wanted no more.
        runtime.shutdown_background();
        served.map_err(failed)
    }
}

async fn stopped(cancel: CancelToken) {
    while !cancel.is_cancelled() {
        tokio::time::sleep(STOP_POLL).await;
    }
}

/// What requests are answered with.
#[derive(Clone)]
struct Answers {
    gate: Arc<Gate>,
    handler: DavHandler,
    view: Arc<View>,
    threads: Arc<Threads>,
}

async fn answer(State(answers): State<Answers>, request: Request) -> Response {
    if let Some(refusal) = answers.gate.refusal(&request) {
        return gate::harden(refusal);
    }
    let tree = Tree::new(answers.view, answers.threads);
    let is_lost = tree.is_lost();
    let files = DavHandler::builder().filesystem(Box::new(tree));
    let response = answers.handler.handle_with(files, request).await;
    gate::harden(response.map(|body| Body::from_stream(body.chain(cut_off_if(is_lost)))))
}

/// Breaks an answer off at its end if a listing in it is not whole: a client must not take it for
/// all that there is.
fn cut_off_if(is_lost: Arc<AtomicBool>) -> impl Stream<Item = io::Result<Bytes>> {
    stream::once(async move {
        is_lost
            .load(Ordering::Acquire)
            .then(|| Err(io::Error::other("some of what is in the folder cannot be read")))
    })
    .filter_map(future::ready)
}
