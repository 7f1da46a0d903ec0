//! From an error to what a person or a script sees of it.

use std::error::Error as _;

use serde_json::json;

use super::output::{Output, Style, to_stderr};
use crate::error::Error;

/// Prints `error` with its causes and what to try next, on standard error.
pub(crate) fn report(out: &Output, error: &Error) {
    if out.json {
        out.to_stderr(&as_json(error).to_string());
        return;
    }
    let mut text = format!("{} {error}", out.paint(Style::Error, "error:"));
    for cause in causes(error) {
        text.push_str(&format!("\n  because: {cause}"));
    }
    if let Some(hint) = error.hint() {
        text.push_str(&format!("\n{} {hint}", out.paint(Style::Hint, "hint:")));
    }
    out.to_stderr(&text);
}

fn as_json(error: &Error) -> serde_json::Value {
    json!({
        "message_type": "error",
        "code": error.exit_code(),
        "message": error.to_string(),
        "hint": error.hint(),
        "causes": causes(error),
    })
}

/// The messages below `error`, each once: many libraries repeat their source's text in their own.
fn causes(error: &Error) -> Vec<String> {
    let mut causes: Vec<String> = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if causes.last().is_none_or(|last| !last.contains(&text)) {
            causes.push(text);
        }
        next = cause.source();
    }
    causes
}

/// Ends the program for arguments that make no sense, or for `--help` and `--version`; returns
/// the exit code.
pub(crate) fn report_usage(error: &clap::Error, json: bool) -> u8 {
    let wrong = error.use_stderr();
    if json && wrong {
        let text = error.render().to_string();
        let mut lines = text.trim().lines();
        let message = lines.next().unwrap_or_default().trim_start_matches("error: ");
        let rest: Vec<&str> = lines.map(str::trim).filter(|line| !line.is_empty()).collect();
        let object = json!({
            "message_type": "error",
            "code": 2,
            "message": message,
            "hint": (!rest.is_empty()).then(|| rest.join("; ")),
            "causes": [],
        });
        to_stderr(&object.to_string());
    } else {
        // A closed terminal is nothing to fail for.
        let _ = error.print();
    }
    if wrong { 2 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_errors_have_everything() {
        let source = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let json = as_json(&Error::local("read", "/etc/shadow", source));
        assert_eq!(json["message_type"], "error");
        assert_eq!(json["code"], 1);
        assert_eq!(json["message"], "could not read `/etc/shadow`");
        assert_eq!(json["causes"][0], "permission denied");
        assert!(json["hint"].as_str().expect("a hint").contains("permissions"));
    }
}
