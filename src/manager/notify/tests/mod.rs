mod damage;
mod figures;
mod mail;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::channel;
use super::*;
use crate::error::Error;
use crate::manager::alerts::{AlertKind, Alerts, NewAlert, Place};
use crate::manager::board::{Board, EventBus, JobKind, JobOutcome, NewJob};
use crate::manager::fleet::Fleet;
use crate::manager::history::Database;
use crate::model::RepoId;
use crate::runtime::{CancelToken, Runtime, TestClock};

const HOUR_MS: i64 = 3_600_000;

/// What a web hook got.
#[derive(Clone, Debug)]
struct Request {
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(one, _)| one.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

/// A real HTTP server that remembers what it is asked, and answers with a status of choice.
struct Server {
    port: u16,
    got: Arc<Mutex<Vec<Request>>>,
    status: Arc<AtomicU16>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let got: Arc<Mutex<Vec<Request>>> = Arc::default();
        let status = Arc::new(AtomicU16::new(204));
        let stop = Arc::new(AtomicBool::new(false));
        let (kept, answer, end) = (Arc::clone(&got), Arc::clone(&status), Arc::clone(&stop));
        let serve = move || {
            for connection in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(connection) = connection else { continue };
                if let Some(request) = read_request(&connection) {
                    kept.lock().push(request);
                }
                let status = answer.load(Ordering::SeqCst);
                let text = format!(
                    "HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                );
                let _ = (&connection).write_all(text.as_bytes());
            }
        };
        let thread = Some(std::thread::spawn(serve));
        Self { port, got, status, stop, thread }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook-of-secret-name", self.port)
    }

    fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    #[track_caller]
    fn wait(&self, count: usize) -> Vec<Request> {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let got = self.got.lock().clone();
            if got.len() >= count {
                return got;
            }
            assert!(Instant::now() < until, "{:?}", self.events());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn events(&self) -> Vec<String> {
        self.got.lock().iter().map(|one| one.header("larder-event").to_owned()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn read_request(connection: &TcpStream) -> Option<Request> {
    connection.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    let mut reader = BufReader::new(connection);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split_whitespace().nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let mut body = vec![0; length?.1.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some(Request { path, headers, body })
}

/// A machine whose process can end and begin again: its database stays.
struct Machine {
    folder: tempfile::TempDir,
    clock: Arc<TestClock>,
}

/// One process on it.
struct Life {
    board: Board,
    runtime: Runtime,
    notifier: Option<Notifier>,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder, clock: Arc::new(TestClock::at_ms(1_700_000_000_000)) }
    }

    /// Starts a process, without messages if there are no settings.
    fn live(&self, settings: Option<NotifySettings>) -> Life {
        let clock: Arc<TestClock> = Arc::clone(&self.clock);
        let runtime = Runtime { clock, ..Runtime::default() };
        let database = Database::new(Some(self.folder.path().to_owned()), runtime.clock.clone());
        let bus = EventBus::new(runtime.clock.clone());
        let board = Board::new(Arc::new(database), bus, runtime.clone());
        let fleet = Arc::new(Fleet::new(Vec::new(), board.clone()).expect("an empty one"));
        let notifier = settings
            .map(|settings| Notifier::start(&fleet, settings, runtime.clone()).expect("starts"));
        Life { board, runtime, notifier }
    }
}

impl Life {
    fn job(&self, error: Option<&str>) {
        self.job_called("documents", error);
    }

    fn job_called(&self, title: &str, error: Option<&str>) {
        let new = NewJob {
            repository: "home".into(),
            repo_id: RepoId([7; RepoId::LEN]),
            kind: JobKind::Backup,
            title: title.into(),
            schedule_id: Some(format!("of {title}")),
            attempt: 1,
            wanted_by: "schedule".into(),
        };
        _ = self.board.run(new, &CancelToken::default(), |_| match error {
            Some(error) => Err(Error::usage_hint(error, "look at the disk")),
            None => Ok(JobOutcome::default()),
        });
    }

    fn waiting(&self) -> u64 {
        let channels = self.notifier.as_ref().expect("runs").channels().expect("are read");
        channels.iter().map(|channel| channel.waiting).sum()
    }

    #[track_caller]
    fn wait_until_waiting(&self, count: u64) {
        let until = Instant::now() + Duration::from_secs(60);
        while self.waiting() != count {
            assert!(Instant::now() < until, "{} wait", self.waiting());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn settings(text: &str) -> NotifySettings {
    toml::from_str(text).expect("settings")
}

fn hook(server: &Server, more: &str) -> NotifySettings {
    settings(&format!(
        "[[channels]]\nname = \"ops\"\n{more}\n[channels.webhook]\nurl = \"{}\"\n\
         secret = \"hunter2\"",
        server.url()
    ))
}

/// A failure is told once however often it repeats, and then that it is over.
#[test]
fn a_failure_is_told_and_then_the_recovery() {
    let (machine, server) = (Machine::new(), Server::start());
    let life = machine.live(Some(hook(&server, "")));
    life.job(None);
    life.job(Some("the disk is gone"));
    life.job(Some("the disk is gone"));
    let got = server.wait(1);
    let body = got[0].json();
    assert_eq!(
        (body["event"].as_str(), body["repository"].as_str()),
        (Some("failure"), Some("home"))
    );
    assert!(body["subject"].as_str().expect("text").contains("backup `documents` failed"));
    assert!(body["text"].as_str().expect("text").contains("look at the disk"));
    assert_eq!(body["job"]["status"], "failed");
    assert_eq!(got[0].header("larder-delivery"), body["id"].as_str().expect("an id"));
    let want =
        channel::signature_for_tests(b"hunter2", got[0].header("larder-timestamp"), &got[0].body);
    assert_eq!(got[0].header(SIGNATURE_HEADER), want);

    life.job(None);
    server.wait(2);
    life.job(None);
    // It goes on for a day: then somebody is reminded.
    for _ in 0..26 {
        machine.clock.advance_ms(HOUR_MS);
        life.job(Some("again"));
    }
    server.wait(4);
    life.wait_until_waiting(0);
    assert_eq!(server.events(), ["failure", "recovery", "failure", "failure"]);
}

/// What was to be sent when the process ended, and what happened without anybody to tell it, is
/// sent by the next one, once.
#[test]
fn nothing_is_lost_or_told_twice_over_a_restart() {
    let (machine, server) = (Machine::new(), Server::start());
    server.answer(503);
    let life = machine.live(Some(hook(&server, "")));
    life.job_called("first", Some("one"));
    server.wait(1);
    life.wait_until_waiting(1);
    let channels = life.notifier.as_ref().expect("runs").channels().expect("are read");
    assert_eq!(channels[0].error.as_deref(), Some("the server says 503"));
    drop(life);

    // Nobody listens; then the process is killed in the middle of a job.
    let deaf = machine.live(None);
    deaf.job_called("second", Some("two"));
    drop(deaf);

    server.answer(200);
    let life = machine.live(Some(hook(&server, "")));
    server.wait(2);
    // The first one waits for its time, and so does what is behind it.
    machine.clock.advance_ms(60_000);
    let got = server.wait(3);
    life.wait_until_waiting(0);
    drop(life);
    let life = machine.live(Some(hook(&server, "")));
    life.job_called("third", Some("three"));
    server.wait(4);
    life.wait_until_waiting(0);
    let told: Vec<_> = server
        .got
        .lock()
        .iter()
        .map(|one| one.json()["message"].as_str().map(str::to_owned))
        .collect();
    let told: Vec<_> = told.iter().flatten().map(String::as_str).collect();
    assert_eq!(told.len(), 4, "{told:?}");
    for (text, times) in [("one", 2), ("two", 1), ("three", 1)] {
        assert_eq!(told.iter().filter(|one| one.contains(text)).count(), times, "{told:?}");
    }
    let ids: Vec<_> = got
        .iter()
        .filter(|one| one.json()["message"].as_str().is_some_and(|m| m.contains("one")))
        .map(|one| one.header("larder-delivery").to_owned())
        .collect();
    assert_eq!(ids[0], ids[1], "an attempt has the id of the one before");
}

/// Too many messages of one kind become one.
#[test]
fn what_is_too_much_is_held_back_and_comes_as_one() {
    let (machine, server) = (Machine::new(), Server::start());
    let life = machine.live(Some(hook(&server, "at-most-per-hour = 2")));
    for number in 0..7 {
        life.job_called(&format!("job {number}"), Some("it failed"));
    }
    server.wait(2);
    life.wait_until_waiting(5);
    machine.clock.advance_ms(HOUR_MS + 1);
    let got = server.wait(3);
    life.wait_until_waiting(0);
    let digest = got[2].json();
    assert_eq!(digest["held_back"].as_array().map(Vec::len), Some(5), "{digest}");
    assert!(digest["subject"].as_str().expect("text").contains("5 messages of failure"));
    assert!(digest["text"].as_str().expect("text").contains("job 6"));
}

/// Pings say how each job goes, whatever other channels think of it.
#[test]
fn pings_tell_of_start_success_and_failure() {
    let (machine, server) = (Machine::new(), Server::start());
    let text = format!(
        "[[channels]]\nname = \"watch\"\njobs = [\"backup\"]\n[channels.ping]\nurl = \"{}\"",
        server.url()
    );
    let life = machine.live(Some(settings(&text)));
    life.job(None);
    server.wait(2);
    life.job(Some("it failed"));
    let got = server.wait(4);
    let ends: Vec<_> = got.iter().map(|one| one.path.replace("/hook-of-secret-name", "")).collect();
    assert_eq!(ends, ["/start", "", "/start", "/fail"]);
    assert_eq!(got[3].body, b"it failed");
}

/// Alerts are told when they are raised, by whichever process, and when they pass.
#[test]
fn alerts_are_told_and_that_they_pass() {
    let (machine, server) = (Machine::new(), Server::start());
    let life = machine.live(Some(hook(&server, "on = [\"anomaly\", \"recovery\"]")));
    let alerts = Alerts::new(life.board.database(), &life.runtime);
    let place = Place { repo_id: "aa".into(), name: "home".into() };
    let new =
        |kind| NewAlert { kind, subject: "s".into(), message: "odd".into(), advice: "look".into() };
    let wake = || life.board.bus().tell(None, crate::manager::board::Happening::SettingsChanged);
    let begin = life.board.bus().newest_id();
    alerts.raise(&place, &new(AlertKind::Anomaly)).expect("is raised");
    alerts.raise(&place, &new(AlertKind::LowSpace)).expect("is raised, and not wanted");
    wake();
    server.wait(1);
    alerts.pass("aa", AlertKind::Anomaly, "s").expect("passes");
    wake();
    server.wait(2);
    assert_eq!(server.events(), ["anomaly", "recovery"]);
    let told = life.board.bus().since(begin).expect("are kept");
    let raised = told.iter().filter(|event| event.happening.name() == "alert_raised").count();
    assert_eq!(raised, 2);
}

/// A command gets the message, is ended if it takes too long, and says why it failed.
#[test]
fn commands_get_the_message() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let script = format!("cat > {0}; echo \"$LARDER_EVENT $LARDER_SUBJECT\" >> {0}", out.display());
    let run = |script: &str, seconds: u32| {
        let text = format!(
            "[[channels]]\nname = \"c\"\n[channels.command]\nrun = [\"sh\", \"-c\", {script:?}]\n\
             timeout-seconds = {seconds}"
        );
        settings(&text).try_channel("c", &Runtime::default())
    };
    run(&script, 30).expect("it takes it");
    let text = std::fs::read_to_string(&out).expect("was written");
    assert!(text.contains("\"event\":\"test\"") && text.contains("test [larder] a test"), "{text}");
    let failed = run("echo no such thing >&2; exit 3", 30).expect_err("fails").to_string();
    assert!(failed.contains("no such thing") && failed.contains('3'), "{failed}");
    let slow = run("sleep 1000", 0).expect_err("takes too long").to_string();
    assert!(slow.contains("more than 0 s"), "{slow}");
}

/// What is wrong with settings is said before anything is sent, and no secret shows anywhere.
#[test]
fn settings_are_checked_and_secrets_are_not_shown() {
    let server = Server::start();
    let good = hook(&server, "");
    let view = good.channels[0].view();
    let shown = format!("{good:?} {}", serde_json::to_string(&view).expect("JSON"));
    assert!(!shown.contains("hunter2") && !shown.contains("hook-of-secret-name"), "{shown}");
    assert_eq!(view.target, "http://127.0.0.1/...");
    server.answer(500);
    let error = good.try_channel("ops", &Runtime::default()).expect_err("is refused");
    let text = format!("{error:?} {}", error.in_full());
    assert!(
        text.contains("500") && !text.contains("secret-name") && !text.contains("hunter2"),
        "{text}"
    );
    drop(server);
    let error = good.try_channel("ops", &Runtime::default()).expect_err("nobody is there");
    let text = format!("{error:?} {}", error.in_full());
    assert!(text.contains("refused") && !text.contains("secret-name"), "{text}");

    for (text, why) in [
        ("name = \"a\"", "not one way out"),
        ("name = \"\"\n[channels.webhook]\nurl = \"https://x\"", "no name"),
        ("name = \"a\"\nsubject = \"{{ x\"\n[channels.webhook]\nurl = \"https://x\"", "template"),
        ("name = \"a\"\n[channels.command]\nrun = []", "no program"),
        (
            "name = \"a\"\n[channels.email]\nserver = \"m\"\nfrom = \"a@b.de\"\nto = []",
            "for nobody",
        ),
        (
            "name = \"a\"\n[channels.email]\nserver = \"m\"\nfrom = \"ab\"\nto = [\"a@b.de\"]",
            "no address",
        ),
        (
            "name = \"a\"\n[channels.email]\nserver = \"m\"\nsecurity = \"none\"\n\
             from = \"a@b.de\"\nto = [\"a@b.de\"]",
            "needs TLS",
        ),
    ] {
        let error = settings(&format!("[[channels]]\n{text}")).check().expect_err(text);
        assert!(error.to_string().contains(why), "{error}");
    }
    let plain = "[[channels]]\nname = \"a\"\n[channels.webhook]\nurl = \"http://192.0.2.1/x\"";
    let error = settings(plain).try_channel("a", &Runtime::default()).expect_err("no TLS");
    assert!(error.to_string().contains("no TLS"), "{error}");
}

/// Own templates; one that fails at work does not lose the message.
#[test]
fn templates_shape_the_message() {
    let runtime = Runtime::default();
    let notice =
        super::find::blank(&runtime, NoticeEvent::Failure, "x failed".into(), "why\nnot".into());
    let own =
        super::template::subject(Some("{{ event|upper }} {{ title }}: {{ message }}"), &notice);
    assert_eq!(own, "FAILURE x failed: why not");
    let usual = super::template::subject(Some("{{ title / 0 }}"), &notice);
    assert_eq!(usual, "[larder] x failed");
    let text = super::template::body(None, &notice);
    assert!(text.contains("Machine:") && !text.contains("Backup:"), "{text}");
    let endless = "{% for i in range(10000) %}{% for j in range(10000) %}x{% endfor %}{% endfor %}";
    assert!(super::template::body(Some(endless), &notice).contains("why"));
}
