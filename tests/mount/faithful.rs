//! What is in a mount is what was backed up, to every program.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::person::Person;
use crate::support::{Mount, is_possible, is_root, shell};

/// Everything that a folder can hold.
const RICH: &str = r#"
    mkdir -p src/deep/er/and/deeper src/empty src/sticky src/many
    for i in $(seq 1 300); do echo content of $i > src/many/file-$i; done
    head -c 9000000 /dev/urandom > src/large; ln src/large src/deep/same; ln src/large src/deep/er/again
    head -c 3000000 /dev/zero | tr '\0' 'a' > src/text
    truncate -s 40M src/sparse; printf middle | dd of=src/sparse bs=1 seek=20000000 conv=notrunc status=none
    truncate -s 5M src/holes-only
    ln -s ../deep src/empty/link; ln -s /nowhere/at/all src/dangling
    mkfifo src/fifo; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(b"src/sock")'
    printf odd > $'src/\xff\xfe name\n'; printf x > 'src/ü 🙂'; printf -- x > src/-rf
    chmod 0000 src/text; chmod 04755 src/deep/same; chmod 1777 src/sticky
    setfattr -n user.comment -v 'hello' src/many/file-1
    setfattr -n user.long -v 0x$(printf 'ab%.0s' $(seq 1500)) src/many/file-2
    setfacl -m u:daemon:rw,g:daemon:r src/many/file-3; setfacl -d -m u:daemon:rx src/empty
    touch -d '1961-02-03 04:05:06.789' src/many/file-4; touch -d '2039-12-31 23:59:59.999999999' src/many/file-5
    touch -h -d '2001-01-01' src/dangling
"#;

/// What only root can make.
const ROOTS: &str = r"
    mknod src/null c 1 3; mknod src/disk b 259 300000
    chown 12345:54321 src/many/file-6; chown -h 1:2 src/dangling
    setcap cap_net_raw+ep src/many/file-7; setfattr -n trusted.secret -v 1 src/many/file-8
";

fn rich_person() -> Person {
    let person = Person::new();
    shell(person.home(), RICH);
    if is_root() {
        shell(person.home(), ROOTS);
    }
    person.ok("-r repo repo init --encryption none");
    person.ok("-r repo snapshot src");
    person
}

/// Runs a line in both folders, which must print the same.
fn assert_same(line: &str, one: &Path, other: &Path) {
    let (one, other) = (shell(one, line), shell(other, line));
    let differs = one.lines().zip(other.lines()).find(|(one, other)| one != other);
    assert!(one == other, "`{line}`: {differs:?}");
}

#[test]
fn programs_see_the_source() {
    if !is_possible() {
        return;
    }
    let person = rich_person();
    let mount = Mount::start(&person, "mnt");
    let (source, mounted) = (person.path("src"), mount.latest(&person, "src"));
    let both = format!("{} {}", source.display(), mounted.display());
    let slashed = format!("{}/ {}/", source.display(), mounted.display());

    // diff would wait for the fifo's writer, and does not compare devices.
    let special = "-x fifo -x null -x disk -x sock";
    assert_eq!(shell(person.home(), &format!("diff -r --no-dereference {special} {both}")), "");
    let rsync = shell(person.home(), &format!("rsync -aHAX --checksum -n -i {slashed}"));
    assert_eq!(rsync, "");
    let back = format!("rsync -aHAX --checksum -n -i {}/ {}/", mounted.display(), source.display());
    assert_eq!(shell(person.home(), &back), "");
    let tar = format!(
        "tar --xattrs --acls -cf - -C {} . | tar --compare -f - -C {}",
        source.display(),
        mounted.display()
    );
    assert_eq!(shell(person.home(), &tar), "");
    // Folders have sizes and links of their own on every file system.
    assert_same(
        r"find . -type d -printf '%P %y %m %U %G %T@ %C@\0' | sort -z | tr '\0' '\n'",
        &source,
        &mounted,
    );
    assert_same(
        r"find . ! -type d -printf '%P %y %m %U %G %s %n %T@ %C@ %l\0' | sort -z | tr '\0' '\n'",
        &source,
        &mounted,
    );
    assert_same(
        "find . -links +1 -type f -printf '%i\\n' | sort | uniq -c | awk '{print $1}'",
        &source,
        &mounted,
    );
    let acls = "find . ! -type l -print0 | sort -z | xargs -0 getfacl -p --";
    assert_same(acls, &source, &mounted);
    assert_same("getfattr -d -h -R -m - . 2>&1 | sort", &source, &mounted);
    if is_root() {
        assert_same("stat -c '%n %t %T' null disk", &source, &mounted);
        assert_same("getcap -r .", &source, &mounted);
    }
    mount.end();
}

