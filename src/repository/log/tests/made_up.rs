//! Records of several clients that were never stored: what holds follows from them alone.

use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::prelude::*;

use crate::format::log::{CheckpointBody, FirstSeen, Head, LogKind, LogRecord, SnapshotBody};
use crate::format::record::Bin;
use crate::model::{BackupId, ClientId, ObjectHash, SessionId};
use crate::repository::log::chains::{Breach, Chains};
use crate::repository::log::list::SnapshotList;
use crate::repository::log::read::{Loaded, Record, Says};
use crate::repository::log::standing::{evaluate, raise, sorted};

/// Clients that append to a log each sees a part of.
#[derive(Clone, Default)]
struct World {
    records: Vec<Record>,
    /// For each client, how many of the records it has seen.
    seen: BTreeMap<u8, Vec<Head>>,
}

impl World {
    /// The client reads the log.
    fn look(&mut self, client: u8) {
        let mut heads: HashMap<ClientId, Head> = HashMap::new();
        self.records.iter().for_each(|record| raise(&mut heads, &record.head()));
        heads.remove(&ClientId([client; 16]));
        self.seen.insert(client, sorted(heads));
    }

    fn append(&mut self, client: u8, kind: LogKind, says: Says) -> ObjectHash {
        let client_id = ClientId([client; 16]);
        let own = self.records.iter().filter(|record| record.client_id() == client_id);
        let last = own.max_by_key(|record| record.seq());
        let (seq, prev) = last.map_or((1, ObjectHash([0; 32])), |r| (r.seq() + 1, r.hash));
        let number = self.records.len() as u8 + 1;
        let hash = ObjectHash([number; 32]);
        let outer = LogRecord {
            kind: kind as u8,
            record_id: BackupId([number; 16]),
            session_id: SessionId([number; 16]),
            client_id,
            client_seq: seq,
            prev,
            heads: self.seen.get(&client).cloned().unwrap_or_default(),
            time_ms: 0,
            host: format!("host{client}"),
            user: String::new(),
            tool: String::new(),
            body: Bin::default(),
        };
        let name = crate::repository::log::record_name(&outer, hash);
        let storage_ms = Some(1000 + i64::from(number));
        self.records.push(Record { name, hash, len: 1, storage_ms, outer, says });
        hash
    }

    fn snapshot(&mut self, client: u8) -> ObjectHash {
        let start_ms = self.records.len() as i64;
        self.append(
            client,
            LogKind::Snapshot,
            Says::Snapshot(Some(Box::new(SnapshotBody::new(start_ms)))),
        )
    }

    fn say(&mut self, client: u8, kind: LogKind, about: ObjectHash) -> ObjectHash {
        let reason = format!("{kind:?} by {client}");
        self.append(client, kind, Says::About { kind, records: vec![about], reason })
    }

    /// A checkpoint of all records, less those that it lets go.
    fn checkpoint(&mut self, client: u8, dropped: &[ObjectHash]) -> ObjectHash {
        self.look(client);
        let mut covers: HashMap<ClientId, Head> = HashMap::new();
        self.records.iter().for_each(|record| raise(&mut covers, &record.head()));
        let covers = sorted(covers);
        let first_seen = self
            .records
            .iter()
            .filter(|record| !dropped.contains(&record.hash))
            .map(|record| FirstSeen {
                record: record.hash,
                storage_ms: 500,
                client: covers
                    .iter()
                    .position(|h| h.client_id == record.client_id())
                    .expect("covered") as u64,
                seq: record.seq(),
            })
            .collect();
        let body = CheckpointBody { first_seen, covers };
        self.append(client, LogKind::Checkpoint, Says::Checkpoint(body))
    }

    fn remove(&mut self, hash: ObjectHash) {
        self.records.retain(|record| record.hash != hash);
    }

    fn loaded(&self) -> Loaded {
        Loaded { records: self.records.clone(), ..Loaded::default() }
    }

    fn list(&self) -> SnapshotList {
        evaluate(self.loaded(), &HashSet::new(), None)
    }

