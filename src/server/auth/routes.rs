//! Logging in and out, and the first user.

use axum::Json;
use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use cookie::{Cookie, SameSite};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use super::body::Sent;
use super::denied::Denied;
use super::extract::{Requester, Viewer, has_own_origin, peer, session_cookie};
use super::role::{By, Who};
use super::sessions::AGE_MAX_MS;
use super::{Auth, accounts};
use crate::error::Error;

/// Logging in and out, users and tokens, as routes below `/api/v1`.
pub fn router(auth: Auth) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(session))
        .routes(routes!(log_in))
        .routes(routes!(log_out))
        .routes(routes!(set_up))
        .routes(routes!(change_password))
        .merge(accounts::router())
        .with_state(auth)
}

/// How a browser stands with the server.
#[derive(Serialize, ToSchema)]
struct SessionView {
    /// Who it is; none before a login.
    user: Option<Who>,
    /// There is no user yet: `POST /api/v1/setup` makes the first.
    needs_setup: bool,
    /// The version of the program.
    version: &'static str,
}

/// A name and a password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LoginRequest {
    user: String,
    #[schema(format = Password)]
    password: String,
}

/// The first user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SetupRequest {
    /// What the program printed, or wrote to its log, at its start.
    setup_token: String,
    user: String,
    #[schema(format = Password)]
    password: String,
}

/// A new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PasswordChange {
    #[schema(format = Password)]
    old_password: String,
    #[schema(format = Password)]
    new_password: String,
}

/// Who is logged in
#[utoipa::path(get, path = "/api/v1/session", tag = "access", security(()),
    responses((status = 200, body = SessionView)))]
async fn session(State(auth): State<Auth>, viewer: Result<Viewer, Denied>) -> Json<SessionView> {
    let user = viewer.ok().map(|viewer| viewer.0);
    // What version runs is for those who may come in.
    let version = if user.is_some() { env!("CARGO_PKG_VERSION") } else { "" };
    Json(SessionView { user, needs_setup: auth.needs_setup(), version })
}

/// Log in with a password
///
/// The answer sets a cookie. Requests with the cookie that change something need the header
/// `X-Larder-Csrf`, with any value.
#[utoipa::path(post, path = "/api/v1/login", tag = "access", security(()),
    request_body = LoginRequest,
    responses((status = 200, body = Who), (status = 400), (status = 401), (status = 403),
        (status = 415), (status = 429)))]
async fn log_in(State(auth): State<Auth>, sent: Sent<LoginRequest>) -> Result<Response, Denied> {
    let password = Zeroizing::new(sent.body.password);
    if !has_own_origin(&sent.parts.headers) {
        return Err(Denied::foreign());
    }
    let (who, secret) = auth.log_in(&sent.body.user, password, peer(&sent.parts)).await?;
    note(&sent.parts, &who);
    Ok(auth.with_cookie(who, &secret))
}

/// Log out
#[utoipa::path(post, path = "/api/v1/logout", tag = "access",
    extensions(("x-larder-role" = json!("viewer"))),
    responses((status = 204), (status = 401), (status = 403)))]
async fn log_out(State(auth): State<Auth>, _: Viewer, headers: HeaderMap) -> Response {
    if let Some(secret) = session_cookie(&headers, auth.cookie_name()) {
        let own = auth.clone();
        auth.0.threads.run(move || own.0.sessions.end(&secret)).await;
    }
    let mut cookie = auth.cookie("");
    cookie.make_removal();
    (StatusCode::NO_CONTENT, [(SET_COOKIE, cookie.to_string())]).into_response()
}

/// Make the first user, an administrator
#[utoipa::path(post, path = "/api/v1/setup", tag = "access", security(()),
    request_body = SetupRequest,
    responses((status = 200, body = Who), (status = 400), (status = 401), (status = 403),
        (status = 409), (status = 415), (status = 429)))]
async fn set_up(State(auth): State<Auth>, sent: Sent<SetupRequest>) -> Result<Response, Denied> {
    let SetupRequest { setup_token, user, password } = sent.body;
    let password = Zeroizing::new(password);
    if !has_own_origin(&sent.parts.headers) {
        return Err(Denied::foreign());
    }
    auth.check_setup_token(&setup_token, peer(&sent.parts))?;
    let (own, name, first) = (auth.clone(), user.clone(), password.clone());
    let is_first = auth.wait(move || own.access().add_first_user(&name, &first)).await?;
    if !is_first {
        let hint = "log in, or ask an administrator for a user of your own";
        let what = "there is a user already";
        return Err(Denied::new(StatusCode::CONFLICT, "set_up_already", what, hint));
    }
    *auth.0.setup.lock() = None;
    let (who, secret) = auth.log_in(&user, password, peer(&sent.parts)).await?;
    note(&sent.parts, &who);
    Ok(auth.with_cookie(who, &secret))
}

/// Change one's own password
///
/// All sessions of the user end; the answer has the cookie of a new one.
#[utoipa::path(post, path = "/api/v1/password", tag = "access",
    extensions(("x-larder-role" = json!("viewer"))), request_body = PasswordChange,
    responses((status = 200, body = Who), (status = 400), (status = 401), (status = 403),
        (status = 415), (status = 429)))]
async fn change_password(
    State(auth): State<Auth>,
    Viewer(who): Viewer,
    sent: Sent<PasswordChange>,
) -> Result<Response, Denied> {
    let old = Zeroizing::new(sent.body.old_password);
    let new = Zeroizing::new(sent.body.new_password);
    if who.by != By::Session {
        let hint = "log in with a password first";
        let what = "a token has no password";
        return Err(Denied::new(StatusCode::FORBIDDEN, "no_password", what, hint));
    }
    let from = peer(&sent.parts);
    let (_, secret) = auth.log_in(&who.name, old, from).await?;
    let (own, name, password) = (auth.clone(), who.name.clone(), new.clone());
    let changed = auth.wait(move || own.access().set_password(&name, &password)).await;
    let own = auth.clone();
    // That one was for finding out whether the old password is right.
    auth.0.threads.run(move || own.0.sessions.end(&secret)).await;
    changed?;
    let (who, secret) = auth.log_in(&who.name, new, from).await?;
    Ok(auth.with_cookie(who, &secret))
}

impl Auth {
    fn cookie(&self, secret: &str) -> Cookie<'static> {
        Cookie::build((self.cookie_name().to_owned(), secret.to_owned()))
            .path("/")
            .http_only(true)
            .same_site(SameSite::Strict)
            .secure(self.0.is_encrypted)
            .max_age(cookie::time::Duration::milliseconds(AGE_MAX_MS))
            .build()
    }

    fn with_cookie(&self, who: Who, secret: &str) -> Response {
        let mut response = Json(who).into_response();
        // Secrets are hex digits, which every header may have.
        if let Ok(cookie) = HeaderValue::from_str(&self.cookie(secret).to_string()) {
            response.headers_mut().insert(SET_COOKIE, cookie);
        }
        response
    }

    /// Does something that waits for the disk, or for the hash of a password.
    pub(super) async fn wait<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Denied> {
        Ok(self.0.threads.run(work).await.ok_or_else(Denied::broken)??)
    }
}

/// For the audit log: nobody was logged in before.
fn note(parts: &Parts, who: &Who) {
    if let Some(requester) = parts.extensions.get::<Requester>() {
        let _ = requester.0.set(who.clone());
    }
}
