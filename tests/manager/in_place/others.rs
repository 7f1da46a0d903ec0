//! What others do meanwhile, and what stands in the way.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use larder::error::Error;
use larder::format::pack::PackType;
use larder::restore::Overwrite;
use larder::restore::transaction::{
    Hook, InPlaceOptions, RollbackOptions, plan, restore_in_place, rollback, unfinished,
};
use larder::runtime::Runtime;

use super::exact::{Case, Exact, assert_clean};
use crate::support::Lab;

/// A hook that does something once, at the first step of this name.
fn once(name: &'static str, act: impl Fn() -> std::io::Result<()> + Send + Sync + 'static) -> Hook {
    let done = AtomicBool::new(false);
    Hook::new(
        move |step, _| {
            if step == name && !done.swap(true, Ordering::Relaxed) { act() } else { Ok(()) }
        },
    )
}

fn case(seed: u64) -> Case {
    Case::new(Lab::seeded(seed), |source| {
        let at = |name: &str| source.join("samples").join(name);
        fs::write(at("tiny"), b"other").expect("writes");
        fs::write(at("noise"), b"other").expect("writes");
        fs::remove_file(at("zeros")).expect("removes");
        fs::write(source.join("extra"), b"extra").expect("writes");
    })
}

/// A file that is written between plan and exchange is nobody's to throw away.
#[test]
fn what_changes_meanwhile_ends_the_restore() {
    let case = case(440);
    let file = case.source().join("samples/noise");
    let (before, written) = (Exact::of(&case.source()), file.clone());
    let hook = once("staged all", move || fs::write(&written, b"news"));
    let options = InPlaceOptions { hook: Some(hook), ..case.options() };
    let error = case.restore(&options).expect_err("it is noticed");
    assert!(
        matches!(&error, Error::RolledBack { source } if matches!(**source, Error::Busy { .. }))
    );
    assert_eq!(fs::read(&file).expect("reads"), b"news");
    let found = file.metadata().expect("is there");
    fs::write(&file, b"other").expect("writes");
    assert_eq!(file.metadata().expect("is there").ino(), found.ino());
    assert_clean(&case.source(), Some(&case.state));
    assert!(!before.is(&case.source()), "its time is another now");
    case.restore(&case.options()).expect("restores");
    case.assert_restored("afterwards");
}

/// A file that appears under a name that was free is not replaced.
#[test]
fn what_appears_meanwhile_ends_the_restore() {
    let case = case(441);
    let file = case.source().join("samples/zeros");
    let appeared = file.clone();
    let hook = once("staged all", move || fs::write(&appeared, b"news"));
    let options = InPlaceOptions { hook: Some(hook), ..case.options() };
    let error = case.restore(&options).expect_err("it is noticed");
    assert!(
        matches!(&error, Error::RolledBack { source } if matches!(**source, Error::Busy { .. }))
    );
    assert_eq!(fs::read(&file).expect("reads"), b"news");
    assert_clean(&case.source(), Some(&case.state));
}

/// Two at the same time: the second is told, and so is a rollback.
#[test]
fn two_at_the_same_time_exclude_each_other() {
    let case = case(442);
    let (repository, snapshot, source) = (case.lab.open(), case.snapshot.clone(), case.source());
    let options = case.options();
    let asked = Arc::new(AtomicBool::new(false));
    let was_asked = Arc::clone(&asked);
    let hook = once("stage", move || {
        let second = restore_in_place(&repository, &snapshot, &options, &Runtime::default());
        assert!(matches!(second, Err(Error::Busy { .. })), "{second:?}");
        let state_dir = options.state_dir.clone();
        let rolling = RollbackOptions { state_dir: state_dir.clone(), ..Default::default() };
        let rolled = rollback(Some(&source), &rolling);
        assert!(matches!(rolled, Err(Error::Busy { .. })), "{rolled:?}");
        let rolled = rollback(None, &rolling).expect("leaves it alone");
        assert!(rolled.unfinished[0].is_running && rolled.undone == 0, "{rolled:?}");
        let found = unfinished(Some(&source), None).expect("looks");
        assert!(found.len() == 1 && found[0].is_running, "{found:?}");
        was_asked.store(true, Ordering::Relaxed);
        Ok(())
    });
    case.restore(&InPlaceOptions { hook: Some(hook), ..case.options() }).expect("restores");
    assert!(asked.load(Ordering::Relaxed));
    case.assert_restored("the first");
}

