//! S3: AWS and everything that speaks its protocol, Backblaze B2 among them.

mod answers;
mod bucket;
mod credentials;
mod extras;
mod region;
mod signed;
mod storage;

use std::sync::Arc;

use opendal::{Operator, services};

use self::bucket::Bucket;
use self::extras::Extras;
use self::signed::Requests;
use self::storage::S3Storage;
use super::ServiceLocation;
use crate::error::{Error, Result};
use crate::storage::archive::is_archive_class;
use crate::storage::http::Http;
use crate::storage::{Connection, OpendalStorage, SharedStorage};

/// What a location may say.
const OPTIONS: &[&str] = &[
    "endpoint",
    "region",
    "path_style",
    "profile",
    "role_arn",
    "anonymous",
    "storage_class",
    "data_class",
    "checksum",
    "encryption",
    "kms_key",
    "part_size",
];

/// What a location at B2 may say.
const B2_OPTIONS: &[&str] = &["region", "endpoint", "path_style", "part_size"];

/// How many requests at once make sense: each waits for a network, and one connection rarely
/// fills it.
const CONCURRENCY: usize = 12;

/// What S3 takes as a part.
const PART_LENS: std::ops::RangeInclusive<u64> = 5 << 20..=5 << 30;

/// `s3://bucket/prefix`.
pub(super) fn connect(
    location: &ServiceLocation,
    connection: &Connection,
) -> Result<SharedStorage> {
    location.check_options(OPTIONS)?;
    open(location, connection, Bucket::of_s3)
}

/// `b2://bucket/prefix`.
pub(super) fn connect_b2(
    location: &ServiceLocation,
    connection: &Connection,
) -> Result<SharedStorage> {
    location.check_options(B2_OPTIONS)?;
    open(location, connection, Bucket::of_b2)
}

fn open(
    location: &ServiceLocation,
    connection: &Connection,
    find: fn(&ServiceLocation, &Connection, &Http) -> Result<Bucket>,
) -> Result<SharedStorage> {
    let http = Http::new(connection)?;
    let bucket = find(location, connection, &http)?;
    let part_len = location.part_len(PART_LENS)?;
    let operator = operator(location, &bucket, &http, storage_class(location)?)?;
    let shown = location.to_string();
    let over = |operator| {
        let storage = OpendalStorage::new(operator, shown.clone(), CONCURRENCY);
        storage.over_http(http.clone()).in_parts(part_len)
    };
    let data_class = location.option("data_class");
    let packs = data_class.map(|class| self::operator(location, &bucket, &http, class));
    let extras = Requests::new(&bucket, &http, shown.clone())
        .map(|requests| Extras::new(requests, shown.clone(), data_class));
    Ok(Arc::new(S3Storage::new(over(operator), packs.transpose()?.map(over), extras)))
}

/// The storage class of everything that is no pack of data.
fn storage_class(location: &ServiceLocation) -> Result<&str> {
    let class = location.option("storage_class").unwrap_or_default();
    match is_archive_class(class) {
        false => Ok(class),
        true => Err(Error::usage_hint(
            format!(
                "objects in `{class}` cannot be read at once, and a repository has some that must be"
            ),
            format!("write `data_class={class}`: packs of data alone get that class then"),
        )),
    }
}

fn operator(
    location: &ServiceLocation,
    bucket: &Bucket,
    http: &Http,
    class: &str,
) -> Result<Operator> {
    let mut service = services::S3::default()
        .bucket(&bucket.name)
        .endpoint(&bucket.endpoint)
        .region(&bucket.region)
        .root(&format!("/{}", bucket.root))
        .default_storage_class(class);
    if bucket.is_virtual_host {
        service = service.enable_virtual_host_style();
    }
    service = match bucket.credentials.chain(&bucket.region, http) {
        Some(chain) => service.credential_provider_chain(chain),
        None => service.skip_signature(),
    };
    match location.option("checksum") {
        None | Some("none") => {}
        Some(known @ ("crc32c" | "md5")) => service = service.checksum_algorithm(known),
        Some(other) => {
            return Err(Error::usage_hint(
                format!("`{other}` is no checksum of uploads"),
                "write `checksum=crc32c`, `checksum=md5` or `checksum=none`",
            ));
        }
    }
    match location.option("encryption") {
        None => {}
        Some("s3") => service = service.server_side_encryption_with_s3_key(),
        Some("kms") => {
            service = match location.option("kms_key") {
                Some(key) => service.server_side_encryption_with_customer_managed_kms_key(key),
                None => service.server_side_encryption_with_aws_managed_kms_key(),
            };
        }
        Some(other) => {
            return Err(Error::usage_hint(
                format!("`{other}` is no encryption by the service"),
                "write `encryption=s3` or `encryption=kms`",
            ));
        }
    }
    Operator::new(service.disable_config_load())
        .map_err(|error| Error::usage(format!("could not open `{location}`: {}", error.message())))
}

#[cfg(test)]
mod tests;
