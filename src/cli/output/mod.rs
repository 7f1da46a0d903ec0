//! What the program says: results on standard output, everything about the run on standard error.
//!
//! Text for people, or with `--json` one JSON object per line. Nothing here knows the engine; the
//! commands decide what to say, this module where it goes and what it looks like.

mod human;
pub(crate) mod progress;
mod table;
mod visible;

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::Arc;

use indicatif::MultiProgress;
use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::storage::{RequestCounter, StorageUse};

pub(crate) use human::{count, iso_ms, iso_ns, local_ms, local_ns, plural, ratio};
pub(crate) use table::{Align, Table};
pub(crate) use visible::visible;

/// The type of the message that ends a run.
const SUMMARY: &str = "summary";

/// Stands for standard output in errors.
const STDOUT_NAME: &str = "standard output";

/// Standard output without the line buffer of the standard library, which would cut `dump` into
/// pieces.
type Stdout = BufWriter<Box<dyn Write + Send>>;

/// Where results and messages go, shared by the command and its progress display.
pub(crate) struct Output {
    stdout: Mutex<Stdout>,
    /// `--json`: results and messages are JSON objects.
    pub(crate) json: bool,
    /// `-q`: only results and errors.
    pub(crate) quiet: bool,
    /// `-v`: one line per file.
    pub(crate) verbose: bool,
    /// Whether people look at standard output.
    pub(crate) to_terminal: bool,
    /// Whether standard output may be coloured.
    inks: bool,
    /// Whether standard error may be coloured.
    color: bool,
    /// What the run asked of storage so far: a part of every summary.
    pub(crate) requests: Arc<RequestCounter>,
    /// The bars on the screen: whatever else is printed there goes above them.
    bars: Mutex<Option<MultiProgress>>,
}

impl Output {
    /// Colours need a terminal, no `--no-color` and no `NO_COLOR` (<https://no-color.org>).
    pub(crate) fn new(json: bool, quiet: bool, verbose: bool, no_color: bool) -> Self {
        let wanted = !no_color && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        let to_terminal = io::stdout().is_terminal();
        Self {
            to_terminal,
            inks: wanted && !json && to_terminal,
            stdout: Mutex::new(BufWriter::with_capacity(64 << 10, raw_stdout())),
            json,
            quiet,
            verbose,
            color: wanted && !json && io::stderr().is_terminal(),
            requests: Arc::default(),
            bars: Mutex::new(None),
        }
    }

    /// Writes one line of the result.
    ///
    /// # Errors
    /// [`Error::Local`] if standard output is closed or full.
    pub(crate) fn line(&self, text: impl AsRef<str>) -> Result<()> {
        let mut stdout = self.stdout.lock();
        checked(stdout.write_all(text.as_ref().as_bytes()).and_then(|()| stdout.write_all(b"\n")))
    }

    /// Writes a line of a report for people: not with `--json` or `-q`.
    pub(crate) fn note(&self, text: impl AsRef<str>) -> Result<()> {
        if self.json || self.quiet { Ok(()) } else { self.line(text) }
    }

    /// Writes one object of the result, as one line of JSON.
    pub(crate) fn object(&self, object: &impl Serialize) -> Result<()> {
        let mut stdout = self.stdout.lock();
        checked(
            serde_json::to_writer(&mut *stdout, object)
                .map_err(io::Error::from)
                .and_then(|()| stdout.write_all(b"\n")),
        )
    }

    /// Writes one object of a stream, with its `message_type` first; in a `summary`, what was asked
    /// of storage is last.
    pub(crate) fn message(
        &self,
        message_type: &'static str,
        fields: &impl Serialize,
    ) -> Result<()> {
        let storage = (message_type == SUMMARY).then(|| self.requests.used());
        self.object(&Message { message_type, fields, storage })
    }

