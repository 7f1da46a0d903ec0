//! Runbooks: each is done as it is written, by a shell, in the disaster that it is for.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use larder::manager::disaster::KitPaper;

use super::machine::{Machine, damage};

/// A block of commands of a runbook.
struct Block {
    commands: String,
    /// The exit codes that it may end with.
    exits: Vec<i32>,
}

fn blocks(topic: &str) -> Vec<Block> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/help");
    let text = std::fs::read_to_string(folder.join(format!("{topic}.md"))).expect("a runbook");
    let mut blocks = Vec::new();
    let mut exits = vec![0];
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(codes) = line.strip_prefix("<!-- exits ") {
            let codes = codes.trim_end_matches(" -->").split(" or ");
            exits = codes.map(|code| code.parse().expect("a code")).collect();
        } else if line.starts_with("```") {
            assert_eq!(line, "```sh", "{topic}: every block is for a shell");
            let commands: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            let exits = std::mem::replace(&mut exits, vec![0]);
            blocks.push(Block { commands: commands.join("\n"), exits });
        }
    }
    blocks
}

/// Does what a runbook says, in one shell. In the blocks that say `# set these` the values are
/// those of this machine: each must be there, and there must be none that is not asked for.
/// `typed` is what is typed wherever a password is asked for.
#[track_caller]
fn follow(machine: &Machine, topic: &str, values: &[(&str, String)], typed: &Path) -> String {
    let mut script = String::from("set -eu\n");
    let mut unused: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
    for (number, block) in blocks(topic).iter().enumerate() {
        if block.commands.starts_with("# set these\n") {
            for line in block.commands.lines().skip(1) {
                let name = line.strip_prefix("export ").and_then(|line| line.split_once('='));
                let (name, _) = name.unwrap_or_else(|| panic!("{topic}: {line}"));
                let value = values.iter().find(|(known, _)| *known == name);
                let (_, value) = value.unwrap_or_else(|| panic!("{topic}: {name} has no value"));
                let _ = writeln!(script, "export {name}='{value}'");
                unused.retain(|other| *other != name);
            }
            continue;
        }
        let codes: Vec<String> = block.exits.iter().map(ToString::to_string).collect();
        // Within a block that may fail its last command counts.
        let strict = if block.exits == [0] { "set -e" } else { "set +e" };
        let _ = writeln!(script, "{strict}\n{}\ncode=$?; set -e", block.commands);
        let _ = writeln!(
            script,
            "case $code in {}) ;; *) echo \"block {number} ended with $code\"; exit 99;; esac",
            codes.join("|")
        );
    }
    assert!(unused.is_empty(), "{topic} asks for no {unused:?}");
    let bin = machine.path("bin");
    std::fs::create_dir_all(&bin).expect("a folder");
    let program = bin.join("larder");
    if !program.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_larder"), &program).expect("a link");
    }
    let mut shell = Command::new("/bin/sh");
    machine.surround(&mut shell);
    shell.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
    for name in ["LARDER_PASSWORD_FILE", "LARDER_TO_PASSWORD_FILE", "LARDER_LIKE_PASSWORD_FILE"] {
        shell.env(name, typed);
    }
    let output = shell.args(["-c", &script]).output().expect("a shell");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = format!("{}\n{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{topic}: {}\n{said}", output.status);
    said
}

fn value(name: &'static str, path: impl AsRef<Path>) -> (&'static str, String) {
    (name, path.as_ref().display().to_string())
}

/// A machine with two series, of which one has more than one state.
fn machine() -> Machine {
    let machine = Machine::new();
    machine.write("source/etc/fstab", b"/dev/sda1 / ext4\n");
    for number in 0..3 {
        machine.write_noise(&format!("source/home/ann/photo {number}"), 40_000, number);
    }
    machine.backup("source/etc", "--tag recover:10");
    machine.backup("source/home", "");
    machine.write("source/home/ann/letter.txt", b"Dear Ann,\n");
    machine.backup("source/home", "");
    machine
}

/// The first digits of the only key with a password.
fn password_key(machine: &Machine) -> String {
    let out = machine.ok("--json --password-file pw key list");
    let keys = out.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    let found = keys.into_iter().find(|key: &serde_json::Value| key["kind"] == "password");
    found.expect("a password")["id"].as_str().expect("an id")[..8].to_owned()
}

/// Writes the code of a kit into a file, as somebody would type it.
fn type_code(machine: &Machine, kit: &str, file: &str) {
    let text = std::fs::read_to_string(machine.path("home").join(kit)).expect("a kit");
    let code = KitPaper::parse(&text).expect("a kit").code.expect("a code");
    machine.write(&format!("home/{file}"), code.to_text().as_bytes());
    machine.private(&format!("home/{file}"));
}

