//! The order of paths.

use std::cmp::Ordering;

/// Compares manifest paths component by component: as bytes, with `/` below every other byte, so
/// that a directory is followed by its whole subtree (SPEC.md, "Order of entries").
pub fn compare_paths(a: &[u8], b: &[u8]) -> Ordering {
    let differ = a.iter().zip(b).find(|(a, b)| a != b);
    match differ {
        // No name holds a NUL, so it may stand for the separator.
        Some((a, b)) => rank(*a).cmp(&rank(*b)),
        None => a.len().cmp(&b.len()),
    }
}

fn rank(byte: u8) -> u8 {
    if byte == b'/' { 0 } else { byte }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_subtree_comes_before_its_directorys_next_sibling() {
        let mut paths = vec!["a.b", "a-b", "a/b", "a", "", "a/b/c", "a/b-c"];
        paths.sort_by(|a, b| compare_paths(a.as_bytes(), b.as_bytes()));
        assert_eq!(paths, ["", "a", "a/b", "a/b/c", "a/b-c", "a-b", "a.b"]);
    }

    proptest! {
        #[test]
        fn comparing_equals_comparing_components(a in "[a/.\u{1}-]{0,8}", b in "[a/.\u{1}-]{0,8}") {
            let components = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
            // The root, which has no component, comes before everything.
            let expected = match (a.is_empty(), b.is_empty()) {
                (true, _) | (_, true) => a.len().cmp(&b.len()),
                _ => components(&a).cmp(&components(&b)),
            };
            prop_assert_eq!(compare_paths(a.as_bytes(), b.as_bytes()), expected);
        }
    }
}
