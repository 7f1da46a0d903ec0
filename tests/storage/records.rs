//! Records of the log are read from a service once, and what is damaged there is still found.

use std::path::{Path, PathBuf};

use crate::machine::Machine;
use crate::servers::Sshd;

/// Files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("one").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
#[cfg(feature = "sftp")]
fn records_are_read_once_and_damage_is_found_all_the_same() {
    const SNAPSHOTS: usize = 5;
    let Some(server) = Sshd::start() else { return };
    let machine = Machine::new(&server, "once");
    machine.init();
    std::fs::create_dir(machine.path("data")).expect("a folder");
    for number in 0..SNAPSHOTS {
        std::fs::write(machine.path("data/file"), format!("{number}")).expect("a file");
        machine.back_up(&machine.path("data"));
    }
    let gets = |machine: &Machine| {
        let said = machine.ok(&["--json", "-v", "snapshots"]).stderr;
        let used: serde_json::Value =
            serde_json::from_str(said.lines().last().expect("a line")).expect("an object");
        used["storage"]["gets"].as_u64().expect("a number") as usize
    };
    let other = machine.beside();
    let (first, again) = (gets(&other), gets(&other));
    assert_eq!(first - again, SNAPSHOTS, "{first} and {again} reads");

    let record = files(&server.data().join("once/snapshots")).pop().expect("a record");
    let mut bytes = std::fs::read(&record).expect("a record");
    *bytes.last_mut().expect("bytes") ^= 1;
    std::fs::write(&record, bytes).expect("writes");
    assert_eq!(other.snapshots().len(), SNAPSHOTS, "what it has read is still known");
    let checked = other.run(&["check"]);
    assert_eq!(checked.code, 1, "{checked:?}");
    assert_eq!(
        machine.beside().run(&["--json", "snapshots"]).stdout.lines().count(),
        SNAPSHOTS - 1
    );
}
