//! What a tree holds, as plain data: the one form in which live folders and snapshots are compared.

use std::collections::BTreeMap;

use larder::model::{FileKind, Time, Xattr, escape_bytes};

/// All that a backup has to keep of one entry. Not here: change time and inode number, which no
/// restore can bring back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) kind: FileKind,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) mtime: Time,
    pub(crate) body: Body,
    pub(crate) xattrs: Vec<Xattr>,
    /// The first name of its hard-link group, if that is another one.
    pub(crate) same_as: Option<Vec<u8>>,
}

/// What is in an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Nothing,
    Bytes { len: u64, hash: blake3::Hash },
    Target(Vec<u8>),
    Device(u32, u32),
}

/// A tree by path below its root, which is the empty path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TreeCopy(pub(crate) BTreeMap<Vec<u8>, Node>);

impl TreeCopy {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn get(&self, path: &[u8]) -> Option<&Node> {
        self.0.get(path)
    }

    /// Bytes of the longest path.
    pub(crate) fn longest_path(&self) -> usize {
        self.0.keys().map(Vec::len).max().unwrap_or(0)
    }

    /// What is in one and not, or otherwise, in the other.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        for (path, node) in &self.0 {
            match other.0.get(path) {
                None => found.push(format!("`{}` is missing", escape_bytes(path))),
                Some(theirs) if theirs != node => {
                    found
                        .push(format!("`{}`\n  is {theirs:?}\n  not {node:?}", escape_bytes(path)));
                }
                Some(_) => {}
            }
        }
        let more = other.0.keys().filter(|path| !self.0.contains_key(*path));
        found.extend(more.map(|path| format!("`{}` should not be there", escape_bytes(path))));
        found
    }

    /// All of it as JSON, by escaped path; bytes are hex. Owners are left out: whoever restores
    /// without root becomes the owner.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let nodes = self.0.iter().map(|(path, node)| {
            let mut value = serde_json::json!({
                "kind": node.kind.as_str(),
                "mode": format!("{:o}", node.mode),
                "mtime": format!("{}.{:09}", node.mtime.secs, node.mtime.nanos),
            });
            match &node.body {
                Body::Nothing => {}
                Body::Bytes { len, hash } => {
                    value["size"] = (*len).into();
                    value["blake3"] = hash.to_hex().as_str().into();
                }
                Body::Target(target) => value["target"] = escape_bytes(target).into(),
                Body::Device(major, minor) => value["device"] = [*major, *minor].into(),
            }
            for xattr in &node.xattrs {
                value["xattrs"][&*escape_bytes(&xattr.name)] = hex(&xattr.value).into();
            }
            if let Some(first) = &node.same_as {
                value["same_as"] = escape_bytes(first).into();
            }
            (escape_bytes(path).into_owned(), value)
        });
        serde_json::Value::Object(nodes.collect())
    }

    /// Fails, with the first differences, unless `other` is the same tree.
    #[track_caller]
    pub(crate) fn assert_same(&self, other: &Self, what: impl std::fmt::Display) {
        let found = self.differences(other);
        let shown = found.len().min(5);
        assert!(
            found.is_empty(),
            "{what}: {} differences\n{}",
            found.len(),
            found[..shown].join("\n")
        );
    }
}
