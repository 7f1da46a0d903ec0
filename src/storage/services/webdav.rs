//! `webdav://host/path` over TLS, `webdav+http://host/path` without.

use std::sync::Arc;

use http::HeaderValue;
use opendal::{Operator, services};
use reqsign_core::hash::base64_encode;
use zeroize::Zeroizing;

use super::{ServiceLocation, readable};
use crate::error::{Error, Result};
use crate::storage::http::Http;
use crate::storage::webdav::{Requests, WebdavStorage};
use crate::storage::{Access, Connection, SharedStorage};

const OPTIONS: &[&str] = &["tls", "insecure"];

/// What its name ends in if there is no TLS.
pub(super) const PLAIN: &str = "webdav+http";

/// See [`Connect`](super::Connect).
pub(super) fn connect(
    location: &ServiceLocation,
    connection: &Connection,
) -> Result<SharedStorage> {
    location.check_options(OPTIONS)?;
    let login = Login::of(location, &connection.access)?;
    let host = location.authority.rsplit('@').next().unwrap_or_default();
    let tls = location.scheme != PLAIN && location.flag("tls")? != Some(false);
    let server = format!("{}://{}", if tls { "https" } else { "http" }, host);
    if login != Login::None {
        readable::refuse(location, &server, "password")?;
    }
    let mut service = services::Webdav::default()
        .endpoint(&server)
        .root(&format!("/{}", location.path))
        .disable_create_dir(true);
    match &login {
        Login::None => {}
        Login::Password(user, password) => service = service.username(user).password(password),
        Login::Token(token) => service = service.token(token),
    }
    let operator = Operator::new(service).map_err(|error| {
        Error::usage(format!("could not open `{location}`: {}", error.message()))
    })?;
    let requests = Requests::new(Http::new(connection)?, server, login.header()?);
    let storage = WebdavStorage::new(operator, requests, &location.path, location.to_string());
    Ok(Arc::new(storage))
}

/// How to be let in.
#[derive(PartialEq, Eq)]
enum Login {
    None,
    Password(String, Zeroizing<String>),
    Token(Zeroizing<String>),
}

impl Login {
    fn of(location: &ServiceLocation, access: &Access) -> Result<Self> {
        if let Some(token) = access.get("LARDER_WEBDAV_TOKEN") {
            return Ok(Self::Token(token));
        }
        let named = location.authority.rsplit_once('@').map(|(user, _)| user.to_owned());
        let user = named.or_else(|| access.get("LARDER_WEBDAV_USER").map(|user| user.to_string()));
        match (user, access.get("LARDER_WEBDAV_PASSWORD")) {
            (Some(user), password) => Ok(Self::Password(user, password.unwrap_or_default())),
            (None, Some(_)) => Err(Error::usage_hint(
                format!("there is a password for `{location}`, but no user"),
                format!("set {}", access.variable("LARDER_WEBDAV_USER")),
            )),
            (None, None) => Ok(Self::None),
        }
    }

    /// The value of the header that says so.
    fn header(&self) -> Result<Option<HeaderValue>> {
        let text = match self {
            Self::None => return Ok(None),
            Self::Password(user, password) => {
                let pair = Zeroizing::new(format!("{user}:{}", password.as_str()));
                Zeroizing::new(format!("Basic {}", base64_encode(pair.as_bytes())))
            }
            Self::Token(token) => Zeroizing::new(format!("Bearer {}", token.as_str())),
        };
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| Error::usage("the token for WebDAV has characters that no token has"))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::services::find;

    fn open(scheme: &str, rest: &str, given: &[(&str, &str)]) -> Result<SharedStorage> {
        let location = ServiceLocation::parse(find(scheme).unwrap(), rest)?;
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let access = Access::default().and_set("test", given).of_set("test");
        connect(&location, &Connection { access, ..Connection::default() })
    }

    #[test]
    fn passwords_do_not_travel_readable() {
        let login = [("LARDER_WEBDAV_USER", "me"), ("LARDER_WEBDAV_PASSWORD", "hunter2")];
        for (scheme, rest) in [
            ("webdav", "host/x"),
            ("webdav+http", "127.0.0.1:80/x"),
            ("webdav+http", "[::1]:80/x"),
            ("webdav", "localhost/x?tls=no"),
            ("webdav+http", "host/x?insecure=true"),
        ] {
            open(scheme, rest, &login).unwrap();
        }
        open("webdav+http", "host/x", &[]).unwrap();
        for (scheme, rest) in [("webdav+http", "host/x"), ("webdav", "127.0.0.1.example/x?tls=no")]
        {
            let error = open(scheme, rest, &login).err().expect("is refused");
            assert!(error.to_string().contains("readable"), "{error}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn half_a_login_is_refused() {
        let error = open("webdav", "host/x", &[("LARDER_WEBDAV_PASSWORD", "x")]).err().unwrap();
        assert!(error.hint().unwrap().contains("LARDER_TEST_WEBDAV_USER"));
        open("webdav", "me@host/x", &[("LARDER_WEBDAV_PASSWORD", "x")]).unwrap();
        let given = [("LARDER_WEBDAV_TOKEN", "a\nb")];
        assert!(open("webdav", "host/x", &given).is_err());
    }

    #[test]
    fn the_header_is_what_browsers_send() {
        let login = Login::Password("Aladdin".into(), Zeroizing::new("open sesame".into()));
        let header = login.header().unwrap().unwrap();
        assert_eq!(header.to_str().unwrap(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(header.is_sensitive());
    }
}
