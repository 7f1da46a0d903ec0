//! Users and tokens over HTTP, for administrators.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use super::Auth;
use super::access::{Token, User, missing};
use super::body::Sent;
use super::denied::Denied;
use super::extract::Admin;
use super::role::Role;

pub(super) fn router() -> OpenApiRouter<Auth> {
    OpenApiRouter::new()
        .routes(routes!(list_users, add_user))
        .routes(routes!(change_user, remove_user))
        .routes(routes!(list_tokens, add_token))
        .routes(routes!(remove_token))
}

/// A user as it is shown.
#[derive(Serialize, ToSchema)]
struct UserView {
    name: String,
    role: Role,
    /// When the password was set.
    changed: Timestamp,
}

/// A token as it is shown.
#[derive(Serialize, ToSchema)]
struct TokenView {
    token_id: String,
    name: String,
    role: Role,
    made: Timestamp,
    expires: Option<Timestamp>,
}

/// A new token.
#[derive(Serialize, ToSchema)]
struct NewTokenView {
    #[serde(flatten)]
    about: TokenView,
    /// The token itself. It is shown this once.
    token: String,
}

/// A user to add.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewUser {
    name: String,
    role: Role,
    #[schema(format = Password)]
    password: String,
}

/// What is to be another for a user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct UserChange {
    role: Option<Role>,
    #[schema(format = Password)]
    password: Option<String>,
}

/// A token to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewToken {
    name: String,
    role: Role,
    /// When it ends; never, if that is not said.
    expires: Option<Timestamp>,
}

impl From<&User> for UserView {
    fn from(user: &User) -> Self {
        Self { name: user.name.clone(), role: user.role, changed: user.changed }
    }
}

impl From<&Token> for TokenView {
    fn from(token: &Token) -> Self {
        Self {
            token_id: token.token_id.clone(),
            name: token.name.clone(),
            role: token.role,
            made: token.made,
            expires: token.expires,
        }
    }
}

/// All users
#[utoipa::path(get, path = "/api/v1/users", tag = "access",
    extensions(("x-larder-role" = json!("admin"))),
    responses((status = 200, body = [UserView]), (status = 401), (status = 403)))]
async fn list_users(State(auth): State<Auth>, _: Admin) -> Json<Vec<UserView>> {
    Json(auth.access().known().users.iter().map(UserView::from).collect())
}

/// Add a user
#[utoipa::path(post, path = "/api/v1/users", tag = "access",
    extensions(("x-larder-role" = json!("admin"))), request_body = NewUser,
    responses((status = 201, body = UserView), (status = 400), (status = 401), (status = 403),
        (status = 415)))]
async fn add_user(
    State(auth): State<Auth>,
    _: Admin,
    sent: Sent<NewUser>,
) -> Result<(StatusCode, Json<UserView>), Denied> {
    let NewUser { name, role, password } = sent.body;
    let (own, password) = (auth.clone(), Zeroizing::new(password));
    let added = auth.wait(move || {
        own.access().add_user(&name, role, &password)?;
        Ok(own.access().known().user(&name).map(UserView::from))
    });
    let user = added.await?.ok_or_else(Denied::broken)?;
    Ok((StatusCode::CREATED, Json(user)))
}

/// Change the role or the password of a user
///
/// A new password ends the sessions of the user.
#[utoipa::path(patch, path = "/api/v1/users/{name}", tag = "access",
    extensions(("x-larder-role" = json!("admin"))), request_body = UserChange,
    params(("name" = String, Path)),
    responses((status = 200, body = UserView), (status = 400), (status = 401), (status = 403),
        (status = 404), (status = 415)))]
async fn change_user(
    State(auth): State<Auth>,
    _: Admin,
    Path(name): Path<String>,
    sent: Sent<UserChange>,
) -> Result<Json<UserView>, Denied> {
    let UserChange { role, password } = sent.body;
    let (own, password) = (auth.clone(), password.map(Zeroizing::new));
    let changed = auth.wait(move || {
        let access = own.access();
        if let Some(password) = &password {
            access.set_password(&name, password)?;
        }
        if let Some(role) = role {
            access.set_role(&name, role)?;
        }
        let known = access.known();
        known.user(&name).map(UserView::from).ok_or_else(|| missing("user", &name))
    });
    Ok(Json(changed.await?))
}

/// Remove a user
#[utoipa::path(delete, path = "/api/v1/users/{name}", tag = "access",
    extensions(("x-larder-role" = json!("admin"))),
    params(("name" = String, Path)),
    responses((status = 204), (status = 400), (status = 401), (status = 403), (status = 404)))]
async fn remove_user(
    State(auth): State<Auth>,
    _: Admin,
    Path(name): Path<String>,
) -> Result<StatusCode, Denied> {
    let own = auth.clone();
    auth.wait(move || own.access().remove_user(&name)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// All tokens, without their secret parts
#[utoipa::path(get, path = "/api/v1/tokens", tag = "access",
    extensions(("x-larder-role" = json!("admin"))),
    responses((status = 200, body = [TokenView]), (status = 401), (status = 403)))]
async fn list_tokens(State(auth): State<Auth>, _: Admin) -> Json<Vec<TokenView>> {
    Json(auth.access().known().tokens.iter().map(TokenView::from).collect())
}

/// Make a token
#[utoipa::path(post, path = "/api/v1/tokens", tag = "access",
    extensions(("x-larder-role" = json!("admin"))), request_body = NewToken,
    responses((status = 201, body = NewTokenView), (status = 400), (status = 401),
        (status = 403), (status = 415)))]
async fn add_token(
    State(auth): State<Auth>,
    _: Admin,
    sent: Sent<NewToken>,
) -> Result<(StatusCode, Json<NewTokenView>), Denied> {
    let NewToken { name, role, expires } = sent.body;
    let own = auth.clone();
    let made = auth.wait(move || own.access().add_token(&name, role, expires));
    let (token, text) = made.await?;
    let view = NewTokenView { about: TokenView::from(&token), token: text.to_string() };
    Ok((StatusCode::CREATED, Json(view)))
}

/// Remove a token
#[utoipa::path(delete, path = "/api/v1/tokens/{token_id}", tag = "access",
    extensions(("x-larder-role" = json!("admin"))),
    params(("token_id" = String, Path)),
    responses((status = 204), (status = 401), (status = 403), (status = 404)))]
async fn remove_token(
    State(auth): State<Auth>,
    _: Admin,
    Path(token_id): Path<String>,
) -> Result<StatusCode, Denied> {
    let own = auth.clone();
    auth.wait(move || own.access().remove_token(&token_id)).await?;
    Ok(StatusCode::NO_CONTENT)
}
