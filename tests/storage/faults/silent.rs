//! Servers that take what they are sent and say nothing: people hear of it, and Ctrl-C ends it.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::program::{Person, wait_for_a_hit};
use super::requests::through;
use crate::servers::{Seaweed, Sshd};
use crate::support::proxy::{Proxy, Rule, Trouble, Way};

/// Far more than a run takes to end, far less than a connection may be silent.
const SOON: Duration = Duration::from_secs(10);

/// Starts a run, waits for the silence and presses Ctrl-C.
#[track_caller]
fn interrupt(person: &mut Person, proxy: &Proxy, line: &str, silence: Rule) {
    let before = proxy.hits();
    // What was on its way is there with the next run, which has other data to send.
    person.tree.add_noise(&format!("noise{before}"), 2 << 20);
    proxy.inject(silence);
    let run = person.start(line);
    wait_for_a_hit(proxy, before);
    let start = Instant::now();
    kill_process(Pid::from_child(&run), Signal::INT).expect("Ctrl-C");
    let said = person.end(run);
    let took = start.elapsed();
    assert_eq!(said.code, Some(130), "`{line}`: {said:?}");
    assert!(took < SOON, "`{line}` took {took:?}: {said:?}");
    proxy.heal();
}

#[test]
fn s3_ctrl_c_ends_waits_for_a_silent_server() {
    let Some(server) = Seaweed::start() else { return };
    let proxy = Proxy::http(server.port());
    let mut person = Person::new(&server, through(&server, &proxy, "program/silent"));
    person.ok("repo init --encryption none");
    let all = || Rule::request(1, Trouble::Stall).times(u64::MAX);
    interrupt(&mut person, &proxy, "snapshot tree", all());
    interrupt(&mut person, &proxy, "snapshot tree", all().of(&["PUT ", "/data/"]));
    // The service is well but for this one object, and hears how the run ends.
    let one = Rule::request(1, Trouble::Stall).of(&["PUT ", "/data/"]);
    interrupt(&mut person, &proxy, "snapshot tree", one);
    interrupt(&mut person, &proxy, "snapshot tree", all().of(&["PUT ", "/snapshots/"]));
    person.ok("snapshot tree");
    interrupt(&mut person, &proxy, "check --read-data", all().of(&["GET ", "/data/"]));
    interrupt(&mut person, &proxy, "snapshots", all());
    person.ok("snapshot tree");
    person.assert_restores();
    person.ok("check --read-data");
}

#[test]
fn s3_people_hear_of_a_silent_server_and_it_goes_on() {
    let Some(server) = Seaweed::start() else { return };
    let proxy = Proxy::http(server.port());
    let person = Person::new(&server, through(&server, &proxy, "program/word"));
    person.ok("repo init --encryption none");
    proxy.inject(Rule::request(1, Trouble::Stall).times(u64::MAX));
    let run = person.start("snapshots");
    person.wait_until_said("no answer from `s3://");
    proxy.heal();
    let said = person.end(run);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.stderr.matches("no answer").count(), 1, "{said:?}");
}

/// A command that says how mirrors stand does not wait for them for minutes.
#[test]
fn s3_a_silent_mirror_is_listed_as_unreachable_soon() {
    let Some(server) = Seaweed::start() else { return };
    let proxy = Proxy::http(server.port());
    let location = through(&server, &proxy, "program/mirror");
    let person = Person::new(&server, location.clone());
    person.ok("-r near repo init --encryption none");
    person.ok(&format!("-r near mirror add far {location}"));
    person.ok("-r near mirror add attic ./attic");
    proxy.inject(Rule::request(1, Trouble::Stall).times(u64::MAX));
    let start = Instant::now();
    let said = person.end(person.start("-r near mirror list"));
    let took = start.elapsed();
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(took < Duration::from_secs(40), "{took:?}: {said:?}");
    for words in ["unreachable", "complete", "policy: all"] {
        assert!(said.stdout.contains(words), "{words}: {said:?}");
    }
}

#[test]
fn sftp_ctrl_c_ends_waits_for_a_silent_server() {
    let Some(server) = Sshd::start() else { return };
    let proxy = Proxy::tcp(server.port());
    let known = tempfile::tempdir().expect("a folder");
    let location = format!(
        "sftp://{}@127.0.0.1:{}{}?known_hosts=accept-new&known_hosts_file={}",
        server.user(),
        proxy.port(),
        server.data().join("silent").display(),
        known.path().join("known").display()
    );
    let mut person = Person::new(&server, location);
    person.ok("repo init --encryption none");
    let after = |bytes| Rule::bytes(Way::Up, bytes, Trouble::Stall).times(u64::MAX);
    // While the connection is made, and while objects go.
    interrupt(&mut person, &proxy, "snapshots", after(1));
    interrupt(&mut person, &proxy, "snapshot tree", after(1 << 20));
    person.ok("snapshot tree");
    person.assert_restores();
}
