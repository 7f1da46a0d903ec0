//! The way back from a kit and the storage alone.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use larder::manager::disaster::{
    KitOptions, KitPaper, PlanOptions, RecoverOptions, RecoverPlan, RecoverState, make_kit, recover,
};
use larder::repository::{OpenOptions, Repository, Unlock};
use larder::restore::OwnerPolicy;
use larder::runtime::Runtime;
use larder::storage::{self, Location};
use serde_json::Value;

use super::machine::{Machine, damage};
use crate::support::{Lab, TreeCopy};

fn open(location: &str, unlock: &Unlock) -> Repository {
    let storage = storage::open(&Location::parse(location).expect("a location")).expect("opens");
    Repository::open(storage, unlock, &OpenOptions::default(), &Runtime::default()).expect("opens")
}

/// The procedure of the kit, in the library: kit, opening with its code alone, plan, recovery, and
/// every entry of the tree is as it was.
#[test]
fn disaster_recovery_procedure() {
    // A tree with everything that a file system can hold, in a repository that is a folder.
    let lab = Lab::seeded(11);
    let folder = lab.scratch("disk");
    let location = Location::from_path(&folder).expect("a location");
    let storage = storage::create(&location, larder::repository::LAYOUT).expect("a folder");
    let (init, nothing) = (lab.init_options(), OpenOptions::default());
    let repository =
        Repository::init(storage, &[lab.unlock()], &init, &nothing, &lab.runtime()).expect("made");
    let backup = larder::archive::backup(&repository, &lab.backup_options(), &lab.runtime());
    assert!(backup.expect("backs up").is_complete());
    let before = lab.live_copy();
    let mut page = String::new();
    let kept = make_kit(&repository, &KitOptions::default(), &lab.runtime(), &mut |kit| {
        page = kit.html().to_string();
        Ok(())
    });
    drop((kept.expect("a kit"), repository));

    let paper = KitPaper::parse(&page).expect("a kit");
    let repository = open(&paper.locations[0], &Unlock::Recovery(paper.code.expect("a code")));
    assert_eq!(paper.repository, Some(repository.id()));
    let list = repository.snapshots().expect("lists");
    list.check_head(&paper.head.expect("a head code")).expect("nothing is hidden");
    let plan = RecoverPlan::new(&list, repository.id(), &PlanOptions::default()).expect("a plan");
    let options = RecoverOptions {
        target: lab.scratch("back"),
        verify: true,
        owner: OwnerPolicy::Numeric,
        ..RecoverOptions::default()
    };
    let mut state = RecoverState::new(plan, Vec::new(), 0);
    let runtime = lab.runtime();
    let report =
        recover(&repository, &list, &mut state, &options, &runtime, &mut |_| {}).expect("recovers");
    assert_eq!((report.failed(), report.damage.is_none()), (0, true));
    assert!(report.steps[0].verified > 0);
    let source = lab.source();
    let below = source.strip_prefix("/").expect("absolute");
    before.assert_same(&TreeCopy::of_folder(&options.target.join(below)), "recovered");
    let text =
        std::fs::read_to_string(report.save(&options.target).expect("saved")).expect("a report");
    assert!(text.contains("Everything that was asked for is restored."), "{text}");
}

/// Three series, of which one is declared to come first, on a machine that is then lost.
fn machine() -> Machine {
    let machine = Machine::new();
    machine.write("source/etc/fstab", b"/dev/sda1 / ext4\n");
    for number in 0..4 {
        machine.write_noise(&format!("source/home/ann/letter {number}"), 30_000, number);
        machine.write_noise(&format!("source/srv/db/table {number}"), 200_000, 100 + number);
    }
    std::os::unix::fs::symlink("letter 0", machine.path("source/home/ann/newest")).expect("a link");
    machine
}

