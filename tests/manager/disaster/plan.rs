//! Plans: which snapshots, which paths, in which order.

use larder::error::Error;
use larder::format::log::LogKind;
use larder::manager::disaster::{PlanOptions, RecoverPlan};
use larder::model::BackupId;
use larder::source::SourcePath;

use crate::support::{Lab, LabOptions};

/// A lab whose folders `etc`, `home`, `home/ann`, `srv` hold a file each.
fn lab() -> Lab {
    let lab = Lab::with(21, LabOptions { samples: false, entries: 0, ..LabOptions::default() });
    for folder in ["etc", "home", "home/ann", "home/ann/.config", "srv"] {
        let folder = lab.scratch("machine").join(folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("file"), folder.to_string_lossy().as_bytes()).expect("a file");
    }
    lab
}

fn path(lab: &Lab, name: &str) -> String {
    lab.scratch("machine").join(name).display().to_string()
}

/// Backs up some folders.
fn backup(lab: &Lab, host: &str, folders: &[&str], tag: &str) -> BackupId {
    let report = lab.try_backup_with(|options, _| {
        options.host = Some(host.into());
        options.tags = tag.split(',').filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
        let source = |name: &&str| SourcePath::new(path(lab, name).as_ref()).expect("a path");
        options.sources = folders.iter().map(source).collect();
    });
    report.expect("backs up").snapshot.expect("a snapshot").id
}

fn plan(lab: &Lab, options: &PlanOptions) -> Result<RecoverPlan, Error> {
    let repository = lab.open();
    RecoverPlan::new(&repository.snapshots().expect("lists"), repository.id(), options)
}

/// The paths of the steps, below the machine's folder.
fn shown(lab: &Lab, plan: &RecoverPlan) -> Vec<String> {
    let below = path(lab, "");
    let steps = plan.steps.iter();
    let text = |paths: &[String]| paths.join(" ").replace(&below, "");
    steps
        .map(|step| match &step.exclude[..] {
            [] => text(&step.paths),
            exclude => format!("{} without {}", text(&step.paths), text(exclude)),
        })
        .collect()
}

fn manifest_path(lab: &Lab, name: &str) -> Vec<u8> {
    path(lab, name).trim_start_matches('/').as_bytes().to_vec()
}

#[test]
fn the_order_is_declared_by_tags_then_configuration_then_the_rest() {
    let lab = lab();
    backup(&lab, "web", &["home/ann"], "");
    backup(&lab, "web", &["srv"], "daily,recover:20");
    backup(&lab, "web", &["etc"], "recover:5");
    backup(&lab, "web", &["home/ann/.config"], "");
    // The tag of an earlier snapshot holds for its series, until a newer one has another.
    backup(&lab, "web", &["srv"], "");
    let made = plan(&lab, &PlanOptions::default()).expect("a plan");
    assert_eq!(
        shown(&lab, &made),
        ["etc", "srv", "home/ann/.config", "home/ann without home/ann/.config"]
    );
    let why: Vec<&str> = made.steps.iter().map(|step| &step.order[..]).collect();
    assert_eq!(why, ["recover:5", "recover:20", "configuration", "data"]);

    let order = vec![manifest_path(&lab, "home/ann"), manifest_path(&lab, "srv")];
    let asked = plan(&lab, &PlanOptions { order, ..PlanOptions::default() }).expect("a plan");
    assert_eq!(
        shown(&lab, &asked),
        ["home/ann without home/ann/.config", "home/ann/.config", "srv", "etc"]
    );
    let order = vec![manifest_path(&lab, "nowhere")];
    plan(&lab, &PlanOptions { order, ..PlanOptions::default() }).expect_err("no such path");
}

#[test]
fn a_path_can_be_put_before_the_rest_of_its_snapshot() {
    let lab = lab();
    backup(&lab, "web", &["home", "srv"], "");
    let order = vec![manifest_path(&lab, "home/ann")];
    let made = plan(&lab, &PlanOptions { order, ..PlanOptions::default() }).expect("a plan");
    assert_eq!(shown(&lab, &made), ["home/ann", "home srv without home/ann"]);
    let paths = vec![manifest_path(&lab, "home/ann/.config")];
    let made = plan(&lab, &PlanOptions { paths, ..PlanOptions::default() }).expect("a plan");
    assert_eq!(shown(&lab, &made), ["home/ann/.config"]);
}

