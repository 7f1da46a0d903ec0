//! Files and archives.

use std::io::Read;

use super::harness::{ADMIN, Server};

/// Bytes that do not compress, the same each time.
fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(b"noise").finalize_xof().fill(&mut bytes);
    bytes
}

#[test]
fn files_come_whole_and_in_part() {
    let server = Server::start();
    let content = noise(3 << 20);
    server.write("ä \"b\".bin", &content);
    server.write("empty", "");
    let id = server.backup();
    let url = |name: &str| {
        let path = Server::encoded(&server.in_snapshot(name));
        format!("/api/v1/repositories/home/backups/{id}/file?path={path}")
    };
    let whole = server.get(&url("ä \"b\".bin"));
    assert_eq!((whole.status, whole.body == content), (200, true));
    assert_eq!(whole.header("x-content-type-options"), "nosniff");
    let disposition = whole.header("content-disposition");
    assert!(disposition.starts_with("attachment; filename=\""), "{disposition}");
    assert!(disposition.ends_with("''%C3%A4%20%22b%22.bin"), "{disposition}");
    let tag = whole.header("etag").to_owned();
    let with = |name: &str, value: &str| {
        server.send(server.request("GET", &url("ä \"b\".bin"), ADMIN).header(name, value))
    };
    let part = with("range", "bytes=1000000-2500000");
    assert_eq!(part.status, 206);
    assert!(part.body == content[1_000_000..=2_500_000]);
    assert_eq!(part.header("content-range"), format!("bytes 1000000-2500000/{}", 3 << 20));
    assert_eq!(with("range", "bytes=99999999-").status, 416);
    assert_eq!(with("if-none-match", &tag).status, 304);
    assert_eq!(server.get(&url("empty")).body, b"");
    assert_eq!(server.get(&url("")).with_status(400)["code"], "not_possible");
    server.get(&url("missing")).with_status(404);
}

#[test]
fn folders_come_as_archives() {
    let server = Server::start();
    server.write("sub/one", "1");
    server.write("sub/two", noise(2 << 20));
    let id = server.backup();
    let path = Server::encoded(&server.in_snapshot("sub"));
    let base = format!("/api/v1/repositories/home/backups/{id}/archive");
    let zipped = server.get(&format!("{base}?path={path}&format=zip"));
    assert_eq!((zipped.status, zipped.is_cut_off), (200, false));
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(zipped.body)).expect("an archive");
    let names: Vec<String> =
        zip.file_names().map(|name| name.expect("text").into_owned()).collect();
    let two = names.iter().find(|name| name.ends_with("two")).expect("is in it");
    let mut content = Vec::new();
    zip.by_name(two).expect("is in it").read_to_end(&mut content).expect("is whole");
    assert!(content == noise(2 << 20));
    let all = server.get(&format!("{base}?format=tar.zst"));
    assert_eq!((all.status, all.is_cut_off), (200, false));
    let tar = zstd::decode_all(&all.body[..]).expect("is whole");
    let mut tar = tar::Archive::new(&tar[..]);
    assert!(tar.entries().expect("an archive").count() >= 4);
    server.get(&format!("{base}?format=rar")).with_status(400);
    server.get(&format!("{base}?path=/nowhere&format=zip")).with_status(404);
}

#[test]
fn what_is_damaged_is_broken_off_and_never_looks_whole() {
    let server = Server::start();
    for number in 0..8 {
        let mut content = noise(1 << 20);
        content[..8].copy_from_slice(&[number; 8]);
        content.rotate_left(usize::from(number) * 1_000);
        server.write(format!("big/{number}"), content);
    }
    let id = server.backup();
    // All bytes of all data packs but their first: what is large can be opened and not read.
    let mut spoilt = 0;
    for pack in packs(&server.folder.path().join("repository")) {
        let mut bytes = std::fs::read(&pack).expect("readable");
        if bytes.len() > 1 << 20 {
            let (from, to) = (bytes.len() / 4, bytes.len() / 2);
            bytes[from..to].iter_mut().for_each(|byte| *byte ^= 0x55);
            std::fs::remove_file(&pack).expect("can be removed");
            std::fs::write(&pack, bytes).expect("can be written");
            spoilt += 1;
        }
    }
    assert!(spoilt > 0, "there are packs to damage");
    let base = format!("/api/v1/repositories/home/backups/{id}");
    let cut = (0..8).filter(|number| {
        let path = Server::encoded(&server.in_snapshot(&format!("big/{number}")));
        let answer = server.get(&format!("{base}/file?path={path}"));
        assert!(answer.is_cut_off || answer.status >= 500 || answer.body.len() == 1 << 20);
        answer.is_cut_off || answer.status >= 500
    });
    assert!(cut.count() > 0, "some of the files are damaged");
    for format in ["zip", "tar.zst"] {
        let answer = server.get(&format!("{base}/archive?format={format}"));
        assert!(answer.is_cut_off, "{format}: {} and {} bytes", answer.status, answer.body.len());
    }
}

fn packs(repository: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut folders = vec![repository.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("readable").path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files
}