/// The files that the report says a snapshot lacks.
fn files_of(hits: &Value, snapshot: &str) -> BTreeSet<String> {
    let all = hits["snapshots"].as_array().expect("snapshots");
    let of = all.iter().filter(|hit| hit["id"] == snapshot);
    let files = of.flat_map(|hit| hit["files"].as_array().expect("files"));
    files.map(|file| file["path"].as_str().expect("a path").to_owned()).collect()
}

fn tables(machine: &Machine) -> BTreeSet<String> {
    let name = |n| machine.path(&format!("source/srv/db/table {n}")).display().to_string();
    (0..4).map(name).collect()
}

/// A machine is lost, and the disk with the repository has lost its index and a pack. From the kit
/// alone all comes back that is there, in the declared order; what the pack held is named, file by
/// file and snapshot by snapshot, and nothing else is. Then the pack turns up again.
#[test]
fn disaster_recovery_workflow() {
    let machine = machine();
    machine.backup("source/home", "");
    machine.backup("source/etc", "--tag recover:10");
    let packs_before = machine.objects("data");
    let first = machine.backup("source/srv", "");
    let packs = machine.objects("data");
    let held = packs.difference(&packs_before).next().expect("a pack of the tables").clone();
    machine.write("source/srv/db/more", b"and a little more");
    let second = machine.backup("source/srv", "");
    machine.ok("--password-file pw kit --output kit.html");
    let [etc, home, srv] = ["source/etc", "source/home", "source/srv"].map(|n| machine.copy_of(n));
    let lost = tables(&machine);
    let pack = std::fs::read(&held).expect("a pack");

    machine.lose(&["kit.html"]);
    for object in machine.objects("index") {
        std::fs::remove_file(object).expect("removed");
    }
    std::fs::remove_file(&held).expect("removed");
    let report = machine.json("recover --kit kit.html --target ../back", 3, "summary");
    let order: Vec<_> = report["steps"].as_array().expect("steps").iter().collect();
    let paths = |step: &Value| step["paths"][0].as_str().expect("a path").to_owned();
    let [first_step, ..] = &order[..] else { panic!("no steps") };
    assert!(paths(first_step).ends_with("source/etc"), "{report}");
    etc.assert_same(&machine.recovered("back", "source/etc"), "etc");
    home.assert_same(&machine.recovered("back", "source/home"), "home");
    for id in [&first, &second] {
        assert_eq!(files_of(&report["damage"]["hits"], id), lost, "{report}");
    }
    assert_eq!(report["damage"]["hits"]["snapshots"].as_array().map(Vec::len), Some(2));
    let failures = order.iter().flat_map(|step| step["failures"].as_array().expect("failures"));
    let failed: BTreeSet<String> =
        failures.map(|failure| failure["path"].as_str().expect("a path").to_owned()).collect();
    assert_eq!(failed, lost);
    let text = std::fs::read_to_string(machine.path("back/larder-recovery-report.txt"));
    let text = text.expect("a report");
    assert!(lost.iter().all(|path| text.contains(path)), "{text}");
    assert!(text.contains("its part\nof the index is missing, too"), "{text}");
    // On the screen each is named once, as an error.
    let shown = machine.ends("recover --kit kit.html --target ../shown", 3);
    assert!(!lost.iter().any(|path| shown.contains(path)), "{shown}");
    assert!(shown.contains(": 4 files hit,"), "{shown}");
    let quiet = machine.ends("-q recover --kit kit.html --target ../quiet", 3);
    assert_eq!(quiet.lines().count(), 1, "{quiet}");
    // What does not need the pack is there.
    let more =
        machine.path("back").join(machine.path("source/srv/db/more").strip_prefix("/").unwrap());
    assert_eq!(std::fs::read(more).expect("a file"), b"and a little more");

    // Somebody finds the pack in a copy of the disk: the same command does the rest, and only that.
    std::fs::write(&held, pack).expect("put back");
    let report = machine.json("recover --kit kit.html --target ../back", 0, "summary");
    assert_eq!((&report["failed"], &report["resumed"]), (&0.into(), &true.into()));
    let earlier =
        report["steps"].as_array().expect("steps").iter().filter(|s| s["earlier"] == true);
    assert_eq!(earlier.count(), 2);
    srv.assert_same(&machine.recovered("back", "source/srv"), "srv");
    assert!(!machine.path("back/.larder-recover.json").exists());
}

