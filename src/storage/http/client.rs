//! The one client of the process.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::{Client, ClientBuilder};

use crate::storage::connection::Timeouts;

/// Most servers close idle connections after a minute or so; one that is known to be closed is
/// worth more than one that fails when it is used.
const KEEP_IDLE: Duration = Duration::from_secs(50);

/// The client, made on first use; one of its own for whoever waits longer or shorter for
/// connections than usual.
///
/// # Errors
/// Why it cannot be made, in words.
pub(super) fn shared(connect: Duration) -> Result<Client, String> {
    static CLIENT: OnceLock<Result<Client, String>> = OnceLock::new();
    let usual = Timeouts::default().connect;
    match connect == usual {
        true => CLIENT.get_or_init(|| make(usual)).clone(),
        false => make(connect),
    }
}

fn make(connect: Duration) -> Result<Client, String> {
    // Whoever embeds this may have chosen another provider before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let trusting = settings(connect).build();
    // A machine without a list of trusted roots still reaches servers without TLS; with TLS, the
    // error then says that the server's certificate is not trusted.
    let client = trusting.or_else(|_| settings(connect).tls_certs_only([]).build());
    client.map_err(|error| format!("could not set up HTTP: {error}"))
}

fn settings(connect: Duration) -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("larder/", env!("CARGO_PKG_VERSION")))
        .http1_only()
        .connect_timeout(connect)
        .pool_idle_timeout(KEEP_IDLE)
        .tcp_nodelay(true)
}
