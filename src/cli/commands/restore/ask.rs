//! `--overwrite ask`: a question for each conflict, on the terminal.

use std::io::{self, BufRead, IsTerminal, Read};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded};
use parking_lot::Mutex;

use crate::cli::context::Context;
use crate::cli::output::{local_ns, to_stderr};
use crate::cli::select::shown_path;
use crate::error::{Error, Result};
use crate::model::{FileKind, format_bytes};
use crate::restore::{Asker, Conflict, ConflictSide, Resolution};
use crate::runtime::CancelToken;

/// How long a signal may wait to be noticed at a question.
const LOOK_UP: Duration = Duration::from_millis(200);
/// No answer is longer.
const ANSWER_MAX: u64 = 4096;

const QUESTION: &str = "write over it? y(es), n(o), b(oth: keep it and put the snapshot's beside \
                        it); for all that follow: all, none, rest (keep both); q(uit): ";

/// Who asks on the terminal.
///
/// # Errors
/// [`Error::Usage`] if standard input is none.
pub(super) fn asker(context: &Context) -> Result<Asker> {
    if !io::stdin().is_terminal() {
        return Err(Error::usage_hint(
            "`--overwrite ask` needs somebody to ask, and standard input is no terminal",
            "choose what becomes of conflicts, such as with `--overwrite keep-both`",
        ));
    }
    let out = Arc::clone(&context.out);
    let cancel = context.cancel.clone();
    let talk = Mutex::new(Talk::default());
    Ok(Asker::new(move |conflict| {
        let mut result = Err(Error::Cancelled { signal: None });
        out.above_bars(|| {
            let ask = || terminal_line(&cancel);
            result = talk.lock().decide(conflict, ask, to_stderr);
        });
        result
    }))
}

/// What was said so far.
#[derive(Default)]
struct Talk {
    /// What was said about all that follow.
    standing: Option<Resolution>,
}

impl Talk {
    fn decide(
        &mut self,
        conflict: &Conflict,
        mut answer: impl FnMut() -> Result<String>,
        say: impl Fn(&str),
    ) -> Result<Resolution> {
        if let Some(standing) = self.standing {
            return Ok(standing);
        }
        say(&format!(
            "`{}` is there and is not what the snapshot has:",
            shown_path(&[b"/", &conflict.path[..]].concat())
        ));
        say(&format!("  there        {}", shown_side(&conflict.found)));
        say(&format!("  in snapshot  {}", shown_side(&conflict.stored)));
        loop {
            say(QUESTION);
            let (resolution, for_all) = match answer()?.trim().to_lowercase().as_str() {
                "y" | "yes" => (Resolution::Overwrite, false),
                "n" | "no" => (Resolution::Skip, false),
                "b" | "both" => (Resolution::KeepBoth, false),
                "a" | "all" => (Resolution::Overwrite, true),
                "none" => (Resolution::Skip, true),
                "r" | "rest" => (Resolution::KeepBoth, true),
                "q" | "quit" => return Err(Error::Cancelled { signal: None }),
                _ => continue,
            };
            self.standing = for_all.then_some(resolution);
            return Ok(resolution);
        }
    }
}

fn shown_side(side: &ConflictSide) -> String {
    let time = local_ns(i128::from(side.mtime.secs) * 1_000_000_000);
    match side.kind {
        FileKind::File => format!("{:>9}  modified {time}", format_bytes(side.size)),
        kind => format!("{:>9}  modified {time}", kind.as_str()),
    }
}

/// A line of standard input, or an error if the restore shall end meanwhile. The end of input is an
/// end of the restore.
fn terminal_line(cancel: &CancelToken) -> Result<String> {
    let failed = |error: io::Error| Error::local("read", "standard input", error);
    let (sender, answer) = bounded(1);
    // A thread of its own, so that a signal is noticed while nobody answers. It ends with the
    // program then.
    let reader = move || {
        let mut line = Vec::new();
        let read = io::stdin().lock().take(ANSWER_MAX).read_until(b'\n', &mut line);
        let _ = sender.send(read.map(|_| line));
    };
    std::thread::Builder::new().name("answers".into()).spawn(reader).map_err(failed)?;
    loop {
        cancel.check()?;
        match answer.recv_timeout(LOOK_UP) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Ok(line)) if !line.is_empty() => {
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            Ok(Err(error)) => return Err(failed(error)),
            Ok(Ok(_)) | Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::Cancelled { signal: None });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conflict() -> Conflict {
        let side = ConflictSide { kind: FileKind::File, size: 5, mtime: Default::default() };
        Conflict { path: b"a".to_vec(), found: side, stored: side }
    }

    #[test]
    fn answers_are_for_one_or_for_all() {
        let mut talk = Talk::default();
        let mut given = ["what?", "Y\n", "both", "n", "rest"].into_iter();
        let mut ask = |talk: &mut Talk| {
            talk.decide(&conflict(), || Ok(given.next().expect("asked").into()), |_| {})
                .expect("an answer")
        };
        assert_eq!(ask(&mut talk), Resolution::Overwrite);
        assert_eq!(ask(&mut talk), Resolution::KeepBoth);
        assert_eq!(ask(&mut talk), Resolution::Skip);
        assert_eq!(ask(&mut talk), Resolution::KeepBoth);
        assert_eq!(ask(&mut talk), Resolution::KeepBoth, "nobody is asked again");
    }

    #[test]
    fn quitting_ends_the_restore() {
        let error = Talk::default().decide(&conflict(), || Ok("q".into()), |_| {});
        assert!(matches!(error, Err(Error::Cancelled { .. })));
    }
}