#[test]
fn copies_out_of_a_mount_are_the_source_again() {
    if !is_possible() {
        return;
    }
    let person = rich_person();
    let mount = Mount::start(&person, "mnt");
    let mounted = mount.latest(&person, "src");
    shell(person.home(), &format!("cp -a --sparse=auto {} copy", mounted.display()));
    // File systems do not let others set names that begin with `trusted`, but root may.
    assert_eq!(shell(person.home(), "rsync -aHAX --checksum -n -i src/ copy/"), "");
    let copied = shell(person.home(), "du -k copy/sparse copy/holes-only | cut -f1");
    let blocks: u64 = copied.lines().map(|line| line.parse::<u64>().expect("a number")).sum();
    assert!(blocks < 2048, "holes stay holes: {copied}");
    let archive = format!("tar -S -cf - -C {} sparse holes-only | wc -c", mounted.display());
    let archived: u64 = shell(person.home(), &archive).trim().parse().expect("a number");
    assert!(archived < 1 << 20, "{archived}");
    mount.end();
}

#[test]
fn holes_are_where_they_were() {
    if !is_possible() {
        return;
    }
    let person = Person::new();
    let line = "mkdir src; truncate -s 30M src/file; head -c 300000 /dev/urandom | \
                dd of=src/file bs=4096 seek=2560 conv=notrunc status=none";
    shell(person.home(), line);
    person.ok("-r repo repo init --encryption none");
    person.ok("-r repo snapshot src");
    let mount = Mount::start(&person, "mnt");
    let file = std::fs::File::open(mount.latest(&person, "src").join("file")).expect("a file");
    let seek = |to| rustix::fs::seek(&file, to).map_err(std::io::Error::from);
    let data = seek(rustix::fs::SeekFrom::Data(0)).expect("data");
    assert!((9 << 20..=10_485_760).contains(&data), "{data}");
    let hole = seek(rustix::fs::SeekFrom::Hole(data)).expect("a hole");
    assert!((10_785_760..12 << 20).contains(&hole), "{hole}");
    let none = seek(rustix::fs::SeekFrom::Data(hole)).expect_err("only holes follow");
    assert_eq!(none.raw_os_error(), Some(rustix::io::Errno::NXIO.raw_os_error()));
    assert_eq!(seek(rustix::fs::SeekFrom::Hole(0)).expect("a hole"), 0);
    drop(file);
    mount.end();
}

#[test]
fn a_git_repository_in_a_mount_is_whole() {
    if !is_possible() {
        return;
    }
    let person = Person::new();
    let git = "git -c user.name=a -c user.email=a@b -c init.defaultBranch=main";
    let line = format!(
        "mkdir src; cd src; {git} init -q; for i in $(seq 1 20); do seq $i 2000 > f$i; {git} add .; \
         {git} commit -qm $i; done; {git} gc -q; seq 7 > f1; {git} add .; {git} commit -qm last"
    );
    shell(person.home(), &line);
    person.ok("-r repo repo init --encryption none");
    person.ok("-r repo snapshot src");
    let mount = Mount::start(&person, "mnt");
    let mounted = mount.latest(&person, "src");
    let git = format!("git -c safe.directory='*' -C {}", mounted.display());
    shell(person.home(), &format!("{git} fsck --full --strict"));
    assert_same("git -c safe.directory='*' log --format=%H", &person.path("src"), &mounted);
    assert_eq!(shell(person.home(), &format!("{git} --no-optional-locks status --porcelain")), "");
    mount.end();
}