/// A run that verifies promises that of everything: what an earlier one restored without is looked
/// at, too, and made right.
#[test]
fn steps_of_an_earlier_run_are_verified_as_well() {
    let machine = machine();
    machine.backup("source/home", "--tag recover:10");
    let before = machine.objects("data");
    machine.backup("source/srv", "");
    let held = machine.objects("data").difference(&before).next().expect("a pack").clone();
    machine.ok("--password-file pw kit --output kit.txt");
    let [home, srv] = ["source/home", "source/srv"].map(|name| machine.copy_of(name));
    let pack = std::fs::read(&held).expect("a pack");
    machine.lose(&["kit.txt"]);
    std::fs::remove_file(&held).expect("removed");
    machine.json("recover --kit kit.txt --target ../back", 3, "summary");
    std::fs::write(&held, pack).expect("put back");
    let ann = machine.path("source/home/ann");
    let ann = machine.path("back").join(ann.strip_prefix("/").expect("absolute"));
    std::fs::write(ann.join("letter 1"), "tampered").expect("a file");
    std::fs::remove_file(ann.join("letter 2")).expect("removed");
    let report = machine.json("recover --kit kit.txt --target ../back --verify", 0, "summary");
    let steps = report["steps"].as_array().expect("steps");
    assert!(steps.iter().all(|step| step["verified"].as_u64() > Some(0)), "{report}");
    home.assert_same(&machine.recovered("back", "source/home"), "home");
    srv.assert_same(&machine.recovered("back", "source/srv"), "srv");
}

/// With the index at hand the pack itself is named, missing or damaged, and what it held.
#[test]
fn damaged_packs_are_named_with_what_they_held() {
    let machine = machine();
    let before = machine.objects("data");
    let id = machine.backup("source/srv", "");
    let held = machine.objects("data").difference(&before).next().expect("a pack").clone();
    machine.backup("source/home", "");
    machine.ok("--password-file pw kit --output kit.txt");
    let home = machine.copy_of("source/home");
    let lost = tables(&machine);
    machine.lose(&["kit.txt"]);
    damage(&held);
    let report = machine.json("recover --kit kit.txt --target ../back", 3, "summary");
    let packs = report["damage"]["packs"].as_array().expect("packs");
    assert_eq!(packs.len(), 1, "{report}");
    let hash = held.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(packs[0]["name"].as_str().expect("a name").ends_with(&hash));
    assert_eq!(packs[0]["state"], "damaged");
    let hit = files_of(&packs[0]["hits"], &id);
    assert!(!hit.is_empty() && hit.is_subset(&lost), "{report}");
    assert_eq!(report["damage"]["hits"], packs[0]["hits"]);
    home.assert_same(&machine.recovered("back", "source/home"), "home");

    std::fs::remove_file(&held).expect("removed");
    let report = machine.json("recover --kit kit.txt --target ../again", 3, "summary");
    assert_eq!(report["damage"]["packs"][0]["state"], "missing");
    assert_eq!(files_of(&report["damage"]["packs"][0]["hits"], &id), lost);
}

