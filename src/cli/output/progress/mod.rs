//! How a running operation is shown: bars on a terminal, a line now and then in a log, `status`
//! objects with `--json`, nothing with `-q`.
//!
//! The engine only counts ([`counters`]); a thread of the display looks at the counters and draws,
//! so a run is never slowed down by a slow terminal.

mod counters;
mod view;

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use self::counters::Counters;
use self::view::{Rates, View, format_elapsed};
use super::{Output, Style, to_stderr};
use crate::model::escape_bytes;
use crate::runtime::{Issue, IssueKind, Phase, Progress};

/// How often bars are drawn.
const BAR_STEP: Duration = Duration::from_millis(120);

/// How often a line is printed where there is no terminal, unless `LARDER_PROGRESS_SECS` says.
const LINE_STEP: Duration = Duration::from_secs(10);

/// How often a `status` object is printed, unless `LARDER_PROGRESS_SECS` says.
const STATUS_STEP: Duration = Duration::from_secs(1);

/// How many entries a bar is long; it shows a fraction, whatever the work is made of.
const BAR_LEN: u64 = 1000;

/// Shows a run from its start until [`Display::finish`] or drop.
pub(crate) struct Display {
    sink: Arc<Sink>,
    stop: Option<Sender<()>>,
    ticker: Option<JoinHandle<()>>,
}

impl Display {
    /// Starts to show a run. `transfer_verb` says what happens to the bytes that go over the line
    /// to storage: `stored`, `fetched`.
    pub(crate) fn start(out: &Arc<Output>, transfer_verb: &'static str) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let screen = (terminal && !out.quiet && !out.json).then(|| Screen::new(transfer_verb));
        let sink = Arc::new(Sink { counters: Counters::new(), out: Arc::clone(out), screen });
        if out.quiet {
            return Self { sink, stop: None, ticker: None };
        }
        let (stop, stopped) = bounded(0);
        let shown = Arc::clone(&sink);
        let ticker = std::thread::Builder::new()
            .name("progress".into())
            .spawn(move || tick(&shown, &stopped, transfer_verb));
        // Without a thread to draw there is no bar, which is no reason to fail the run.
        Self { sink, stop: Some(stop), ticker: ticker.ok() }
    }

    /// Where the engine reports to.
    pub(crate) fn progress(&self) -> Arc<dyn Progress> {
        Arc::clone(&self.sink) as Arc<dyn Progress>
    }

    /// Takes the bars away; afterwards results can be printed.
    pub(crate) fn finish(mut self) {
        self.end();
    }

    fn end(&mut self) {
        drop(self.stop.take());
        if let Some(ticker) = self.ticker.take() {
            let _ = ticker.join();
        }
        if let Some(screen) = &self.sink.screen {
            let _ = screen.bars.clear();
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.end();
    }
}

fn tick(sink: &Sink, stopped: &Receiver<()>, transfer_verb: &str) {
    let start = Instant::now();
    let mut rates = Rates::default();
    let step = match (&sink.screen, sink.out.json) {
        (Some(_), _) => BAR_STEP,
        (None, true) => step_from_environment().unwrap_or(STATUS_STEP),
        (None, false) => step_from_environment().unwrap_or(LINE_STEP),
    };
    while stopped.recv_timeout(step) == Err(RecvTimeoutError::Timeout) {
        let view = rates.view(sink.counters.read(), start.elapsed());
        match &sink.screen {
            Some(screen) => screen.draw(&view),
            None if sink.out.json => {
                // The command itself notices a reader that went away.
                let _ = sink.out.message("status", &view.status());
                let _ = sink.out.flush();
            }
            None => to_stderr(&view.plain_line(transfer_verb)),
        }
    }
}

/// `LARDER_PROGRESS_SECS`: seconds, fractions allowed, at least a tenth.
fn step_from_environment() -> Option<Duration> {
    let seconds: f64 = std::env::var("LARDER_PROGRESS_SECS").ok()?.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds.max(0.1)).ok()
}

