//! Content of files on a terminal: what could steer it is shown instead.

use std::fmt::Write;

/// Text as people may look at it: `^[` for an escape character, `^M`, `<FF>` for a byte that is no
/// UTF-8, `<U+202E>` for what would turn the order of letters. Tabs stay.
pub(crate) fn visible(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\t' => out.push('\t'),
                '\0'..='\x1f' => out.extend(['^', char::from(c as u8 + b'@')]),
                '\x7f' => out.push_str("^?"),
                '\u{80}'..='\u{9f}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}' => {
                    let _ = write!(out, "<U+{:04X}>", c as u32);
                }
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "<{byte:02X}>");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_steers_a_terminal_is_shown() {
        assert_eq!(visible(b"\x1b[2J\x07 plain\tgr\xc3\xb6\xc3\x9fe"), "^[[2J^G plain\tgröße");
        assert_eq!(visible(b"\x9b31m \xc2\x9b \x7f\r"), "<9B>31m <U+009B> ^?^M");
        assert_eq!(visible("\u{202e}txt".as_bytes()), "<U+202E>txt");
    }

    proptest! {
        #[test]
        fn nothing_that_steers_comes_through(bytes in proptest::collection::vec(any::<u8>(), 0..99)) {
            prop_assert!(!visible(&bytes).chars().any(|c| c.is_control() && c != '\t'));
        }
    }
}
