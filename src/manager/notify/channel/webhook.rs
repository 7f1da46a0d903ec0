//! JSON to a URL, signed.

use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha256;

use super::super::notice::Notice;
use super::super::settings::{ChannelSettings, WebhookSettings};
use super::super::template;
use super::{LONGEST, accepted, check_url};
use crate::runtime::CancelToken;
use crate::storage::http::send_message;

/// The header of the signature: `v1=` and the HMAC-SHA256, in hex, of the time in
/// `Larder-Timestamp`, a full stop, and the body.
pub const SIGNATURE_HEADER: &str = "larder-signature";

/// A message, and how it reads.
#[derive(Serialize)]
struct Body<'n> {
    #[serde(flatten)]
    notice: &'n Notice,
    subject: String,
    /// What chat programs show of a web hook.
    text: String,
}

pub(super) fn deliver(
    settings: &WebhookSettings,
    channel: &ChannelSettings,
    notice: &Notice,
    now_ms: i64,
    cancel: &CancelToken,
) -> Result<(), String> {
    let url = settings.url.read().map_err(|error| error.in_full())?;
    check_url(&url, settings.insecure)?;
    let body = Body {
        notice,
        subject: template::subject(channel.subject.as_deref(), notice),
        text: template::body(channel.body.as_deref(), notice),
    };
    let body = serde_json::to_vec(&body).map_err(|error| error.to_string())?;
    let timestamp = now_ms.div_euclid(1_000).to_string();
    let mut headers = vec![
        ("content-type", "application/json".to_owned()),
        ("larder-event", notice.event.to_string()),
        ("larder-delivery", notice.id.clone()),
        ("larder-timestamp", timestamp.clone()),
    ];
    if let Some(secret) = &settings.secret {
        let secret = secret.read().map_err(|error| error.in_full())?;
        headers.push((SIGNATURE_HEADER, signature(secret.as_bytes(), &timestamp, &body)));
    }
    accepted(send_message(&url, &headers, body, LONGEST, cancel)?)
}

/// What vouches for a body and its time.
pub(in crate::manager::notify) fn signature(secret: &[u8], timestamp: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("keys of all lengths are taken");
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    let digest = mac.finalize().into_bytes();
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("v1={hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Python: `hmac.new(b"key", b"1700000000.{}", "sha256").hexdigest()`.
    #[test]
    fn signatures_are_what_others_compute() {
        let want = "v1=9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae";
        assert_eq!(signature(b"key", "1700000000", b"{}"), want);
    }
}
