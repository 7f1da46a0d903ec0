//! What an answer says if something went wrong: problem details (RFC 9457) with a hint.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{Error, StorageErrorKind};

/// What can be asked of the API for things that are not there.
const HINT_LISTS: &[(&str, &str)] = &[
    ("repository", "`GET /api/v1/repositories` lists them"),
    ("snapshot", "`GET /api/v1/repositories/{repository}/backups` lists them"),
    ("backup", "`GET /api/v1/repositories/{repository}/backups` lists them"),
    ("schedule", "`GET /api/v1/repositories/{repository}/schedules` lists them"),
    ("job", "`GET /api/v1/jobs` lists them"),
    ("restore", "`GET /api/v1/repositories/{repository}/restores` lists those that are unfinished"),
    ("path", "`GET .../backups/{backup}/tree` lists the paths"),
    ("node", "look at the list of snapshots again"),
    ("alert", "`GET /api/v1/alerts` lists them"),
    ("channel", "`GET /api/v1/notifications` lists them"),
    ("mirror", "`GET /api/v1/repositories/{repository}/mirrors` lists them"),
    ("key", "`GET /api/v1/repositories/{repository}/keys` lists them"),
    ("user", "look at the list of users again"),
    ("token", "look at the list of tokens again"),
];

/// Why a request was not done, in the form of RFC 9457.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// Names the kind of problem, as a relative reference that ends in `code`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong, in one line.
    pub detail: String,
    /// Names the kind of problem for programs; never changes.
    pub code: &'static str,
    /// What to try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Seconds after which it may work.
    #[serde(skip)]
    pub retry_after: Option<u32>,
}

impl Problem {
    /// A problem of this status and code.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("/problems/{code}"),
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail.into(),
            code,
            hint: None,
            retry_after: None,
        }
    }

    /// A request that makes no sense.
    pub fn bad(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// What the program should have done and did not.
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
            .hint("please report this, with the log of the program")
    }

    /// Something that there is too much of just now.
    pub fn busy(detail: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail);
        Self { retry_after: Some(2), ..problem }
    }

    /// The same with what to try.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// That a repository cannot be opened, and why.
    pub fn away(error: &Error) -> Self {
        let problem =
            Self::new(StatusCode::SERVICE_UNAVAILABLE, "repository_away", error.in_full());
        Self { hint: error.hint(), retry_after: Some(15), ..problem }
    }
}

/// Status, and the name of the kind of problem.
fn class(error: &Error) -> (StatusCode, &'static str) {
    use StatusCode as S;
    match error {
        Error::NotFound { what, .. } if HINT_LISTS.iter().any(|(known, _)| known == what) => {
            (S::NOT_FOUND, "not_found")
        }
        Error::PathMissing { .. } => (S::NOT_FOUND, "not_found"),
        Error::Damaged { .. } | Error::NotFound { .. } => (S::INTERNAL_SERVER_ERROR, "damaged"),
        Error::Usage { .. } => (S::BAD_REQUEST, "not_possible"),
        Error::Ambiguous { .. } => (S::BAD_REQUEST, "ambiguous"),
        Error::SourcesMissing { .. } => (S::CONFLICT, "sources_missing"),
        Error::Busy { .. } => (S::CONFLICT, "busy"),
        Error::Overtaken { .. } => (S::CONFLICT, "overtaken"),
        Error::Refused { .. } => (S::CONFLICT, "refused"),
        Error::Untouched { .. } => (S::CONFLICT, "untouched"),
        Error::History { .. } | Error::Downgraded { .. } => (S::CONFLICT, "history"),
        Error::RepositoryExists { .. } | Error::LocationNotEmpty { .. } => {
            (S::CONFLICT, "location_taken")
        }
        Error::RepositoryMissing { .. } | Error::MirrorAway { .. } | Error::MirrorsLeft { .. } => {
            (S::SERVICE_UNAVAILABLE, "repository_away")
        }
        Error::WrongKey { .. }
        | Error::KeyNeeded { .. }
        | Error::KeyRemoved { .. }
        | Error::KeysUnsettled { .. } => (S::SERVICE_UNAVAILABLE, "key"),
        Error::OutOfReach { .. } => (S::SERVICE_UNAVAILABLE, "out_of_reach"),
        Error::Cancelled { .. } => (S::SERVICE_UNAVAILABLE, "cancelled"),
        Error::Storage(error) => match error.kind {
            StorageErrorKind::Full => (S::INSUFFICIENT_STORAGE, "storage_full"),
            StorageErrorKind::Missing | StorageErrorKind::Permanent => {
                (S::BAD_GATEWAY, "storage_damaged")
            }
            _ => (S::SERVICE_UNAVAILABLE, "storage_away"),
        },
        Error::Local { .. } => (S::INTERNAL_SERVER_ERROR, "local"),
        Error::RolledBack { .. } => (S::INTERNAL_SERVER_ERROR, "rolled_back"),
        Error::RollbackFailed { .. } => (S::INTERNAL_SERVER_ERROR, "rollback_failed"),
        _ => (S::INTERNAL_SERVER_ERROR, "internal"),
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let (status, code) = class(&error);
        let own_hint = match &error {
            Error::NotFound { what, .. } => HINT_LISTS.iter().find(|(known, _)| known == what),
            _ => None,
        };
        let hint = own_hint.map(|(_, hint)| (*hint).to_owned()).or_else(|| error.hint());
        let detail = match &error {
            Error::NotFound { what, name } if status == StatusCode::NOT_FOUND => {
                format!("there is no {what} `{name}`")
            }
            _ => error.in_full(),
        };
        Self { hint, ..Self::new(status, code, detail) }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.detail)
    }
}

/// Ends an answer that has begun.
impl std::error::Error for Problem {}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, kind);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_their_status_and_a_hint_of_the_api() {
        let missing = Error::NotFound { what: "snapshot", name: "4f1c".into() };
        let problem = Problem::from(missing);
        assert_eq!((problem.status, problem.code), (404, "not_found"));
        let path = Error::PathMissing { snapshot: "4f1c".into(), path: "/x".into() };
        assert_eq!(Problem::from(path).status, 404);
        assert!(problem.hint.is_some_and(|hint| hint.contains("/backups")));
        // A stored object that is lost is no wrong request.
        let lost = Error::NotFound { what: "pack", name: "ab".into() };
        assert_eq!(Problem::from(lost).status, 500);
        let usage = Problem::from(Error::usage_hint("no", "yes"));
        assert_eq!((usage.status, usage.hint.as_deref()), (400, Some("yes")));
    }
}