#[test]
fn what_is_newer_wins_where_series_overlap() {
    let lab = lab();
    // The same folder, once as a part of a larger series that is newer: left out, and said so.
    backup(&lab, "web", &["home/ann"], "");
    backup(&lab, "web", &["home"], "");
    let made = plan(&lab, &PlanOptions::default()).expect("a plan");
    assert_eq!(shown(&lab, &made), ["home"]);
    assert!(made.notes[0].contains("is older than in"), "{:?}", made.notes);
    // Now it is the newer one, and can come first: it is left out of what it lies in.
    backup(&lab, "web", &["home/ann"], "recover:1");
    let made = plan(&lab, &PlanOptions::default()).expect("a plan");
    assert_eq!(shown(&lab, &made), ["home/ann", "home without home/ann"]);
}

/// A large folder that is left out of the main series has one of its own: it must come back,
/// although the main series is newer and lies around it.
#[test]
fn what_a_larger_series_left_out_is_not_left_out_of_the_plan() {
    let lab = lab();
    backup(&lab, "web", &["home/ann"], "");
    let report = lab.try_backup_with(|options, _| {
        options.host = Some("web".into());
        options.sources = vec![SourcePath::new(path(&lab, "home").as_ref()).expect("a path")];
        options.walk.exclude = vec!["ann/".into()];
    });
    report.expect("backs up");
    let made = plan(&lab, &PlanOptions::default()).expect("a plan");
    assert_eq!(shown(&lab, &made), ["home/ann", "home"]);
}

#[test]
fn bad_snapshots_are_passed_over_and_named() {
    let lab = lab();
    let good = backup(&lab, "web", &["srv"], "");
    let bad = backup(&lab, "web", &["srv"], "");
    let before = plan(&lab, &PlanOptions::default()).expect("a plan");
    assert_eq!(before.steps[0].snapshot, bad.to_string());
    let repository = lab.open();
    let list = repository.snapshots().expect("lists");
    let snapshot = list.snapshots.iter().find(|one| one.id == bad).expect("there");
    let author = larder::repository::Author { host: "web".into(), user: "ann".into() };
    let (why, runtime) = ("encrypted by an attacker", lab.runtime());
    repository
        .append_about(LogKind::Quarantine, &[snapshot], why, &author, &list, &runtime)
        .expect("says so");
    let made = plan(&lab, &PlanOptions::default()).expect("a plan");
    assert_eq!(made.steps[0].snapshot, good.to_string());
    assert!(made.notes[0].contains("in quarantine"), "{:?}", made.notes);
    // Nothing good was there before that.
    let options = PlanOptions { until_ms: Some(0), ..PlanOptions::default() };
    plan(&lab, &options).expect_err("no snapshot is that old");
}

#[test]
fn several_hosts_are_chosen_by_name_and_kept_apart() {
    let lab = lab();
    backup(&lab, "web", &["etc"], "");
    backup(&lab, "db/../1", &["etc"], "");
    let error = plan(&lab, &PlanOptions::default()).expect_err("which?");
    assert!(error.to_string().contains("`web`"), "{error}");
    let hosts = vec!["web".to_owned()];
    let one = plan(&lab, &PlanOptions { hosts, ..PlanOptions::default() }).expect("a plan");
    assert_eq!(one.steps.iter().map(|s| s.target.as_deref()).collect::<Vec<_>>(), [None]);
    let hosts = vec!["web".to_owned(), "db/../1".to_owned()];
    let both = plan(&lab, &PlanOptions { hosts, ..PlanOptions::default() }).expect("a plan");
    let folders: Vec<_> = both.steps.iter().filter_map(|step| step.target.clone()).collect();
    assert_eq!(folders.len(), 2);
    assert!(folders.contains(&"db%2F..%2F1".to_owned()), "{folders:?}");
}

#[test]
fn plans_are_files_that_people_edit() {
    let lab = lab();
    backup(&lab, "web", &["etc", "srv"], "");
    let made = plan(&lab, &PlanOptions::default()).expect("a plan");
    let text = made.to_text().expect("text");
    assert_eq!(RecoverPlan::parse(&text).expect("the same"), made);
    for wrong in [
        String::new(),
        text.replace("version = 1", "version = 2"),
        text.replace("paths = [\"/", "paths = [\""),
        text.replace("[[step]]", "[[step]]\ntarget = \"a/../..\""),
        text.replace("[[step]]", "[[steps]]"),
    ] {
        assert!(matches!(RecoverPlan::parse(&wrong), Err(Error::Usage { .. })), "{wrong}");
    }
}
