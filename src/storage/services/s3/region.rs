//! Which region a bucket is in: part of every signature.

use std::path::{Path, PathBuf};

use super::bucket::host;
use crate::error::{Error, Result};
use crate::storage::Access;
use crate::storage::http::Http;

/// What servers of one's own call theirs.
const USUAL: &str = "us-east-1";

/// What the environment says, else the files in ~/.aws.
pub(super) fn configured(access: &Access, profile: Option<&str>) -> Option<String> {
    let variables = ["AWS_REGION", "AWS_DEFAULT_REGION"];
    let variable = variables.iter().find_map(|name| access.get(name));
    let of_file = || {
        if access.is_of_set() {
            return None;
        }
        let path = match access.get("AWS_CONFIG_FILE") {
            Some(path) => PathBuf::from(path.as_str()),
            None => Path::new(access.get("HOME")?.as_str()).join(".aws/config"),
        };
        let text = std::fs::read_to_string(path).ok()?;
        let named = access.get("AWS_PROFILE");
        let profile = profile.or(named.as_ref().map(|name| name.as_str())).unwrap_or("default");
        of_profile(&text, profile)
    };
    // An explicit profile goes before what the environment says for all.
    let variable = variable.map(|region| region.to_string());
    if profile.is_some() { of_file().or(variable) } else { variable.or_else(of_file) }
}

/// `region` in a section `[profile NAME]`, or `[default]`.
fn of_profile(text: &str, profile: &str) -> Option<String> {
    let mut is_inside = false;
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            let name = section.trim().strip_prefix("profile ").unwrap_or(section).trim();
            is_inside = name == profile;
        } else if is_inside
            && let Some((key, value)) = line.split_once('=')
            && key.trim() == "region"
        {
            return Some(value.trim().to_owned());
        }
    }
    None
}

/// What an endpoint says about it: many have it in their names.
pub(super) fn of_endpoint(url: &str) -> String {
    let host = host(url).split(':').next().unwrap_or_default();
    let words: Vec<_> = host.split('.').collect();
    match words.as_slice() {
        [.., "r2", "cloudflarestorage", "com"] => "auto",
        // `s3.eu-west-1.amazonaws.com`, `s3.us-west-004.backblazeb2.com`, `s3.fr-par.scw.cloud`
        ["s3", region, ..] if words.len() > 3 && region.contains('-') => region,
        _ => USUAL,
    }
    .into()
}

/// Asks AWS where a bucket is: it tells everybody.
pub(super) fn find(bucket: &str, http: &Http) -> Result<String> {
    let unknown = |why: &str| {
        Error::usage_hint(
            format!("the region of the bucket `{bucket}` is not known: {why}"),
            "write it into the location (`region=eu-central-1`), or set AWS_REGION; a server that \
             is not AWS needs `endpoint=`",
        )
    };
    let url = format!("https://s3.amazonaws.com/{bucket}");
    let headers = http.look(&url).map_err(|what| unknown(&what))?;
    let region = headers.get("x-amz-bucket-region").and_then(|region| region.to_str().ok());
    region.map(str::to_owned).ok_or_else(|| unknown("AWS knows no such bucket"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_endpoints_name_regions() {
        let text =
            "[default]\nregion = eu-west-1\n[profile other]\noutput=json\nregion=ap-east-1\n";
        assert_eq!(of_profile(text, "default").as_deref(), Some("eu-west-1"));
        assert_eq!(of_profile(text, "other").as_deref(), Some("ap-east-1"));
        assert_eq!(of_profile(text, "none"), None);
        for (url, region) in [
            ("https://s3.eu-west-3.amazonaws.com", "eu-west-3"),
            ("https://s3.us-west-004.backblazeb2.com", "us-west-004"),
            ("https://abc.r2.cloudflarestorage.com", "auto"),
            ("http://127.0.0.1:9000", USUAL),
            ("https://s3.example.com", USUAL),
            ("https://s3.my-company.com", USUAL),
        ] {
            assert_eq!(of_endpoint(url), region, "{url}");
        }
    }
}
