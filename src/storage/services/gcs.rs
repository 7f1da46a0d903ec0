//! `gcs://bucket/prefix`: Google Cloud Storage.

use std::path::Path;
use std::sync::Arc;

use opendal::{Operator, services};

use super::{ServiceLocation, readable};
use crate::error::{Error, Result};
use crate::storage::http::Http;
use crate::storage::{Access, Connection, OpendalStorage, SharedStorage};

const OPTIONS: &[&str] =
    &["endpoint", "unsigned", "credential_path", "storage_class", "part_size", readable::OPTION];

/// How many requests at once make sense: each waits for a network.
const CONCURRENCY: usize = 12;

/// What its multipart uploads take.
const PART_LENS: std::ops::RangeInclusive<u64> = 5 << 20..=5 << 30;

/// See [`Connect`](super::Connect).
pub(super) fn connect(
    location: &ServiceLocation,
    connection: &Connection,
) -> Result<SharedStorage> {
    location.check_options(OPTIONS)?;
    let part_len = location.part_len(PART_LENS)?;
    let mut builder = services::Gcs::default()
        .bucket(&location.authority)
        .root(&format!("/{}", location.path))
        .default_storage_class(location.option("storage_class").unwrap_or_default());
    if let Some(endpoint) = location.option("endpoint") {
        builder = builder.endpoint(endpoint.trim_end_matches('/'));
    }
    builder = match Credentials::of(location, &connection.access)? {
        Credentials::None => builder.skip_signature().disable_config_load().disable_vm_metadata(),
        Credentials::File(path) => {
            builder.credential_path(&path).disable_config_load().disable_vm_metadata()
        }
        Credentials::Token(token) => {
            builder.token(token).disable_config_load().disable_vm_metadata()
        }
        Credentials::Machine => builder,
    };
    let operator = Operator::new(builder).map_err(|error| {
        Error::usage(format!("could not open `{location}`: {}", error.message()))
    })?;
    let storage = OpendalStorage::new(operator, location.to_string(), CONCURRENCY);
    Ok(Arc::new(storage.over_http(Http::new(connection)?).in_parts(part_len)))
}

/// How to be let in.
#[derive(Debug, PartialEq, Eq)]
enum Credentials {
    /// Not at all: an emulator, or a public bucket that is only read.
    None,
    /// The file of a service account, or of a workload identity.
    File(String),
    /// A token that somebody got elsewhere; it lasts an hour.
    Token(String),
    /// What `gcloud` has written down, or the service account of the machine.
    Machine,
}

impl Credentials {
    fn of(location: &ServiceLocation, access: &Access) -> Result<Self> {
        if location.flag("unsigned")? == Some(true) {
            return Ok(Self::None);
        }
        // Whatever lets us in, requests carry a token for it.
        let endpoint = location.option("endpoint").unwrap_or_default();
        readable::refuse(location, endpoint, "token")?;
        let file = location
            .option("credential_path")
            .map(str::to_owned)
            .or_else(|| access.get("GOOGLE_APPLICATION_CREDENTIALS").map(|path| path.to_string()));
        if let Some(file) = file {
            // Noticed here: the library would look for other credentials.
            std::fs::File::open(&file).map_err(|error| {
                Error::local("read the credentials in", Path::new(&file), error)
            })?;
            return Ok(Self::File(file));
        }
        if let Some(token) = access.get("GOOGLE_OAUTH_ACCESS_TOKEN") {
            return Ok(Self::Token(token.to_string()));
        }
        if access.is_of_set() {
            return Err(Error::usage_hint(
                format!("no credentials were found for `{location}`"),
                format!(
                    "set {} to the file of a service account",
                    access.variable("GOOGLE_APPLICATION_CREDENTIALS")
                ),
            ));
        }
        Ok(Self::Machine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::services::find;

    fn credentials(rest: &str, given: &[(&str, &str)]) -> Result<Credentials> {
        let location = ServiceLocation::parse(find("gcs").unwrap(), rest)?;
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let access = Access::default().and_set("test", given).of_set("test");
        Credentials::of(&location, &access)
    }

    #[test]
    fn nothing_is_sent_unsigned_unless_it_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("account.json");
        std::fs::write(&file, "{}").unwrap();
        let file = file.to_str().unwrap();
        let named = [("GOOGLE_APPLICATION_CREDENTIALS", file)];
        assert_eq!(credentials("b/x", &named).unwrap(), Credentials::File(file.into()));
        let option = format!("b/x?credential_path={file}");
        assert_eq!(credentials(&option, &[]).unwrap(), Credentials::File(file.into()));
        assert_eq!(credentials("b?unsigned=true", &named).unwrap(), Credentials::None);
        let token = [("GOOGLE_OAUTH_ACCESS_TOKEN", "ya29")];
        assert_eq!(credentials("b", &token).unwrap(), Credentials::Token("ya29".into()));

        let error = credentials("b?endpoint=http://10.0.0.1:4443", &token).unwrap_err();
        assert!(error.to_string().contains("readable"), "{error}");
        for option in ["endpoint=http://127.0.0.1:4443", "endpoint=http://h&insecure=true"] {
            credentials(&format!("b?{option}"), &token).unwrap();
        }

        let error = credentials("b", &[]).unwrap_err();
        assert!(error.hint().unwrap().contains("LARDER_TEST_GOOGLE_APPLICATION_CREDENTIALS"));
        let error = credentials("b?credential_path=/nowhere/x.json", &[]).unwrap_err();
        assert!(error.to_string().contains("/nowhere/x.json"), "{error}");
    }
}
