//! What follows the `?` of a location.

use std::ops::RangeInclusive;

use super::ServiceLocation;
use crate::error::{Error, Result};

/// What every kind takes; `credentials` is set aside when the location is read.
const COMMON: &[&str] = &["concurrency", "credentials"];

/// Objects longer than this go in parts, several at once; below it a whole is as fast, and one
/// request instead of many.
const PART_LEN: usize = 64 << 20;

/// Reads the options of a location: `key=value`, joined by `&`, with `%XX` for bytes that would
/// not be read as they are.
pub(super) fn parse(query: &str) -> Result<Vec<(String, String)>> {
    let mut options: Vec<(String, String)> = Vec::new();
    for option in query.split('&').filter(|option| !option.is_empty()) {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        let value = decode(value).ok_or_else(|| {
            Error::usage_hint(
                format!("the value of the option `{key}` is not written well"),
                "after a `%` come two hexadecimal digits; a `%` itself is `%25`",
            )
        })?;
        if options.iter().any(|(known, _)| known == key) {
            return Err(Error::usage(format!("the option `{key}` stands twice in the location")));
        }
        options.push((key.into(), value));
    }
    Ok(options)
}

/// The value of an option as it stands in a location.
pub(super) fn encode(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '%' | '&' | ' ' => encoded.push_str(&format!("%{:02X}", u32::from(c))),
            c => encoded.push(c),
        }
    }
    encoded
}

/// Replaces `%XX`; a `+` is a plus. `None` for half a `%XX` and for what is not text.
pub(super) fn decode(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok()?;
        let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        bytes.push(is_hex.then(|| u8::from_str_radix(digits, 16).ok())??);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

impl ServiceLocation {
    /// The value of an option; `None` if it is not given or empty.
    pub(in crate::storage) fn option(&self, key: &str) -> Option<&str> {
        let found = self.options.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// An option that is `true` or `false`.
    ///
    /// # Errors
    /// [`Error::Usage`] for any other value.
    pub(in crate::storage) fn flag(&self, key: &str) -> Result<Option<bool>> {
        match self.option(key) {
            None => Ok(None),
            Some("true" | "yes" | "1") => Ok(Some(true)),
            Some("false" | "no" | "0") => Ok(Some(false)),
            Some(other) => Err(Error::usage_hint(
                format!("the option `{key}` of `{}` cannot be `{other}`", self.scheme),
                format!("write `{key}=true` or `{key}=false`"),
            )),
        }
    }

    /// The option `part_size`: from which length on an object goes in parts, of that length.
    ///
    /// # Errors
    /// [`Error::Usage`] if the service takes no such parts.
    pub(in crate::storage) fn part_len(&self, allowed: RangeInclusive<u64>) -> Result<usize> {
        let Some(text) = self.option("part_size") else { return Ok(PART_LEN) };
        let len = crate::model::parse_bytes(text).ok().filter(|len| allowed.contains(len));
        let len = len.ok_or_else(|| {
            let [from, to] = [allowed.start() >> 20, allowed.end() >> 20];
            Error::usage_hint(
                format!("`{text}` is no length of a part"),
                format!(
                    "`{}` takes parts from {from}M to {to}M; write `part_size=64M`",
                    self.scheme
                ),
            )
        })?;
        usize::try_from(len).map_err(|_| Error::usage("a part that long does not fit into memory"))
    }

    /// Refuses options that this kind of service does not know: a misspelled one would be
    /// ignored, and nobody would notice.
    ///
    /// # Errors
    /// [`Error::Usage`], naming those it knows.
    pub(in crate::storage) fn check_options(&self, known: &[&str]) -> Result<()> {
        let is_known = |key: &str| known.contains(&key) || COMMON.contains(&key);
        let Some((key, _)) = self.options.iter().find(|(key, _)| !is_known(key)) else {
            return Ok(());
        };
        let all: Vec<_> = known.iter().chain(COMMON).map(|key| format!("`{key}`")).collect();
        Err(Error::usage_hint(
            format!("`{}` locations have no option `{key}`", self.scheme),
            format!("they have {}", all.join(", ")),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::services::find;

    fn location(rest: &str) -> Result<ServiceLocation> {
        ServiceLocation::parse(find("s3").expect("is known"), rest)
    }

    #[test]
    fn values_are_decoded_and_written_back() {
        let text = "bucket/a%20b?endpoint=http://h:1/x+y&region=a%25b%26c%20d&path_style=";
        let location = location(text).expect("parses");
        assert_eq!(location.path, "a%20b", "names are taken as they are");
        assert_eq!(location.option("endpoint"), Some("http://h:1/x+y"));
        assert_eq!(location.option("region"), Some("a%b&c d"));
        assert_eq!(location.option("path_style"), None);
        assert_eq!(location.option("nothing"), None);
        assert_eq!(location.to_string(), format!("s3://{text}"));
        location.check_options(&["region", "endpoint", "path_style"]).expect("all are known");
    }

    #[test]
    fn what_nobody_would_read_is_refused() {
        for wrong in ["b?region=%2", "b?region=%+1", "b?region=%ff", "b?a=1&b=2&a=1"] {
            assert!(matches!(location(wrong), Err(Error::Usage { .. })), "{wrong}");
        }
        let misspelled = location("b?regoin=x").expect("parses");
        let error = misspelled.check_options(&["region"]).expect_err("is unknown");
        let hint = error.hint().expect("names the others");
        assert!(error.to_string().contains("`regoin`") && hint.contains("`region`"), "{hint}");
        assert_eq!(location("b?path_style=no").unwrap().flag("path_style").unwrap(), Some(false));
        assert!(location("b?path_style=maybe").unwrap().flag("path_style").is_err());
    }
}