    fn breaches(&self) -> Vec<Breach> {
        Chains::new(&self.loaded(), &[]).breaches()
    }

    fn visible(&self) -> Vec<ObjectHash> {
        self.list().snapshots.iter().map(|snapshot| snapshot.record).collect()
    }

    fn forgotten(&self) -> Vec<ObjectHash> {
        self.list().forgotten.iter().map(|forgotten| forgotten.snapshot.record).collect()
    }
}

#[test]
fn a_forgotten_snapshot_is_had_back_by_an_undelete_that_knows_of_it() {
    let mut world = World::default();
    let snapshot = world.snapshot(1);
    world.look(2);
    world.say(2, LogKind::Forget, snapshot);
    assert_eq!((world.visible(), world.forgotten()), (vec![], vec![snapshot]));
    let list = world.list();
    assert_eq!(list.forgotten[0].forgotten_ms, Some(1002));
    assert_eq!(list.forgotten[0].reason, "Forget by 2");
    // Client 1 has not seen the tombstone: it cannot mean it.
    let mut blind = world.clone();
    blind.say(1, LogKind::Undelete, snapshot);
    assert_eq!(blind.forgotten(), [snapshot]);
    world.look(1);
    world.say(1, LogKind::Undelete, snapshot);
    assert_eq!((world.visible(), world.forgotten()), (vec![snapshot], vec![]));
    // A second tombstone of somebody who has not seen the undelete counts.
    world.say(2, LogKind::Forget, snapshot);
    assert_eq!(world.forgotten(), [snapshot]);
}

#[test]
fn pins_and_quarantines_hold_until_somebody_who_knows_of_them_ends_them() {
    let mut world = World::default();
    let snapshot = world.snapshot(1);
    world.say(1, LogKind::Pin, snapshot);
    world.say(2, LogKind::Unpin, snapshot);
    world.say(1, LogKind::Quarantine, snapshot);
    world.say(2, LogKind::Clear, snapshot);
    let list = world.list();
    assert!(list.snapshots[0].pinned, "2 had not seen the pin");
    assert_eq!(list.snapshots[0].quarantine.as_deref(), Some("Quarantine by 1"));
    world.look(2);
    world.say(2, LogKind::Unpin, snapshot);
    world.say(2, LogKind::Clear, snapshot);
    let list = world.list();
    assert!(!list.snapshots[0].pinned && list.snapshots[0].quarantine.is_none());
}

#[test]
fn a_fenced_session_makes_its_snapshot_suspect_until_it_is_cleared() {
    let mut world = World::default();
    let snapshot = world.snapshot(1);
    let fenced = HashSet::from([SessionId([1; 16])]);
    let here = ClientId([2; 16]);
    let suspect = |world: &World| {
        let list = evaluate(world.loaded(), &fenced, Some(here));
        (list.snapshots[0].suspect, list.snapshots[0].cleared_here)
    };
    assert_eq!(suspect(&world), (true, false));
    world.say(3, LogKind::Clear, snapshot);
    assert_eq!(suspect(&world), (false, false));
    world.say(2, LogKind::Clear, snapshot);
    assert_eq!(suspect(&world), (false, true));
}

#[test]
fn whoever_takes_out_a_record_is_found_out_by_those_that_know_it() {
    let mut world = World::default();
    let first = world.snapshot(1);
    let second = world.snapshot(1);
    world.look(2);
    world.snapshot(2);
    assert_eq!(world.breaches(), []);
    let missing = |first, last| Breach::Missing {
        client_id: ClientId([1; 16]),
        host: Some("host1".into()),
        first,
        last,
        seen_here: false,
        mirror: None,
    };
    let without = |hashes: &[ObjectHash]| {
        let mut world = world.clone();
        hashes.iter().for_each(|hash| world.remove(*hash));
        world.breaches()
    };
    assert_eq!(without(&[first]), [missing(1, 1)], "the second names it");
    assert_eq!(without(&[second]), [missing(2, 2)], "client 2 names it");
    let Breach::Missing { first: 1, last: 2, host: None, .. } = without(&[first, second])[0] else {
        panic!("{:?}", without(&[first, second]));
    };
}

