//! The files of snapshots over WebDAV, as curl and rclone see them.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::machine::Machine;
use crate::servers::tools;

/// A machine with a repository and a folder `data` in its home.
struct Home(Machine);

impl Home {
    fn new() -> Self {
        let machine = Machine::plain("repo".into(), Vec::new());
        machine.ok("repo init --encryption none");
        Self(machine)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }

    fn write(&self, name: &OsStr, bytes: &[u8]) {
        let path = self.path("data").join(name);
        std::fs::create_dir_all(path.parent().expect("below")).expect("a folder");
        std::fs::write(path, bytes).expect("writes");
    }

    #[track_caller]
    fn larder(&self, arguments: &[&str]) {
        self.0.ok(&arguments.to_vec());
    }

    /// Starts the server and waits until it says its address.
    fn serve(&self, arguments: &[&str]) -> Server {
        let arguments = [&["--json", "serve-files"], arguments].concat();
        let mut child = self.0.command(&arguments).stdout(Stdio::piped()).spawn().expect("starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("is piped");
        BufReader::new(stdout).read_line(&mut line).expect("says something");
        let said: serde_json::Value = serde_json::from_str(&line).expect("an object");
        let url = said["url"].as_str().expect("an address").to_owned();
        Server { child, url }
    }
}

struct Server {
    child: Child,
    url: String,
}

impl Server {
    /// The way to the folder `data` in the newest snapshot.
    fn data(&self, home: &Home) -> String {
        format!("{}latest{}", self.url, home.path("data").display())
    }

