use super::*;
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt;

fn profile(text: &str, mode: u32) -> (tempfile::TempDir, Result<Profile>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p.toml");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    let read = Profile::read(&path);
    (dir, read)
}

fn refused(text: &str, mode: u32) -> String {
    match profile(text, mode).1 {
        Err(error @ Error::Usage { .. }) => {
            format!("{error} {}", error.hint().unwrap_or_default())
        }
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("{text} is taken"),
    }
}

#[test]
fn what_is_not_said_otherwise_comes_from_it() {
    let text = "repository = \"./repo\"\nkey-file = \"k\"\nlimit-upload = \"2M\"\n\
                bandwidth = \"08:00-18:00 2M\"\nretry-for = \"2h\"\n\
                concurrency = 3\ncache-dir = \"/var/cache/x\"";
    let (dir, read) = profile(text, 0o644);
    let read = read.unwrap();
    let mut args = GlobalArgs::default();
    read.fill(&mut args).unwrap();
    assert_eq!(args.repository.repo, Some(dir.path().join("repo").into()));
    assert_eq!(args.secret.key_file, Some(dir.path().join("k")));
    assert_eq!(args.repository.cache_dir, Some("/var/cache/x".into()));
    assert!(args.bandwidth.limit_upload.is_some() && args.bandwidth.bandwidth.is_some());
    assert_eq!(args.patience.retry_for, Some(std::time::Duration::from_secs(7200)));
    assert_eq!(args.patience.concurrency, NonZeroUsize::new(3));

    let mut given = GlobalArgs::default();
    given.repository.repo = Some("other".into());
    given.secret.password_file = Some("p".into());
    read.fill(&mut given).unwrap();
    assert_eq!(given.repository.repo, Some("other".into()));
    assert_eq!(given.secret.key_file, None, "what opens it is said as a whole");
}

#[test]
fn secrets_reach_storage_and_nobody_else() {
    let text = "[secrets]\nAWS_ACCESS_KEY_ID = \"me\"\n[credentials.far]\n\
                AWS_ACCESS_KEY_ID = \"them\"";
    let access = profile(text, 0o600).1.unwrap().access().unwrap();
    assert_eq!(access.get("AWS_ACCESS_KEY_ID").unwrap().as_str(), "me");
    assert_eq!(access.of_set("far").get("AWS_ACCESS_KEY_ID").unwrap().as_str(), "them");
    for mode in [0o640, 0o604, 0o602] {
        assert!(refused(text, mode).contains("chmod 600"));
    }
    assert!(refused("repository = \"x\"", 0o664).contains("changed by others"));
}

#[test]
fn mistakes_are_named_by_line_without_a_secret() {
    let error = refused("repository = \"x\"\nrepositori = \"y\"", 0o600);
    assert!(error.contains("line 2") && error.contains("repositori"), "{error}");
    for text in [
        "[secrets]\nK = 4711",
        "[secrets]\nK = \"4711",
        "[secrets]\nK = 4711x",
        "[secrets]\nK = [4711]",
    ] {
        let error = refused(text, 0o600);
        assert!(error.contains("line 2") && !error.contains("4711"), "{error}");
    }
    let (_dir, read) = profile("limit-upload = \"fast\"", 0o600);
    assert!(read.unwrap().fill(&mut GlobalArgs::default()).is_err());
}

/// Files in one folder, by name; the first is read.
fn several(files: &[(&str, &str)]) -> (tempfile::TempDir, Result<Profile>) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let read = Profile::read(&dir.path().join(files[0].0));
    (dir, read)
}

