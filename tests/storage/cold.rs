//! Packs in a storage class that cannot be read at once.

use larder::storage::{self, ArchiveState, WarmUpRequest, WarmUpTier};

use crate::machine::Machine;
use crate::servers::{Moto, Server};

#[test]
fn packs_in_cold_storage_are_asked_for() {
    let Some(server) = Moto::start() else { return };
    let repository = format!("{}&data_class=DEEP_ARCHIVE", server.location("cold"));
    let machine = Machine::plain(repository.clone(), server.secrets());
    machine.ok("repo init --encryption none");
    // Each in a pack of its own.
    machine.write("small", 1, 300_000);
    machine.ok("snapshot data --quiet");
    machine.write("large", 2, 900_000);
    machine.ok("snapshot data --quiet");
    machine.write("large", 3, 900_000);
    machine.ok("snapshot data --quiet");

    let location = repository.parse().expect("a location");
    let storage = storage::open_with(&location, &server.connection()).expect("opens");
    let archive = storage.archive().expect("S3 has classes");
    assert!(archive.is_cold());
    let names = || storage::list_sorted(&*storage, "").expect("lists").into_iter();
    let packs = names().filter(|meta| meta.name.starts_with("data/")).count() as u64;
    assert!(packs >= 2);
    for meta in names() {
        let expected = match meta.name.starts_with("data/") {
            true => ArchiveState::Cold,
            false => ArchiveState::Ready,
        };
        assert_eq!(archive.state(&meta.name).expect("tells"), expected, "{}", meta.name);
    }
    let missing = archive.state("data/aa/none").expect_err("is not there");
    assert_eq!(missing.kind, larder::error::StorageErrorKind::Missing, "{missing:?}");

    // All but reading files works, and reading says what to do before it begins.
    machine.ok("check");
    machine.ok("snapshots");
    machine.ok("ls latest");
    machine.ok("repo stats");
    let folder = machine.shown("data");
    for line in [
        "restore latest --target nowhere".to_owned(),
        "check --read-data".to_owned(),
        format!("dump latest:{folder}/large"),
    ] {
        let refused = machine.run(&line);
        assert_eq!(refused.code, 1, "{line}: {}", refused.stderr);
        assert!(refused.stderr.contains("cold storage"), "{line}: {}", refused.stderr);
        assert!(refused.stderr.contains("warm"), "{line}: {}", refused.stderr);
    }
    assert!(!machine.path("nowhere").exists(), "a restore that cannot work touches nothing");
    // Past the look: the service's own refusal is no damage and no missing right.
    let name = names().find(|meta| meta.name.starts_with("data/")).expect("a pack").name;
    let refused = storage.get(&name, 1 << 30).expect_err("it is cold");
    assert_eq!(refused.kind, larder::error::StorageErrorKind::Permanent, "{refused:?}");

    let planned = machine.summary("warm-up latest --dry-run");
    let needed = planned["packs"]["needed"]["packs"].as_u64().expect("a number");
    assert!(needed >= 1 && needed < packs, "{planned}");
    assert_eq!(planned["packs"]["cold"]["packs"], needed, "{planned}");
    let warm = machine.summary("warm-up latest --wait --poll 1s --days 2 --tier standard");
    assert_eq!(warm["asked"]["packs"], needed, "{warm}");
    assert_eq!(warm["missing"]["packs"], 0, "{warm}");
    let again = machine.summary("warm-up latest --wait --poll 1s");
    assert_eq!(again["packs"]["warm"]["packs"], needed, "nothing is asked for twice: {again}");
    machine.assert_restores("back");

    // Both at once, for what the first snapshot has and the second has not.
    let refused = machine.run("restore latest~1 --target old");
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    machine.ok("restore latest~1 --target old --warm-up --poll 1s");
    machine.ok("forget latest~1");
    let pruned = machine.summary("prune --grace 0");
    assert!(pruned["deleted"]["packs"].as_u64() > Some(0), "{pruned}");
    assert_eq!(pruned["written"]["packs"], 0, "{pruned}");
    machine.ok("warm-up --all --wait --poll 1s");
    machine.ok("check --read-data");
    let request = WarmUpRequest { days: 1, tier: WarmUpTier::Bulk };
    let missing = archive.warm_up("data/aa/none", &request).expect_err("is not there");
    assert_eq!(missing.kind, larder::error::StorageErrorKind::Missing, "{missing:?}");

    let wrong = format!("{}&storage_class=GLACIER", server.location("cold"));
    let error = storage::open_with(&wrong.parse().expect("a location"), &server.connection());
    let error = error.err().expect("nothing could be read");
    assert!(error.hint().is_some_and(|hint| hint.contains("data_class=GLACIER")), "{error}");
}
