//! What people see: the program while a server dies, comes back, hangs or stays away.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::requests::through;
use crate::servers::{self, Seaweed, Server};
use crate::support::proxy::{Proxy, Rule, Trouble, Way};
use crate::support::{LiveTree, TreeCopy};

/// Longer than anything takes; shorter than a hang.
const HANG: Duration = Duration::from_secs(90);

/// A home folder with a tree, and the program in it.
pub(super) struct Person {
    home: TempDir,
    pub(super) tree: LiveTree,
    location: String,
    secrets: Vec<(String, String)>,
}

/// A run that has ended.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Person {
    /// `location` goes by way of a proxy.
    pub(super) fn new(server: &dyn Server, location: String) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let mut tree = LiveTree::new(home.path().join("tree"), 3);
        tree.grow(5);
        tree.add_noise("first", 3 << 20);
        Self { home, tree, location, secrets: server.secrets() }
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_larder"));
        command.env_clear().current_dir(self.home.path()).env("HOME", self.home.path());
        command.env("PATH", "/usr/bin:/bin").env("NO_PROXY", "127.0.0.1");
        command.env("LARDER_REPOSITORY", &self.location).envs(self.secrets.iter().cloned());
        command.args(line.split_whitespace());
        command
    }

    pub(super) fn start(&self, line: &str) -> Child {
        let mut command = self.command(line);
        command.stdout(Stdio::piped()).stderr(Stdio::from(self.log()));
        command.spawn().expect("the program starts")
    }

    /// Where standard error goes, so that it can be read meanwhile.
    fn log(&self) -> fs::File {
        fs::File::create(self.log_path()).expect("a log")
    }

    fn log_path(&self) -> PathBuf {
        self.home.path().join("stderr")
    }

    pub(super) fn end(&self, mut child: Child) -> Said {
        let start = Instant::now();
        let code = loop {
            match child.try_wait().expect("is asked") {
                Some(status) => break status.code(),
                None if start.elapsed() > HANG => {
                    let _ = child.kill();
                    panic!("it hangs: {}", self.stderr());
                }
                None => thread::sleep(Duration::from_millis(20)),
            }
        };
        let mut stdout = String::new();
        child.stdout.take().expect("a pipe").read_to_string(&mut stdout).expect("text");
        Said { code, stdout, stderr: self.stderr() }
    }

    fn stderr(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    #[track_caller]
    pub(super) fn ok(&self, line: &str) -> Said {
        let said = self.end(self.start(line));
        assert_eq!(said.code, Some(0), "`larder {line}`: {said:?}");
        said
    }

    #[track_caller]
    pub(super) fn wait_until_said(&self, words: &str) {
        let start = Instant::now();
        while !self.stderr().contains(words) {
            assert!(start.elapsed() < HANG, "nobody says `{words}`: {}", self.stderr());
            thread::sleep(Duration::from_millis(20));
        }
    }

    #[track_caller]
    pub(super) fn assert_restores(&self) {
        let target = tempfile::tempdir_in(self.home.path()).expect("a folder");
        self.ok(&format!("-q restore latest --target {}", target.path().display()));
        let back = target.path().join(self.tree.root().strip_prefix("/").expect("absolute"));
        TreeCopy::of_folder(self.tree.root()).assert_same(&TreeCopy::of_folder(&back), "latest");
    }
}

