//! Which bucket a location means, and how to speak to it.

use super::credentials::Credentials;
use super::region;
use crate::error::{Error, Result};
use crate::storage::Connection;
use crate::storage::http::Http;
use crate::storage::services::ServiceLocation;

/// A bucket at a server. Holds no secret of its own; `credentials` say where to find them.
pub(super) struct Bucket {
    pub(super) name: String,
    /// Prefix of all names, without `/` at the ends.
    pub(super) root: String,
    /// URL of the server, with its scheme and without the bucket.
    pub(super) endpoint: String,
    pub(super) region: String,
    /// Whether the bucket is part of the host's name, and not of the path.
    pub(super) is_virtual_host: bool,
    pub(super) credentials: Credentials,
}

impl Bucket {
    /// At AWS, or at the server that `endpoint=` (else AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL)
    /// names.
    pub(super) fn of_s3(
        location: &ServiceLocation,
        connection: &Connection,
        http: &Http,
    ) -> Result<Self> {
        let access = &connection.access;
        let variables = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];
        let of_environment = || variables.iter().find_map(|name| access.get(name));
        let endpoint = match location.option("endpoint") {
            Some(endpoint) => Some(endpoint.to_owned()),
            None => of_environment().map(|endpoint| endpoint.to_string()),
        };
        let endpoint = endpoint.map(|text| checked_endpoint(&text)).transpose()?;
        let credentials = Credentials::of_aws(location, connection)?;
        let name = location.authority.clone();
        let given = location.option("region").map(str::to_owned);
        let given = given.or_else(|| region::configured(access, credentials.profile()));
        let region = match (given, &endpoint) {
            (Some(region), _) => region,
            (None, Some(endpoint)) => region::of_endpoint(endpoint),
            (None, None) => region::find(&name, http)?,
        };
        let is_aws = endpoint.as_deref().is_none_or(|url| host(url).ends_with(".amazonaws.com"));
        // No certificate is for names with more dots.
        let usual = is_aws && !name.contains('.');
        let is_virtual_host = location.flag("path_style")?.map_or(usual, |path_style| !path_style);
        let endpoint = endpoint.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        let root = location.path.clone();
        Ok(Self { name, root, endpoint, region, is_virtual_host, credentials })
    }

    /// At Backblaze B2, by its S3 endpoint.
    pub(super) fn of_b2(
        location: &ServiceLocation,
        connection: &Connection,
        _: &Http,
    ) -> Result<Self> {
        let endpoint = location.option("endpoint").map(checked_endpoint).transpose()?;
        let region = match (location.option("region"), &endpoint) {
            (Some(region), _) => region.to_owned(),
            (None, Some(endpoint)) => region::of_endpoint(endpoint),
            (None, None) => {
                return Err(Error::usage_hint(
                    "a `b2` location needs the region of the bucket",
                    "it is the second word of the endpoint that B2 shows for the bucket: \
                     `s3.us-west-004.backblazeb2.com` is `region=us-west-004`",
                ));
            }
        };
        let endpoint = endpoint.unwrap_or_else(|| format!("https://s3.{region}.backblazeb2.com"));
        Ok(Self {
            name: location.authority.clone(),
            root: location.path.clone(),
            endpoint,
            region,
            is_virtual_host: location.flag("path_style")?.is_some_and(|path_style| !path_style),
            credentials: Credentials::of_b2(connection)?,
        })
    }
}

/// An endpoint with its scheme: TLS, unless it says otherwise.
fn checked_endpoint(text: &str) -> Result<String> {
    let text = text.trim_end_matches('/');
    let with_scheme = match text.split_once("://") {
        None => format!("https://{text}"),
        Some(("http" | "https", _)) => text.to_owned(),
        Some(_) => String::new(),
    };
    let is_host = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    let is_good = !host(&with_scheme).is_empty() && host(&with_scheme).chars().all(is_host);
    match is_good {
        true => Ok(with_scheme),
        false => Err(Error::usage_hint(
            "the endpoint of this location is no address of a server",
            "write it like `endpoint=https://s3.example.com` or `endpoint=http://127.0.0.1:9000`",
        )),
    }
}

/// Host and port of a URL.
pub(super) fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default()
}
