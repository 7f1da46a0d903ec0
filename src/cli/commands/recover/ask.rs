//! What is asked on the terminal, where there is one.

use std::io::{BufRead, IsTerminal};

use crate::cli::output::Output;
use crate::cli::signals;
use crate::error::{Error, Result};

/// Whether somebody can be asked.
pub(super) fn can_ask(out: &Output) -> bool {
    !out.json && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks for a line of text; `None` if there is no more.
pub(super) fn line(question: &str, out: &Output) -> Result<Option<String>> {
    out.flush()?;
    out.prompt(question);
    let mut text = String::new();
    let read = signals::while_prompting(|| std::io::stdin().lock().read_line(&mut text));
    let len = read.map_err(|error| Error::local("read", "the terminal", error))?;
    let text = text.trim().to_owned();
    Ok((len > 0 && !text.is_empty()).then_some(text))
}

/// Asks whether to go on.
///
/// # Errors
/// [`Error::Cancelled`] if not.
pub(super) fn confirm(question: &str, out: &Output) -> Result<()> {
    match line(&format!("{question} [y/N] "), out)?.as_deref() {
        Some("y" | "Y" | "yes" | "Yes") => Ok(()),
        _ => Err(Error::Cancelled { signal: None }),
    }
}
