//! Words of commands that people copy.

/// `word` as a shell takes it: in quotes where it needs them.
pub fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@,=~%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) && !word.starts_with('~') {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quoted("/mnt/disk/backup"), "/mnt/disk/backup");
        assert_eq!(quoted("/mnt/my disk"), "'/mnt/my disk'");
        assert_eq!(quoted("a'b"), r"'a'\''b'");
        assert_eq!(quoted("s3://box/x?region=eu"), "'s3://box/x?region=eu'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("~ann"), "'~ann'");
    }
}