/// The bars on a terminal.
struct Screen {
    bars: MultiProgress,
    main: ProgressBar,
    transfer: ProgressBar,
    current: ProgressBar,
    transfer_verb: &'static str,
}

impl Screen {
    fn new(transfer_verb: &'static str) -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(12));
        let text = |template: &str| {
            ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("=> ")
        };
        let add = |template: &str| {
            let bar = bars.add(ProgressBar::new(BAR_LEN));
            bar.set_style(text(template));
            bar
        };
        Self {
            main: add("{prefix} [{bar:24}] {wide_msg}"),
            transfer: add("  {wide_msg}"),
            current: add("  {wide_msg}"),
            bars,
            transfer_verb,
        }
    }

    fn draw(&self, view: &View) {
        let fraction = view.fraction();
        let percent = fraction.map_or(String::new(), |part| format!("{:3.0} %  ", part * 100.0));
        self.main.set_prefix(format_elapsed(view.elapsed));
        self.main.set_position((fraction.unwrap_or(0.0) * BAR_LEN as f64) as u64);
        let main = view.main_text();
        let phase = view.phase_text();
        let main =
            if main.is_empty() { format!("{phase} ...") } else { format!("{percent}{main}") };
        self.main.set_message(main);
        let second: Vec<String> = [view.transfer_text(self.transfer_verb), view.issues_text()]
            .into_iter()
            .flatten()
            .collect();
        self.transfer.set_message(if second.is_empty() {
            phase.to_owned()
        } else {
            format!("{phase}: {}", second.join(", "))
        });
        self.current.set_message(view.current_text().into_owned());
    }
}

/// Where the engine's reports arrive.
struct Sink {
    counters: Counters,
    out: Arc<Output>,
    screen: Option<Screen>,
}

impl Sink {
    /// Prints above the bars.
    fn above(&self, print: impl FnOnce()) {
        match &self.screen {
            Some(screen) => screen.bars.suspend(print),
            None => print(),
        }
    }
}

impl Progress for Sink {
    fn phase(&self, phase: Phase) {
        self.counters.enter(phase);
    }

    fn expect(&self, entries: u64, bytes: u64) {
        self.counters.expect(entries, bytes);
    }

    fn expect_no_more(&self) {
        self.counters.expect_no_more();
    }

    fn done(&self, entries: u64, bytes: u64) {
        self.counters.done(entries, bytes);
    }

    fn current(&self, path: &Path) {
        self.counters.current(path);
    }

    fn transferred(&self, bytes: u64) {
        self.counters.transferred(bytes);
    }

    fn issue(&self, issue: &Issue) {
        let (kind, word, style) = match issue.kind {
            IssueKind::Warning => {
                self.counters.warned();
                ("warning", "warning:", Style::Warning)
            }
            IssueKind::Failed => {
                self.counters.failed();
                ("failed", "error:", Style::Error)
            }
        };
        let path = escape_bytes(&issue.path);
        if self.out.json {
            let object = json!({
                "message_type": "issue", "kind": kind, "path": path, "message": issue.message,
            });
            to_stderr(&object.to_string());
        } else if !(self.out.quiet && issue.kind == IssueKind::Warning) {
            let word = self.out.paint(style, word);
            let line = if issue.path.is_empty() {
                format!("{word} {}", issue.message)
            } else {
                format!("{word} `{path}`: {}", issue.message)
            };
            self.above(|| to_stderr(&line));
        }
    }

    fn detail(&self, verb: &'static str, path: &[u8]) {
        if !self.out.verbose {
            return;
        }
        let path = escape_bytes(path);
        // Failures to print come back at the command's own next line.
        if self.out.json {
            let _ = self.out.message("detail", &json!({ "action": verb, "path": path }));
        } else if self.screen.is_some() {
            self.above(|| {
                let _ = self.out.line(format!("{verb:<9} {path}"));
                let _ = self.out.flush();
            });
        } else {
            let _ = self.out.line(format!("{verb:<9} {path}"));
        }
    }
}
