//! The OpenAPI document: made from the routes, so that it cannot say anything else than they do.

use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, ResponseBuilder,
};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;

use super::problem::Problem;

/// The extension of an operation that says who may call it.
pub const ROLE_EXTENSION: &str = "x-larder-role";

/// Who may call an operation. Whoever may do more may do this too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// Everybody, without a login.
    Nobody,
    /// Whoever may look.
    Viewer,
    /// Whoever may start and stop things.
    Operator,
    /// Whoever may change settings and remove things.
    Admin,
}

impl Needs {
    fn as_str(self) -> &'static str {
        match self {
            Self::Nobody => "none",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// The document without operations.
pub(super) fn document() -> OpenApi {
    let about = "Repositories, backups, restores, schedules and jobs of a Larder daemon. Errors \
                 are problem details (RFC 9457) with a `code` that never changes and a `hint`. \
                 Times are RFC 3339 in UTC, sizes are bytes. Names that are not UTF-8 have `%XX` \
                 for such bytes and for `%`, and are taken in that form.";
    let info = InfoBuilder::new()
        .title("Larder")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(about))
        .license(Some(utoipa::openapi::License::new("Apache-2.0 OR MIT")))
        .build();
    let mut document = OpenApiBuilder::new().info(info).build();
    let components = document.components.get_or_insert_default();
    components.schemas.insert(Problem::name().into_owned(), Problem::schema());
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    components.add_security_scheme("token", bearer);
    let cookie = ApiKeyValue::new(super::COOKIE_NAME);
    components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    document
}

/// Says of all operations of `routes` who may call them, and what their errors look like.
pub(super) fn describe<S>(routes: &mut OpenApiRouter<S>, needs: Needs)
where
    S: Send + Sync + Clone + 'static,
{
    for (path, item) in &mut routes.get_openapi_mut().paths.paths {
        let all = [
            ("get", &mut item.get),
            ("put", &mut item.put),
            ("post", &mut item.post),
            ("delete", &mut item.delete),
            ("patch", &mut item.patch),
        ];
        for (method, operation) in all {
            let Some(operation) = operation else { continue };
            operation.operation_id = Some(operation_id(method, path));
            describe_one(operation, needs);
        }
    }
}

/// `get_repositories_backups` and the like: the names of functions are not unique.
fn operation_id(method: &str, path: &str) -> String {
    let parts = path.trim_start_matches("/api/v1/").split('/');
    let parts = parts.map(|part| match part.strip_prefix('{') {
        Some(name) => format!("by_{}", name.trim_end_matches('}')),
        None => part.replace('-', "_"),
    });
    [method.to_owned()].into_iter().chain(parts).collect::<Vec<_>>().join("_")
}

fn describe_one(operation: &mut Operation, needs: Needs) {
    let extensions = operation.extensions.get_or_insert_default();
    let role = extensions.entry(ROLE_EXTENSION.into()).or_insert_with(|| needs.as_str().into());
    if role != Needs::Nobody.as_str() {
        let none: [&str; 0] = [];
        operation.security = Some(vec![
            SecurityRequirement::new("token", none),
            SecurityRequirement::new("session", none),
        ]);
    }
    let schema = RefOr::Ref(Ref::from_schema_name(Problem::name()));
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let problem = ResponseBuilder::new()
        .description("What is wrong, and what to try")
        .content("application/problem+json", content)
        .build();
    operation.responses.responses.entry("default".into()).or_insert(RefOr::T(problem));
}