/// Something took the place of what comes back: it is not thrown away, and what was there is kept
/// until it can be brought back.
#[test]
fn a_rollback_throws_nothing_away() {
    let case = case(443);
    let before = Exact::of(&case.source());
    let place = case.source().join("samples/noise");
    let taken = place.clone();
    let hook = Hook::new(move |step, _| {
        if step == "commit" {
            fs::rename(&taken, taken.with_extension("moved"))?;
            fs::write(&taken, b"mine")?;
            return Err(std::io::Error::other("a made-up error"));
        }
        Ok(())
    });
    let options = InPlaceOptions { hook: Some(hook), ..case.options() };
    let error = case.restore(&options).expect_err("fails");
    assert!(matches!(error, Error::RollbackFailed { .. }), "{error:?}");
    assert_eq!(fs::read(&place).expect("reads"), b"mine");
    let rolling = RollbackOptions { state_dir: Some(case.state.clone()), ..Default::default() };
    let report = rollback(Some(&case.source()), &rolling).expect("tries again");
    assert_eq!(report.conflicts.len(), 1, "{report:?}");
    let kept_at = report.conflicts[0].kept_at.clone().expect("it is kept");
    assert_eq!(fs::read(kept_at).expect("reads"), b"other");
    fs::remove_file(&place).expect("removes");
    fs::remove_file(place.with_extension("moved")).expect("removes");
    let report = rollback(None, &rolling).expect("rolls back");
    assert!(report.conflicts.is_empty(), "{report:?}");
    before.assert_same(&case.source(), "after the conflict");
    assert_clean(&case.source(), Some(&case.state));
}

/// Somebody plants what looks like a staging folder, with a journal that would make root undo
/// things elsewhere: it is left alone.
#[test]
fn planted_staging_folders_are_left_alone() {
    let case = case(444);
    // A real one, left by a restore that could not be rolled back.
    let place = case.source().join("samples/noise");
    let taken = place.clone();
    let hook = Hook::new(move |step, _| {
        if step == "commit" {
            fs::rename(&taken, taken.with_extension("moved"))?;
            fs::write(&taken, b"mine")?;
            return Err(std::io::Error::other("a made-up error"));
        }
        Ok(())
    });
    case.restore(&InPlaceOptions { hook: Some(hook), ..case.options() }).expect_err("fails");
    let real = staging_in(&case.source());
    let journal = fs::read(real.join("journal")).expect("reads");
    let home = case.lab.scratch("shared");
    let plant = |name: &str, mode: u32| {
        let folder = home.join(name);
        for inner in ["new", "old"] {
            fs::create_dir_all(folder.join(inner)).expect("makes");
        }
        fs::write(folder.join("journal"), &journal).expect("writes");
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).expect("a mode");
        folder
    };
    let before = Exact::of(&case.source());
    let name = real.file_name().expect("a name").to_str().expect("text").to_string();
    let cases = [
        // The journal of another folder, under the right name and under another one.
        plant(&name, 0o700),
        plant(".larder-in-place-00", 0o700),
        plant(".larder-in-place-11", 0o755),
    ];
    if rustix::process::geteuid().is_root() {
        let foreign = plant(".larder-in-place-22", 0o700);
        std::os::unix::fs::chown(&foreign, Some(4242), None).expect("gives away");
        let journal = plant(".larder-in-place-33", 0o700).join("journal");
        std::os::unix::fs::chown(journal, Some(4242), None).expect("gives away");
    }
    let link = home.join(".larder-in-place-44");
    std::os::unix::fs::symlink(&real, &link).expect("links");
    let report = rollback(Some(&home), &RollbackOptions::default()).expect("looks");
    assert_eq!(report.undone, 0, "{report:?}");
    assert!(report.left_alone.len() + report.undecided.len() >= cases.len(), "{report:?}");
    assert!(report.unfinished.is_empty(), "{report:?}");
    assert!(cases.iter().all(|folder| folder.join("journal").exists()));
    before.assert_same(&case.source(), "nothing was obeyed");
}

