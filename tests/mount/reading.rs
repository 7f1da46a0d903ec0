//! Reading while other things happen: many readers, damage, prunes, storage that is away.

use std::path::{Path, PathBuf};

use crate::person::Person;
use crate::support::{LONG, Mount, is_possible, shell, try_shell};

fn digest(path: &Path) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    let mut file = std::fs::File::open(path).expect("a file");
    std::io::copy(&mut file, &mut hasher).expect("readable");
    hasher.finalize()
}

/// A repository of a few files that are longer than what is read ahead.
fn person_with_large_files() -> Person {
    let person = Person::new();
    let line = "mkdir src; for i in 1 2 3 4; do head -c $((i * 5000000)) /dev/urandom > src/f$i; done; \
                for i in $(seq 200); do head -c $((i * 90)) /dev/urandom > src/s$i; done";
    shell(person.home(), line);
    person.ok("-r repo repo init --encryption none");
    person.ok("-r repo snapshot src");
    person
}

#[test]
fn many_readers_read_what_was_backed_up() {
    if !is_possible() {
        return;
    }
    let person = person_with_large_files();
    // Less memory than the files need: everything is fetched again and again.
    let mount = Mount::start(&person, "--cache-size 8M mnt");
    let (source, mounted) = (person.path("src"), mount.latest(&person, "src"));
    let names = ["f1", "f2", "f3", "f4", "s200", "s7"];
    let expected: Vec<_> = names.iter().map(|name| digest(&source.join(name))).collect();
    std::thread::scope(|scope| {
        for reader in 0..8 {
            let (mounted, expected) = (&mounted, &expected);
            scope.spawn(move || {
                for step in 0..names.len() {
                    let at = (reader + step) % names.len();
                    assert_eq!(digest(&mounted.join(names[at])), expected[at], "{}", names[at]);
                }
            });
        }
        // And somebody who jumps.
        scope.spawn(|| {
            use std::os::unix::fs::FileExt;
            let whole = std::fs::read(source.join("f4")).expect("a file");
            let file = std::fs::File::open(mounted.join("f4")).expect("a file");
            for step in 0..200_u64 {
                let at = step * 7_654_321 % (whole.len() as u64 - 5000);
                let mut bytes = [0; 5000];
                file.read_exact_at(&mut bytes, at).expect("readable");
                assert_eq!(bytes, whole[at as usize..at as usize + 5000], "at {at}");
            }
        });
    });
    mount.end();
}

/// The packs of a repository, the largest first.
fn packs(person: &Person) -> Vec<PathBuf> {
    let mut packs = person.files("repo/data");
    packs.sort_by_key(|path| std::cmp::Reverse(std::fs::metadata(path).expect("a file").len()));
    packs
}

#[test]
fn damage_is_an_error_for_its_files_alone_and_is_named() {
    if !is_possible() {
        return;
    }
    let person = Person::new();
    shell(
        person.home(),
        "mkdir src; head -c 6000000 /dev/urandom > src/first; echo small > src/note",
    );
    person.ok("-r repo repo init --encryption none");
    person.ok("-r repo snapshot src");
    let old = packs(&person);
    shell(person.home(), "head -c 6000000 /dev/urandom > src/second");
    person.ok("-r repo snapshot src");
    let new = packs(&person).into_iter().find(|pack| !old.contains(pack)).expect("a new pack");

    let line = format!(
        "chmod u+w {0}; printf XXXX | dd of={0} bs=1 seek=3000000 conv=notrunc",
        new.display()
    );
    shell(person.home(), &line);
    let mount = Mount::start(&person, "mnt");
    let source = mount.latest(&person, "src");
    for _ in 0..3 {
        let output = try_shell(&source, "cat second");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("Input/output error"), "{said}");
    }
    assert_eq!(digest(&source.join("first")), digest(&person.path("src/first")));
    assert_eq!(shell(&source, "cat note"), "small\n");
    let errors = mount.errors();
    let lines: Vec<_> = errors.lines().filter(|line| line.contains("cannot be read")).collect();
    assert_eq!(lines.len(), 1, "{errors}");
    assert!(lines[0].contains("src/second"), "{errors}");
    assert!(!errors.contains("first") && !errors.contains("note"), "{errors}");
    mount.end();
}

/// Who lists a folder must not take what is left of it for all of it, however often it is asked.
#[test]
fn a_folder_whose_names_are_lost_is_never_listed_as_whole() {
    if !is_possible() {
        return;
    }
    let person = Person::new();
    std::fs::create_dir_all(person.path("src/many")).expect("a folder");
    let add = |names: std::ops::Range<u32>| {
        for number in names {
            let name = person.path(&format!("src/many/{number:08}"));
            std::fs::write(name, number.to_string()).expect("a file");
        }
    };
    person.ok("-r repo repo init --encryption none");
    add(0..6000);
    person.ok("-r repo snapshot src");
    let packs = person.files("repo/meta");
    // Their names are in other pages.
    add(6000..9000);
    person.ok("-r repo snapshot src");
    let len = |path: &PathBuf| std::fs::metadata(path).expect("a file").len();
    let pack = packs.iter().max_by_key(|path| len(path)).expect("a pack of pages");
    let mut damaged = std::fs::read(pack).expect("a pack");
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::remove_file(pack).expect("removed");
    std::fs::write(pack, damaged).expect("written");

    let mount = Mount::start(&person, "mnt");
    let many = mount.latest(&person, "src/many").display().to_string();
    for line in [
        format!("ls {many}"),
        format!("ls {many}"),
        format!("find {many}"),
        format!("cp -a {many} {}", person.path("copy").display()),
        format!("tar cf - {many} | wc -c"),
    ] {
        let output = try_shell(person.home(), &format!("set -o pipefail; {line}"));
        assert!(!output.status.success(), "{line}: {}", output.stdout.len());
    }
    let left = try_shell(person.home(), &format!("ls {many} | wc -l")).stdout;
    let left: u32 = String::from_utf8_lossy(&left).trim().parse().expect("a number");
    assert!((2000..9000).contains(&left), "{left}");
    assert!(mount.errors().contains("cannot be read"), "{}", mount.errors());
    mount.end();
}

#[test]
fn prunes_and_new_snapshots_do_not_disturb() {
    if !is_possible() {
        return;
    }
    let person = Person::new();
    shell(
        person.home(),
        "mkdir src; head -c 5000000 /dev/urandom > src/keep; head -c 5000000 /dev/urandom > src/drop",
    );
    person.ok("-r repo repo init --encryption none");
    let first = person.raw("-r repo snapshot src --json");
    let mount = Mount::start(&person, "mnt");
    // Known to the mount, and not read yet.
    let held = mount.latest(&person, "src");
    let names = std::fs::read_dir(mount.folder.join("snapshots")).expect("a folder").count();
    assert_eq!(names, 1, "{first}");

    std::fs::remove_file(person.path("src/drop")).expect("a file");
    person.ok("-r repo snapshot src");
    person.ok("-r repo forget --keep-last 1");
    person.ok("-r repo prune --max-unused 0 --grace 0");
    person.ok("-r repo prune --max-unused 0 --grace 0");

    let start = std::time::Instant::now();
    while held.join("drop").exists() {
        assert!(start.elapsed() < LONG, "the new snapshot does not appear");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    assert_eq!(digest(&held.join("keep")), digest(&person.path("src/keep")));
    mount.end();
}
