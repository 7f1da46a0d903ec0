//! What the WebDAV servers have in common.

use reqsign_core::hash::base64_encode;

use super::{Request, Response};

/// Who may use them.
pub(crate) const USER: &str = "larder";
/// ... and by what word.
pub(crate) const PASSWORD: &str = "davpassword";

/// By the names of the variables.
pub(super) fn secrets() -> Vec<(String, String)> {
    let pairs = [("LARDER_WEBDAV_USER", USER), ("LARDER_WEBDAV_PASSWORD", PASSWORD)];
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// Writes, reads and removes an object.
pub(super) fn works(port: u16) -> Result<(), String> {
    let user = base64_encode(format!("{USER}:{PASSWORD}").as_bytes());
    let exchange = |method, body: &[u8]| {
        let request = Request::new(method, "/probe-start").body(body);
        let request = request.header("authorization", &format!("Basic {user}"));
        request.send(port).and_then(Response::ok)
    };
    exchange("PUT", b"ready")?;
    let read = exchange("GET", b"")?;
    exchange("DELETE", b"")?;
    if read.body == b"ready" { Ok(()) } else { Err("it gives back something else".into()) }
}
