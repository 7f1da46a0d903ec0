//! `larder export`: archives as people and pipes get them.

use std::process::{Command, Stdio};

use crate::support::{Person, person_with_data};

fn person() -> Person {
    let person = person_with_data();
    person.settle();
    person.ok("-r repo snapshot data --host web");
    person
}

#[test]
fn export_writes_what_the_name_says() {
    let person = person();
    let folder = person.path("data").display().to_string();
    insta::assert_snapshot!(person.ok(&format!("-r repo export latest:{folder} -o data.zip")));
    insta::assert_snapshot!(person.run(&format!("-r repo export latest:{folder} -o data.zip")));
    person.ok(&format!("-r repo export latest:{folder} -o data.zip --force"));
    let unzip = Command::new("unzip").args(["-tq", "data.zip"]).current_dir(person.home()).output();
    assert!(unzip.expect("unzip is installed").status.success());

    let said = person.raw("-r repo --json export latest --format tar.zst");
    let summary: serde_json::Value =
        serde_json::from_str(said.lines().last().expect("a line")).expect("an object");
    assert_eq!(
        (&summary["message_type"], &summary["format"]),
        (&"summary".into(), &"tar.zst".into())
    );
    let path = summary["path"].as_str().expect("a path");
    assert!(path.starts_with("web-") && path.ends_with(".tar.zst"), "{path}");
    assert_eq!(person.path(path).metadata().expect("is there").len(), summary["archive_bytes"]);

    let said = person.run("-r repo export latest -o data.rar");
    assert_eq!(said.code, 2, "{said}");
    let said = person.run("-r repo export latest -o repo/data.zip");
    assert_eq!(said.code, 2, "{said}");
    assert_eq!(person.run("-r repo export latest:no/such -o x.zip").code, 1);
    assert!(!person.path("x.zip").exists());
}

#[test]
fn export_goes_into_pipes() {
    let person = person();
    let folder = person.path("data").display().to_string();
    for (format, lister) in [("zip", "bsdtar"), ("tar.zst", "bsdtar"), ("tar.zst", "tar")] {
        let mut export = person
            .process(&format!("-r repo --json -v export latest:{folder} --format {format} -o -"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut list = Command::new(lister);
        if lister == "tar" {
            list.arg("--zstd");
        }
        let output = list.args(["-tf", "-"]).stdin(export.stdout.take().expect("a pipe")).output();
        let listed = String::from_utf8(output.expect("is installed").stdout).expect("text");
        assert!(export.wait().expect("ends").success());
        assert!(listed.contains("photos/sea.jpg"), "{format} {lister}: {listed}");
    }
}
