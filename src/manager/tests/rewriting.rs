//! What [`rewrite`] makes.

use super::super::{RewriteOptions, TagChange, rewrite};
use super::*;
use crate::retention::{Candidate, TimeStanding};
use crate::runtime::TestClock;
use crate::verify::{CheckOptions, ReadData, check};

fn options() -> RewriteOptions {
    RewriteOptions {
        exclude: WalkOptions::default(),
        tags: TagChange::default(),
        host: None,
        description: None,
        time_ms: None,
        forget: false,
        dry_run: false,
        author: author(),
    }
}

#[test]
fn what_is_left_out_is_as_if_it_had_never_been_read() {
    let home = tempfile::tempdir().expect("a folder");
    let source = home.path().join("source");
    make_tree(&source);
    let repository = repository(&home.path().join("state"));
    let whole = backed_up(&repository, &source, WalkOptions::default());
    for patterns in [vec!["gone"], vec!["deep/"], vec!["1*", "!1", "!10"], vec!["large"]] {
        let exclude = WalkOptions {
            exclude: patterns.into_iter().map(str::to_owned).collect(),
            ..WalkOptions::default()
        };
        let wanted = backed_up(&repository, &source, exclude.clone());
        let list = repository.snapshots().expect("lists");
        let options = RewriteOptions { exclude, ..options() };
        let dry = RewriteOptions { dry_run: true, ..options.clone() };
        let runtime = Runtime::default();
        let looked = rewrite(&repository, &[&whole], &list, &dry, &runtime).expect("looks");
        assert!(looked[0].snapshot.is_none() && looked[0].is_different);
        let done = rewrite(&repository, &[&whole], &list, &options, &runtime).expect("rewrites");
        let new = done[0].snapshot.as_ref().expect("a snapshot");
        // The times of folders above the source change while tests run.
        assert_eq!(entries(&repository, new, &source), entries(&repository, &wanted, &source));
        assert_eq!(
            (new.body.entries, new.body.files, new.body.folders, new.body.bytes),
            (wanted.body.entries, wanted.body.files, wanted.body.folders, wanted.body.bytes)
        );
        assert_eq!(new.body.excludes, wanted.body.excludes);
        assert_eq!(new.body.original, Some(whole.id));
        assert_eq!(
            looked[0].entries_left_out + new.body.entries,
            whole.body.entries,
            "the dry run tells the truth"
        );
    }
    let all = CheckOptions { read_data: ReadData::All, ..CheckOptions::default() };
    let report = check(&repository, &all, &Runtime::default()).expect("checks");
    assert!(report.is_clean(), "{report:?}");
}

#[test]
fn tags_host_and_time_are_changed_and_originals_forgotten() {
    let home = tempfile::tempdir().expect("a folder");
    let source = home.path().join("source");
    make_tree(&source);
    let repository = repository(&home.path().join("state"));
    let old = backed_up(&repository, &source, WalkOptions::default());
    let list = repository.snapshots().expect("lists");
    let options = RewriteOptions {
        tags: TagChange { add: vec!["b".into()], remove: vec!["a".into()], set: None },
        host: Some("mail".into()),
        description: Some("moved".into()),
        time_ms: Some(old.body.start_ms - 400 * 24 * 3_600_000),
        forget: true,
        ..options()
    };
    let runtime = Runtime::default();
    let done = rewrite(&repository, &[&old], &list, &options, &runtime).expect("rewrites");
    let id = done[0].snapshot.as_ref().expect("a snapshot").id;
    let list = repository.snapshots().expect("lists");
    assert_eq!(list.snapshots.len(), 1);
    let new = &list.snapshots[0];
    assert_eq!((new.id, new.host.as_str()), (id, "mail"));
    assert_eq!(new.body.tags, ["b"]);
    assert_eq!(new.body.description, "moved");
    assert_eq!(new.body.root, old.body.root);
    assert_ne!(new.body.series, old.body.series);
    assert_eq!(new.body.end_ms - new.body.start_ms, old.body.end_ms - old.body.start_ms);
    assert_eq!(list.forgotten[0].snapshot.id, old.id);
    // Who rewrote it looked at its time.
    let candidate = &Candidate::all_of(&list)[0];
    assert_eq!(candidate.time_standing(), TimeStanding::InTime);
    assert_eq!(candidate.retention_ms(), Some(new.body.start_ms));
    // Once more: nothing to do.
    let again = RewriteOptions { time_ms: None, ..options };
    let done = rewrite(&repository, &[new], &list, &again, &runtime).expect("rewrites");
    assert!(done[0].snapshot.is_none() && !done[0].is_different);
    let list = repository.snapshots().expect("lists");
    assert_eq!(list.snapshots.len(), 1, "what stays as it is is not forgotten");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let home = tempfile::tempdir().expect("a folder");
    let source = home.path().join("source");
    make_tree(&source);
    let repository = repository(&home.path().join("state"));
    let mut old = backed_up(&repository, &source, WalkOptions::default());
    let list = repository.snapshots().expect("lists");
    let clock = Arc::new(TestClock::at_ms(old.body.end_ms + 1000));
    let runtime = Runtime { clock, ..Runtime::default() };
    let refused = |old: &Snapshot, options: &RewriteOptions| {
        let error = rewrite(&repository, &[old], &list, options, &runtime).expect_err("refused");
        assert_eq!(error.exit_code(), 2, "{error}");
        error.to_string()
    };
    assert!(refused(&old, &options()).contains("nothing says"));
    let everything = WalkOptions { exclude: vec!["*".into()], ..WalkOptions::default() };
    let everything = RewriteOptions { exclude: everything, ..options() };
    assert!(refused(&old, &everything).contains("no file"));
    let tagging = RewriteOptions {
        tags: TagChange { add: vec!["b".into()], ..TagChange::default() },
        forget: true,
        ..options()
    };
    old.pinned = true;
    assert!(refused(&old, &tagging).contains("pinned"));
    old.suspect = true;
    assert!(refused(&old, &tagging).contains("suspect"));
    let list = repository.snapshots().expect("lists");
    assert_eq!((list.snapshots.len(), list.forgotten.len()), (1, 0));
}