#[test]
fn only_a_memory_notices_that_the_end_of_every_chain_is_gone() {
    let mut world = World::default();
    world.snapshot(1);
    let last = world.snapshot(1);
    let remembered = world.records[1].head();
    world.remove(last);
    assert_eq!(world.breaches(), []);
    let breaches = Chains::new(&world.loaded(), std::slice::from_ref(&remembered)).breaches();
    assert!(matches!(breaches[..], [Breach::Missing { first: 2, last: 2, seen_here: true, .. }]));
    assert!(breaches[0].to_string().contains("rolled back"), "{}", breaches[0]);
}

#[test]
fn two_records_with_one_number_are_a_fork() {
    let mut world = World::default();
    world.snapshot(1);
    let mut copy = world.clone();
    world.snapshot(1);
    copy.snapshot(2);
    copy.snapshot(1);
    world.records.push(copy.records.pop().expect("three"));
    world.records[1].hash = ObjectHash([77; 32]);
    let fork = |seq| Breach::Fork { client_id: ClientId([1; 16]), host: Some("host1".into()), seq };
    assert_eq!(world.breaches(), [fork(2)]);
    assert_eq!(world.visible().len(), 3, "nothing is hidden because of it");
}

#[test]
fn a_checkpoint_excuses_what_it_lets_go_and_misses_what_it_keeps() {
    let mut world = World::default();
    let gone = world.snapshot(1);
    let kept = world.snapshot(1);
    let last = world.snapshot(1);
    world.look(2);
    let forget = world.say(2, LogKind::Forget, gone);
    world.checkpoint(2, &[gone, forget]);
    assert_eq!(world.forgotten(), [gone], "not deleted yet, and not visible either");
    world.remove(gone);
    assert_eq!((world.breaches(), world.forgotten()), (vec![], vec![]));
    world.remove(forget);
    assert_eq!(world.breaches(), []);
    assert_eq!(world.visible(), [kept, last]);
    assert_eq!(world.list().snapshots[0].first_seen_ms, Some(500), "the checkpoint saw it first");
    let mut hidden = world.clone();
    hidden.remove(last);
    assert_eq!(hidden.breaches().len(), 1, "{:?}", hidden.breaches());
    hidden.remove(kept);
    assert!(matches!(hidden.breaches()[..], [Breach::Missing { first: 2, last: 3, .. }]));
}

#[test]
fn a_snapshot_that_was_let_go_does_not_come_back_to_life_by_itself() {
    let mut world = World::default();
    let gone = world.snapshot(1);
    world.look(2);
    let forget = world.say(2, LogKind::Forget, gone);
    world.checkpoint(2, &[gone, forget]);
    // Its tombstone was deleted, and somebody put the record back.
    world.remove(forget);
    assert_eq!((world.visible(), world.forgotten()), (vec![], vec![gone]));
    assert_eq!(world.list().forgotten[0].reason, "its data was pruned");
    world.look(1);
    world.say(1, LogKind::Undelete, gone);
    assert_eq!(world.visible(), [gone], "if its chunks are still there, it can be had back");
}

#[test]
fn a_newer_checkpoint_stands_for_the_older_ones() {
    let mut world = World::default();
    let first = world.snapshot(1);
    let older = world.checkpoint(1, &[]);
    let forget = world.say(1, LogKind::Forget, first);
    world.checkpoint(1, &[first, forget, older]);
    for hash in [first, forget, older] {
        world.remove(hash);
        assert_eq!(world.breaches(), []);
    }
}

/// One step of a random history.
#[derive(Clone, Debug)]
enum Step {
    Look(u8),
    Snapshot(u8),
    Say(u8, LogKind, prop::sample::Index),
    Checkpoint(u8, Option<prop::sample::Index>),
}

