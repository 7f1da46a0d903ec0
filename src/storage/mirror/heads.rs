//! Whether a place has log records that another one knows nothing of.

use std::collections::HashMap;

/// The newest record of every client that a place knows of, by the names of records.
#[derive(Clone, Debug, Default)]
pub struct Heads {
    by_client: HashMap<String, (u64, String)>,
}

impl Heads {
    /// Adds a record: one that is there, or one that another record names.
    pub fn add(&mut self, name: &str) {
        let Some((client, number)) = place_in(name) else { return };
        let known = self.by_client.entry(client.into()).or_default();
        if (known.0, known.1.as_str()) < (number, name) {
            *known = (number, name.into());
        }
    }

    /// Whether this is the name of a record that came after all that is known of its client. What
    /// is older, and not there, was let go.
    pub fn is_newer(&self, name: &str) -> bool {
        let Some((client, number)) = place_in(name) else { return false };
        self.by_client.get(client).is_none_or(|(known, head)| {
            number > *known || (number == *known && name != head.as_str())
        })
    }
}

impl<S: AsRef<str>> Extend<S> for Heads {
    fn extend<I: IntoIterator<Item = S>>(&mut self, names: I) {
        names.into_iter().for_each(|name| self.add(name.as_ref()));
    }
}

/// The client and the number in a record's name.
fn place_in(name: &str) -> Option<(&str, u64)> {
    let (client, file) = name.strip_prefix("snapshots/")?.split_once('/')?;
    let (number, _) = file.split_once('-')?;
    Some((client, u64::from_str_radix(number, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_after_a_head_is_newer() {
        let mut heads = Heads::default();
        heads.extend(["snapshots/aa/00000002-x", "snapshots/aa/00000001-y", "index/z"]);
        for (name, is_newer) in [
            ("snapshots/aa/00000001-other", false),
            ("snapshots/aa/00000002-x", false),
            ("snapshots/aa/00000002-w", true),
            ("snapshots/aa/00000003-x", true),
            ("snapshots/bb/00000001-x", true),
            ("index/a", false),
        ] {
            assert_eq!(heads.is_newer(name), is_newer, "{name}");
        }
    }
}