    /// Writes raw bytes of the result.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<()> {
        checked(self.stdout.lock().write_all(bytes))
    }

    /// Standard output for a result of raw bytes. Nothing else is printed while it is held.
    pub(crate) fn writer(&self) -> MutexGuard<'_, Stdout> {
        self.stdout.lock()
    }

    /// Writes the result to `file` from now on.
    pub(crate) fn redirect(&self, file: File) {
        *self.stdout.lock() = BufWriter::with_capacity(64 << 10, Box::new(file));
    }

    /// Hands everything written so far to the system.
    pub(crate) fn flush(&self) -> Result<()> {
        checked(self.stdout.lock().flush())
    }

    /// Warns about something that is not a file of the run: one line on standard error.
    pub(crate) fn warn(&self, text: &str) {
        if self.json {
            let message = serde_json::json!({ "message_type": "warning", "message": text });
            self.to_stderr(&message.to_string());
        } else if !self.quiet {
            self.to_stderr(&format!("{} {text}", self.paint(Style::Warning, "warning:")));
        }
    }

    /// Says on standard error what is as it was asked for, and should not be forgotten.
    pub(crate) fn aside(&self, text: &str) {
        if self.json {
            let message = serde_json::json!({ "message_type": "note", "message": text });
            self.to_stderr(&message.to_string());
        } else if !self.quiet {
            self.to_stderr(&format!("note: {text}"));
        }
    }

    /// Says that the repository may not be what it should be: also with `-q`.
    pub(crate) fn alarm(&self, text: &str) {
        if self.json {
            let message = serde_json::json!({ "message_type": "history", "message": text });
            self.to_stderr(&message.to_string());
        } else {
            self.to_stderr(&format!("{} {text}", self.paint(Style::Warning, "warning:")));
        }
    }

    /// Writes one line to standard error, above the bars.
    pub(crate) fn to_stderr(&self, line: &str) {
        self.above_bars(|| to_stderr(line));
    }

    /// Writes a question to standard error, for an answer on the same line.
    pub(crate) fn prompt(&self, question: &str) {
        let _ = io::stderr().lock().write_all(question.as_bytes());
    }

    /// Prints something that may share a screen with the bars.
    pub(crate) fn above_bars(&self, print: impl FnOnce()) {
        let bars = self.bars.lock().clone();
        match bars {
            Some(bars) => bars.suspend(print),
            None => print(),
        }
    }

    /// From now on `bars` are on the screen.
    fn show_bars(&self, bars: &MultiProgress) {
        *self.bars.lock() = Some(bars.clone());
    }

    /// Takes the bars off the screen.
    fn clear_bars(&self) {
        if let Some(bars) = self.bars.lock().take() {
            let _ = bars.clear();
        }
    }

    /// `text` in the colour of `ink`, if standard output is coloured.
    pub(crate) fn ink(&self, ink: Ink, text: &str) -> String {
        if !self.inks {
            return text.to_owned();
        }
        let code = match ink {
            Ink::Name => "1",
            Ink::Place => "36",
            Ink::Added => "32",
            Ink::Removed => "31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// `text` in the colour of `style`, if standard error is coloured.
    pub(crate) fn paint(&self, style: Style, text: &str) -> String {
        if !self.color {
            return text.to_owned();
        }
        let code = match style {
            Style::Error => "1;31",
            Style::Warning => "1;33",
            Style::Hint => "1;36",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// What a coloured line of the result is. Its first letters always say it too.
#[derive(Clone, Copy)]
pub(crate) enum Ink {
    /// It names what follows.
    Name,
    /// It says where that is.
    Place,
    /// It is new.
    Added,
    /// It is gone.
    Removed,
}

/// What a coloured word says. The word itself always says it too.
#[derive(Clone, Copy)]
pub(crate) enum Style {
    /// Something failed.
    Error,
    /// Something may be wrong.
    Warning,
    /// Something to try.
    Hint,
}

#[derive(Serialize)]
struct Message<'a, T: Serialize> {
    message_type: &'static str,
    #[serde(flatten)]
    fields: &'a T,
    #[serde(skip_serializing_if = "Option::is_none")]
    storage: Option<StorageUse>,
}

fn checked(result: io::Result<()>) -> Result<()> {
    result.map_err(|error| Error::local("write", STDOUT_NAME, error))
}

fn raw_stdout() -> Box<dyn Write + Send> {
    match io::stdout().as_fd().try_clone_to_owned() {
        Ok(stdout) => Box::new(File::from(stdout)),
        Err(_) => Box::new(io::stdout()),
    }
}

/// Whether `error` says that nobody reads the output any more (`larder ls | head`).
pub(crate) fn is_broken_pipe(error: &Error) -> bool {
    matches!(error, Error::Local { action: "write", source, .. }
        if source.kind() == io::ErrorKind::BrokenPipe)
}

/// Writes one line to standard error in one piece, whatever is on the screen. A closed one is nothing to fail for.
pub(crate) fn to_stderr(line: &str) {
    let _ = io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}
