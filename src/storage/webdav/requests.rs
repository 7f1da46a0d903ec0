//! The requests of WebDAV that change something.

use http::{HeaderValue, Method, Request, header};
use opendal::Buffer;
use opendal::raw::percent_encode_path;

use super::super::explain::{self, Explanation};
use super::super::http::{Answer, Heard, Http, Said};
use super::super::throttle::Pace;
use crate::error::{Explained, StorageErrorKind};

/// A server, and how it lets us in.
#[derive(Clone)]
pub(in crate::storage) struct Requests {
    http: Http,
    /// `https://host:port`.
    server: String,
    authorization: Option<HeaderValue>,
}

/// What was said against a request.
pub(super) struct Refused(Box<Heard>);

impl Requests {
    pub(in crate::storage) fn new(
        http: Http,
        server: String,
        authorization: Option<HeaderValue>,
    ) -> Self {
        Self { http, server, authorization }
    }

    pub(super) fn http(&self) -> &Http {
        &self.http
    }

    /// The same, whose uploads keep to the limits of `pace`.
    pub(super) fn paced(&self, pace: &Pace) -> Self {
        Self { http: self.http.paced(pace), ..self.clone() }
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{}", self.server, percent_encode_path(path))
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Buffer,
    ) -> Result<(), Refused> {
        let invalid = |error: http::Error| Refused(Box::new(Heard::invalid(error.to_string())));
        let method =
            Method::from_bytes(method.as_bytes()).map_err(|error| invalid(error.into()))?;
        let mut request = Request::builder().method(method).uri(self.url(path));
        request = request.header(header::CONTENT_LENGTH, body.len());
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).map_err(invalid)?;
        self.http.send(request).map(|_| ()).map_err(Refused)
    }

    /// Writes a file.
    pub(super) fn upload(&self, path: &str, body: Buffer) -> Result<(), Refused> {
        self.send("PUT", path, &[("content-type", "application/octet-stream")], body)
    }

    /// Moves a file; to a name that is taken only if it may `replace`.
    pub(super) fn rename(&self, from: &str, to: &str, replace: bool) -> Result<(), Refused> {
        let destination = self.url(to);
        let overwrite = if replace { "T" } else { "F" };
        let headers = [("destination", destination.as_str()), ("overwrite", overwrite)];
        self.send("MOVE", from, &headers, Buffer::new())
    }

    /// Removes a file, if it is there.
    pub(super) fn remove(&self, path: &str) -> Result<(), Refused> {
        match self.send("DELETE", path, &[], Buffer::new()) {
            Err(refused) if refused.status() == Some(404) => Ok(()),
            removed => removed,
        }
    }

    /// Whether the server says that there is no such file.
    pub(super) fn is_missing(&self, path: &str) -> bool {
        let look = self.send("HEAD", path, &[], Buffer::new());
        look.is_err_and(|refused| refused.status() == Some(404))
    }

    /// Makes a folder in one that is there, unless it is there itself.
    pub(super) fn make_folder(&self, folder: &str) -> Result<(), Refused> {
        // Servers redirect a folder that is named like a file.
        let make = || match self.send("MKCOL", &format!("{folder}/"), &[], Buffer::new()) {
            Err(refused) if refused.status() == Some(405) => Ok(()),
            made => made,
        };
        match make() {
            // So Apache answers, too, if somebody else makes it in this moment.
            Err(refused) if refused.status() == Some(403) => make(),
            made => made,
        }
    }
}

impl Refused {
    fn answer(&self) -> Option<&Answer> {
        match &self.0.what {
            Said::Answer(answer) => Some(answer),
            Said::Trouble(_) => None,
        }
    }

    fn status(&self) -> Option<u16> {
        self.answer().map(|answer| answer.status)
    }

    /// Whether there is something of that name.
    pub(super) fn is_condition(&self) -> bool {
        self.status() == Some(412)
    }

    /// Whether a folder above it is missing: servers differ in what they say then.
    pub(super) fn is_of_parent(&self) -> bool {
        matches!(self.status(), Some(403 | 404 | 409))
    }

    /// The same for a file; Apache calls a move into a missing folder an error of its own.
    pub(super) fn may_be_of_parent(&self) -> bool {
        self.is_of_parent() || self.status() == Some(500)
    }

    /// The class of failure, and why.
    pub(super) fn explain(&self, location: &str) -> (StorageErrorKind, Explained) {
        let plain = |text: &str, hint: Option<&str>| Explained {
            text: text.into(),
            hint: hint.map(str::to_owned),
        };
        match self.status() {
            Some(409) => (
                StorageErrorKind::Permanent,
                plain(
                    "a folder above it is missing on the server and cannot be made (409)",
                    Some("check the path in the location"),
                ),
            ),
            Some(423) => (
                StorageErrorKind::Temporary,
                plain(
                    "another program holds a lock on it (423)",
                    Some("close what has it open there, then run it again"),
                ),
            ),
            _ => match explain::explain(location, &self.0, StorageErrorKind::Permanent) {
                Some(Explanation { kind, what, .. }) => (kind, what),
                None => {
                    let status = self.status().unwrap_or_default();
                    let text = format!("the server refuses it ({status})");
                    (StorageErrorKind::Permanent, plain(&text, None))
                }
            },
        }
    }
}
