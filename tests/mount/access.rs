//! Who may look into a mount.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::person::Person;
use crate::support::{Mount, is_mounted, is_possible, is_root, shell, try_shell};

/// A user who owns nothing.
const NOBODY: u32 = 65534;

/// What stands before a command that nobody runs.
const AS_NOBODY: &str = "setpriv --reuid=65534 --regid=65534 --clear-groups";

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("permissions");
}

/// A person whose home everybody may enter, with files of root.
fn open_person() -> Person {
    let person = Person::new();
    set_mode(person.home(), 0o755);
    let line = "mkdir -p src/private; echo p > src/public; echo s > src/secret; echo i > src/private/in; \
                echo a > src/allowed; chmod 600 src/secret src/allowed; chmod 700 src/private; \
                setfacl -m u:65534:r src/allowed; setfattr -n user.note -v hush src/secret; \
                setfattr -n trusted.key -v hush src/public";
    shell(person.home(), line);
    person.ok("-r repo repo init --encryption none");
    person.ok("-r repo snapshot src");
    person
}

#[test]
fn without_allow_other_nobody_else_looks_in() {
    if !is_possible() || !is_root() {
        return;
    }
    let person = open_person();
    let mount = Mount::start(&person, "mnt");
    // The kernel knows everything about the files by now.
    shell(&mount.latest(&person, "src"), "cat public secret; ls -laR .");
    let file = mount.latest(&person, "src").join("public");
    for line in [format!("cat {}", file.display()), "ls mnt".into(), "stat mnt/latest".into()] {
        let output = try_shell(person.home(), &format!("{AS_NOBODY} {line}"));
        assert!(!output.status.success(), "{line}");
        assert!(output.stdout.is_empty(), "{line}");
    }
    mount.end();
}

#[test]
fn with_allow_other_permissions_and_acls_decide() {
    if !is_possible() || !is_root() {
        return;
    }
    let person = open_person();
    let mount = Mount::start(&person, "--allow-other mnt");
    let source = mount.latest(&person, "src");
    let nobody = |line: &str| try_shell(&source, &format!("{AS_NOBODY} {line}"));
    for line in ["cat public", "cat allowed", "ls ."] {
        let output = nobody(line);
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
    for line in ["cat secret", "ls private", "cat private/in", "getfattr -n user.note secret"] {
        assert!(!nobody(line).status.success(), "{line}");
    }
    let listed = nobody("getfattr -m - public");
    assert!(!String::from_utf8_lossy(&listed.stdout).contains("trusted"), "root's attributes");
    assert_eq!(shell(&source, "cat secret private/in"), "s\ni\n");
    mount.end();
}

/// A copy of the program that everybody may run, wherever it was built.
fn program_for_all(person: &Person) -> PathBuf {
    let program = person.path("larder");
    let built = env!("CARGO_BIN_EXE_larder");
    if std::fs::hard_link(built, &program).is_err() {
        std::fs::copy(built, &program).expect("a copy");
    }
    program
}

#[test]
fn an_ordinary_user_mounts_too() {
    if !is_possible() {
        return;
    }
    if !is_root() {
        // All other tests are this one then.
        return;
    }
    // Elsewhere it is like this from the start.
    set_mode(Path::new("/dev/fuse"), 0o666);
    let person = open_person();
    shell(person.home(), "mkdir mnt; chown -R 65534:65534 mnt repo; chmod 755 .");
    std::os::unix::fs::chown(person.home(), Some(NOBODY), Some(NOBODY)).expect("root may");
    let program = program_for_all(&person);
    let prepared = |line: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
        command.args(line.split(' ')).current_dir(person.home());
        command.env_clear().env("HOME", person.home()).env("PATH", "/usr/bin:/bin");
        command
    };
    let mut mount = Mount::run(prepared("-r repo mount mnt"), &person, person.path("mnt"));
    // Whoever can open the repository may read all of it, as by `restore`.
    let source = mount.latest(&person, "src");
    let line = format!("{AS_NOBODY} cat {0}/public {0}/secret {0}/private/in", source.display());
    assert_eq!(shell(person.home(), &line), "p\ns\ni\n");
    assert!(!try_shell(person.home(), "ls mnt").status.success(), "not even root");
    mount.signal("INT");
    assert_eq!(mount.code(), Some(0), "{}", mount.errors());
    assert!(!is_mounted(&mount.folder));

    let mut mount =
        Mount::run(prepared("-r repo mount --owner me mnt"), &person, person.path("mnt"));
    let line = format!("{AS_NOBODY} stat -c %u:%g {}", source.join("secret").display());
    assert_eq!(shell(person.home(), &line), "65534:65534\n");
    shell(person.home(), &format!("{AS_NOBODY} fusermount3 -u mnt"));
    assert_eq!(mount.code(), Some(0), "{}", mount.errors());

    let mut dead = Mount::run(prepared("-r repo mount mnt"), &person, person.path("mnt"));
    dead.signal("KILL");
    dead.code();
    let mut next = Mount::run(prepared("-r repo mount mnt"), &person, person.path("mnt"));
    assert!(next.errors().contains("dead mount"), "{}", next.errors());
    next.signal("TERM");
    assert_eq!(next.code(), Some(0), "{}", next.errors());

    let output = prepared("-r repo mount -o suid mnt").output().expect("it starts");
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}