/// A manifest's pack is gone: what other snapshots need is restored, and what is lost has a name.
#[test]
fn a_lost_manifest_costs_its_own_snapshot_only() {
    let machine = machine();
    machine.backup("source/home", "");
    let before = machine.objects("meta");
    let id = machine.backup("source/srv", "");
    let held = machine.objects("meta").difference(&before).next().expect("a pack").clone();
    machine.ok("--password-file pw kit --output kit.txt");
    let home = machine.copy_of("source/home");
    machine.lose(&["kit.txt"]);
    std::fs::remove_file(&held).expect("removed");
    let report = machine.json("recover --kit kit.txt --target ../back", 3, "summary");
    home.assert_same(&machine.recovered("back", "source/home"), "home");
    let hits = &report["damage"]["hits"]["snapshots"];
    assert_eq!(hits[0]["id"], id.as_str(), "{report}");
    assert_eq!(hits.as_array().map(Vec::len), Some(1));
    assert_eq!(report["damage"]["packs"][0]["state"], "missing", "{report}");
}

/// Killed in the middle, it goes on after the steps that were done, and the result is the same.
#[test]
fn a_killed_recovery_is_gone_on_with() {
    let machine = Machine::new();
    machine.write("source/etc/fstab", b"/dev/sda1 / ext4\n");
    machine.backup("source/etc", "--tag recover:1");
    for number in 0..24 {
        machine.write_noise(&format!("source/data/{number}"), 1 << 20, number);
    }
    machine.backup("source/data", "");
    machine.ok("--password-file pw kit --output kit.txt");
    let [etc, data] = ["source/etc", "source/data"].map(|name| machine.copy_of(name));
    machine.lose(&["kit.txt"]);
    let state = machine.path("back/.larder-recover.json");
    let is_first_done =
        || std::fs::read_to_string(&state).is_ok_and(|text| text.contains("\"ended_ms\""));
    let mut running = machine.command("--quiet recover --kit kit.txt --target ../back");
    let mut child = running.spawn().expect("starts");
    let start = Instant::now();
    while !is_first_done() && start.elapsed() < Duration::from_secs(60) {
        if child.try_wait().expect("asked").is_some() {
            break;
        }
        std::thread::yield_now();
    }
    child.kill().expect("killed");
    child.wait().expect("gone");

    // Other wishes are another recovery.
    if state.exists() {
        let other = machine.output("recover --kit kit.txt --target ../back --at 2020-01-01");
        assert_eq!(other.status.code(), Some(2));
    }
    let report = machine.json("recover --kit kit.txt --target ../back --verify", 0, "summary");
    if report["resumed"] == true {
        assert_eq!(report["steps"][0]["earlier"], true);
        assert_eq!(report["steps"][1]["earlier"], false);
    }
    etc.assert_same(&machine.recovered("back", "source/etc"), "etc");
    data.assert_same(&machine.recovered("back", "source/data"), "data");
}

/// What is wrong with kit, code, place or plan is said before anything is written.
#[test]
fn mistakes_are_told_before_anything_is_written() {
    let machine = machine();
    machine.backup("source/home", "");
    machine.ok("--password-file pw kit --output kit.txt");
    let kit = std::fs::read_to_string(machine.path("home/kit.txt")).expect("a kit");
    machine.ok("--password-file pw kit --output newer.txt");
    machine.lose(&["kit.txt", "newer.txt"]);
    let error = |line: &str, code: i32| {
        let output = machine.output(line);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "`{line}`: {text}");
        assert!(!machine.path("back").exists(), "`{line}`: {text}");
        text
    };
    let void = error("recover --kit kit.txt --target ../back", 2);
    assert!(void.contains("made this kit void"), "{void}");
    let other_id = kit.replace("Repository id   ", "Repository id   00000000");
    let id_line = other_id.lines().find(|line| line.starts_with("Repository id")).expect("a line");
    let short = &id_line[..id_line.len() - 8];
    machine.write("home/other.txt", other_id.replace(id_line, short).as_bytes());
    machine.private("home/other.txt");
    let other = error("recover --kit other.txt --target ../back", 2);
    assert!(other.contains("the kit is for repository 00000000"), "{other}");
    error("recover --kit newer.txt", 2);
    error("recover --kit newer.txt --target /", 2);
    error("recover --kit newer.txt --target ../back --path /nowhere", 1);
    error("recover --kit newer.txt --target ../disk/back", 2);
    assert!(!machine.path("disk/back").exists());
    error("recover --kit newer.txt --target ../back --host nobody", 1);
    let words = "--head abandon-abandon-abandon-abandon-abandon-abandon-abandon-abandon";
    let hidden = error(&format!("recover --kit newer.txt --target ../back {words}"), 1);
    assert!(hidden.contains("rolled back"), "{hidden}");

    // A plan is written, edited and done.
    machine.ok("recover --kit newer.txt --write-plan plan.toml");
    let plan = std::fs::read_to_string(machine.path("home/plan.toml")).expect("a plan");
    machine.write("home/wrong.toml", plan.replace("source/home", "source/nothing").as_bytes());
    error("recover --kit newer.txt --target ../back --plan wrong.toml", 1);
    machine.write("home/wrong.toml", plan.replace("host =", "hosts =").as_bytes());
    error("recover --kit newer.txt --target ../back --plan wrong.toml", 2);
    let letter = machine.path("source/home/ann/letter 2").display().to_string();
    let whole = machine.path("source/home").display().to_string();
    machine.write("home/plan.toml", plan.replace(&whole, &letter).as_bytes());
    machine.ok("recover --kit newer.txt --target ../back --plan plan.toml");
    let found = machine.recovered("back", "source/home/ann");
    assert_eq!(found.0.keys().filter(|path| !path.is_empty()).count(), 1, "{found:?}");
}

