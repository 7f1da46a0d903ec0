//! Two people change the keys at the same time, at every moment of each other's work.

use std::sync::Arc;
use std::thread;

use larder::crypto::RecoveryCode;
use larder::error::{Error, StorageError};
use larder::model::{ChunkId, Place};
use larder::repository::{KdfCost, Password, RekeyOptions, Repository, Unlock};
use larder::runtime::Random;
use larder::storage::{ObjectMeta, PutMode, SharedStorage, Storage};
use parking_lot::{Condvar, Mutex};

use super::circle::{Circle, key, short_id};
use crate::rounds;

/// Lets one of two actors call storage at a time, and changes over after the calls that a plan says.
struct Turns {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Whose turn it is and for how many calls; at the end both go on as they come.
    plan: Vec<(usize, u64)>,
    done: [bool; 2],
    calls: [u64; 2],
}

impl Turns {
    fn new(mut plan: Vec<(usize, u64)>) -> Arc<Self> {
        plan.reverse();
        let state = State { plan, done: [false; 2], calls: [0; 2] };
        Arc::new(Self { state: Mutex::new(state), changed: Condvar::new() })
    }

    fn call<T>(&self, actor: usize, work: impl FnOnce() -> T) -> T {
        let mut state = self.state.lock();
        loop {
            match state.plan.last() {
                Some((turn, left)) if *left == 0 || state.done[*turn] => {
                    state.plan.pop();
                    self.changed.notify_all();
                }
                Some((turn, _)) if *turn != actor => self.changed.wait(&mut state),
                _ => break,
            }
        }
        if let Some((_, left)) = state.plan.last_mut() {
            *left -= 1;
        }
        state.calls[actor] += 1;
        // Under the lock: one call at a time.
        let result = work();
        self.changed.notify_all();
        result
    }

    fn end(&self, actor: usize) {
        self.state.lock().done[actor] = true;
        self.changed.notify_all();
    }
}

struct Gate {
    inner: SharedStorage,
    actor: usize,
    turns: Arc<Turns>,
}

impl Storage for Gate {
    fn location(&self) -> &str {
        self.inner.location()
    }
    fn put(&self, name: &str, parts: &[&[u8]], mode: PutMode) -> Result<(), StorageError> {
        self.turns.call(self.actor, || self.inner.put(name, parts, mode))
    }
    fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>, StorageError> {
        self.turns.call(self.actor, || self.inner.get(name, len_max))
    }
    fn get_range(&self, name: &str, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        self.turns.call(self.actor, || self.inner.get_range(name, offset, buf))
    }
    fn head(&self, name: &str) -> Result<ObjectMeta, StorageError> {
        self.turns.call(self.actor, || self.inner.head(name))
    }
    fn list(&self, prefix: &str, found: &mut dyn FnMut(ObjectMeta)) -> Result<(), StorageError> {
        self.turns.call(self.actor, || self.inner.list(prefix, found))
    }
    fn delete(&self, name: &str) -> Result<(), StorageError> {
        self.turns.call(self.actor, || self.inner.delete(name))
    }
    fn concurrency(&self) -> usize {
        1
    }
}

type Written = Option<(ChunkId, Vec<u8>)>;
type Act<'a> = &'a (dyn Fn(&Repository) -> Result<Written, Error> + Sync);

/// What became of two acts, and how many calls each made.
struct Outcome {
    results: [Result<Written, Error>; 2],
    calls: [u64; 2],
}

