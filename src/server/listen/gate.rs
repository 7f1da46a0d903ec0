//! Which requests are answered at all, and what browsers may do with the answers.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::fsmeta::host_name;
use crate::server::auth::Denied;

/// The longest path with its query, bytes.
const URI_LEN_MAX: usize = 16 << 10;

/// What answers may do in a browser, unless they say otherwise: nothing.
const NOTHING: &str =
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// Names that requests may be for. A page of another host whose name was made to lead here says
/// that name.
#[derive(Clone)]
pub(super) struct Hosts(Arc<[String]>);

impl Hosts {
    /// These and the name of this machine, beside `localhost` and all addresses.
    pub(super) fn new(names: &[String]) -> Self {
        let own = [host_name(), "localhost".to_owned()];
        Self(names.iter().chain(&own).map(|name| plain(name)).collect())
    }

    fn know(&self, host: &str) -> bool {
        let host = plain(host.trim_start_matches('[').trim_end_matches(']'));
        // No page can have come from another server with an address of this one.
        host.parse::<IpAddr>().is_ok() || self.0.contains(&host)
    }
}

fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// Lets in what is for this server, and short enough.
pub(super) async fn check_request(
    State(hosts): State<Hosts>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(authority) = authority(&request) else {
        let hint = "send a `Host` header";
        let what = "the request does not say which host it is for";
        return Denied::new(StatusCode::BAD_REQUEST, "no_host", what, hint).into_response();
    };
    if !hosts.know(authority.host()) {
        let hint =
            "use an address, or add the name to `hosts` in the table `[serve]` of the profile";
        let what = "this server is not known by that name";
        return Denied::new(StatusCode::FORBIDDEN, "unknown_host", what, hint).into_response();
    }
    let uri = request.uri();
    if uri.path_and_query().is_some_and(|path| path.as_str().len() > URI_LEN_MAX) {
        let hint = "put long values into the body";
        let what = "the path is too long";
        return Denied::new(StatusCode::URI_TOO_LONG, "path_too_long", what, hint).into_response();
    }
    // HTTP/2 has no such header; whoever looks at it later finds what was looked at here.
    if let Ok(host) = HeaderValue::from_str(authority.as_str()) {
        request.headers_mut().insert(HOST, host);
    }
    next.run(request).await
}

fn authority(request: &Request) -> Option<Authority> {
    match request.uri().authority() {
        Some(authority) => Some(authority.clone()),
        None => {
            let mut hosts = request.headers().get_all(HOST).iter();
            let host = hosts.next()?;
            let is_one = hosts.next().is_none();
            host.to_str().ok().filter(|_| is_one).and_then(|host| host.parse().ok())
        }
    }
}

/// Adds what every answer must have.
pub(super) async fn harden_response(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    set_if_missing(headers, CONTENT_SECURITY_POLICY, NOTHING);
    set_if_missing(headers, CACHE_CONTROL, "no-store");
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn set_if_missing(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.entry(name).or_insert(HeaderValue::from_static(value));
}
