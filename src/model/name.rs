//! Names of any bytes as text: what is not valid UTF-8, and `%`, is written `%XX`.

use std::borrow::Cow;

/// Writes raw name bytes as text that [`unescape`] turns back into the same bytes. Control
/// characters are escaped too, so a hostile name cannot move a terminal's cursor.
pub fn escape_bytes(mut bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes)
        && !text.chars().any(needs_escape)
    {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(bytes.len() + 8);
    while !bytes.is_empty() {
        let (valid, invalid_len) = match std::str::from_utf8(bytes) {
            Ok(text) => (text, 0),
            Err(error) => {
                let (valid, rest) = bytes.split_at(error.valid_up_to());
                let text = std::str::from_utf8(valid).unwrap_or_default();
                (text, error.error_len().unwrap_or(rest.len()))
            }
        };
        for c in valid.chars() {
            if needs_escape(c) {
                push_escaped(&mut out, c.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                out.push(c);
            }
        }
        let (bad, rest) = bytes[valid.len()..].split_at(invalid_len);
        push_escaped(&mut out, bad);
        bytes = rest;
    }
    Cow::Owned(out)
}

/// Turns text written by [`escape_bytes`] back into bytes. A `%` that is not followed by two hex
/// digits stands for itself.
pub fn unescape(text: &str) -> Vec<u8> {
    unescape_bytes(text.as_bytes())
}

/// As [`unescape`], for text in which some bytes may stand as they are.
pub fn unescape_bytes(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digit = |i: usize| bytes.get(i).and_then(|b| char::from(*b).to_digit(16));
        if bytes[at] == b'%'
            && let (Some(high), Some(low)) = (digit(at + 1), digit(at + 2))
        {
            out.push((high * 16 + low) as u8);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    out
}

fn needs_escape(c: char) -> bool {
    // The bidirectional overrides would show a name in another order than it has.
    c == '%' || c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn push_escaped(out: &mut String, bytes: &[u8]) {
    use std::fmt::Write;
    for byte in bytes {
        let _ = write!(out, "%{byte:02X}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_names_stay() {
        assert_eq!(escape_bytes("größe/a b".as_bytes()), "größe/a b");
        assert_eq!(escape_bytes(b"50%\xff\n"), "50%25%FF%0A");
    }

    proptest! {
        #[test]
        fn every_name_comes_back(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert_eq!(unescape(&escape_bytes(&bytes)), bytes);
        }
    }
}
