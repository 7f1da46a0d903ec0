//! What the model knows: objects in storage, and what every actor remembers.

use super::prune::PruneStep;
use super::writer::{CheckerStep, WriterStep};

/// Packs that may come to be, the first ones included.
pub(super) const PACKS: usize = 5;
/// Writers.
pub(super) const WRITERS: usize = 2;
/// Sessions: two for each writer, as one that was fenced begins again.
pub(super) const SESSIONS: usize = 2 * WRITERS;
/// Marks that may come to be: one for each prune that plans.
pub(super) const MARKS: usize = 2;
/// Prune processes: one for each mark, and one that goes on with the first mark.
pub(super) const PRUNES: usize = MARKS + 1;
/// No pack.
pub(super) const NONE: u8 = 0xff;

/// An object in storage: not there, there for so many ticks, or gone for so many ticks. Ages stop
/// at a limit: what is older than all rules look at is just old.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Object(u8);

/// What a listing says of an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sight {
    Shown,
    Hidden,
    Either,
}

impl Object {
    const GONE: u8 = 0x80;

    pub(super) fn new() -> Self {
        Self(1)
    }

    /// There for longer than anybody cares.
    pub(super) fn old(rules: &Rules) -> Self {
        Self(1 + rules.age_max())
    }

    pub(super) fn is_there(self) -> bool {
        self.0 != 0 && self.0 < Self::GONE
    }

    pub(super) fn age(self) -> Option<u8> {
        self.is_there().then(|| self.0 - 1)
    }

    /// Whether it is there, and at least so old.
    pub(super) fn is_aged(self, age: u8) -> bool {
        self.age().is_some_and(|own| own >= age)
    }

    pub(super) fn delete(&mut self, rules: &Rules) {
        if self.is_there() {
            self.0 = if rules.stale == 0 { 0 } else { Self::GONE };
        }
    }

    fn tick(&mut self, rules: &Rules, age_max: u8) {
        if self.is_there() {
            self.0 = (self.0 + 1).min(age_max + 1);
        } else if self.0 >= Self::GONE {
            self.0 += 1;
            if self.0 - Self::GONE >= rules.stale {
                self.0 = 0;
            }
        }
    }

    pub(super) fn sight(self, rules: &Rules) -> Sight {
        match self.age() {
            Some(age) if age >= rules.stale => Sight::Shown,
            Some(_) => Sight::Either,
            None if self.0 >= Self::GONE => Sight::Either,
            None => Sight::Hidden,
        }
    }
}

