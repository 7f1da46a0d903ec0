//! `azblob://container/prefix`: Azure Blob Storage.

use std::sync::Arc;

use opendal::{Operator, services};
use reqsign_azure_storage::{Credential, DefaultCredentialProvider, StaticCredentialProvider};
use reqsign_core::ProvideCredentialChain;
use zeroize::Zeroizing;

use super::{ServiceLocation, readable};
use crate::error::{Error, Result};
use crate::storage::http::Http;
use crate::storage::{Access, Connection, OpendalStorage, SharedStorage};

const OPTIONS: &[&str] = &["account", "endpoint", "anonymous", "part_size", readable::OPTION];

/// How many requests at once make sense: each waits for a network.
const CONCURRENCY: usize = 12;

/// Blocks may be of any length up to 4,000 MiB; there may be 50,000 of them.
const PART_LENS: std::ops::RangeInclusive<u64> = 1 << 20..=4000 << 20;

/// See [`Connect`](super::Connect).
pub(super) fn connect(
    location: &ServiceLocation,
    connection: &Connection,
) -> Result<SharedStorage> {
    location.check_options(OPTIONS)?;
    let account = Account::of(location, &connection.access)?;
    let part_len = location.part_len(PART_LENS)?;
    let builder = services::Azblob::default()
        .container(&location.authority)
        .root(&format!("/{}", location.path))
        .endpoint(&account.endpoint)
        .account_name(&account.name);
    let builder = match account.credentials {
        None => builder.skip_signature(),
        Some(chain) => builder.credential_provider_chain(chain),
    };
    let operator = Operator::new(builder).map_err(|error| {
        Error::usage(format!("could not open `{location}`: {}", error.message()))
    })?;
    let storage = OpendalStorage::new(operator, location.to_string(), CONCURRENCY);
    Ok(Arc::new(storage.over_http(Http::new(connection)?).in_parts(part_len)))
}

/// An account, and how to be let in.
struct Account {
    name: String,
    endpoint: String,
    /// `None` reads a public container.
    credentials: Option<ProvideCredentialChain<Credential>>,
}

impl Account {
    fn of(location: &ServiceLocation, access: &Access) -> Result<Self> {
        let given = access.get("AZURE_STORAGE_CONNECTION_STRING");
        let parts = given.as_ref().map(|text| Parts::read(text)).unwrap_or_default();
        let option = |name: &str| location.option(name).map(str::to_owned);
        let endpoint = option("endpoint").or_else(|| parts.endpoint());
        let name = option("account")
            .or_else(|| access.get("AZURE_STORAGE_ACCOUNT").map(|name| name.to_string()))
            .or_else(|| parts.get("AccountName"))
            .or_else(|| endpoint.as_deref().and_then(account_in))
            .ok_or_else(|| {
                Error::usage_hint(
                    format!("`{location}` names no storage account"),
                    format!(
                        "write `account=NAME` in the location, or set {}",
                        access.variable("AZURE_STORAGE_ACCOUNT")
                    ),
                )
            })?;
        let endpoint = endpoint.unwrap_or_else(|| format!("https://{name}.blob.core.windows.net"));
        let credentials = match location.flag("anonymous")? {
            Some(true) => None,
            _ => Some(credentials(location, access, &parts, (&name, &endpoint))?),
        };
        Ok(Self { name, endpoint: endpoint.trim_end_matches('/').into(), credentials })
    }
}

/// A key, a SAS token, or what the machine has by itself: variables of Azure's own tools, the
/// identity of a workload, the managed identity of the machine. All but the key travel.
fn credentials(
    location: &ServiceLocation,
    access: &Access,
    parts: &Parts<'_>,
    (account, endpoint): (&str, &str),
) -> Result<ProvideCredentialChain<Credential>> {
    let chain = ProvideCredentialChain::new();
    let secret =
        |name: &str, part: &str| access.get(name).or_else(|| parts.get(part).map(Zeroizing::new));
    if let Some(key) = secret("AZURE_STORAGE_KEY", "AccountKey") {
        return Ok(chain.push(StaticCredentialProvider::new_shared_key(account, key.trim())));
    }
    if let Some(token) = secret("AZURE_STORAGE_SAS_TOKEN", "SharedAccessSignature") {
        readable::refuse(location, endpoint, "token")?;
        let token = token.trim().trim_start_matches('?');
        return Ok(chain.push(StaticCredentialProvider::new_sas_token(token)));
    }
    if access.is_of_set() {
        return Err(Error::usage_hint(
            format!("no credentials were found for `{location}`"),
            format!(
                "set {}, {} or {}",
                access.variable("AZURE_STORAGE_KEY"),
                access.variable("AZURE_STORAGE_SAS_TOKEN"),
                access.variable("AZURE_STORAGE_CONNECTION_STRING")
            ),
        ));
    }
    readable::refuse(location, endpoint, "token")?;
    Ok(chain.push(DefaultCredentialProvider::new()))
}

