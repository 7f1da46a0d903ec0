use super::*;

fn storage() -> (tempfile::TempDir, LocalStorage) {
    let dir = tempfile::tempdir().unwrap();
    let storage = LocalStorage::open(dir.path(), "test".into()).unwrap();
    (dir, storage)
}

#[test]
fn an_object_comes_back() {
    let (_dir, storage) = storage();
    storage.put("data/0f/a", &[b"ab", b"", b"cd"], PutMode::Content).unwrap();
    storage.put("repo", &[b"x"], PutMode::CreateOnce).unwrap();
    assert_eq!(storage.get("data/0f/a", 4).unwrap(), b"abcd");
    let mut buf = [0; 2];
    storage.get_range("data/0f/a", 1, &mut buf).unwrap();
    assert_eq!(&buf, b"bc");
    let mut names = Vec::new();
    storage.list("", &mut |meta| names.push(meta.name)).unwrap();
    names.sort();
    assert_eq!(names, ["data/0f/a", "repo"]);
    let again = storage.put("repo", &[b"y"], PutMode::CreateOnce).unwrap_err();
    assert_eq!(again.kind, StorageErrorKind::Exists);
    storage.delete("data/0f/a").unwrap();
    storage.delete("data/0f/a").unwrap();
    let gone = storage.get("data/0f/a", 4).unwrap_err();
    assert_eq!(gone.kind, StorageErrorKind::Missing);
}