#[test]
fn lost_machine() {
    let machine = machine();
    let [etc, home] = ["source/etc", "source/home"].map(|name| machine.copy_of(name));
    machine.ok("--password-file pw kit --output kit.txt");
    let lost_key = password_key(&machine);
    let password = std::fs::read(machine.path("home/pw")).expect("a password");
    machine.lose(&["kit.txt"]);
    type_code(&machine, "kit.txt", "typed");
    let values = [
        value("LARDER_REPOSITORY", machine.path("disk")),
        value("KIT", machine.path("home/kit.txt")),
        value("TARGET", machine.path("back")),
        value("KEY_FILE", machine.path("home/new.key")),
        value("NEW_KIT", machine.path("home/new-kit")),
        value("SOURCE", machine.path("back")),
        ("LOST_KEY", lost_key),
    ];
    follow(&machine, "lost-machine", &values, &machine.path("home/typed"));
    etc.assert_same(&machine.recovered("back", "source/etc"), "etc");
    home.assert_same(&machine.recovered("back", "source/home"), "home");
    // Only the new computer and the newest kit open the repository.
    machine.write("home/pw", &password);
    machine.private("home/pw");
    machine.ends("--password-file pw snapshots", 12);
    machine.ends("--password-file typed snapshots", 12);
    machine.ok("--key-file new.key check --read-data");
    type_code(&machine, "new-kit.html", "first");
    machine.ends("--password-file first snapshots", 12);
    type_code(&machine, "new-kit-2.txt", "second");
    machine.ok("--password-file second snapshots");
}

#[test]
fn lost_password() {
    let machine = machine();
    machine.ok("--password-file pw kit --output kit.txt");
    let lost_key = password_key(&machine);
    type_code(&machine, "kit.txt", "typed");
    machine.write("home/new-pw", b"another password");
    machine.private("home/new-pw");
    let values = [
        value("LARDER_REPOSITORY", machine.path("disk")),
        value("NEW_PASSWORD_FILE", machine.path("home/new-pw")),
        value("NEW_KIT", machine.path("home/new-kit")),
        ("LOST_KEY", lost_key),
    ];
    follow(&machine, "lost-password", &values, &machine.path("home/typed"));
    machine.ends("--password-file pw snapshots", 12);
    machine.ends("--password-file typed snapshots", 12);
    machine.ok("--password-file new-pw recover --target ../back --verify");
    let home = machine.copy_of("source/home");
    home.assert_same(&machine.recovered("back", "source/home"), "home");
}

/// Somebody encrypts the files under other names, backs that up twice, and forgets what was good.
#[test]
fn ransomware() {
    let machine = Machine::new();
    for number in 0..5 {
        machine.write(
            &format!("source/home/ann/letter {number}.txt"),
            format!("Dear Ann, this is letter {number}.\n").repeat(900).as_bytes(),
        );
    }
    machine.ok("--password-file pw key add --new-key-file laptop.key --label laptop");
    let by_laptop = |more: &str| {
        let source = machine.path("source/home");
        let line = format!("--key-file laptop.key snapshot {} {more}", source.display());
        machine.json(&line, 0, "summary")
    };
    let first = by_laptop("");
    machine.write("source/home/ann/letter 1.txt", b"Dear Ann, I have changed my mind.\n");
    let last_good = by_laptop("");
    let good = machine.copy_of("source/home");
    let head = last_good["head_code"].as_str().expect("a code").to_owned();
    let key = machine.ok("--json --password-file pw key list");
    let key: serde_json::Value = key
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .find(|key: &serde_json::Value| key["label"] == "laptop")
        .expect("the laptop's key");

    let mut bad = Vec::new();
    for round in 0..2 {
        for number in 0..5 {
            let name = format!("source/home/ann/letter {number}.txt");
            std::fs::remove_file(machine.path(&name)).ok();
            machine.write_noise(&format!("{name}.locked"), 30_000, 50 + round * 5 + number);
        }
        machine.write("source/home/ann/PAY.txt", b"Send money.\n");
        bad.push(by_laptop("")["snapshot_id"].as_str().expect("an id").to_owned());
    }
    let [first, last_good] = [&first, &last_good].map(|summary| summary["snapshot_id"].as_str());
    let (first, last_good) = (first.expect("an id"), last_good.expect("an id"));
    machine.ok(&format!("--key-file laptop.key forget {first} {last_good}"));

    // A clean computer, that knows the password and has never seen the repository.
    let laptop_key = std::fs::read(machine.path("home/laptop.key")).expect("a key");
    machine.lose(&["pw"]);
    let values = [
        value("LARDER_REPOSITORY", machine.path("disk")),
        ("HEAD_CODE", head),
        value("TARGET", machine.path("back")),
        value("SOME_FILE", machine.path("source/home/ann/letter 1.txt")),
        ("BAD", bad.join(" ")),
        ("STOLEN_KEY", key["id"].as_str().expect("an id")[..8].to_owned()),
        value("NEW_KIT", machine.path("home/new-kit")),
    ];
    let said = follow(&machine, "ransomware", &values, &machine.path("home/pw"));
    for sign in ["letter 0.txt.locked", "removed"] {
        assert!(said.contains(sign), "diff and history show what happened: {said}");
    }
    good.assert_same(&machine.recovered("back", "source/home"), "the last good state");
    machine.write("home/laptop.key", &laptop_key);
    machine.private("home/laptop.key");
    machine.ends("--key-file laptop.key snapshots", 12);
    type_code(&machine, "new-kit.txt", "code");
    machine.ok("--password-file code snapshots");
}

