//! Thousands of short lives of a repository.

// Figures are worth seeing.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use larder::crypto::Suite;
use larder::repository::{InitOptions, KdfCost, OpenOptions, Repository, Unlock};
use larder::runtime::{Clock, Random, Runtime};
use larder::storage::{MemoryStorage, SharedStorage};
use parking_lot::Mutex;
use tempfile::TempDir;

use super::clients::{Client, Deed, Truth};
use super::judge::Judge;
use super::turnstile::Turnstile;
use super::world::{DAY_MS, HOUR_MS, MINUTE_MS, Trouble, World, WorldClock};
use crate::is_long;
use crate::support::Dice;

/// What kind of life a seed has.
#[derive(Clone, Copy, Debug)]
struct Plan {
    name: &'static str,
    clients: usize,
    deeds: u64,
    choices: &'static [Deed],
    waits: &'static [i64],
    /// Nothing goes wrong, everybody is in a hurry, and prunes do everything at once.
    hurry: bool,
}

const DAYS: &[i64] = &[MINUTE_MS, HOUR_MS, 7 * HOUR_MS, 2 * DAY_MS, 2 * DAY_MS, 4 * DAY_MS];

const WRITERS: Plan = Plan {
    name: "writers",
    clients: 3,
    deeds: 3,
    choices: &[Deed::Backup, Deed::Backup, Deed::Backup, Deed::Forget, Deed::Undelete, Deed::Check],
    waits: DAYS,
    hurry: false,
};

const PRUNES: Plan = Plan {
    name: "prunes",
    clients: 3,
    deeds: 8,
    choices: &[
        Deed::Backup,
        Deed::Backup,
        Deed::Backup,
        Deed::Forget,
        Deed::Forget,
        Deed::Undelete,
        Deed::Prune,
        Deed::Prune,
        Deed::Prune,
        Deed::Prune,
        Deed::Check,
    ],
    waits: DAYS,
    hurry: false,
};

const HURRY: Plan = Plan {
    name: "hurry",
    clients: 3,
    deeds: 6,
    choices: &[Deed::Backup, Deed::Backup, Deed::Forget, Deed::Prune, Deed::Prune, Deed::Undelete],
    waits: &[MINUTE_MS],
    hurry: true,
};

const AT_ONCE: &[i64] = &[0];
/// Waits that hold with stale listings and late writes.
const SAFE_GRACES: &[i64] = &[DAY_MS, DAY_MS, 2 * DAY_MS, 7 * DAY_MS];
/// Waits for storage that shows everything at once.
const FRESH_GRACES: &[i64] = &[0, HOUR_MS, 5 * HOUR_MS, DAY_MS, DAY_MS, 7 * DAY_MS];

/// An empty repository, made once.
fn new_repository(clock: &WorldClock) -> MemoryStorage {
    static MADE: OnceLock<MemoryStorage> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let memory = Arc::new(MemoryStorage::with_clock(Arc::new(WorldClock::new())));
        let init = InitOptions {
            suite: Suite::None,
            kdf: KdfCost::CheapForTests,
            ..InitOptions::default()
        };
        let open = OpenOptions { cache_dir: None, state_dir: None, ..OpenOptions::default() };
        let runtime = Runtime { random: Random::seeded(7), ..Runtime::default() };
        let storage = Arc::clone(&memory) as SharedStorage;
        Repository::init(storage, &[Unlock::Nothing], &init, &open, &runtime).expect("makes");
        memory.fork()
    });
    let fresh = MemoryStorage::with_clock(Arc::new(clock.clone()) as Arc<dyn Clock>);
    for name in made.names() {
        fresh.replace(&name, &made.bytes(&name).expect("is there"));
    }
    fresh
}

fn temporary() -> TempDir {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }
        .expect("a temporary folder")
}

/// How much goes wrong with a seed: often little, so that much gets done.
fn trouble(dice: &Dice) -> Trouble {
    let once_in = |choices: &[u64]| *dice.pick(choices);
    Trouble {
        lost_answers: once_in(&[0, 0, 100, 30]),
        late_writes: once_in(&[0, 0, 200, 50]),
        failures: once_in(&[0, 0, 300, 60]),
        crashes: once_in(&[0, 200, 80, 40]),
        stalls: once_in(&[0, 100, 30, 10]),
        stale_percent: once_in(&[0, 0, 20, 60]),
        hidden: None,
    }
}

/// How a life went wrong.
struct Failure {
    panic: Box<dyn Any + Send>,
    story: String,
}