/// A set of packs, one bit each.
pub(super) type Packs = u8;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Pack {
    pub(super) stored: Object,
    /// A delta names it.
    pub(super) indexed: Object,
    /// A drop list names it.
    pub(super) dropped: Object,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Mark {
    pub(super) object: Object,
    pub(super) packs: Packs,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Session {
    /// Its announcement.
    pub(super) open: Object,
    /// Its `.end`.
    pub(super) end: Object,
    /// Marks that need not wait for it: it was announced long enough after them.
    pub(super) later_than: u8,
    /// The record that it committed.
    pub(super) record: Object,
    /// A put of the record whose answer never came, and that may still arrive.
    pub(super) late: bool,
    /// A clear of that record.
    pub(super) clear: Object,
    /// What was committed is an undelete of the forgotten snapshot, not a snapshot.
    pub(super) is_undelete: bool,
    pub(super) fences: [Object; MARKS],
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Writer {
    pub(super) step: WriterStep,
    pub(super) again: bool,
    /// Found condemned, found usable.
    pub(super) condemned: Packs,
    pub(super) found: Packs,
    /// The pack that holds its chunk.
    pub(super) uses: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Prune {
    pub(super) step: PruneStep,
    /// Somebody needs the chunk.
    pub(super) live: bool,
    /// Sessions whose record was seen.
    pub(super) seen: u8,
    /// The forgotten snapshot was seen to be forgotten.
    pub(super) record: bool,
    pub(super) condemned: Packs,
    pub(super) found: Packs,
    /// Found in storage, indexed or not.
    pub(super) listed: Packs,
    /// What it condemns.
    pub(super) plan: Packs,
    /// The pack that it copied to.
    pub(super) copy: u8,
}

/// Looks whether a forgotten, suspect snapshot is whole, and clears it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Checker {
    pub(super) step: CheckerStep,
    pub(super) session: u8,
    pub(super) condemned: Packs,
    pub(super) found: Packs,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct State {
    pub(super) packs: [Pack; PACKS],
    pub(super) marks: [Mark; MARKS],
    pub(super) sessions: [Session; SESSIONS],
    /// The record of the snapshot that was forgotten before all this began.
    pub(super) forgotten: Object,
    pub(super) writers: [Writer; WRITERS],
    pub(super) prunes: [Prune; PRUNES],
    pub(super) checker: Checker,
}

/// What p6 does with a pack that is condemned and needed after all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Saving {
    /// The chunk is copied to a new pack. What is condemned stays condemned.
    Copy,
    /// The pack is not dropped, and no longer condemned when the mark goes.
    LeaveOut,
    /// A smaller mark takes the place of the mark.
    SmallerMark,
}

/// The rules of the protocol, and who takes part. Times are in ticks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Listings are as old as that.
    pub(super) stale: u8,
    /// Age of a mark before its sessions are looked at.
    pub(super) mark_age: u8,
    /// Sessions that were announced up to so long after a mark count for it.
    pub(super) session_margin: u8,
    /// Age of a fence before it counts.
    pub(super) fence_age: u8,
    /// Age of a session's `.end` before it counts.
    pub(super) end_age: u8,
    /// Age of a drop list before the mark goes.
    pub(super) drop_age: u8,

    pub(super) writers: usize,
    /// The last writer is an undelete.
    pub(super) undelete: bool,
    pub(super) prunes: usize,
    /// Somebody goes on with the first mark beside who made it.
    pub(super) resume: bool,
    pub(super) checker: bool,
    /// Prunes condemn whatever they like: all that they looked at before does not count.
    pub(super) any_plan: bool,
    /// Prunes may repack what lives.
    pub(super) repack: bool,
    /// Packs with the chunk at the beginning.
    pub(super) copies: usize,
    /// The snapshot at the beginning is not forgotten.
    pub(super) kept: bool,
    /// Answers to commits may get lost.
    pub(super) lost_answers: bool,

    /// w2: marks are listed before index and packs.
    pub(super) marks_first: bool,
    /// w3: what is condemned is not used.
    pub(super) shun_condemned: bool,
    /// w4.
    pub(super) look_again: bool,
    /// w6.
    pub(super) check_fence: bool,
    /// w7: the `.end` stays, in place of deletes that leave no trace.
    pub(super) leave_end: bool,
    /// A session whose commit has an unknown outcome stays open.
    pub(super) stay_open: bool,
    /// An undelete commits the snapshot anew. Otherwise it says that the old record counts again.
    pub(super) undelete_anew: bool,
    /// p5: sessions are waited for.
    pub(super) wait: bool,
    /// p5: silent sessions are fenced, not just taken for dead.
    pub(super) fence: bool,
    /// p5: a fence of another mark does not count.
    pub(super) own_fence: bool,
    /// p6: records are listed again.
    pub(super) list_again: bool,
    /// p6: marks and index are looked at again.
    pub(super) recheck: bool,
    pub(super) saving: Saving,
    /// p6: condemned packs that the index does not name are read.
    pub(super) read_condemned: bool,
    /// p6: whatever is needed is saved, not only what the own mark condemns.
    pub(super) save_all: bool,
    /// p7: fences stay if something that is needed is nowhere.
    pub(super) keep_fences: bool,
    /// A check clears only what is in packs that no mark names.
    pub(super) clear_by_marks: bool,
}

impl Rules {
    /// All rules, for listings that are so many ticks old.
    pub(super) const fn stale_by(stale: u8) -> Self {
        Self {
            stale,
            mark_age: 2 * stale,
            session_margin: stale,
            fence_age: 2 * stale,
            end_age: stale,
            drop_age: stale,
            writers: 1,
            undelete: false,
            prunes: 1,
            resume: false,
            checker: false,
            any_plan: true,
            repack: false,
            copies: 1,
            kept: false,
            lost_answers: false,
            marks_first: true,
            shun_condemned: true,
            look_again: true,
            check_fence: true,
            leave_end: true,
            stay_open: true,
            undelete_anew: true,
            wait: true,
            fence: true,
            own_fence: true,
            list_again: true,
            recheck: true,
            saving: Saving::Copy,
            read_condemned: true,
            save_all: true,
            keep_fences: true,
            clear_by_marks: true,
        }
    }

    fn age_max(&self) -> u8 {
        let ages = [self.stale, self.mark_age, self.fence_age, self.end_age, self.drop_age];
        ages.into_iter().chain([self.session_margin + 1]).max().unwrap_or(0)
    }
}

impl State {
    pub(super) fn first(rules: &Rules) -> Self {
        let mut state = Self { forgotten: Object::old(rules), ..Self::default() };
        for pack in &mut state.packs[..rules.copies] {
            pack.stored = Object::old(rules);
            pack.indexed = Object::old(rules);
        }
        for writer in &mut state.writers {
            writer.uses = NONE;
        }
        for prune in &mut state.prunes {
            prune.copy = NONE;
        }
        state
    }

    /// Time passes.
    pub(super) fn tick(&mut self, rules: &Rules) {
        let stale = rules.stale;
        for pack in &mut self.packs {
            pack.stored.tick(rules, stale);
            pack.indexed.tick(rules, stale);
            pack.dropped.tick(rules, stale.max(rules.drop_age));
        }
        for mark in &mut self.marks {
            mark.object.tick(rules, rules.mark_age.max(rules.session_margin + 1));
        }
        for session in &mut self.sessions {
            session.open.tick(rules, stale);
            session.end.tick(rules, stale.max(rules.end_age));
            session.record.tick(rules, stale);
            session.clear.tick(rules, stale);
            for fence in &mut session.fences {
                fence.tick(rules, stale.max(rules.fence_age));
            }
        }
        self.forgotten.tick(rules, stale);
    }

    /// The first pack that never was, if there are any left.
    pub(super) fn fresh_pack(&self) -> Option<u8> {
        let unused = |pack: &Pack| *pack == Pack::default();
        // A pack that is gone has a drop list; one that was never indexed and is gone looks unused,
        // and its name may serve again.
        self.packs.iter().position(unused).map(|number| number as u8)
    }

    /// Whether the chunk can be read.
    pub(super) fn is_whole(&self) -> bool {
        self.packs.iter().any(|pack| {
            pack.stored.is_there() && pack.indexed.is_there() && !pack.dropped.is_there()
        })
    }

    /// Whether a record stands that makes the chunk live.
    fn stands(&self, session: &Session) -> bool {
        session.record.is_there() && (!session.is_undelete || self.forgotten.is_there())
    }

    /// What went wrong, if something did.
    pub(super) fn loss(&self, rules: &Rules) -> Option<&'static str> {
        if rules.kept && !self.is_whole() {
            return Some("a snapshot that was there before has lost its chunk");
        }
        for (number, session) in self.sessions.iter().enumerate() {
            let is_fenced = session.fences.iter().any(|fence| fence.is_there());
            let is_suspect = is_fenced && !session.clear.is_there();
            if self.stands(session) && !is_suspect && !self.is_whole() {
                return Some("a snapshot that is not suspect has lost its chunk");
            }
            let writer = &self.writers[number / 2];
            if number % 2 == 0 && writer.step == WriterStep::Done {
                if !self.is_whole() {
                    return Some("a snapshot that was reported done has lost its chunk");
                }
                if session.is_undelete && !self.forgotten.is_there() {
                    return Some("a snapshot that was undeleted has lost its record");
                }
            }
        }
        None
    }
}

/// All ways in which a listing can turn out: sets of the objects that it shows.
pub(super) fn listings(rules: &Rules, objects: &[Object]) -> Vec<u16> {
    let mut sets = vec![0_u16];
    for (number, object) in objects.iter().enumerate() {
        let bit = 1 << number;
        match object.sight(rules) {
            Sight::Hidden => {}
            Sight::Shown => sets.iter_mut().for_each(|set| *set |= bit),
            Sight::Either => sets.extend(sets.clone().iter().map(|set| set | bit)),
        }
    }
    sets
}

/// The packs that the marks of a listing condemn.
pub(super) fn list_marks(rules: &Rules, state: &State) -> Vec<Packs> {
    let sets = listings(rules, &state.marks.map(|mark| mark.object));
    let packs = |set: u16| {
        let shown = state.marks.iter().enumerate().filter(|(n, _)| set & (1 << n) != 0);
        shown.fold(0, |packs, (_, mark)| packs | mark.packs)
    };
    sets.into_iter().map(packs).collect()
}

/// The packs that an index listing names and does not drop.
pub(super) fn list_index(rules: &Rules, state: &State) -> Vec<Packs> {
    let indexed = listings(rules, &state.packs.map(|pack| pack.indexed));
    let dropped = listings(rules, &state.packs.map(|pack| pack.dropped));
    let pairs =
        indexed.iter().flat_map(|named| dropped.iter().map(move |less| (named & !less) as u8));
    let mut sets: Vec<Packs> = pairs.collect();
    sets.sort_unstable();
    sets.dedup();
    sets
}

/// The packs that a listing shows.
pub(super) fn list_packs(rules: &Rules, state: &State) -> Vec<Packs> {
    let sets = listings(rules, &state.packs.map(|pack| pack.stored));
    sets.into_iter().map(|set| set as Packs).collect()
}

/// The numbers in a set.
pub(super) fn members(set: Packs) -> impl Iterator<Item = u8> {
    (0..8).filter(move |number| set & (1 << number) != 0)
}
