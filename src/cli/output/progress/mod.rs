//! How a running operation is shown: bars on a terminal, a line now and then in a log, `status`
//! objects with `--json`, nothing with `-q`.
//!
//! The engine only counts ([`Counters`]); a thread of the display looks at the counters and draws,
//! so a run is never slowed down by a slow terminal.

mod view;

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use unicode_width::UnicodeWidthChar;

use self::view::format_elapsed;
use super::{Output, Style};
use crate::cli::select::shown_path;
use crate::manager::progress::{Counters, Rates, View};
use crate::model::escape_bytes;
use crate::runtime::{Issue, IssueKind, Phase, Progress};

/// How often bars are drawn.
const BAR_STEP: Duration = Duration::from_millis(120);

/// How often a line is printed where there is no terminal, unless `LARDER_PROGRESS_SECS` says.
const LINE_STEP: Duration = Duration::from_secs(10);

/// How often a `status` object is printed, unless `LARDER_PROGRESS_SECS` says.
const STATUS_STEP: Duration = Duration::from_secs(1);

/// How many letters the bar has.
const BAR_LEN: usize = 16;

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    /// Files go into the repository.
    Backup,
    /// Files come out of it.
    Restore,
    /// Objects are looked at.
    Check,
    /// Objects are put right.
    Repair,
    /// Packs are packed anew and removed.
    Prune,
    /// Objects are copied between places and compared.
    Mirror,
}

impl Job {
    /// What happens to the bytes that storage gets or gives.
    fn transfer_verb(self) -> &'static str {
        match self {
            Self::Backup | Self::Repair | Self::Prune => "stored",
            Self::Restore | Self::Check => "fetched",
            Self::Mirror => "copied",
        }
    }

    /// How the path of a report is shown: files as people know them, objects by their names.
    fn shown(self, path: &[u8]) -> String {
        match self {
            Self::Backup | Self::Restore => shown_path(path),
            Self::Check | Self::Repair | Self::Prune | Self::Mirror => {
                escape_bytes(path).into_owned()
            }
        }
    }
}

/// Shows a run from its start until [`Display::finish`] or drop.
pub(crate) struct Display {
    sink: Arc<Sink>,
    stop: Option<Sender<()>>,
    ticker: Option<JoinHandle<()>>,
}

impl Display {
    /// Starts to show a run.
    pub(crate) fn start(out: &Arc<Output>, job: Job) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let screen = (terminal && !out.quiet && !out.json).then(|| Screen::new(job));
        if let Some(screen) = &screen {
            out.show_bars(&screen.bars);
        }
        let sink = Arc::new(Sink { counters: Counters::new(), out: Arc::clone(out), screen, job });
        if out.quiet {
            return Self { sink, stop: None, ticker: None };
        }
        let (stop, stopped) = bounded(0);
        let shown = Arc::clone(&sink);
        let ticker = std::thread::Builder::new()
            .name("progress".into())
            .spawn(move || tick(&shown, &stopped));
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
        self.sink.out.clear_bars();
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.end();
    }
}

fn tick(sink: &Sink, stopped: &Receiver<()>) {
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
                let _ = sink.out.message("status", &view.status(sink.job));
                let _ = sink.out.flush();
            }
            None => sink.out.to_stderr(&view.plain_line(sink.job)),
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
    job: Job,
}

impl Screen {
    fn new(job: Job) -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(12));
        let line = || {
            let bar = bars.add(ProgressBar::no_length());
            let style = ProgressStyle::with_template("{msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar
        };
        let (main, transfer, current) = (line(), line(), line());
        Self { main, transfer, current, bars, job }
    }

    fn draw(&self, view: &View) {
        let phase = view.phase_text();
        let mut main = vec![format_elapsed(view.elapsed)];
        if let Some(fraction) = view.fraction() {
            main.push(format!("{} {:3.0} %", bar(fraction), (fraction * 100.0).floor()));
        }
        main.push(
            Some(view.main_text(self.job))
                .filter(|text| !text.is_empty())
                .unwrap_or_else(|| phase.into()),
        );
        let width = screen_width();
        self.main.set_message(cut(&main.join("  "), width));
        let second: Vec<String> =
            [view.transfer_text(self.job.transfer_verb()), view.issues_text()]
                .into_iter()
                .flatten()
                .collect();
        let second = if second.is_empty() {
            format!("  {phase}")
        } else {
            format!("  {phase}: {}", second.join(", "))
        };
        self.transfer.set_message(cut(&second, width));
        let current = view.current_text(self.job).unwrap_or_default();
        self.current.set_message(cut(&format!("  {current}"), width));
    }
}

/// How many letters fit on a line of the terminal. A line that wraps could not be taken away.
fn screen_width() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stderr());
    size.map_or(80, |size| usize::from(size.ws_col)).max(20) - 1
}

/// The beginning of `text` that fits into `width`.
fn cut(text: &str, width: usize) -> String {
    let mut room = width;
    let fits = |c: &char| {
        let needed = c.width().unwrap_or(0);
        let fits = needed <= room;
        room = room.saturating_sub(needed);
        fits
    };
    text.chars().take_while(fits).collect()
}

/// `[=======>        ]`: plain letters, which every terminal has.
fn bar(fraction: f64) -> String {
    let filled = ((fraction * BAR_LEN as f64) as usize).min(BAR_LEN);
    let head = if filled < BAR_LEN { ">" } else { "" };
    format!("[{:<BAR_LEN$}]", format!("{}{head}", "=".repeat(filled)))
}

/// Where the engine's reports arrive.
struct Sink {
    counters: Counters,
    out: Arc<Output>,
    screen: Option<Screen>,
    job: Job,
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

    fn estimate(&self, entries: u64, bytes: u64) {
        self.counters.estimate.set(entries, bytes);
    }

    /// A line in a log is not worth a second walk.
    fn wants_estimate(&self) -> bool {
        self.screen.is_some() || (self.out.json && !self.out.quiet)
    }

    fn done(&self, entries: u64, bytes: u64) {
        self.counters.done(entries, bytes);
    }

    fn current(&self, path: &Path) {
        self.counters.current(path);
    }

    fn waiting(&self, change: i64) {
        self.counters.waiting(change);
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
        let path = (!issue.path.is_empty()).then(|| self.job.shown(&issue.path));
        if self.out.json {
            let object = json!({
                "message_type": "issue", "kind": kind, "path": path, "message": issue.message,
            });
            self.out.to_stderr(&object.to_string());
        } else if !(self.out.quiet && issue.kind == IssueKind::Warning) {
            let word = self.out.paint(style, word);
            let line = match path {
                None => format!("{word} {}", issue.message),
                Some(path) => format!("{word} `{path}`: {}", issue.message),
            };
            self.out.to_stderr(&line);
        }
    }

    fn detail(&self, verb: &'static str, path: &[u8]) {
        if !self.out.verbose {
            return;
        }
        let path = self.job.shown(path);
        // Failures to print come back at the command's own next line.
        if self.out.json {
            let _ = self.out.message("detail", &json!({ "action": verb, "path": path }));
        } else if self.screen.is_some() {
            self.out.above_bars(|| {
                let _ = self.out.line(format!("{verb:<9} {path}"));
                let _ = self.out.flush();
            });
        } else {
            let _ = self.out.line(format!("{verb:<9} {path}"));
        }
    }
}