/// Runs two acts, each on a repository opened with a key of its own, with their storage calls in
/// the order of the plan.
fn run(
    circle: &Circle,
    unlocks: [Unlock; 2],
    acts: [Act<'_>; 2],
    plan: Vec<(usize, u64)>,
) -> Outcome {
    let turns = Turns::new(Vec::new());
    let opened: Vec<Repository> = (0..2)
        .map(|actor| {
            let inner = Arc::clone(&circle.storage) as SharedStorage;
            let gate = Gate { inner, actor, turns: Arc::clone(&turns) };
            circle.open_on(Arc::new(gate), &unlocks[actor]).expect("opens")
        })
        .collect();
    {
        let mut state = turns.state.lock();
        state.plan = plan;
        state.plan.reverse();
        state.calls = [0; 2];
    }
    let results = thread::scope(|scope| {
        let threads: Vec<_> = (0..2)
            .map(|actor| {
                let (repository, turns) = (&opened[actor], &turns);
                let act = acts[actor];
                scope.spawn(move || {
                    let result = act(repository);
                    turns.end(actor);
                    result
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("ends")).collect::<Vec<_>>()
    });
    let calls = turns.state.lock().calls;
    let results: [_; 2] = results.try_into().unwrap_or_else(|_| unreachable!("there are two"));
    Outcome { results, calls }
}

fn rekey(circle: &Circle, repository: &Repository, remove: &[String]) -> Result<Written, Error> {
    let slots = repository.slots()?;
    let has_slot = |id: &&String| slots.iter().any(|slot| slot.id.to_string() == **id);
    let remove = remove.iter().filter(has_slot).cloned().collect();
    let options = RekeyOptions { remove, ..RekeyOptions::default() };
    repository.rekey(&options, &mut |_| Ok(()), &circle.runtime())?;
    // What is written at once is sealed with the new keys, and must not be lost.
    circle.try_write_in(repository).map(Some)
}

/// The outcome of an act that was not stopped by the other one for a good reason.
fn is_fair(result: &Result<Written, Error>) -> bool {
    match result {
        Ok(_) => true,
        Err(error) => matches!(
            error,
            Error::Busy { .. }
                | Error::KeysUnsettled { .. }
                | Error::KeyRemoved { .. }
                | Error::NotFound { what: "key", .. }
        ),
    }
}

/// Orders in which one act is interrupted by a part of the other, then goes on, then the other; all
/// of them in the long run. Every fourth has more changes.
fn plans(calls: [u64; 2], seed: u64) -> Vec<Vec<(usize, u64)>> {
    let whole = calls.map(|calls| calls + 1);
    let count = rounds(120, whole[0] * whole[1]);
    let random = Random::seeded(seed);
    let plan = |n: u64| {
        // A stride without common divisor comes by each of them once.
        let number =
            if count == whole[0] * whole[1] { n } else { n * 7919 % (whole[0] * whole[1]) };
        let (first, second) = (number / whole[1], number % whole[1]);
        if n % 4 != 3 {
            return vec![(0, first), (1, second), (0, u64::MAX), (1, u64::MAX)];
        }
        let mut steps = [0; 8];
        random.fill(&mut steps);
        let steps = steps.iter().enumerate().map(|(n, b)| (n % 2, u64::from(b % 16)));
        [(0, first)].into_iter().chain(steps).collect()
    };
    (0..count).map(plan).collect()
}

fn circle() -> Circle {
    let mut circle = Circle::of(&["ann", "ben", "cem", "dan", "eve"]);
    circle.write("ann");
    circle
}

/// After two rekeys: everybody whom neither left out opens everything, and whom one left out does
/// not open what is written from now on. Where both came to their end, no writer goes on before
/// one more rekey has joined them.
fn assert_settles(
    mut circle: Circle,
    outcome: Outcome,
    kept: &[&str],
    removed: [&str; 2],
    what: &str,
) -> bool {
    let mut succeeded = [false; 2];
    for (actor, result) in outcome.results.into_iter().enumerate() {
        assert!(is_fair(&result), "{what}: {result:?}");
        succeeded[actor] = result.is_ok();
        circle.chunks.extend(result.ok().flatten());
    }
    for name in kept {
        circle.assert_reads_all(name);
    }
    let repository = circle.open(kept[0]);
    let forked = match circle.try_write_in(&repository) {
        Ok(written) => {
            circle.chunks.push(written);
            false
        }
        Err(Error::KeysUnsettled { .. }) => true,
        Err(error) => panic!("{what}: {error}"),
    };
    if forked {
        rekey(&circle, &repository, &[]).unwrap_or_else(|error| panic!("{what}: {error}"));
    }
    for name in kept {
        let repository = circle.assert_reads_all(name);
        circle.write_in(&repository);
    }
    for name in kept {
        circle.assert_reads_all(name);
    }
    for (name, succeeded) in removed.iter().zip(succeeded) {
        // Whoever was told of a failure does it again, if there is anything left to do.
        if !succeeded && circle.has_key(name) {
            circle.rekey(kept[1], &[name]).unwrap_or_else(|error| panic!("{what}: {error}"));
        }
        assert!(circle.is_shut_out(name), "{what}: {name} opens what is new");
    }
    for name in kept {
        circle.assert_reads_all(name);
    }
    forked
}

/// Ann shuts Eve out while Ben shuts Dan out.
#[test]
fn two_rekeys_at_once_lose_nothing() {
    let before = circle();
    let ids = ["eve", "dan"].map(|name| short_id(&before, name));
    let act = |circle: &Circle, actor: usize, repository: &Repository| {
        rekey(circle, repository, &ids[actor..=actor])
    };
    let go = |plan: Vec<(usize, u64)>| {
        let circle = before.fork();
        let acts: [Act<'_>; 2] = [&|r| act(&circle, 0, r), &|r| act(&circle, 1, r)];
        let outcome = run(&circle, [key("ann"), key("ben")], acts, plan);
        (circle, outcome)
    };
    let (_, outcome) = go(vec![(0, u64::MAX)]);
    assert!(outcome.results.iter().all(Result::is_ok), "one after the other");
    let (mut tried, mut forks) = (0, 0);
    let mut given_up = [0; 3];
    for plan in plans(outcome.calls, 1) {
        let what = format!("{plan:?}");
        let (circle, outcome) = go(plan);
        let ok = outcome.results.iter().filter(|result| result.is_ok()).count();
        given_up[2 - ok] += 1;
        let forked = assert_settles(circle, outcome, &["ann", "ben", "cem"], ["eve", "dan"], &what);
        forks += u64::from(forked);
        tried += 1;
    }
    assert!(tried >= 100 && given_up[1] >= 20, "{tried}: {given_up:?}");
    assert!(forks * 10 < tried, "{forks} of {tried} had to be joined");
}

/// The same key on two machines.
#[test]
fn two_rekeys_with_one_key_lose_nothing() {
    let before = circle();
    let ids = ["eve", "dan"].map(|name| short_id(&before, name));
    let act = |circle: &Circle, actor: usize, repository: &Repository| {
        rekey(circle, repository, &ids[actor..=actor])
    };
    let go = |plan: Vec<(usize, u64)>| {
        let circle = before.fork();
        let acts: [Act<'_>; 2] = [&|r| act(&circle, 0, r), &|r| act(&circle, 1, r)];
        let outcome = run(&circle, [key("ann"), key("ann")], acts, plan);
        (circle, outcome)
    };
    let (_, outcome) = go(vec![(0, u64::MAX)]);
    for plan in plans(outcome.calls, 2) {
        let what = format!("{plan:?}");
        let (circle, outcome) = go(plan);
        assert_settles(circle, outcome, &["ann", "ben", "cem"], ["eve", "dan"], &what);
    }
}

/// Whether a code that was shown opens the repository.
fn opens(circle: &Circle, code: &str) -> bool {
    let unlock = Unlock::Recovery(RecoveryCode::parse(code).expect("a code"));
    circle.try_open_with(&unlock).is_ok()
}

/// Whoever is told that all went well has a code that is good, or one that somebody replaced who
/// began later; there is always one that is good.
#[test]
fn two_new_recovery_codes_at_once_leave_a_good_one() {
    let before = circle();
    before.new_recovery("ann");
    let go = |plan: Vec<(usize, u64)>| {
        let circle = before.fork();
        let codes = Mutex::new([const { String::new() }; 2]);
        let act = |actor: usize, repository: &Repository| {
            let mut show = |code: &RecoveryCode| {
                codes.lock()[actor] = code.to_text().to_string();
                Ok(())
            };
            repository.renew_recovery_code(&mut show, &circle.runtime()).map(|_| None)
        };
        let acts: [Act<'_>; 2] = [&|r| act(0, r), &|r| act(1, r)];
        let outcome = run(&circle, [key("ann"), key("ben")], acts, plan);
        (circle, outcome, codes.into_inner())
    };
    let (_, outcome, _) = go(vec![(0, u64::MAX)]);
    assert!(outcome.results.iter().all(Result::is_ok), "one after the other");
    for plan in plans(outcome.calls, 3) {
        let what = format!("{plan:?}");
        let (circle, outcome, codes) = go(plan);
        assert!(outcome.results.iter().all(is_fair), "{what}");
        let told_good: Vec<&String> = codes
            .iter()
            .zip(&outcome.results)
            .filter(|(_, result)| result.is_ok())
            .map(|(code, _)| code)
            .collect();
        assert!(told_good.iter().any(|code| opens(&circle, code)), "{what}");
    }
}

/// Between showing a new code and deleting the one before it somebody changes the keys: the code
/// that came with the new keys is good, and the one who made the other is told.
#[test]
fn a_rekey_while_a_recovery_code_is_made_keeps_its_own() {
    let before = circle();
    before.new_recovery("ann");
    let mut other = None;
    let mut show = |_: &RecoveryCode| {
        let mut show = |code: &RecoveryCode| {
            other = Some(code.to_text().to_string());
            Ok(())
        };
        let options = RekeyOptions::default();
        before.open("ben").rekey(&options, &mut show, &before.runtime()).map(|_| ())
    };
    let ann = before.open("ann");
    let refused = ann.renew_recovery_code(&mut show, &before.runtime()).expect_err("refused");
    assert!(matches!(refused, Error::Busy { .. }), "{refused}");
    assert!(opens(&before, &other.expect("was shown")));
    before.assert_tidy();
}

/// A key is added, and a password changed, while Ann changes the keys: what was promised opens.
#[test]
fn keys_added_and_changed_during_a_rekey_open_or_are_refused() {
    let mut before = circle();
    let password = |text: &str| Unlock::Password(Password::new(text));
    let cheap = KdfCost::CheapForTests;
    let opened = before.open("ann");
    opened.add_slot(&password("old"), "password", cheap, &before.runtime()).expect("adds");
    before.write("ann");
    let eve = short_id(&before, "eve");
    let kinds = ["add", "change", "write"];
    for kind in kinds {
        let go = |plan: Vec<(usize, u64)>| {
            let circle = before.fork();
            let eve = std::slice::from_ref(&eve);
            let other = |repository: &Repository| match kind {
                "add" => {
                    repository.add_slot(&key("new"), "new", cheap, &circle.runtime()).map(|_| None)
                }
                "change" => repository
                    .change_password(&Password::new("new"), cheap, &circle.runtime())
                    .map(|()| None),
                _ => circle.try_write_in(repository).map(Some),
            };
            let acts: [Act<'_>; 2] = [&|r| rekey(&circle, r, eve), &other];
            let outcome = run(&circle, [key("ann"), password("old")], acts, plan);
            (circle, outcome)
        };
        let (_, outcome) = go(vec![(0, u64::MAX)]);
        for plan in plans(outcome.calls, 2) {
            let what = format!("{kind} {plan:?}");
            let (mut circle, outcome) = go(plan);
            let [first, second] = outcome.results;
            let texts = [&first, &second].map(|r| r.as_ref().err().map(ToString::to_string));
            assert!(is_fair(&first) && is_fair(&second), "{what}: {texts:?}");
            assert!(kind != "write" || second.is_ok(), "{what}: {second:?}");
            let changed = second.is_ok();
            circle.chunks.extend(first.ok().flatten());
            circle.chunks.extend(second.ok().flatten());
            circle.write("ben");
            let unlock = match (kind, changed) {
                ("add", true) => key("new"),
                ("change", true) => password("new"),
                _ => password("old"),
            };
            let opened = circle.try_open_with(&unlock);
            let opened = opened.unwrap_or_else(|error| panic!("{what}: {error}"));
            circle.assert_reads(&opened);
            circle.assert_reads_all("cem");
        }
    }
}

/// Ann adds a mirror while Ben adds another one, or gives everybody new keys: whoever is told of
/// success has added it.
#[test]
fn no_place_is_lost_between_two_changes_of_the_configuration() {
    let before = circle();
    let add = |circle: &Circle, repository: &Repository, name: &str| {
        let place = Place::mirror(name, format!("memory:{name}"));
        repository.add_place(&place, &circle.runtime()).map(|_| None)
    };
    for ben_rekeys in [false, true] {
        let go = |plan: Vec<(usize, u64)>| {
            let circle = before.fork();
            let outcome = {
                let ann = |repository: &Repository| add(&circle, repository, "anns");
                let ben = |repository: &Repository| match ben_rekeys {
                    true => rekey(&circle, repository, &[]).map(|_| None),
                    false => add(&circle, repository, "bens"),
                };
                run(&circle, [key("ann"), key("ben")], [&ann, &ben], plan)
            };
            (circle, outcome)
        };
        let calls = go(vec![(0, u64::MAX)]).1.calls;
        for plan in plans(calls, 5) {
            let what = format!("{plan:?}");
            let (circle, outcome) = go(plan);
            let places = circle.open("cem").places();
            for (result, name) in outcome.results.iter().zip(["anns", "bens"]) {
                assert!(is_fair(result), "{what}: {result:?}");
                let is_expected = result.is_ok() && !(ben_rekeys && name == "bens");
                assert!(!is_expected || places.find(name).is_some(), "{what}: {places:?}");
            }
        }
    }
}