/// One life.
fn live(plan: &Plan, seed: u64, hidden: Option<&'static str>) -> Result<Truth, Failure> {
    let dice = Dice::seeded(seed);
    let clock = WorldClock::new();
    let home = temporary();
    let memory = Arc::new(new_repository(&clock));
    let mut world = World::new(memory, clock.clone(), Dice::seeded(seed ^ 0x770));
    let usual = trouble(&dice);
    world.trouble = Trouble { hidden, ..if plan.hurry { Trouble::default() } else { usual } };
    let is_fresh = world.trouble.stale_percent == 0 && world.trouble.late_writes == 0;
    let (graces, stays) = match (plan.hurry, is_fresh) {
        (true, _) => (AT_ONCE, &[50, 20, 10, 0]),
        (false, true) => (FRESH_GRACES, &[95, 80, 50, 10]),
        (false, false) => (SAFE_GRACES, &[95, 80, 50, 10]),
    };
    let stay = *dice.pick(stays);
    let turnstile = Arc::new(Turnstile::new(world, plan.clients, stay));
    let truth = Arc::new(Mutex::new(Truth::default()));
    let client = |number: usize| {
        let skew = *dice.pick(&[0, 0, HOUR_MS, -5 * HOUR_MS, 365 * DAY_MS, -365 * DAY_MS]);
        let deeds: Vec<Deed> = (0..plan.deeds).map(|_| *dice.pick(plan.choices)).collect();
        let client = Client {
            number,
            turnstile: Arc::clone(&turnstile),
            truth: Arc::clone(&truth),
            home: home.path().to_path_buf(),
            clock: clock.skewed(skew),
            dice: Dice::seeded(seed.wrapping_mul(31) + number as u64),
            graces,
            waits: plan.waits,
            count: 0,
        };
        (client, deeds)
    };
    let clients: Vec<_> = (0..plan.clients).map(client).collect();
    let panics: Vec<Box<dyn Any + Send>> = std::thread::scope(|scope| {
        let start = |(mut client, deeds): (Client, Vec<Deed>)| {
            scope.spawn(move || {
                let lived = catch_unwind(AssertUnwindSafe(|| client.live(&deeds)));
                client.turnstile.finish(client.number);
                lived.err()
            })
        };
        let threads: Vec<_> = clients.into_iter().map(start).collect();
        threads.into_iter().filter_map(|thread| thread.join().expect("was caught")).collect()
    });
    let truth = std::mem::take(&mut *truth.lock());
    turnstile.world(|world| {
        let judged = catch_unwind(AssertUnwindSafe(|| {
            if let Some(panic) = panics.into_iter().next() {
                resume_unwind(panic);
            }
            world.settle();
            let clock = clock.clone();
            let judge = Judge { world, truth: &truth, home: home.path(), clock };
            judge.assert_kept("at the end");
            judge.assert_clean("at the end");
            let prunes = plan.choices.contains(&Deed::Prune);
            judge.assert_removals(prunes);
            if prunes {
                judge.prune_to_the_end();
                judge.assert_clean("after prunes at the end");
            }
        }));
        judged.map_err(|panic| {
            let left = world.memory.names().join("\n");
            let story = world.story.join("\n");
            Failure { panic, story: format!("{story}\n\nwhat is left:\n{left}\n") }
        })
    })?;
    Ok(truth)
}

/// One life that has to go well. Otherwise its story is written down.
fn live_well(plan: &Plan, seed: u64) -> Truth {
    live(plan, seed, None).unwrap_or_else(|Failure { panic, story }| {
        let path = std::env::temp_dir().join(format!("larder-{}-{seed}.txt", plan.name));
        std::fs::write(&path, story).expect("writes the story");
        eprintln!(
            "to see it again: LARDER_TEST_SEED={seed} cargo test --test lifecycle {}; its story \
             is in {}",
            plan.name,
            path.display()
        );
        resume_unwind(panic)
    })
}

/// Lives of many seeds, on as many threads as there are cores.
fn live_all(plan: &Plan, short: u64, long: u64) {
    let one = std::env::var("LARDER_TEST_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let first: u64 = one.unwrap_or(0);
    let count = if one.is_some() {
        1
    } else if is_long() {
        long
    } else {
        short
    };
    let next = AtomicU64::new(first);
    let sums = Mutex::new(Truth::default());
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    let truth = live_well(plan, seed);
                    let mut sums = sums.lock();
                    for (name, (tried, done)) in truth.done {
                        let sum = sums.done.entry(name).or_default();
                        *sum = (sum.0 + tried, sum.1 + done);
                    }
                }
            });
        }
    });
    println!("{}: {count} lives: {:?}", plan.name, sums.lock().done);
}

#[test]
fn prunes() {
    live_all(&PRUNES, 1400, 5000);
}

#[test]
fn writers() {
    live_all(&WRITERS, 400, 5000);
}

#[test]
fn hurry() {
    live_all(&HURRY, 250, 5000);
}

/// The same lives, but prunes see no session, and so wait for nobody: sooner or later a backup rests
/// on what is being removed, and the judge sees it.
#[test]
fn a_loss_would_be_seen() {
    let mut lost = 0;
    for seed in 160..560 {
        lost += u64::from(live(&HURRY, seed, Some("sessions/")).is_err());
        if lost > 0 {
            println!("lost with seed {seed}");
            return;
        }
    }
    panic!("nobody missed the sessions");
}