/// In a folder that others write to somebody may have put a plan that leads elsewhere.
#[test]
fn a_state_that_others_can_write_is_not_obeyed() {
    use std::os::unix::fs::PermissionsExt;
    let machine = machine();
    machine.backup("source/home", "");
    machine.ok("--password-file pw kit --output kit.txt");
    machine.lose(&["kit.txt"]);
    let state = machine.path("back/.larder-recover.json");
    machine.write("back/.larder-recover.json", b"{}");
    let shared = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(&state, shared).expect("a mode");
    machine.ends("recover --kit kit.txt --target ../back", 1);
    std::fs::remove_file(&state).expect("removed");
    machine.write("elsewhere", b"{}");
    std::os::unix::fs::symlink(machine.path("elsewhere"), &state).expect("a link");
    machine.ends("recover --kit kit.txt --target ../back", 1);
    machine.ok("recover --kit kit.txt --target ../back --restart");
    assert_eq!(std::fs::read(machine.path("elsewhere")).expect("a file"), b"{}");
}

/// In place each step is done wholly or not at all: what damage hits stays as it was, all else
/// comes back, and the next run does the rest.
#[test]
fn a_recovery_in_place_replaces_what_is_there_or_leaves_it_alone() {
    let machine = machine();
    machine.backup("source/home", "");
    let before = machine.objects("data");
    machine.backup("source/srv", "");
    let held = machine.objects("data").difference(&before).next().expect("a pack").clone();
    let [home, srv] = ["source/home", "source/srv"].map(|name| machine.copy_of(name));
    machine.write("source/home/ann/letter 0", b"not this");
    std::fs::remove_file(machine.path("source/home/ann/letter 1")).expect("removed");
    std::fs::remove_file(machine.path("source/srv/db/table 0")).expect("removed");
    let broken = machine.copy_of("source/srv");
    let pack = std::fs::read(&held).expect("a pack");
    std::fs::remove_file(&held).expect("removed");
    machine.ends("--password-file pw recover --in-place", 2);
    machine.ends("--password-file pw recover --in-place --yes", 3);
    home.assert_same(&machine.copy_of("source/home"), "home");
    broken.assert_same(&machine.copy_of("source/srv"), "srv was left alone");
    std::fs::write(&held, pack).expect("put back");
    let report = machine.json("--password-file pw recover --in-place --yes", 0, "summary");
    assert_eq!(report["resumed"], true, "{report}");
    srv.assert_same(&machine.copy_of("source/srv"), "srv");
}
