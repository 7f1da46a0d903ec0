//! Extractors: a handler that takes one of them runs for those who have the role, and for nobody
//! else.
//!
//! ```
//! # use larder::server::auth::{Auth, Operator};
//! async fn start_backup(Operator(who): Operator) -> String {
//!     format!("started for {}", who.name)
//! }
//! let _: axum::Router<Auth> = axum::Router::new().route("/", axum::routing::post(start_backup));
//! ```

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use axum::extract::{ConnectInfo, FromRef, FromRequestParts};
use axum::http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method};
use cookie::Cookie;

use super::Auth;
use super::denied::Denied;
use super::role::{By, Role, Who};

/// Requests of browsers that change something must have it: no page of another site can set it.
pub const CSRF_HEADER: &str = "x-larder-csrf";

/// Extractors of those who have a role, or one that may more.
macro_rules! who_may {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name(pub Who);

        impl<S> FromRequestParts<S> for $name
        where
            S: Send + Sync,
            Auth: FromRef<S>,
        {
            type Rejection = Denied;

            async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Denied> {
                with_role(parts, &Auth::from_ref(state), Role::$name).map(Self)
            }
        }
    )*};
}

who_may! {
    /// Somebody who sees how things stand.
    Viewer;
    /// Somebody who makes backups and restores.
    Operator;
    /// Somebody who may everything.
    Admin;
}

/// A [`Viewer`], or any program of this machine: for figures, which monitors collect.
#[derive(Clone, Debug)]
pub struct ViewerOrMachine(pub Who);

/// In the extensions of a request: where it is noted who made it, for the audit log.
#[derive(Clone, Debug, Default)]
pub struct Requester(pub Arc<OnceLock<Who>>);

impl<S> FromRequestParts<S> for ViewerOrMachine
where
    S: Send + Sync,
    Auth: FromRef<S>,
{
    type Rejection = Denied;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Denied> {
        match with_role(parts, &Auth::from_ref(state), Role::Viewer) {
            Err(denied) if denied.code == "not_logged_in" && is_of_this_machine(parts) => {
                let name = "this machine".to_owned();
                Ok(Self(Who { name, role: Role::Viewer, by: By::Machine }))
            }
            found => found.map(Self),
        }
    }
}

/// Whether a program of this machine sent it, and not a proxy for somebody else.
fn is_of_this_machine(parts: &Parts) -> bool {
    let is_forwarded = ["forwarded", "x-forwarded-for", "x-real-ip", "via"]
        .iter()
        .any(|name| parts.headers.contains_key(*name));
    !is_forwarded && peer(parts).is_some_and(|peer| peer.is_loopback())
}

/// Where the connection comes from.
pub(super) fn peer(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_canonical())
}

fn with_role(parts: &Parts, auth: &Auth, needed: Role) -> Result<Who, Denied> {
    let who = requester(parts, auth)?;
    if let Some(requester) = parts.extensions.get::<Requester>() {
        let _ = requester.0.set(who.clone());
    }
    match who.role >= needed {
        true => Ok(who),
        false => Err(Denied::role(needed, who.role)),
    }
}

fn requester(parts: &Parts, auth: &Auth) -> Result<Who, Denied> {
    // A token that is wrong is not made up for by a cookie.
    if let Some(header) = parts.headers.get(AUTHORIZATION) {
        let token = header.to_str().ok().and_then(|text| {
            let (scheme, token) = text.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
        });
        return token.and_then(|token| auth.who_has(token)).ok_or_else(Denied::token);
    }
    let cookie = session_cookie(&parts.headers, auth.cookie_name()).ok_or_else(Denied::nobody)?;
    let who = auth.whose_session(&cookie).ok_or_else(Denied::nobody)?;
    if !is_safe(&parts.method) {
        check_own_page(&parts.headers)?;
    }
    Ok(who)
}

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// What the cookie of a session holds.
pub(super) fn session_cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let texts = headers.get_all(COOKIE).iter().filter_map(|header| header.to_str().ok());
    texts
        .flat_map(Cookie::split_parse)
        .filter_map(Result::ok)
        .find(|cookie| cookie.name() == name)
        .map(|cookie| cookie.value().to_owned())
}

/// Whether a request that changes something comes from a page of this server: it has a header
/// that other sites cannot set without asking, and browsers say no other origin.
pub(super) fn check_own_page(headers: &HeaderMap) -> Result<(), Denied> {
    let is_asked_for = headers.contains_key(CSRF_HEADER);
    let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
    let is_own_site = site.is_none_or(|site| matches!(site, b"same-origin" | b"none"));
    if is_asked_for && is_own_site && has_own_origin(headers) {
        return Ok(());
    }
    Err(Denied::foreign())
}

pub(super) fn has_own_origin(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let authority = |text: &str| text.parse::<Authority>().ok();
    let text = origin.to_str().ok().and_then(|text| text.split_once("://"));
    let origin = text.and_then(|(_, text)| authority(text));
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).and_then(authority);
    origin.is_some() && origin == host
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), value.parse().unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn pages_of_other_sites_are_known() {
        let host = ("host", "127.0.0.1:4000");
        let csrf = (CSRF_HEADER, "1");
        let is_own = |pairs: &[_]| check_own_page(&headers(pairs)).is_ok();
        assert!(is_own(&[host, csrf]));
        assert!(is_own(&[host, csrf, ("origin", "http://127.0.0.1:4000")]));
        assert!(is_own(&[host, csrf, ("sec-fetch-site", "same-origin")]));
        assert!(!is_own(&[host]));
        for origin in ["http://127.0.0.1:4001", "http://evil.example", "null", "http://"] {
            assert!(!is_own(&[host, csrf, ("origin", origin)]), "{origin}");
        }
        assert!(!is_own(&[csrf, ("origin", "http://127.0.0.1:4000")]), "no host");
        for site in ["cross-site", "same-site"] {
            assert!(!is_own(&[host, csrf, ("sec-fetch-site", site)]), "{site}");
        }
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let headers = headers(&[("cookie", "a=b; larder=; larder-session=x; c=\"d\"")]);
        assert_eq!(session_cookie(&headers, "larder-session").as_deref(), Some("x"));
        assert_eq!(session_cookie(&headers, "__Host-larder"), None);
    }
}
