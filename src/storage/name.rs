//! Which names objects may have.
//!
//! Every implementation checks names before it uses them, so that no name, wherever it came from,
//! can reach outside the repository: no `..`, no absolute path, no control character, nothing that
//! one service writes differently from another.

/// The longest name, in bytes.
pub const NAME_LEN_MAX: usize = 200;

/// The folder for unfinished writes on storage made of files. No object may live there.
pub const TMP_FOLDER: &str = "tmp";

/// Checks the name of an object.
///
/// # Errors
/// What is wrong with it, in words.
pub fn check_name(name: &str) -> Result<(), String> {
    check_components(name)
}

/// Checks the folder given to a listing: `""`, or components that end in `/`.
///
/// # Errors
/// What is wrong with it, in words.
pub fn check_prefix(prefix: &str) -> Result<(), String> {
    match prefix.strip_suffix('/') {
        None if prefix.is_empty() => Ok(()),
        None => Err("a folder to list ends in `/`".into()),
        Some(folder) => check_components(folder),
    }
}

fn check_components(name: &str) -> Result<(), String> {
    if name.len() > NAME_LEN_MAX {
        return Err(format!("its name has {} bytes, {NAME_LEN_MAX} are allowed", name.len()));
    }
    if !name.split('/').all(|component| is_component(component.as_bytes())) {
        return Err("names are made of `a-z`, `0-9`, `.`, `_`, `-` and `/` between them".into());
    }
    match name.split('/').next() {
        Some(TMP_FOLDER) => Err(format!("`{TMP_FOLDER}/` is kept for unfinished writes")),
        _ => Ok(()),
    }
}

/// Whether this is one component of an object's name.
pub(crate) fn is_component(component: &[u8]) -> bool {
    !matches!(component, b"" | b"." | b"..")
        && component.iter().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
}

/// Whether a listing may take this for one component of an object's name. Where NFS removes a
/// file that somebody still reads, it stays as `.nfs` and a number until they are done.
pub(crate) fn is_object_component(component: &[u8]) -> bool {
    let number = component.strip_prefix(b".nfs");
    let is_left_by_nfs =
        number.is_some_and(|n| n.len() >= 8 && n.iter().all(u8::is_ascii_hexdigit));
    is_component(component) && !is_left_by_nfs
}

/// Splits a name into its folder (`""` at the top) and its last component.
pub(crate) fn split_folder(name: &str) -> (&str, &str) {
    name.rsplit_once('/').unwrap_or(("", name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nfs_leaves_behind_is_no_object() {
        for not in [".nfs00000000045c1f2100000001", ".nfs0123abcd", "A", ".."] {
            assert!(!is_object_component(not.as_bytes()), "{not}");
        }
        for object in [".nfs", ".nfs1", ".nfsroot0", "nfs0123abcd", "..."] {
            assert!(is_object_component(object.as_bytes()), "{object}");
        }
    }

    #[test]
    fn only_plain_relative_names_pass() {
        for good in ["repo", "data/0f/abc", "snapshots/ab-c/1_2.end", "a.b", "tmpx/a", "a/tmp"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        let long = "a".repeat(NAME_LEN_MAX + 1);
        let bad = [
            "", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", "A", "a b", "a\\b",
            "ä", "a\0", "a\n", "tmp", "tmp/x", &long,
        ];
        for bad in bad {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        for good in ["", "data/", "data/0f/"] {
            assert_eq!(check_prefix(good), Ok(()), "{good}");
        }
        for bad in ["data", "/", "../", "data//", "tmp/", "A/"] {
            assert!(check_prefix(bad).is_err(), "{bad:?}");
        }
    }
}