#[test]
fn new_ones_look_no_better_than_their_originals() {
    let home = tempfile::tempdir().expect("a folder");
    let source = home.path().join("source");
    make_tree(&source);
    let repository = repository(&home.path().join("state"));
    let old = back_dated(&repository, &source);
    let list = repository.snapshots().expect("lists");
    let tags = TagChange { add: vec!["b".into()], ..TagChange::default() };
    for (time_ms, is_in_time) in [(None, false), (Some(old.body.start_ms + 1), true)] {
        let options = RewriteOptions { tags: tags.clone(), time_ms, ..options() };
        let runtime = Runtime::default();
        let done = rewrite(&repository, &[&old], &list, &options, &runtime).expect("rewrites");
        let id = done[0].snapshot.as_ref().expect("a snapshot").id;
        let list = repository.snapshots().expect("lists");
        let candidates = Candidate::all_of(&list);
        let new = candidates.iter().find(|one| one.id == id).expect("is there");
        assert_eq!(new.retention_ms().is_some(), is_in_time, "{new:?}");
    }
}

/// A run that was broken off is repeated, and makes only what is not there.
#[test]
fn nothing_is_rewritten_twice() {
    let home = tempfile::tempdir().expect("a folder");
    let source = home.path().join("source");
    make_tree(&source);
    let repository = repository(&home.path().join("state"));
    let old = backed_up(&repository, &source, WalkOptions::default());
    let exclude = WalkOptions { exclude: vec!["gone".into()], ..WalkOptions::default() };
    let options = RewriteOptions { exclude, ..options() };
    let runtime = Runtime::default();
    let rewritten = |options: &RewriteOptions| {
        let list = repository.snapshots().expect("lists");
        let done = rewrite(&repository, &[&old], &list, options, &runtime).expect("rewrites");
        done[0].snapshot.as_ref().expect("a snapshot").id
    };
    let first = rewritten(&options);
    assert_eq!(rewritten(&options), first);
    assert_eq!(rewritten(&RewriteOptions { forget: true, ..options }), first);
    let list = repository.snapshots().expect("lists");
    assert_eq!((list.snapshots.len(), list.forgotten.len()), (1, 1));
}

/// The names of what is left out are not left among what could not be read.
#[test]
fn errors_go_with_what_is_left_out() {
    let home = tempfile::tempdir().expect("a folder");
    let source = home.path().join("source");
    make_tree(&source);
    let repository = repository(&home.path().join("state"));
    let mut old = backed_up(&repository, &source, WalkOptions::default());
    let error = |path: &str| crate::format::log::SourceError {
        path: crate::format::record::Bin(path.as_bytes().to_vec()),
        message: "denied".into(),
    };
    old.body.errors = vec![error("a/gone/x"), error("a/keep"), error("b/gone")];
    old.body.error_count = 2000;
    let list = repository.snapshots().expect("lists");
    let exclude = WalkOptions { exclude: vec!["gone/".into()], ..WalkOptions::default() };
    let options = RewriteOptions { exclude, ..options() };
    let done = rewrite(&repository, &[&old], &list, &options, &Runtime::default());
    let body = &done.expect("rewrites")[0].snapshot.as_ref().expect("a snapshot").body.clone();
    assert_eq!((body.errors.clone(), body.error_count), (vec![error("a/keep")], 1998));
}
