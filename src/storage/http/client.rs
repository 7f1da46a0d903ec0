//! The clients of the process: one for each way to treat redirects.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, ClientBuilder, Url};

use crate::storage::connection::Timeouts;

/// Most servers close idle connections after a minute or so; one that is known to be closed is
/// worth more than one that fails when it is used.
const KEEP_IDLE: Duration = Duration::from_secs(50);

/// A chain of redirects that is longer than this has no end.
const REDIRECTS_MAX: usize = 10;

/// Where requests go if a server sends them on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Redirects {
    /// From a folder to its name with a `/` and nowhere else: a log-in page that takes the place
    /// of a service would answer for it, "there is no such object" above all, and other servers
    /// would see what the request holds.
    ToFolder,
    /// To other servers too, never from TLS to none: services that keep their objects on machines
    /// of their own send readers there.
    Elsewhere,
}

/// The client, made on first use; one of its own for whoever waits longer or shorter for
/// connections than usual.
///
/// # Errors
/// Why it cannot be made, in words.
pub(super) fn shared(connect: Duration, redirects: Redirects) -> Result<Client, String> {
    static CLIENTS: [OnceLock<Result<Client, String>>; 2] = [OnceLock::new(), OnceLock::new()];
    let usual = Timeouts::default().connect;
    match connect == usual {
        true => CLIENTS[redirects as usize].get_or_init(|| make(usual, redirects)).clone(),
        false => make(connect, redirects),
    }
}

fn make(connect: Duration, redirects: Redirects) -> Result<Client, String> {
    // Whoever embeds this may have chosen another provider before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let trusting = settings(connect, redirects).build();
    // A machine without a list of trusted roots still reaches servers without TLS; with TLS, the
    // error then says that the server's certificate is not trusted.
    let client = trusting.or_else(|_| settings(connect, redirects).tls_certs_only([]).build());
    client.map_err(|error| format!("could not set up HTTP: {error}"))
}

fn settings(connect: Duration, redirects: Redirects) -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("larder/", env!("CARGO_PKG_VERSION")))
        .http1_only()
        .connect_timeout(connect)
        .pool_idle_timeout(KEEP_IDLE)
        .tcp_nodelay(true)
        // It would repeat tokens that are part of URLs.
        .referer(false)
        .redirect(Policy::custom(move |attempt| match is_followed(redirects, &attempt) {
            true => attempt.follow(),
            // The answer itself is an error then, which says where it points to.
            false => attempt.stop(),
        }))
}

fn is_followed(redirects: Redirects, attempt: &Attempt<'_>) -> bool {
    let (Some(from), to) = (attempt.previous().last(), attempt.url()) else { return false };
    if attempt.previous().len() > REDIRECTS_MAX {
        return false;
    }
    match redirects {
        Redirects::ToFolder => is_folder_of(from, to),
        Redirects::Elsewhere => to.scheme() == from.scheme() || to.scheme() == "https",
    }
}

/// Whether both are one path at one server, but for the `/` at its end.
fn is_folder_of(from: &Url, to: &Url) -> bool {
    to.origin() == from.origin()
        && to.path().strip_suffix('/') == Some(from.path())
        && to.query() == from.query()
}
