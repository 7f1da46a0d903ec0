use std::os::unix::fs::PermissionsExt;

use super::*;

const PASSWORD: &str = "four words make one";

fn in_folder() -> (tempfile::TempDir, Access) {
    let folder = tempfile::tempdir().unwrap();
    let access = Access::open(Some(folder.path().join("state")), Runtime::default()).unwrap();
    (folder, access)
}

#[test]
fn users_come_and_go_and_other_processes_see_it() {
    let (folder, access) = in_folder();
    let state = Some(folder.path().join("state"));
    let other = Access::open(state.clone(), Runtime::default()).unwrap();
    assert!(access.add_first_user("ann", PASSWORD).unwrap());
    assert!(!access.add_first_user("eve", PASSWORD).unwrap(), "she is not the first");
    assert_eq!(other.known().user("ann").unwrap().role, Role::Admin);
    access.add_user("bob", Role::Viewer, PASSWORD).unwrap();
    assert!(access.add_user("bob", Role::Admin, PASSWORD).is_err());
    assert!(other.remove_user("ann").is_err(), "she is the only administrator");
    assert!(other.set_role("ann", Role::Viewer).is_err());
    other.set_role("bob", Role::Admin).unwrap();
    other.remove_user("ann").unwrap();
    assert!(access.known().user("ann").is_none());
    assert!(matches!(access.set_password("ann", PASSWORD), Err(Error::NotFound { .. })));
    for wrong in ["", "a b", "a\n", "<b>", &"x".repeat(65)] {
        assert!(access.add_user(wrong, Role::Viewer, PASSWORD).is_err(), "{wrong}");
    }
    let mode = other.path().unwrap().metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn tokens_are_known_until_they_end() {
    let access = Access::open(None, Runtime::default()).unwrap();
    let soon = access.now() + jiff::SignedDuration::from_secs(60);
    let (token, text) = access.add_token("ci", Role::Operator, Some(soon)).unwrap();
    let known = access.known();
    assert_eq!(known.token(&text, access.now()), Some(&token));
    assert_eq!(known.token(&text, soon), None, "it has ended");
    assert_eq!(known.token(&text[..text.len() - 1], access.now()), None);
    assert_eq!(known.token(&text.replacen("larder", "other", 1), access.now()), None);
    assert!(!serde_json::to_string(&*known).unwrap().contains(text.split('_').nth(2).unwrap()));
    access.add_token("ci", Role::Viewer, None).unwrap();
    assert!(matches!(access.remove_token("ci"), Err(Error::Ambiguous { .. })));
    access.remove_token(&token.token_id).unwrap();
    assert_eq!(access.known().token(&text, access.now()), None);
    access.remove_token("ci").unwrap();
    assert!(matches!(access.remove_token("ci"), Err(Error::NotFound { .. })));
}

#[test]
fn a_file_that_is_damaged_or_shared_lets_nobody_be_the_first() {
    let (folder, access) = in_folder();
    access.add_user("ann", Role::Admin, PASSWORD).unwrap();
    let path = access.path().unwrap();
    let again = || Access::open(Some(folder.path().join("state")), Runtime::default());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(again().is_err());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(access.known().user("ann").is_some());
    fs::write(&path, "{\"users\": [").unwrap();
    assert!(again().is_err());
    assert!(access.known().user("ann").is_some(), "as it was before");
    assert!(access.add_first_user("eve", PASSWORD).is_err());
    fs::remove_file(&path).unwrap();
    assert!(access.known().users.is_empty());
}
