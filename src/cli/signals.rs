//! Ctrl-C and SIGTERM: the first asks the running operation to stop at the next chunk, the second
//! ends the program at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::output::{Output, to_stderr};
use crate::runtime::CancelToken;

/// The terminal as it was before a password is typed into it, while that goes on.
static PROMPTING: Mutex<Option<Termios>> = Mutex::new(None);

/// What is said to whoever interrupts what runs, if that is special.
static WORDS: Mutex<Option<&'static str>> = Mutex::new(None);

/// Whether what runs is undone when it is interrupted.
static UNDOES: AtomicBool = AtomicBool::new(false);

/// Lets signals cancel `cancel`. Where no handler can be set, signals keep their usual effect.
pub(crate) fn install(cancel: CancelToken, out: Arc<Output>) {
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP]) else { return };
    let handler = move || {
        for signal in signals.forever() {
            if let Some(before) = PROMPTING.lock().take() {
                restore_terminal(&before);
                end(signal);
            }
            let undoes = UNDOES.load(Ordering::Relaxed);
            if cancel.is_cancelled() {
                if undoes {
                    out.warn("stopped in the middle: `larder rollback` undoes the rest");
                }
                end(signal);
            }
            cancel.cancel_by_signal(signal);
            if !out.json && !out.quiet {
                out.to_stderr(match undoes {
                    true => "undoing everything; once more leaves that to `larder rollback`",
                    false => (*WORDS.lock())
                        .unwrap_or("stopping, and keeping what is done; once more stops at once"),
                });
            }
        }
    };
    // Without the thread nothing would answer the signals that are now caught, so the default
    // effect is what dropping `signals` brings back.
    let _ = std::thread::Builder::new().name("signals".into()).spawn(handler);
}

/// Runs `work`, which leaves nothing half done: an interruption is answered by undoing it, and
/// whoever interrupts that is told what to do.
pub(crate) fn while_undoable<T>(work: impl FnOnce() -> T) -> T {
    UNDOES.store(true, Ordering::Relaxed);
    let result = work();
    UNDOES.store(false, Ordering::Relaxed);
    result
}

/// From now on `words` are said to whoever interrupts the program.
pub(crate) fn say_when_stopping(words: &'static str) {
    *WORDS.lock() = Some(words);
}

/// Runs `prompt`, which switches echo off; a signal meanwhile restores the terminal and ends the
/// program, as there is nothing to finish cleanly yet.
pub(crate) fn while_prompting<T>(prompt: impl FnOnce() -> T) -> T {
    let before = std::fs::File::open("/dev/tty").ok().and_then(|tty| tcgetattr(tty).ok());
    *PROMPTING.lock() = before;
    let result = prompt();
    *PROMPTING.lock() = None;
    result
}

fn restore_terminal(before: &Termios) {
    if let Ok(tty) = std::fs::File::open("/dev/tty") {
        let _ = tcsetattr(tty, OptionalActions::Now, before);
    }
    to_stderr("");
}

#[allow(clippy::disallowed_methods)]
fn end(signal: i32) -> ! {
    std::process::exit(128 + signal)
}