fn step() -> impl Strategy<Value = Step> {
    let client = 1..4_u8;
    let kind = prop::sample::select(vec![
        LogKind::Forget,
        LogKind::Undelete,
        LogKind::Pin,
        LogKind::Unpin,
        LogKind::Quarantine,
        LogKind::Clear,
    ]);
    prop_oneof![
        3 => client.clone().prop_map(Step::Look),
        2 => client.clone().prop_map(Step::Snapshot),
        4 => (client.clone(), kind, any::<prop::sample::Index>())
            .prop_map(|(client, kind, which)| Step::Say(client, kind, which)),
        1 => (client, any::<Option<prop::sample::Index>>())
            .prop_map(|(client, drops)| Step::Checkpoint(client, drops)),
    ]
}

fn play(steps: &[Step]) -> World {
    let mut world = World::default();
    let mut snapshots = vec![world.snapshot(1)];
    for step in steps {
        match step {
            Step::Look(client) => world.look(*client),
            Step::Snapshot(client) => snapshots.push(world.snapshot(*client)),
            Step::Say(client, kind, which) => {
                world.say(*client, *kind, *which.get(&snapshots));
            }
            Step::Checkpoint(client, drops) => {
                let dropped: Vec<_> = drops.iter().map(|which| *which.get(&snapshots)).collect();
                world.checkpoint(*client, &dropped);
            }
        }
    }
    world
}

/// All that holds of a list, as text.
fn told(list: &SnapshotList) -> String {
    let heads: Vec<_> = list.heads.iter().map(|head| (head.client_id, head.seq)).collect();
    format!("{:?} {:?} {heads:?}", list.snapshots, list.forgotten)
}

proptest! {
    #[test]
    fn any_order_of_a_listing_gives_the_same_state(
        steps in prop::collection::vec(step(), 0..60),
        seed in any::<u64>(),
    ) {
        let world = play(&steps);
        let mut shuffled = world.clone();
        let random = crate::runtime::Random::seeded(seed);
        shuffled.records.sort_by_cached_key(|_| random.bytes::<8>());
        prop_assert_eq!(told(&world.list()), told(&shuffled.list()));
        prop_assert_eq!(world.breaches(), shuffled.breaches());
        prop_assert_eq!(world.breaches(), []);
    }

    /// A reader that lacks the newest records sees an earlier state, never a broken one.
    #[test]
    fn any_beginning_of_a_history_is_whole(
        steps in prop::collection::vec(step(), 0..60),
        len in any::<prop::sample::Index>(),
    ) {
        let mut world = play(&steps);
        let len = len.index(world.records.len() + 1);
        world.records.truncate(len);
        prop_assert_eq!(world.breaches(), []);
    }

    /// What was let go may vanish piece by piece; whatever else somebody knows of is missed.
    #[test]
    fn what_is_missed_is_what_was_not_let_go(
        steps in prop::collection::vec(step(), 1..60),
        which in any::<prop::sample::Index>(),
    ) {
        let world = play(&steps);
        let taken = which.get(&world.records).clone();
        let mut rest = world.clone();
        rest.remove(taken.hash);
        let known = rest.records.iter().any(|record| record.knows_record(&taken));
        // `Some` for checkpoints that cover it: whether they keep it.
        let keeps = |record: &Record| match &record.says {
            Says::Checkpoint(body) => body
                .covers
                .iter()
                .any(|h| h.client_id == taken.client_id() && h.seq >= taken.seq())
                .then(|| body.first_seen.iter().any(|seen| seen.record == taken.hash)),
            _ => None,
        };
        let excused = rest.records.iter().any(|one| {
            keeps(one) == Some(false)
                && !rest.records.iter().any(|o| keeps(o) == Some(true) && o.knows_record(one))
        });
        let forgets =
            crate::repository::log::standing::not_undone(&rest.records, LogKind::Forget, LogKind::Undelete);
        if excused || forgets.contains_key(&taken.hash) || !known {
            prop_assert_eq!(rest.breaches(), []);
        } else {
            prop_assert!(!rest.breaches().is_empty());
        }
    }
}
