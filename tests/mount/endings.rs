//! How mounts end, and where none begins.

use std::process::Command;

use crate::person::{Person, person_with_snapshot};
use crate::support::{Mount, is_mounted, is_possible, is_root, shell};

#[test]
fn signals_unmount() {
    if !is_possible() {
        return;
    }
    let person = person_with_snapshot();
    for signal in ["INT", "TERM", "HUP"] {
        let mut mount = Mount::start(&person, "mnt");
        assert!(mount.folder.join("latest").is_symlink());
        mount.signal(signal);
        assert_eq!(mount.code(), Some(0), "{signal}: {}", mount.errors());
        assert!(!is_mounted(&mount.folder), "{signal}");
    }
}

#[test]
fn whoever_unmounts_it_ends_the_program() {
    if !is_possible() {
        return;
    }
    let person = person_with_snapshot();
    let mut lines = vec!["fusermount3 -u mnt"];
    if is_root() {
        lines.push("umount mnt");
    }
    for line in lines {
        let mut mount = Mount::start(&person, "mnt");
        shell(person.home(), line);
        assert_eq!(mount.code(), Some(0), "{line}: {}", mount.errors());
    }
}

#[test]
fn a_mount_in_use_is_unmounted_with_a_word() {
    if !is_possible() {
        return;
    }
    let person = person_with_snapshot();
    let mut mount = Mount::start(&person, "mnt");
    let open = std::fs::File::open(mount.latest(&person, "data").join("letter.txt"));
    let open = open.expect("a file");
    mount.signal("TERM");
    assert_eq!(mount.code(), Some(0), "{}", mount.errors());
    assert!(mount.errors().contains("was in use"), "{}", mount.errors());
    assert!(!is_mounted(&mount.folder));
    // The folder can be used again at once.
    Mount::start(&person, "mnt").end();
    drop(open);
}

#[test]
fn a_dead_mount_is_cleared_away_by_the_next() {
    if !is_possible() {
        return;
    }
    let person = person_with_snapshot();
    let mut mount = Mount::start(&person, "mnt");
    mount.signal("KILL");
    assert_eq!(mount.code(), None);
    let error = std::fs::read_dir(&mount.folder).expect_err("nobody answers");
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::NOTCONN.raw_os_error()));
    // By whatever way it is named.
    std::os::unix::fs::symlink("mnt", person.path("link")).expect("a link");
    let next = Mount::start(&person, "link");
    assert!(next.errors().contains("dead mount"), "{}", next.errors());
    assert!(next.folder.join("latest").is_symlink());
    next.end();
}

#[test]
fn another_programs_dead_mount_is_left_alone() {
    if !is_possible() || !is_root() {
        return;
    }
    let person = person_with_snapshot();
    let folder = person.path("mnt");
    std::fs::create_dir(&folder).expect("a folder");
    // A mount whose program is gone as soon as the shell closes the device.
    let options = "fd=3,rootmode=40000,user_id=0,group_id=0";
    shell(person.home(), &format!("mount -i -t fuse -o {options} other mnt 3<>/dev/fuse"));
    let said = person.run("-r repo mount mnt");
    let is_left = is_mounted(&folder);
    shell(person.home(), "umount mnt");
    assert_eq!(said.code, 2, "{said}");
    assert!(said.stderr.contains("another program's dead mount"), "{said}");
    assert!(said.stderr.contains("umount"), "{said}");
    assert!(is_left, "it is not ours to take away");
}

/// With `--allow-other` the system may be asked to unmount it when its program dies.
#[test]
fn a_killed_mount_for_everybody_is_taken_away_by_the_system() {
    if !is_possible() || !is_root() {
        return;
    }
    let person = person_with_snapshot();
    // The system's helper tries once, and while other tests mount and unmount it does not always
    // succeed.
    let is_taken_away = |attempt: u32| {
        let mut mount = Mount::start(&person, &format!("--allow-other mnt{attempt}"));
        mount.signal("KILL");
        assert_eq!(mount.code(), None);
        let start = std::time::Instant::now();
        while is_mounted(&mount.folder) && start.elapsed() < crate::support::LONG / 6 {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        !is_mounted(&mount.folder)
    };
    assert!((0..4).any(is_taken_away), "it is still there");
}

#[test]
fn nothing_is_mounted_where_it_would_do_harm() {
    let person = person_with_snapshot();
    std::fs::create_dir(person.path("repo/data/mnt")).expect("a folder");
    for (folder, reason) in [
        ("data", "not empty"),
        ("nowhere", "no folder"),
        ("data/letter.txt", "not a folder"),
        ("repo/data/mnt", "writes to"),
    ] {
        let said = person.run(&format!("-r repo mount {folder}"));
        assert_eq!(said.code, 2, "{folder}: {said}");
        assert!(said.stderr.contains(reason) && said.stderr.contains("hint:"), "{folder}: {said}");
    }
    std::fs::create_dir(person.path("mnt")).expect("a folder");
    for (options, code) in [("-o rw", 2), ("-o shiny", 2), ("4f1c", 1), ("latest:nowhere", 1)] {
        let said = person.run(&format!("-r repo mount {options} mnt"));
        assert_eq!(said.code, code, "{options}: {said}");
        let is_path = options.contains(':');
        assert!(!is_path || said.stderr.contains("path `/nowhere` is not in snapshot"), "{said}");
        assert!(!is_mounted(&person.path("mnt")));
    }
}

#[test]
fn a_folder_is_mounted_on_once() {
    if !is_possible() {
        return;
    }
    let person = person_with_snapshot();
    let mount = Mount::start(&person, "mnt");
    let said = person.run("-r repo mount mnt");
    assert_eq!(said.code, 2, "{said}");
    assert!(said.stderr.contains("already"), "{said}");
    mount.end();
}

#[test]
fn in_the_background_it_returns_once_it_is_mounted() {
    if !is_possible() {
        return;
    }
    let person = person_with_snapshot();
    std::fs::create_dir(person.path("mnt")).expect("a folder");
    let said = person.ok("-r repo mount --background --log-file log mnt");
    assert!(said.starts_with("mounted on"), "{said}");
    let gone = Gone(&person);
    assert!(person.path("mnt/latest").is_symlink());
    shell(person.home(), "umount mnt || fusermount3 -u mnt");
    drop(gone);
    // What goes wrong before it is mounted is said in front, with its exit code.
    let said = person.run("-r repo mount --background data");
    assert_eq!(said.code, 2, "{said}");
    assert!(said.stderr.contains("not empty"), "{said}");
}

/// Unmounts whatever is left if a test fails.
struct Gone<'p>(&'p Person);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        let folder = self.0.path("mnt");
        if is_mounted(&folder) {
            let _ = Command::new("umount").arg("-l").arg(folder).output();
        }
    }
}
