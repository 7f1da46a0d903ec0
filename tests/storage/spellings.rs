//! One place in two spellings is no mirror of itself.

use crate::machine::Machine;
use crate::servers::{Seaweed, Server, Sshd};

/// Refuses each spelling as a mirror, and leaves nothing behind.
#[track_caller]
fn refuses(machine: &Machine, spellings: &[&str]) {
    for (number, spelling) in spellings.iter().enumerate() {
        for more in ["", " --no-sync"] {
            let ran = machine.run(&format!("mirror add again{number} {spelling}{more}"));
            assert_eq!(ran.code, 2, "{spelling}: {}{}", ran.stdout, ran.stderr);
            let said = "is where the repository or a mirror of it is";
            assert!(ran.stderr.contains(said), "{spelling}: {}", ran.stderr);
        }
    }
    let listed = machine.summary("mirror list");
    assert!(!listed.to_string().contains("again"), "{listed}");
    machine.ok("check");
}

#[cfg(feature = "s3")]
#[test]
fn s3_places_are_known_in_other_spellings() {
    let Some(server) = Seaweed::start() else { return };
    let (primary, mirror) = (server.location("primary"), server.location("mirror"));
    let machine = Machine::plain(primary.clone(), server.secrets());
    machine.ok("repo init --encryption none");
    machine.ok(&format!("mirror add far {mirror}"));
    let by_name = |place: &str| place.replace("127.0.0.1", "localhost");
    refuses(
        &machine,
        &[
            &format!("{primary}&concurrency=4"),
            &by_name(&primary),
            &format!("{mirror}&concurrency=4"),
            &by_name(&mirror),
        ],
    );
    machine.ok(&format!("mirror add other {}", by_name(&server.location("other"))));
}

#[cfg(feature = "sftp")]
#[test]
fn folders_are_known_behind_a_server() {
    let Some(server) = Sshd::start() else { return };
    let folder = |name: &str| server.data().join(name).display().to_string();
    let machine = Machine::plain(folder("primary"), server.secrets());
    machine.ok("repo init --encryption none");
    machine.ok(&format!("mirror add near {}", folder("mirror")));
    std::os::unix::fs::symlink(folder("mirror"), machine.path("link")).expect("a link");
    let link = machine.path("link").display().to_string();
    refuses(&machine, &[&server.location("primary"), &server.location("mirror"), &link]);
    machine.ok(&format!("mirror add other {}", server.location("other")));
}