#[test]
fn one_snapshot_or_folder_is_mounted_by_itself() {
    if !is_possible() {
        return;
    }
    let person = crate::person::person_with_snapshot();
    let mount = Mount::start(&person, "latest one");
    let whole = mount.folder.join(person.path("data").strip_prefix("/").expect("absolute"));
    let letter = whole.join("letter.txt");
    assert_eq!(std::fs::read(letter).expect("a file"), b"Dear Ann,\n");
    mount.end();

    let folder = crate::person::latest(&person, "data");
    let mount = Mount::start(&person, &format!("{folder} two"));
    let mut names: Vec<_> = std::fs::read_dir(&mount.folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["letter.txt", "link", "photos"]);
    let id = |name: &str| std::fs::metadata(mount.folder.join(name)).map(|found| inode(&found));
    let before = id("letter.txt").expect("a file");
    mount.end();
    // Programs that remember inode numbers find the same ones in the next mount.
    let mount = Mount::start(&person, &format!("{folder} two"));
    let found = std::fs::metadata(mount.folder.join("letter.txt")).expect("a file");
    assert_eq!(inode(&found), before);
    mount.end();

    let said = person.run(&format!("-r repo mount {folder}/letter.txt two"));
    assert_eq!(said.code, 2, "{said}");
    assert!(said.stderr.contains("larder dump"), "{said}");
}

fn inode(found: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(found)
}

#[test]
fn snapshots_are_found_by_time_id_host_and_tag() {
    if !is_possible() {
        return;
    }
    let person = crate::person::person_with_data();
    person.ok("-r repo snapshot data --host web --tag nightly");
    person.ok("-r repo snapshot data --host db");
    let mount = Mount::start(&person, "mnt");
    let list = |name: &str| {
        let names = std::fs::read_dir(mount.folder.join(name)).expect("a folder");
        let mut names: Vec<String> = names
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    assert_eq!(list(""), ["hosts", "ids", "latest", "snapshots", "tags"]);
    assert_eq!(list("snapshots").len(), 2);
    assert!(list("ids").iter().all(|id| id.len() == 32 || id.len() == 64), "{:?}", list("ids"));
    assert_eq!(list("hosts"), ["db", "web"]);
    assert_eq!(list("tags"), ["nightly"]);
    assert_eq!(list("tags/nightly").len(), 2, "one, and the link to it");
    let letter = person.path("data/letter.txt");
    let letter = letter.strip_prefix("/").expect("absolute");
    for way in ["latest", "hosts/db/latest", "hosts/web/latest", "tags/nightly/latest"] {
        let file = mount.folder.join(way).join(letter);
        assert_eq!(std::fs::read(&file).expect("a file"), b"Dear Ann,\n", "{way}");
    }
    assert!(std::fs::metadata(mount.folder.join("hosts/nobody")).is_err());
    mount.end();

    let mount = Mount::start(&person, "--host web only");
    let hosts = std::fs::read_dir(mount.folder.join("hosts")).expect("a folder");
    let hosts: Vec<_> = hosts.map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(hosts, ["web"]);
    mount.end();
}

/// The system's list of mounts says what it is and how it is mounted.
#[test]
fn a_mount_is_read_only_without_devices_and_set_ids() {
    if !is_possible() {
        return;
    }
    let person = crate::person::person_with_snapshot();
    let mount = Mount::start(&person, "mnt");
    let mounts = std::fs::read("/proc/self/mountinfo").expect("text");
    let folder = mount.folder.as_os_str().as_bytes();
    let line = mounts
        .split(|byte| *byte == b'\n')
        .find(|line| line.windows(folder.len()).any(|window| window == folder));
    let line = String::from_utf8_lossy(line.expect("a line")).into_owned();
    for word in ["ro,", "nosuid", "nodev", "larder:"] {
        assert!(line.contains(word), "{line}");
    }
    let letter = mount.latest(&person, "data").join("letter.txt");
    let error = std::fs::write(letter, "changed").expect_err("it cannot be written");
    assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    let space = shell(person.home(), "df --output=size,used,avail,pcent mnt | tail -1");
    assert!(space.contains(" 0 ") && space.contains("100%"), "{space}");
    mount.end();
}
