//! Secrets that travel as they are go over TLS, or stay on this machine.

use std::net::IpAddr;

use super::ServiceLocation;
use crate::error::{Error, Result};

/// The option by which somebody says that the network itself is secure.
pub(super) const OPTION: &str = "insecure";

/// Refuses to send `secret` (a word for it) to the server at this URL without TLS, unless the
/// location says that nobody listens. Not for keys that only sign requests: those never travel.
///
/// # Errors
/// [`Error::Usage`].
pub(super) fn refuse(location: &ServiceLocation, url: &str, secret: &str) -> Result<()> {
    let plain = url.split_once("://").filter(|(scheme, _)| scheme.eq_ignore_ascii_case("http"));
    let Some((_, rest)) = plain else { return Ok(()) };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if is_loopback(authority) || location.flag(OPTION)? == Some(true) {
        return Ok(());
    }
    Err(Error::usage_hint(
        format!("`{location}` would send its {secret} readable over the network"),
        "use a server with TLS; or add `insecure=true`, if the network itself is secure (a \
         tunnel, say)",
    ))
}

/// Whether `host:port` is this machine.
fn is_loopback(authority: &str) -> bool {
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
