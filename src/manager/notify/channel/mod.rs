//! The ways out. Each takes one message and says whether it has arrived.

mod command;
mod email;
mod ping;
mod webhook;

use std::time::Duration;

use super::notice::Notice;
use super::settings::{ChannelKind, ChannelSettings, is_this_machine};
use crate::error::Result;
use crate::runtime::CancelToken;

pub use webhook::SIGNATURE_HEADER;

/// How long a server may take.
const LONGEST: Duration = Duration::from_secs(30);

/// Sends a message on its way, and returns when it has arrived.
///
/// # Errors
/// Why it has not, in words without a secret.
pub(super) fn deliver(
    channel: &ChannelSettings,
    notice: &Notice,
    now_ms: i64,
    cancel: &CancelToken,
) -> Result<(), String> {
    match channel.kind().map_err(|error| error.in_full())? {
        ChannelKind::Webhook(settings) => {
            webhook::deliver(settings, channel, notice, now_ms, cancel)
        }
        ChannelKind::Email(settings) => email::deliver(settings, channel, notice),
        ChannelKind::Command(settings) => command::deliver(settings, channel, notice, cancel),
        ChannelKind::Ping(settings) => ping::deliver(settings, notice, cancel),
    }
}

/// Refuses a URL that would carry the message in plain text to another machine.
fn check_url(url: &str, insecure: bool) -> Result<(), String> {
    let uri: http::Uri = url.parse().map_err(|_| "its URL is none".to_owned())?;
    let host = uri.host().unwrap_or_default();
    match uri.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if insecure || is_this_machine(host) => Ok(()),
        Some("http") => {
            Err("its URL has no TLS: use `https://`, or say `insecure = true`".to_owned())
        }
        _ => Err("its URL does not begin with `https://`".to_owned()),
    }
}

/// What an HTTP status says of a message.
fn accepted(status: u16) -> Result<(), String> {
    match status {
        200..=299 => Ok(()),
        300..=399 => Err(format!("the server sends it elsewhere ({status}): give the right URL")),
        _ => Err(format!("the server says {status}")),
    }
}

#[cfg(test)]
pub(in crate::manager::notify) use webhook::signature as signature_for_tests;
