//! A TCP proxy that breaks connections on command, between a client and a real server.
//!
//! [`Proxy::tcp`] passes bytes and knows nothing of them; its faults are counted in bytes.
//! [`Proxy::http`] understands HTTP/1.1 far enough to count requests, tell them by method and
//! path, and answer some of them itself. Faults are set while it runs, count from the moment they
//! are set, and are all gone after [`Proxy::heal`]; stalled connections then go on.

mod http;
mod tcp;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The connection ends. Of a request, before it reaches the server.
    Cut,
    /// Nothing moves on this connection until the proxy is healed.
    Stall,
    /// It takes so much longer.
    Delay(Duration),
    /// So many bytes a second from now on, on this connection.
    Slow(u64),
    /// HTTP: the proxy answers with this status; the server never hears of the request.
    Answer(u16),
    /// HTTP: the same, and when to come back, in seconds.
    AnswerLater(u16, u64),
    /// HTTP: the server does its work, and the connection ends before the answer.
    LoseAnswer,
    /// HTTP: the server does its work, and the connection ends in the middle of the answer.
    HalfAnswer,
    /// HTTP: half of the request reaches the server, then both connections end.
    HalfRequest,
}

/// A fault and what it hits.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// HTTP: only requests whose method and target (`PUT /bucket/data/..`) hold all of these.
    pub(crate) holds: &'static [&'static str],
    /// TCP: only this way; for HTTP without meaning.
    pub(crate) way: Way,
    /// The first one hit: of requests, 1 is the next; of bytes, after how many.
    pub(crate) nth: u64,
    /// How many are hit from then on: requests, or connections.
    pub(crate) times: u64,
    pub(crate) trouble: Trouble,
}

impl Rule {
    /// The `nth` request from now, whatever it asks for.
    pub(crate) fn request(nth: u64, trouble: Trouble) -> Self {
        Self { holds: &[], way: Way::Up, nth, times: 1, trouble }
    }

    /// After so many bytes one way, on one connection.
    pub(crate) fn bytes(way: Way, after: u64, trouble: Trouble) -> Self {
        Self { holds: &[], way, nth: after, times: 1, trouble }
    }

    /// So many times from the first on.
    pub(crate) fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }

    /// Only requests that hold all of `words`.
    pub(crate) fn of(self, words: &'static [&'static str]) -> Self {
        Self { holds: words, ..self }
    }
}

/// Listens on a port of its own until it is dropped.
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    upstream: u16,
    is_over: AtomicBool,
    /// While set, connections are closed as soon as they are made.
    is_refusing: AtomicBool,
    connections: AtomicU64,
    hits: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Each with what it has seen, and how often it hit.
    rules: Vec<(Rule, u64, u64)>,
    /// Grows with each [`Proxy::heal`].
    healed: u64,
    /// Both ends of every connection that stands, with its number.
    open: Vec<(u64, TcpStream)>,
    /// Methods and targets of requests.
    requests: Vec<String>,
}

impl Proxy {
    /// Passes bytes on to a port of this machine.
    pub(crate) fn tcp(upstream: u16) -> Self {
        Self::start(upstream, tcp::serve)
    }

    /// Passes HTTP requests on to a port of this machine.
    pub(crate) fn http(upstream: u16) -> Self {
        Self::start(upstream, http::serve)
    }

    fn start(upstream: u16, serve: fn(&Arc<Shared>, TcpStream, TcpStream)) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("has an address").port();
        let shared = Arc::new(Shared { upstream, ..Shared::default() });
        let served = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                if served.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(client) = client else { continue };
                let number = served.connections.fetch_add(1, Ordering::SeqCst);
                if served.is_refusing.load(Ordering::SeqCst) {
                    continue;
                }
                let shared = Arc::clone(&served);
                thread::spawn(move || {
                    // A server that is down: the client sees its connection end.
                    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, shared.upstream))
                    else {
                        return;
                    };
                    for stream in [&client, &server] {
                        let _ = stream.set_nodelay(true);
                        let stream = stream.try_clone().map(|stream| (number, stream));
                        shared.state.lock().open.extend(stream);
                    }
                    serve(&shared, client, server);
                    shared.state.lock().open.retain(|(open, _)| *open != number);
                });
            }
        });
        Self { port, shared }
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Adds a fault.
    pub(crate) fn inject(&self, rule: Rule) {
        self.shared.state.lock().rules.push((rule, 0, 0));
    }

    /// Takes all faults away.
    pub(crate) fn heal(&self) {
        self.shared.is_refusing.store(false, Ordering::SeqCst);
        let mut state = self.shared.state.lock();
        state.rules.clear();
        state.healed += 1;
    }

    /// From now on nobody gets through, and whoever is connected is cut off.
    pub(crate) fn refuse(&self) {
        self.shared.is_refusing.store(true, Ordering::SeqCst);
        self.cut();
    }

    /// Cuts all connections off.
    pub(crate) fn cut(&self) {
        for (_, stream) in self.shared.state.lock().open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// How many connections there have been.
    pub(crate) fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How often a fault hit.
    pub(crate) fn hits(&self) -> u64 {
        self.shared.hits.load(Ordering::SeqCst)
    }

    /// The requests since this was asked last, by method and target.
    pub(crate) fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.state.lock().requests)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.heal();
        self.cut();
        // Wakes the listener, which then ends.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl Shared {
    /// Waits as long as faults of this time hold.
    fn stall(&self) {
        let healed = self.state.lock().healed;
        while self.state.lock().healed == healed {
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn hit(&self) {
        self.hits.fetch_add(1, Ordering::SeqCst);
    }
}

/// Ends both connections.
fn end(a: &TcpStream, b: &TcpStream) {
    let _ = (a.shutdown(Shutdown::Both), b.shutdown(Shutdown::Both));
}

/// Passes bytes on until the end, or until `len` of them.
fn pass(from: &mut impl Read, to: &mut impl Write, len: Option<u64>, pace: Pace) -> io::Result<()> {
    let mut buffer = [0; 16 << 10];
    let mut left = len.unwrap_or(u64::MAX);
    while left > 0 {
        let most = left.min(buffer.len() as u64).min(pace.piece()) as usize;
        let read = from.read(&mut buffer[..most])?;
        if read == 0 {
            return if len.is_some() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) };
        }
        to.write_all(&buffer[..read])?;
        left -= read as u64;
        pace.wait(read);
    }
    Ok(())
}

/// How fast one connection is.
#[derive(Clone, Copy, Debug, Default)]
struct Pace(Option<u64>);

impl Pace {
    /// So much that a piece takes a fifth of a second at most.
    fn piece(self) -> u64 {
        self.0.map_or(u64::MAX, |rate| (rate / 5).max(1))
    }

    fn wait(self, bytes: usize) {
        if let Some(rate) = self.0 {
            thread::sleep(Duration::from_secs_f64(bytes as f64 / rate as f64));
        }
    }
}
