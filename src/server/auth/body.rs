//! Bodies of requests. What is wrong with one is said as everything else is, with the name of the
//! field and without its value, which can be a piece of a password.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::denied::Denied;

/// Names of fields are not longer.
const NAME_LEN_MAX: usize = 40;

/// A request with a JSON body.
pub(super) struct Sent<T> {
    pub(super) parts: Parts,
    pub(super) body: T,
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Sent<T> {
    type Rejection = Denied;

    async fn from_request(request: Request, state: &S) -> Result<Self, Denied> {
        let (parts, body) = request.into_parts();
        let request = Request::from_parts(parts.clone(), body);
        match Json::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self { parts, body }),
            Err(rejection) => Err(wrong(&rejection)),
        }
    }
}

fn wrong(rejection: &JsonRejection) -> Denied {
    let hint = "`GET /api/v1/openapi.json` describes all bodies";
    let (status, code, what, hint) = match rejection {
        JsonRejection::JsonDataError(_) => {
            (StatusCode::BAD_REQUEST, "body", field_at_fault(&rejection.body_text()), hint)
        }
        JsonRejection::JsonSyntaxError(_) => {
            (StatusCode::BAD_REQUEST, "body", "the body is no JSON".into(), hint)
        }
        JsonRejection::MissingJsonContentType(_) => {
            let hint = "send it with `Content-Type: application/json`";
            let what = "the body is not said to be JSON".into();
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type", what, hint)
        }
        other if other.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            (other.status(), "too_large", "the body is too large".into(), hint)
        }
        _ => (StatusCode::BAD_REQUEST, "body", "the body cannot be read".into(), hint),
    };
    Denied::new(status, code, what, hint)
}

/// Out of what the reader of JSON says: `...: FIELD: invalid type: ...`, `missing field ...`.
fn field_at_fault(text: &str) -> String {
    let quoted = |what: &str| text.split_once(what)?.1.split_once('`').map(|(name, _)| name);
    let path = || text.split(": ").nth(1);
    let is_name = |name: &&str| {
        let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.[]".contains(&byte);
        !name.is_empty() && name.len() <= NAME_LEN_MAX && name.bytes().all(is_usual)
    };
    let found = quoted("missing field `").map(|name| (name, "is missing"));
    let found = found.or_else(|| Some((quoted("unknown field `")?, "is not known")));
    let found = found.or_else(|| Some((path()?, "is not what it should be")));
    match found.filter(|(name, _)| is_name(name)) {
        Some((name, what)) => format!("the field `{name}` {what}"),
        None => "the body does not have the fields that are needed".to_owned(),
    }
}