/// A connection string: `Name=value`, joined by `;`.
#[derive(Default)]
struct Parts<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Parts<'a> {
    fn read(text: &'a str) -> Self {
        Self(text.trim().split(';').filter_map(|part| part.split_once('=')).collect())
    }

    fn get(&self, name: &str) -> Option<String> {
        let found = self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(found.1.to_owned()).filter(|value| !value.is_empty())
    }

    fn endpoint(&self) -> Option<String> {
        let made = || {
            let (account, suffix) = (self.get("AccountName")?, self.get("EndpointSuffix")?);
            let scheme = self.get("DefaultEndpointsProtocol").unwrap_or_else(|| "https".into());
            Some(format!("{scheme}://{account}.blob.{suffix}"))
        };
        self.get("BlobEndpoint").or_else(made)
    }
}

/// The account in `https://account.blob.core.windows.net`.
fn account_in(endpoint: &str) -> Option<String> {
    let host = endpoint.split_once("://")?.1;
    let (account, rest) = host.split_once('.')?;
    rest.starts_with("blob.").then(|| account.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::services::find;

    fn account(rest: &str, given: &[(&str, &str)]) -> Result<Account> {
        let location = ServiceLocation::parse(find("azblob").unwrap(), rest)?;
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        // A set of its own: the environment of the test does not matter.
        let access = Access::default().and_set("test", given).of_set("test");
        Account::of(&location, &access)
    }

    #[test]
    fn accounts_and_endpoints_come_from_where_people_have_them() {
        let key = ("AZURE_STORAGE_KEY", "a2V5");
        let string = "DefaultEndpointsProtocol=https;AccountName=mine;AccountKey=a2V5==;\
                      EndpointSuffix=core.example";
        let sas = "BlobEndpoint=https://there.blob.core.windows.net/;SharedAccessSignature=sv=1&x";
        for (rest, given, name, endpoint) in [
            ("box/a?account=mine", key, "mine", "https://mine.blob.core.windows.net"),
            (
                "box?account=dev&endpoint=http://127.0.0.1:10000/dev",
                key,
                "dev",
                "http://127.0.0.1:10000/dev",
            ),
            (
                "box?endpoint=https://other.blob.core.example",
                key,
                "other",
                "https://other.blob.core.example",
            ),
            (
                "box",
                ("AZURE_STORAGE_CONNECTION_STRING", string),
                "mine",
                "https://mine.blob.core.example",
            ),
            (
                "box",
                ("AZURE_STORAGE_CONNECTION_STRING", sas),
                "there",
                "https://there.blob.core.windows.net",
            ),
        ] {
            let account = account(rest, &[given]).unwrap();
            assert_eq!((account.name.as_str(), account.endpoint.as_str()), (name, endpoint));
            assert!(account.credentials.is_some(), "{rest}");
        }
        let parts = Parts::read(string);
        assert_eq!(parts.get("accountkey").as_deref(), Some("a2V5=="), "padding belongs to it");
        let parts = Parts::read(sas);
        assert_eq!(parts.get("SharedAccessSignature").as_deref(), Some("sv=1&x"));
    }

    #[test]
    fn tokens_do_not_travel_readable() {
        let token = [("AZURE_STORAGE_SAS_TOKEN", "sv=1&sig=hunter2")];
        let there = "box?account=dev&endpoint=http://10.0.0.1:10000/dev";
        let error = account(there, &token).err().expect("is refused");
        assert!(error.to_string().contains("readable") && !error.to_string().contains("hunter2"));
        account(&format!("{there}&insecure=true"), &token).unwrap();
        account("box?account=dev&endpoint=http://[::1]:10000/dev", &token).unwrap();
        account(there, &[("AZURE_STORAGE_KEY", "a2V5")]).unwrap();
    }

    #[test]
    fn what_is_missing_is_named() {
        let refused = |rest: &str, given: &[(&str, &str)]| {
            let error = account(rest, given).err().expect("is refused");
            format!("{error}; {}", error.hint().unwrap_or_default())
        };
        let text = refused("box", &[]);
        assert!(text.contains("account=") && text.contains("LARDER_TEST_AZURE_STORAGE_ACCOUNT"));
        let text = refused("box?account=mine", &[]);
        assert!(text.contains("LARDER_TEST_AZURE_STORAGE_KEY"), "{text}");
        let public = account("box?account=mine&anonymous=true", &[]).unwrap();
        assert!(public.credentials.is_none());
    }
}