    /// Asks the server to stop; how it ended.
    fn stop(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("is there");
        self.child.wait().expect("ends").code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs curl; its output.
fn curl(arguments: &[&str]) -> Option<Output> {
    let program = tools::of_system("curl", "curl")?;
    let mut command = Command::new(program);
    command.env_clear().args(["-sS", "--noproxy", "*", "--max-time", "60"]).args(arguments);
    Some(command.output().expect("starts"))
}

/// The status that curl gets.
#[track_caller]
fn status(arguments: &[&str]) -> String {
    let status = [&["-o", "/dev/null", "-w", "%{http_code}"], arguments].concat();
    let output = curl(&status).expect("was there before");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn curl_reads_what_is_in_snapshots_and_nothing_else() {
    if curl(&["--version"]).is_none() {
        return;
    }
    let home = Home::new();
    let long: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    home.write("long".as_ref(), &long);
    home.write(OsStr::from_bytes(b"odd \xff%41#?&\"<name>"), b"odd");
    home.write("folder/file".as_ref(), b"in a folder");
    home.write("page.html".as_ref(), b"<script>fetch('..')</script>");
    for (target, link) in [
        ("../long", "folder/to-long"),
        ("..", "folder/up"),
        ("nowhere", "broken"),
        ("/etc/passwd", "outside"),
        ("circle", "circle"),
    ] {
        symlink(target, home.path("data").join(link)).expect("a link");
    }
    home.larder(&["snapshot", "data"]);
    let server = home.serve(&[]);
    let (url, data) = (server.url.clone(), server.data(&home));
    let body = |url: &str| curl(&["-f", url]).expect("was there before").stdout;

    assert!(body(&format!("{data}/long")) == long);
    assert_eq!(body(&format!("{data}/odd%20%FF%2541%23%3F%26%22%3Cname%3E")), b"odd");
    let range = curl(&["-r", "4000001-4000010", &format!("{data}/long")]).expect("was there");
    assert_eq!(range.stdout, long[4_000_001..=4_000_010]);
    // A link to a file is that file, and no link leads to folders or out of the snapshot.
    assert!(body(&format!("{data}/folder/to-long")) == long);
    for hidden in ["folder/up/long", "folder/up", "broken", "outside", "circle"] {
        assert_eq!(status(&[&format!("{data}/{hidden}")]), "404", "{hidden}");
    }
    let depth = |depth: &'static str| ["-X", "PROPFIND", "-H", depth];
    let listed = curl(&[&depth("Depth: 1")[..], &[&data]].concat()).expect("was there").stdout;
    let listed = String::from_utf8(listed).expect("text");
    for name in ["odd%20%ff%2541%23%3f%26%22%3cname%3e", "/long", "/folder/"] {
        assert!(listed.to_lowercase().contains(name), "{name}: {listed}");
    }
    for name in ["broken", "outside", "circle"] {
        assert!(!listed.contains(name), "{name}: {listed}");
    }
    let times = curl(&[&depth("Depth: 1")[..], &[&format!("{url}snapshots/")]].concat());
    let times = String::from_utf8(times.expect("was there").stdout).expect("text");
    let names = times.split("/snapshots/").skip(2).map(|rest| rest.split('/').next());
    for name in names {
        // Explorer knows no names with colons.
        assert!(name.is_some_and(|name| !name.contains(':') && !name.contains("%3")), "{times}");
    }

    assert_eq!(status(&[&depth("Depth: infinity")[..], &[&url]].concat()), "403");
    assert_eq!(status(&["-H", "Host: example.org", &url]), "403");
    let (base, secret) = url.trim_end_matches('/').rsplit_once('/').expect("a secret");
    assert_eq!(secret.len(), 32);
    for wrong in [format!("{base}/"), format!("{base}/{}/", "0".repeat(32))] {
        assert_eq!(status(&[&wrong]), "404");
    }
    let file = format!("{data}/page.html");
    for method in ["PUT", "DELETE", "MKCOL", "MOVE", "COPY", "PROPPATCH", "LOCK"] {
        let refused = status(&["-X", method, "-H", "Destination: /x", &file]);
        assert_eq!(refused, "405", "{method}");
    }
    assert_eq!(status(&["-X", "POST", &file]), "501");
    let page = curl(&["-D", "-", &file]).expect("was there").stdout;
    let page = String::from_utf8(page).expect("text").to_lowercase();
    assert!(page.contains("content-security-policy: default-src 'none'"), "{page}");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn rclone_copies_a_whole_snapshot() {
    let Some(rclone) = tools::installed("rclone", "python/bin/rclone") else { return };
    let home = Home::new();
    for number in 0..1300 {
        home.write(format!("many/{number}").as_ref(), number.to_string().as_bytes());
    }
    for name in ["größe", "a b/c+d", "50%", "x;y", "日本/語"] {
        home.write(name.as_ref(), name.as_bytes());
    }
    home.write("large".as_ref(), &vec![5; 20 << 20]);
    home.write("empty".as_ref(), b"");
    home.larder(&["snapshot", "data"]);
    let shown = format!("latest:{}", home.path("data").display());
    let server = home.serve(&[&shown, "--no-secret"]);
    let mut copy = Command::new(rclone);
    copy.env_clear().env("HOME", home.path(".")).env("NO_PROXY", "127.0.0.1");
    copy.args(["copy", "--webdav-url", &server.url, ":webdav:", "copied", "--no-traverse"]);
    copy.args(["--webdav-vendor", "other", "--config", ""]).current_dir(home.path("."));
    let output = copy.output().expect("starts");
    assert!(output.status.success(), "{output:?}");
    assert_same_files(&home.path("data"), &home.path("copied"));
    assert_eq!(server.stop(), Some(0));
}

/// A listing that lacks names breaks off, and does not look like the whole folder.
#[test]
fn folders_with_lost_names_are_not_listed_as_whole() {
    if curl(&["--version"]).is_none() {
        return;
    }
    let home = Home::new();
    // What is in small files is in the pages too, and makes them long.
    let random = larder::runtime::Random::seeded(7);
    for number in 0..8000 {
        home.write(format!("many/{number:08}").as_ref(), &random.bytes::<64>());
    }
    home.larder(&["snapshot", "data"]);
    let packs = files_below(&home.path("repo/meta"));
    let pack = packs.iter().max_by_key(|path| path.metadata().expect("a file").len());
    let pack = pack.expect("a pack of pages");
    let mut bytes = std::fs::read(pack).expect("reads");
    let early = bytes.len() / 8;
    bytes[early] ^= 1;
    std::fs::remove_file(pack).expect("removes");
    std::fs::write(pack, bytes).expect("writes");
    let server = home.serve(&[]);
    let many = format!("{}/many/", server.data(&home));
    for request in [&["-X", "PROPFIND", "-H", "Depth: 1", &many][..], &[&many]] {
        let listed = curl(&[&["-f"], request].concat()).expect("was there before");
        assert!(!listed.status.success(), "{}", listed.stdout.len());
        let said = String::from_utf8_lossy(&listed.stderr).into_owned();
        assert!(!said.contains("404"), "{said}");
    }
}

/// All files below a folder.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("reads"));
    let below = |entry: std::fs::DirEntry| match entry.path() {
        path if path.is_dir() => files_below(&path),
        path => vec![path],
    };
    entries.flat_map(below).collect()
}

/// Names and bytes: the rest is not for WebDAV to carry.
#[track_caller]
fn assert_same_files(one: &Path, other: &Path) {
    let output = Command::new("diff").arg("-r").args([one, other]).output().expect("starts");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn it_listens_on_this_machine_alone() {
    let home = Home::new();
    home.write("file".as_ref(), b"file");
    home.larder(&["snapshot", "data"]);
    let run = |address: &str| {
        let output =
            home.0.command(&["serve-files", "--listen", address]).output().expect("starts");
        (output.status.code(), String::from_utf8(output.stderr).expect("text"))
    };
    let (code, said) = run("0.0.0.0:0");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("ssh -L"), "{said}");
    let server = home.serve(&[]);
    let address = server.url.split('/').nth(2).expect("an address").to_owned();
    let (code, said) = run(&address);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("port 0"), "{said}");
}
