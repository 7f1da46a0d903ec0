//! Looks at every state that can be reached, breadth first.

use std::collections::BTreeSet;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use super::prune::prune_steps;
use super::state::{MARKS, Object, Rules, State};
use super::writer::{checker_steps, writer_steps};

/// What can happen next in a state.
#[derive(Default)]
pub(super) struct Steps {
    next: Vec<(u8, &'static str, State)>,
    cut: u64,
}

impl Steps {
    pub(super) fn add(&mut self, actor: usize, what: &'static str, next: State) {
        self.next.push((actor as u8, what, next));
    }

    /// A step that the size of the model does not allow.
    pub(super) fn cut(&mut self) {
        self.cut += 1;
    }
}

/// What an exploration found.
#[derive(Debug)]
pub(super) struct Explored {
    pub(super) states: usize,
    /// Steps that the size of the model did not allow.
    pub(super) cut: u64,
    /// All kinds of steps that were taken.
    pub(super) taken: BTreeSet<&'static str>,
    /// What was lost, and the steps that led there.
    pub(super) loss: Option<(&'static str, Vec<String>)>,
}

type Seen = hashbrown::HashSet<u128, BuildHasherDefault<Same>>;

/// Explores until something is lost, or everything was seen.
pub(super) fn explore(rules: &Rules) -> Explored {
    let first = State::first(rules);
    let mut seen = Seen::default();
    seen.insert(fingerprint(&first));
    // How each state was reached first: the state before, and the step.
    let mut origins: Vec<(u32, u8, &'static str)> = vec![(0, 0, "")];
    let mut states = vec![(first, 0_u32)];
    let mut explored = Explored { states: 0, cut: 0, taken: BTreeSet::new(), loss: None };
    let mut steps = Steps::default();
    while !states.is_empty() {
        let mut later = Vec::new();
        for (state, number) in states {
            all_steps(rules, &state, &mut steps);
            for (actor, what, next) in steps.next.drain(..) {
                if !seen.insert(fingerprint(&next)) {
                    continue;
                }
                let next_number = origins.len() as u32;
                origins.push((number, actor, what));
                if let Some(loss) = next.loss(rules) {
                    explored.loss = Some((loss, path(&origins, next_number)));
                    explored.states = seen.len();
                    return explored;
                }
                later.push((next, next_number));
            }
        }
        states = later;
    }
    explored.states = seen.len();
    explored.cut = steps.cut;
    explored.taken = origins.iter().map(|(_, _, what)| *what).collect();
    explored
}

fn all_steps(rules: &Rules, state: &State, steps: &mut Steps) {
    for number in 0..rules.writers {
        writer_steps(rules, state, number, steps);
    }
    for number in 0..rules.prunes {
        prune_steps(rules, state, number, steps);
    }
    if rules.resume {
        prune_steps(rules, state, MARKS, steps);
    }
    if rules.checker {
        checker_steps(rules, state, steps);
    }
    for (number, _) in state.sessions.iter().enumerate().filter(|(_, session)| session.late) {
        let mut next = *state;
        next.sessions[number].late = false;
        next.sessions[number].record = Object::new();
        steps.add(20, "a late record arrives", next);
    }
    if rules.stale > 0 {
        let mut next = *state;
        next.tick(rules);
        if next != *state {
            steps.add(21, "time passes", next);
        }
    }
}

fn path(origins: &[(u32, u8, &'static str)], mut at: u32) -> Vec<String> {
    let mut steps = Vec::new();
    while at != 0 {
        let (before, actor, what) = origins[at as usize];
        let who = match actor {
            0..4 => format!("writer {actor}"),
            4..9 => format!("prune {}", actor - 4),
            9 => "check".into(),
            _ => String::new(),
        };
        steps.push(format!("{who} {what}"));
        at = before;
    }
    steps.reverse();
    steps
}

/// 128 bits that stand for a state: two different ones share them once in the age of the world.
fn fingerprint(state: &State) -> u128 {
    let mut mixer = Mixer(0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f);
    state.hash(&mut mixer);
    let [a, b] = [mixer.0 ^ (mixer.0 >> 32), mixer.1 ^ (mixer.1 >> 29)];
    u128::from(a.wrapping_mul(0xff51_afd7_ed55_8ccd)) << 64 | u128::from(b ^ a.rotate_left(32))
}

struct Mixer(u64, u64);

impl Mixer {
    fn mix(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x517c_c1b7_2722_0a95);
        self.1 = (self.1.rotate_left(23) ^ value).wrapping_mul(0x9fb2_1c65_1e98_df25);
    }
}

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.mix(u64::from(*byte));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.mix(u64::from(value));
    }

    fn write_isize(&mut self, value: isize) {
        self.mix(value as u64);
    }

    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64);
    }
}

/// Fingerprints are hashes already.
#[derive(Default)]
struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u128(&mut self, value: u128) {
        self.0 = value as u64;
    }
}
