//! Which requests are answered at all, and what browsers may do with the answers.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{
    CONTENT_SECURITY_POLICY, HOST, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

const DEPTH: HeaderName = HeaderName::from_static("depth");

/// Says why a listing of everything below a folder is refused (RFC 4918, section 9.1).
const FINITE_DEPTH: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
    <D:error xmlns:D=\"DAV:\"><D:propfind-finite-depth/></D:error>\n";

/// Looks at requests before they are answered.
pub(super) struct Gate {
    /// How paths begin, of which only a hash is kept: comparing hashes tells nothing by its time.
    prefix: Option<(usize, blake3::Hash)>,
}

impl Gate {
    /// Lets requests in whose path is `prefix` or in it.
    pub(super) fn new(prefix: Option<String>) -> Self {
        Self { prefix: prefix.map(|prefix| (prefix.len(), blake3::hash(prefix.as_bytes()))) }
    }

    /// The answer to a request that is not let in.
    pub(super) fn refusal(&self, request: &Request) -> Option<Response> {
        if !names_this_machine(request) {
            // A page of another host whose name was made to lead here.
            return Some(plain(StatusCode::FORBIDDEN, "this server is known as 127.0.0.1 only\n"));
        }
        if !self.knows(request.uri().path()) {
            return Some(plain(StatusCode::NOT_FOUND, "not found\n"));
        }
        if request.method().as_str() == "PROPFIND" && !has_finite_depth(request.headers()) {
            let mut refusal = plain(StatusCode::FORBIDDEN, FINITE_DEPTH);
            let kind = HeaderValue::from_static("application/xml; charset=utf-8");
            refusal.headers_mut().insert(axum::http::header::CONTENT_TYPE, kind);
            return Some(refusal);
        }
        None
    }

    fn knows(&self, path: &str) -> bool {
        let Some((len, hash)) = self.prefix else { return true };
        let Some((start, rest)) = path.as_bytes().split_at_checked(len) else { return false };
        (rest.is_empty() || rest[0] == b'/') && blake3::hash(start) == hash
    }
}

/// Whether a request is for an address of this machine, as its sender wrote it.
fn names_this_machine(request: &Request) -> bool {
    let header = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let authority = match request.uri().authority() {
        Some(authority) => Some(authority.clone()),
        None => header.and_then(|host| host.parse::<Authority>().ok()),
    };
    let Some(authority) = authority else { return false };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A listing of a folder, not of all that lies below it: that might be the whole repository.
fn has_finite_depth(headers: &HeaderMap) -> bool {
    headers.get(DEPTH).is_some_and(|depth| depth == "0" || depth == "1")
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
}

/// Pages and scripts in a snapshot must not run with a view of all other files, nor tell others
/// the address.
pub(super) fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let policy = "default-src 'none'; style-src 'unsafe-inline'; sandbox";
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

#[cfg(test)]
mod tests;