fn staging_in(folder: &Path) -> PathBuf {
    let entries = fs::read_dir(folder).expect("lists").flatten();
    let mut paths = entries.map(|entry| entry.path());
    let is_staging =
        |path: &PathBuf| path.to_str().is_some_and(|path| path.contains(".larder-in-place-"));
    paths.find(is_staging).expect("a staging folder")
}

/// One damaged chunk of what is needed: nothing is touched, and the files are named.
#[test]
fn damage_is_found_before_anything_is_touched() {
    let case = case(445);
    let before = Exact::of(&case.source());
    for (_, pack) in case.repository.index().packs() {
        if pack.pack_type == PackType::Data {
            let damaged = |bytes: &mut Vec<u8>| bytes.iter_mut().skip(100).for_each(|b| *b ^= 1);
            case.lab.memory.damage(&pack.object_name(), damaged);
        }
    }
    let error = case.restore(&case.options()).expect_err("it is damaged");
    assert!(matches!(error, Error::Untouched { .. }), "{error:?}");
    assert!(error.to_string().contains("samples/noise"), "{error}");
    before.assert_same(&case.source(), "damage");
    assert_clean(&case.source(), Some(&case.state));
}

/// What the overwrite modes say holds in place too.
#[test]
fn overwrite_modes_hold() {
    let case = case(446);
    let at = |name: &str| case.source().join("samples").join(name);
    let never = InPlaceOptions { overwrite: Overwrite::Never, ..case.options() };
    case.restore(&InPlaceOptions { delete: false, ..never }).expect("restores");
    assert_eq!(fs::read(at("noise")).expect("reads"), b"other");
    assert!(at("zeros").exists());
    let newer = InPlaceOptions { overwrite: Overwrite::IfNewer, ..case.options() };
    case.restore(&InPlaceOptions { delete: false, ..newer }).expect("restores");
    assert_eq!(fs::read(at("noise")).expect("reads"), b"other", "it is newer than the snapshot's");
    let both = InPlaceOptions { overwrite: Overwrite::KeepBoth, ..case.options() };
    for _ in 0..2 {
        case.restore(&both).expect("restores");
        assert_eq!(fs::read(at("noise")).expect("reads"), b"other");
        let beside: Vec<PathBuf> = fs::read_dir(at(""))
            .expect("lists")
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.to_string_lossy().contains("noise (restored from"))
            .collect();
        assert_eq!(beside.len(), 1, "{beside:?}");
        assert_eq!(beside[0].metadata().expect("is there").len(), 600_001);
    }
    case.restore(&case.options()).expect("restores");
    case.assert_restored("in the end");
}

/// Something on the way to what is restored is no folder any more: said before anything is done.
#[test]
fn what_leads_to_the_sources_is_never_replaced() {
    let lab = Lab::seeded(447);
    let case = Case::new(lab, |source| {
        let moved = source.with_extension("moved");
        fs::rename(source, &moved).expect("renames");
        std::os::unix::fs::symlink(&moved, source).expect("links");
    });
    let subtree = case.source().join("samples");
    let subtree = subtree.to_str().expect("plain").trim_start_matches('/').as_bytes().to_vec();
    let options = InPlaceOptions { subtree: Some(subtree), ..case.options() };
    let error = plan(&case.repository, &case.snapshot, &options, &Runtime::default());
    let error = error.expect_err("it leads elsewhere");
    assert!(matches!(error, Error::Untouched { .. }), "{error:?}");
    assert!(case.source().is_symlink());
}
