//! Who asks: where keys come from, and when they are fetched anew.

use opendal::HttpTransporter;
use reqsign_aws_v4::{
    AssumeRoleCredentialProvider, Credential, DefaultCredentialProvider, RequestSigner,
    StaticCredentialProvider,
};
use reqsign_core::{Context, OsEnv, ProvideCredentialChain, Signer};
use reqsign_file_read_tokio::TokioFileRead;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::storage::Connection;
use crate::storage::http::Http;
use crate::storage::services::ServiceLocation;

/// Where keys come from.
pub(super) struct Credentials {
    source: Source,
    /// The role to take on with them.
    role: Option<String>,
}

enum Source {
    /// Nobody is named, and nothing signed.
    Anonymous,
    Given {
        id: Zeroizing<String>,
        secret: Zeroizing<String>,
        token: Option<Zeroizing<String>>,
    },
    /// A profile of the files in ~/.aws.
    Profile(String),
    /// As all AWS tools look for them: environment, files, single sign-on, web identity, the
    /// role of the container or of the instance.
    Usual,
}

impl Credentials {
    /// Of `profile=` if it is given, else of the connection, else as [`Source::Usual`].
    pub(super) fn of_aws(location: &ServiceLocation, connection: &Connection) -> Result<Self> {
        let role = location.option("role_arn").map(str::to_owned);
        let is_anonymous = location.flag("anonymous")?.unwrap_or(false);
        let source = match location.option("profile") {
            _ if is_anonymous => Source::Anonymous,
            Some(profile) => Source::Profile(profile.to_owned()),
            None => {
                let given = given(connection, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")?;
                match given {
                    Some(given) => given,
                    None if connection.access.is_of_set() => {
                        return Err(missing(connection, "AWS_ACCESS_KEY_ID"));
                    }
                    None => Source::Usual,
                }
            }
        };
        Ok(Self { source, role })
    }

    /// Of the connection, by the names that B2's own tools use.
    pub(super) fn of_b2(connection: &Connection) -> Result<Self> {
        let given = given(connection, "B2_APPLICATION_KEY_ID", "B2_APPLICATION_KEY")?;
        let source = given.ok_or_else(|| missing(connection, "B2_APPLICATION_KEY_ID"))?;
        Ok(Self { source, role: None })
    }

    /// The profile of ~/.aws that was asked for.
    pub(super) fn profile(&self) -> Option<&str> {
        match &self.source {
            Source::Profile(profile) => Some(profile),
            _ => None,
        }
    }

    /// What signs requests; `None` if nothing is to be signed. It fetches keys again when they
    /// are about to expire.
    pub(super) fn chain(
        &self,
        region: &str,
        http: &Http,
    ) -> Option<ProvideCredentialChain<Credential>> {
        let chain = ProvideCredentialChain::new();
        let chain = match &self.source {
            Source::Anonymous => return None,
            Source::Given { id, secret, token } => {
                let given = StaticCredentialProvider::new(id, secret);
                chain.push(match token {
                    Some(token) => given.with_session_token(token),
                    None => given,
                })
            }
            Source::Profile(profile) => chain
                .push(DefaultCredentialProvider::builder().with_profile(profile).no_env().build()),
            Source::Usual => chain.push(DefaultCredentialProvider::new()),
        };
        let Some(role) = &self.role else { return Some(chain) };
        let context = context(http.transporter());
        let signer = Signer::new(context, chain, RequestSigner::new("sts", region));
        let role = AssumeRoleCredentialProvider::new(role.clone(), signer)
            .with_region(region.to_owned())
            .with_regional_sts_endpoint();
        Some(ProvideCredentialChain::new().push(role))
    }
}

/// What signing may look at.
pub(super) fn context(http: HttpTransporter) -> Context {
    Context::new().with_file_read(TokioFileRead).with_env(OsEnv).with_http_send(http)
}

/// The pair of keys that the connection has.
fn given(connection: &Connection, id_name: &str, secret_name: &str) -> Result<Option<Source>> {
    let access = &connection.access;
    match (access.get(id_name), access.get(secret_name)) {
        (Some(id), Some(secret)) => {
            let token = access.get("AWS_SESSION_TOKEN").filter(|_| id_name.starts_with("AWS_"));
            Ok(Some(Source::Given { id, secret, token }))
        }
        (Some(_), None) => Err(missing(connection, secret_name)),
        (None, Some(_)) => Err(missing(connection, id_name)),
        (None, None) => Ok(None),
    }
}

fn missing(connection: &Connection, name: &str) -> Error {
    Error::usage_hint(
        format!("the keys are not complete: {} is not set", connection.access.variable(name)),
        "set it in the environment or in a profile",
    )
}
