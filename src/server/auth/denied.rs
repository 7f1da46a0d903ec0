//! The answer to somebody who is not let in.

use std::time::Duration;

use axum::Json;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::role::Role;
use crate::error::Error;

/// Why a request is not answered, as problem details (RFC 9457) with a `hint` and a `code`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The status of the answer.
    pub status: StatusCode,
    /// Names the reason for programs.
    pub code: &'static str,
    /// The reason.
    pub detail: String,
    /// What to try.
    pub hint: Option<String>,
    /// How long to wait before the next try.
    pub retry_after: Option<Duration>,
}

impl Denied {
    /// With a reason and something to try.
    pub fn new(
        status: StatusCode,
        code: &'static str,
        detail: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let hint = Some(hint.into());
        Self { status, code, detail: detail.into(), hint, retry_after: None }
    }

    /// Nobody showed who they are.
    pub(super) fn nobody() -> Self {
        let hint = "log in, or send a token as `Authorization: Bearer TOKEN`";
        Self::new(StatusCode::UNAUTHORIZED, "not_logged_in", "this needs a login", hint)
    }

    /// The token is none, or none any more.
    pub(super) fn token() -> Self {
        let hint = "an administrator makes tokens: `larder token add`";
        Self::new(StatusCode::UNAUTHORIZED, "unknown_token", "the token is not known", hint)
    }

    pub(super) fn role(needed: Role, has: Role) -> Self {
        let detail = format!("this needs the role `{needed}`, and yours is `{has}`");
        Self::new(StatusCode::FORBIDDEN, "role_too_low", detail, "ask an administrator")
    }

    /// A page of another site may have made the browser send this.
    pub(super) fn foreign() -> Self {
        let hint = "send the header `X-Larder-Csrf: 1` with requests that change something, or a token in place of the cookie";
        let detail = "it is not sure that this request comes from a page of this server";
        Self::new(StatusCode::FORBIDDEN, "csrf", detail, hint)
    }

    pub(super) fn too_often(wait: Duration) -> Self {
        let seconds = wait.as_secs().max(1);
        let hint = format!("wait {seconds} s, then try again");
        let detail = "there were too many failed logins";
        let denied = Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_logins", detail, hint);
        Self { retry_after: Some(Duration::from_secs(seconds)), ..denied }
    }

    /// The work of the server did not come to its end.
    pub(super) fn broken() -> Self {
        let hint = "the log of the server says more";
        let detail = "the server could not do it";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail, hint)
    }

    pub(super) fn setup_token() -> Self {
        let hint = "take the newest one of the log of `larder serve`, or make the first user with `larder user add`";
        let detail = "this is not the token for the set-up";
        Self::new(StatusCode::UNAUTHORIZED, "wrong_setup_token", detail, hint)
    }

    pub(super) fn failed_login() -> Self {
        let hint = "check for typing errors; `larder user passwd` sets a new password";
        let detail = "no user of this name has this password";
        Self::new(StatusCode::UNAUTHORIZED, "wrong_login", detail, hint)
    }
}

impl From<Error> for Denied {
    fn from(error: Error) -> Self {
        let (status, code) = match &error {
            Error::Usage { .. } => (StatusCode::BAD_REQUEST, "usage"),
            Error::NotFound { .. } => (StatusCode::NOT_FOUND, "not_found"),
            Error::Ambiguous { .. } => (StatusCode::CONFLICT, "ambiguous"),
            _ => {
                tracing::error!("{}", error.in_full());
                return Self::broken();
            }
        };
        let hint = match &error {
            // The one of the error is about backups.
            Error::NotFound { .. } => None,
            error => error.hint(),
        };
        Self { status, code, detail: error.to_string(), hint, retry_after: None }
    }
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        let body = json!({
            "type": format!("/problems/{}", self.code),
            "title": self.status.canonical_reason().unwrap_or("Refused"),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "hint": self.hint,
            "code": self.code,
        });
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs()));
        }
        response
    }
}
