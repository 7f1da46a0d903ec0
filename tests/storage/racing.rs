//! Many machines race on one S3 server: who makes the repository, and everything that follows.

use std::thread;

use crate::machine::{Machine, id};
use crate::servers::Seaweed;
use crate::support::{LiveTree, TreeCopy};

const MACHINES: usize = 4;
const ROUNDS: usize = 3;

/// One makes the repository, all others are told. Then all back up, forget and prune over and over;
/// what each of them keeps, stays.
#[test]
fn machines_race_from_the_first_object_to_the_last_prune() {
    let Some(server) = Seaweed::start() else { return };
    let rivals: Vec<Machine> = (0..MACHINES).map(|_| Machine::new(&server, "raced")).collect();
    let key = |machine: &Machine| machine.path("key").display().to_string();
    let runs =
        at_once(&rivals, |machine| machine.run(&["repo", "init", "--new-key-file", &key(machine)]));
    let codes: Vec<i32> = runs.iter().map(|run| run.code).collect();
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "one makes it: {runs:?}");
    assert!(codes.iter().all(|code| [0, 1].contains(code)), "the others are told: {runs:?}");
    let winner = codes.iter().position(|code| *code == 0).expect("a winner");

    let machines: Vec<Machine> = (0..MACHINES).map(|_| rivals[winner].beside()).collect();
    let kept = at_once(&machines, busy);
    for (machine, (tree, kept)) in machines.iter().zip(&kept) {
        let known = machine.snapshots();
        for (snapshot, copy) in kept {
            assert!(known.contains(snapshot), "{snapshot} is in {known:?}");
            copy.assert_same(&machine.restored(snapshot, tree.root()), "after the race");
        }
    }
    assert_eq!(machines[0].snapshots().len(), MACHINES * 2, "each has forgotten but two");
    let pruned = machines[0].run(&["prune", "--grace", "0", "--max-unused", "0"]);
    assert_eq!(pruned.code, 0, "{pruned:?}");
    machines[1].check_all();
    let (tree, kept) = &kept[2];
    let (snapshot, copy) = kept.last().expect("one is kept");
    copy.assert_same(&machines[3].restored(snapshot, tree.root()), "after the last prune");
}

/// The work of one machine: what it has kept at the end.
fn busy(machine: &Machine) -> (LiveTree, Vec<(String, TreeCopy)>) {
    // The same seed everywhere: all machines have much in common.
    let mut tree = LiveTree::new(machine.path("tree"), 3);
    tree.add_samples();
    let mut kept = Vec::new();
    for round in 0..ROUNDS {
        tree.grow(5);
        tree.add_noise(&format!("round {round}"), 200_000);
        let copy = TreeCopy::of_folder(tree.root());
        kept.push((id(&machine.back_up(tree.root()), "snapshot_id"), copy));
        if kept.len() > 2 {
            machine.ok(&["forget", &kept.remove(0).0]);
        }
        // At once is only possible while nobody backs up.
        let grace = if round == 1 { "0" } else { "7d" };
        let pruned = machine.run(&["prune", "--grace", grace]);
        assert!([0, 11].contains(&pruned.code), "{pruned:?}");
    }
    (tree, kept)
}

/// Does the same on all machines, in threads of their own.
fn at_once<T: Send>(machines: &[Machine], work: impl Fn(&Machine) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let work = &work;
        let all: Vec<_> =
            machines.iter().map(|machine| scope.spawn(move || work(machine))).collect();
        all.into_iter().map(|one| one.join().expect("no panic")).collect()
    })
}
