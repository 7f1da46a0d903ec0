//! From names in archives to paths in snapshots: what a hostile name could do is refused here.

use crate::tree::clean_path;

/// Bytes of a component: more than any file system takes.
const COMPONENT_MAX: usize = 255;
/// Bytes of a path (`PATH_MAX` without its zero).
const PATH_MAX: usize = 4095;

/// The path of a member below `root`: `/` in front and at the end, empty and `.` components mean
/// nothing. The empty name is the root itself.
///
/// # Errors
/// Why there can be no such path, in words.
pub(super) fn member_path(name: &[u8], root: &[u8]) -> Result<Vec<u8>, &'static str> {
    if name.contains(&0) {
        return Err("its name has a zero byte in it");
    }
    if name.split(|byte| *byte == b'/').any(|part| part == b"..") {
        return Err("its name leads out of the archive (`..`)");
    }
    let mut path = clean_path(name);
    if !root.is_empty() {
        path = if path.is_empty() { root.to_vec() } else { [root, b"/", &path].concat() };
    }
    let is_long = |part: &[u8]| part.len() > COMPONENT_MAX;
    if path.len() > PATH_MAX || path.split(|byte| *byte == b'/').any(is_long) {
        return Err("its name is longer than any file system takes");
    }
    Ok(path)
}

/// Whether a symbolic link may have this target. Where it leads does not matter: nothing is ever
/// written through it.
///
/// # Errors
/// Why it cannot, in words.
pub(super) fn check_target(target: &[u8]) -> Result<(), &'static str> {
    match target {
        [] => Err("it is a symbolic link to nothing"),
        target if target.contains(&0) => Err("its target has a zero byte in it"),
        target if target.len() > PATH_MAX => Err("its target is longer than any file system takes"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_paths_below_the_root() {
        let path = |name: &[u8]| member_path(name, b"");
        assert_eq!(path(b"/etc//passwd/"), Ok(b"etc/passwd".to_vec()));
        assert_eq!(path(b"./a/./b"), Ok(b"a/b".to_vec()));
        assert_eq!(path(b"./"), Ok(Vec::new()));
        assert_eq!(path(b"a..b/..c"), Ok(b"a..b/..c".to_vec()));
        assert_eq!(member_path(b"./", b"home/ann"), Ok(b"home/ann".to_vec()));
        assert_eq!(member_path(b"/x", b"home/ann"), Ok(b"home/ann/x".to_vec()));
    }

    #[test]
    fn names_that_lead_astray_are_refused() {
        for name in [&b".."[..], b"../a", b"a/../../b", b"a/..", b"/..", b"a\0b"] {
            assert!(member_path(name, b"x").is_err(), "{name:?}");
        }
        assert!(member_path(&[b'n'; 256], b"").is_err());
        assert!(member_path(&b"12345678/".repeat(500), b"").is_err());
        assert!(member_path(&[b'n'; 255], b"").is_ok());
        assert!(check_target(b"../../etc/passwd").is_ok());
        assert!(check_target(b"").is_err() && check_target(&[b'a'; 5000]).is_err());
    }
}