#[test]
fn a_profile_inherits_what_it_does_not_say() {
    let (dir, read) = several(&[
        (
            "own.toml",
            "inherit = [\"mid\", \"deep/base.toml\"]\nlimit-upload = \"1M\"\n\
             [secrets]\nB = \"own\"\n[backup]\ntags = [\"own\"]",
        ),
        (
            "mid.toml",
            "repository = \"./mid-repo\"\nlimit-upload = \"2M\"\npassword-command = \"echo x\"\n\
             [secrets]\nA = \"mid\"\nB = \"mid\"",
        ),
        (
            "deep/base.toml",
            "repository-file = \"f\"\nkey-file = \"k\"\ncache-dir = \"c\"\n\
             [backup]\nsources = [\"here\"]\ntags = [\"base\"]\nexclude-caches = true",
        ),
    ]);
    let read = read.unwrap();
    assert_eq!(read.files().len(), 3);
    let mut args = GlobalArgs::default();
    read.fill(&mut args).unwrap();
    // Which repository, and what opens it, are said as a whole.
    assert_eq!(args.repository.repo, Some(dir.path().join("mid-repo").into()));
    assert_eq!((args.repository.repository_file, args.secret.key_file), (None, None));
    assert_eq!(args.secret.password_command.as_deref(), Some("echo x"));
    // Paths are those of the file that they stand in.
    assert_eq!(args.repository.cache_dir, Some(dir.path().join("deep/c")));
    let access = read.access().unwrap();
    assert_eq!(access.get("A").unwrap().as_str(), "mid");
    assert_eq!(access.get("B").unwrap().as_str(), "own");
    let backup = read.backup();
    assert_eq!(
        (&backup.sources, &backup.tags),
        (&vec![dir.path().join("deep/here")], &vec!["own".to_owned()])
    );
    assert_eq!(backup.exclude_caches, Some(true));
}

#[test]
fn what_cannot_be_inherited_is_named() {
    let error = |files: &[(&str, &str)]| match several(files).1 {
        Err(error) => format!("{error} {}", error.hint().unwrap_or_default()),
        Ok(_) => panic!("{files:?} is taken"),
    };
    let ring = error(&[("a.toml", "inherit = \"b\""), ("b.toml", "inherit = \"a\"")]);
    assert!(ring.contains("inherits from itself") && ring.contains("b.toml"), "{ring}");
    let missing = error(&[("a.toml", "inherit = \"nowhere\"")]);
    assert!(missing.contains("no profile `nowhere`") && missing.contains("a.toml"), "{missing}");
    let wrong = error(&[("a.toml", "inherit = \"b\""), ("b.toml", "\n  cache-dirr = 1")]);
    assert!(wrong.contains("b.toml") && wrong.contains("line 2, column 3"), "{wrong}");
    // The same base by two ways is no ring.
    let twice =
        [("a.toml", "inherit = [\"b\", \"c\"]"), ("b.toml", "inherit = \"c\""), ("c.toml", "")];
    assert_eq!(several(&twice).1.unwrap().files().len(), 4);
}

#[test]
fn secrets_are_read_where_they_are() {
    let text =
        "[secrets]\nA = { file = \"s\" }\n[credentials.far]\nB = { command = \"printf hunter2\" }";
    let (_dir, read) = several(&[("a.toml", text), ("s", "hunter1\n")]);
    let access = read.unwrap().access().unwrap();
    assert_eq!(access.get("A").unwrap().as_str(), "hunter1");
    assert_eq!(access.of_set("far").get("B").unwrap().as_str(), "hunter2");
    let (_dir, read) = several(&[("a.toml", "[credentials.far]\nB = { file = \"none\" }")]);
    let error = read.unwrap().access().unwrap_err().to_string();
    assert!(error.contains("far.B") && error.contains("none"), "{error}");
    // Where the secret itself is not in it, others may read it.
    assert!(profile("[secrets]\nA = { env = \"X\" }", 0o644).1.is_ok());
}

#[test]
fn schedules_are_inherited_by_name() {
    let (dir, read) = several(&[
        (
            "a.toml",
            "inherit = \"b\"\n[[schedule]]\nname = \"night\"\nwhen = \"@daily\"\n\
             job = { kind = \"backup\", sources = [\"docs\"] }",
        ),
        (
            "b.toml",
            "[[schedule]]\nname = \"night\"\nwhen = \"6h\"\n[[schedule]]\nname = \"check\"\nwhen = \"@weekly\"\n\
             job = { kind = \"check\", period-days = 30 }",
        ),
    ]);
    let read = read.unwrap();
    let shown: Vec<_> =
        read.schedules().iter().map(|s| (s.name.as_deref(), s.when.as_deref())).collect();
    assert_eq!(shown, [(Some("night"), Some("@daily")), (Some("check"), Some("@weekly"))]);
    let crate::model::Job::Backup(job) = &read.schedules()[0].job else { panic!("a backup") };
    assert_eq!(job.sources, [dir.path().join("docs").display().to_string()]);
}