/// The index is gone, and a pack of each of two series has rotted. The files of one series still
/// exist, those of the other do not.
#[test]
fn damaged_repository() {
    follow_damaged(false);
}

/// What is damaged at both places is all that is left to repair.
#[test]
fn damaged_repository_with_a_mirror() {
    follow_damaged(true);
}

fn follow_damaged(has_mirror: bool) {
    let machine = Machine::new();
    for number in 0..4 {
        machine.write_noise(&format!("source/home/photo {number}"), 60_000, number);
        machine.write_noise(&format!("source/old/photo {number}"), 700_000, 10 + number);
    }
    machine.write("source/old/note.txt", b"small things are in the manifest\n");
    let none = machine.objects("data");
    machine.backup("source/home", "");
    let of_home = machine.objects("data");
    machine.backup("source/old", "");
    let of_old = machine.objects("data");
    let [home, old] = ["source/home", "source/old"].map(|name| machine.copy_of(name));
    std::fs::remove_dir_all(machine.path("source/old")).expect("gone");
    let lost = of_old.difference(&of_home).next().expect("a pack");
    if has_mirror {
        machine.ok("--password-file pw mirror add attic ../second");
        let name = lost.strip_prefix(machine.path("disk")).expect("in the repository");
        damage(&machine.path("second").join(name));
    }
    damage(of_home.difference(&none).next().expect("a pack"));
    damage(lost);
    for object in machine.objects("index") {
        std::fs::remove_file(object).expect("removed");
    }
    let values = [
        value("LARDER_REPOSITORY", machine.path("disk")),
        value("SOURCE", machine.path("source/home")),
    ];
    let said = follow(&machine, "damaged-repository", &values, &machine.path("home/pw"));
    assert_eq!(said.contains("healed data/"), has_mirror, "{said}");

    // What was backed up again is whole; what is left of the other is what was not hit.
    machine.ok("--password-file pw recover --target ../back --verify");
    home.assert_same(&machine.recovered("back", "source/home"), "home");
    let left = machine.recovered("back", "source/old");
    let lost = old.0.iter().filter(|(path, _)| !left.0.contains_key(*path)).count();
    assert!((1..4).contains(&lost), "{lost} files are lost");
    for (path, node) in left.0.iter().filter(|(path, _)| !path.is_empty()) {
        assert_eq!(old.get(path), Some(node));
    }
    // The old snapshots of what was stored anew are whole, too.
    let list = machine.ok("--json --password-file pw snapshots");
    assert!(list.contains("repaired"), "{list}");
}

#[test]
fn provider_gone() {
    let machine = machine();
    let [etc, home] = ["source/etc", "source/home"].map(|name| machine.copy_of(name));
    let second = machine.path("second");
    let copy = |line: &str| {
        let status = machine
            .command(line)
            .env("LARDER_PASSWORD_FILE", machine.path("home/pw"))
            .env("LARDER_TO_PASSWORD_FILE", machine.path("home/pw"))
            .status();
        assert!(status.expect("runs").success(), "{line}");
    };
    copy(&format!("-q -r {} repo init", second.display()));
    copy(&format!("-q copy --all --to {}", second.display()));
    std::fs::remove_dir_all(machine.path("disk")).expect("gone");
    let values = [
        value("LARDER_REPOSITORY", &second),
        value("TARGET", machine.path("back")),
        value("SOURCE", machine.path("source/home")),
        value("NEW_SECOND", machine.path("third")),
        value("NEW_KIT", machine.path("home/new-kit")),
    ];
    follow(&machine, "provider-gone", &values, &machine.path("home/pw"));
    etc.assert_same(&machine.recovered("back", "source/etc"), "etc");
    home.assert_same(&machine.recovered("back", "source/home"), "home");
    // The kit names both places, and the third holds all snapshots.
    let kit = std::fs::read_to_string(machine.path("home/new-kit.txt")).expect("a kit");
    let paper = KitPaper::parse(&kit).expect("a kit");
    assert_eq!(paper.locations.len(), 2);
    let third = machine.path("third").display().to_string();
    machine.ok(&format!("-r {third} --password-file pw recover --target ../again --verify"));
    home.assert_same(&machine.recovered("again", "source/home"), "home");
}