#[track_caller]
pub(super) fn wait_for_a_hit(proxy: &Proxy, before: u64) {
    let start = Instant::now();
    while proxy.hits() == before {
        assert!(start.elapsed() < HANG, "no such request came");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The bytes that the summary of a backup says were stored.
fn stored(said: &Said) -> u64 {
    let last = said.stdout.lines().last().unwrap_or_default();
    let summary: serde_json::Value = serde_json::from_str(last).expect("a summary");
    summary["bytes_stored"].as_u64().expect("a number")
}

/// The server dies while packs are on their way, and starts again: the backup goes on.
#[test]
fn s3_server_killed_in_mid_backup() {
    let Some(mut server) = Seaweed::start() else { return };
    let proxy = Proxy::http(server.port());
    let location = through(&server, &proxy, "program/killed");
    let rule = Rule::request(1, Trouble::Stall).of(&["PUT ", "/data/"]);
    let mut person = killed_in_mid_backup(&mut server, &proxy, location, rule);

    // It stays away for longer than the run has patience. What was stored is not stored again.
    let before = proxy.hits();
    person.tree.add_noise("second", 3 << 20);
    proxy.inject(Rule::request(1, Trouble::Cut).of(&["PUT ", "/index/"]).times(u64::MAX));
    let run = person.start("snapshot tree --retry-for 1s");
    wait_for_a_hit(&proxy, before);
    proxy.refuse();
    let said = person.end(run);
    assert_eq!(said.code, Some(1), "{said:?}");
    for words in ["error: could not", "gave up after", "hint: "] {
        assert!(said.stderr.contains(words), "{words}: {said:?}");
    }
    proxy.heal();
    let again = person.ok("--json snapshot tree");
    assert!(stored(&again) < 1 << 20, "the packs were there already: {again:?}");
    person.assert_restores();
    person.ok("check --read-data");
}

/// A server that hangs, and one that is away while somebody loses patience.
#[test]
fn s3_server_hangs_or_stays_away() {
    let Some(mut server) = Seaweed::start() else { return };
    let proxy = Proxy::http(server.port());
    let person = Person::new(&server, through(&server, &proxy, "program/hangs"));
    person.ok("repo init --encryption none");

    proxy.inject(Rule::request(1, Trouble::Stall).of(&["PUT ", "/data/"]));
    let mut command = person.command("snapshot tree --retry-for 2s");
    command.env("LARDER_NETWORK_TIMEOUT", "1").stdout(Stdio::piped()).stderr(person.log());
    let run = command.spawn().expect("starts");
    wait_for_a_hit(&proxy, 0);
    server.stop();
    proxy.heal();
    let said = person.end(run);
    server.cont();
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("gave up after"), "{said:?}");

    proxy.refuse();
    let run = person.start("snapshot tree");
    person.wait_until_said("does not answer");
    let start = Instant::now();
    let pid = Pid::from_child(&run);
    kill_process(pid, Signal::INT).expect("Ctrl-C");
    let said = person.end(run);
    assert_eq!(said.code, Some(130), "{said:?}");
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    proxy.heal();
    person.ok("snapshot tree");
    person.assert_restores();
}

/// The same with services that have connections of their own, with a pack half on its way.
fn killed_with_half_a_pack(mut server: impl Server, proxy: &Proxy, location: String) {
    let rule = Rule::bytes(Way::Up, 2 << 20, Trouble::Stall);
    killed_in_mid_backup(&mut server, proxy, location, rule).ok("check --read-data");
}

/// A server dies when `rule` holds a backup up, all of its connections with it, and comes back.
fn killed_in_mid_backup(
    server: &mut impl Server,
    proxy: &Proxy,
    location: String,
    rule: Rule,
) -> Person {
    let mut person = Person::new(server, location);
    person.ok("repo init --encryption none");
    person.tree.add_noise("more", 20 << 20);

    proxy.inject(rule);
    let run = person.start("--json snapshot tree");
    wait_for_a_hit(proxy, 0);
    server.kill();
    proxy.cut();
    proxy.heal();
    person.wait_until_said("does not answer");
    server.restart();
    let said = person.end(run);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stderr.contains("answers again after"), "{said:?}");
    person.assert_restores();
    person
}

#[cfg(feature = "sftp")]
#[test]
fn sftp_server_killed_in_mid_backup() {
    let Some(server) = servers::Sshd::start() else { return };
    let proxy = Proxy::tcp(server.port());
    let (user, port, data) = (server.user(), proxy.port(), server.data());
    let known = server.data().with_file_name("known_by_proxy");
    let location = format!(
        "sftp://{user}@127.0.0.1:{port}{}/killed?known_hosts=accept-new&known_hosts_file={}",
        data.display(),
        known.display()
    );
    killed_with_half_a_pack(server, &proxy, location);
}

#[cfg(feature = "smb")]
#[test]
fn smb_server_killed_in_mid_backup() {
    let Some(server) = servers::Samba::start() else { return };
    let proxy = Proxy::tcp(server.port());
    let location = format!("smb://{}@127.0.0.1:{}/share/killed", server.user(), proxy.port());
    killed_with_half_a_pack(server, &proxy, location);
}

#[cfg(feature = "nfs")]
#[test]
fn nfs_server_killed_in_mid_backup() {
    let Some(server) = servers::NfsServer::start() else { return };
    let proxy = Proxy::tcp(server.port());
    let (direct, port) = (server.port().to_string(), proxy.port().to_string());
    let location = server.location("killed").replacen(&direct, &port, 1);
    killed_with_half_a_pack(server, &proxy, location);
}

#[cfg(feature = "webdav")]
#[test]
fn webdav_server_killed_in_mid_backup() {
    let Some(server) = servers::Apache::start() else { return };
    let proxy = Proxy::tcp(server.port());
    let location = format!("webdav+http://127.0.0.1:{}/killed", proxy.port());
    killed_with_half_a_pack(server, &proxy, location);
}
