//! Writers, undeletes and checks of the model.

use super::explore::Steps;
use super::state::{
    NONE, Object, Rules, State, WRITERS, Writer, list_index, list_marks, list_packs, listings,
    members,
};

/// What a writer does next.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) enum WriterStep {
    #[default]
    Announce,
    Marks,
    Index,
    Packs,
    Put,
    Delta,
    LookAgain,
    PutAgain,
    DeltaAgain,
    Commit,
    Fences,
    End,
    Clear,
    Unknown,
    Done,
    Stopped,
}

/// What a check does next.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) enum CheckerStep {
    #[default]
    Records,
    Marks,
    Index,
    Packs,
    Clear,
    Done,
}

/// One writer's turn on its copy of the state.
struct Turn<'a> {
    rules: &'a Rules,
    state: &'a State,
    number: usize,
    is_undelete: bool,
}

/// Every step that a writer can take.
pub(super) fn writer_steps(rules: &Rules, state: &State, number: usize, steps: &mut Steps) {
    use WriterStep as S;
    let is_undelete = rules.undelete && number + 1 == rules.writers;
    let turn = Turn { rules, state, number, is_undelete };
    let writer = &state.writers[number];
    let session = number * 2 + usize::from(writer.again);
    match writer.step {
        S::Announce => {
            let first = if rules.marks_first { S::Marks } else { S::Index };
            let mut next = turn.to(first);
            let late = |mark: Object| mark.age().is_some_and(|age| age > rules.session_margin);
            let marks = state.marks.iter().enumerate().filter(|(_, mark)| late(mark.object));
            next.sessions[session].later_than = marks.fold(0, |set, (n, _)| set | 1 << n);
            next.sessions[session].open = Object::new();
            steps.add(number, "announces", next);
        }
        S::Marks => {
            for condemned in list_marks(rules, state) {
                let change = |writer: &mut Writer| writer.condemned = condemned;
                match rules.marks_first {
                    true => steps.add(number, "lists marks", turn.with(S::Index, change)),
                    false => turn.choose(&turn.with(S::Put, change), steps),
                }
            }
        }
        S::Index => {
            for found in list_index(rules, state) {
                let next = turn.with(S::Packs, |writer| writer.found = found);
                steps.add(number, "lists the index", next);
            }
        }
        S::Packs => {
            for listed in list_packs(rules, state) {
                let change = |writer: &mut Writer| writer.found &= listed;
                match rules.marks_first {
                    true => turn.choose(&turn.with(S::Put, change), steps),
                    false => steps.add(number, "lists packs", turn.with(S::Marks, change)),
                }
            }
        }
        S::Put | S::PutAgain => turn.put(writer.step == S::PutAgain, steps),
        S::Delta | S::DeltaAgain => {
            let after = if writer.step == S::Delta { turn.before_commit() } else { S::Commit };
            let mut next = turn.to(after);
            next.packs[usize::from(writer.uses)].indexed = Object::new();
            steps.add(number, "puts its delta", next);
        }
        S::LookAgain => {
            for condemned in list_marks(rules, state) {
                let uses_condemned = condemned & (1 << writer.uses) != 0;
                let after = if uses_condemned { S::PutAgain } else { S::Commit };
                steps.add(number, "lists marks again", turn.to(after));
            }
        }
        S::Commit => {
            let mut next = turn.to(S::Fences);
            next.sessions[session].record = Object::new();
            next.sessions[session].is_undelete = is_undelete && !rules.undelete_anew;
            steps.add(number, "commits", next);
            if rules.lost_answers {
                next.writers[number].step = S::Unknown;
                steps.add(number, "commits, and does not know it", next);
                next.sessions[session].record = Object::default();
                next.sessions[session].late = true;
                steps.add(number, "commits, but it takes its time", next);
            }
        }
        S::Unknown => {
            let mut next = turn.to(S::Stopped);
            if !rules.stay_open {
                next.sessions[session].end = Object::new();
            }
            steps.add(number, "gives up", next);
        }
        S::Fences => {
            for shown in listings(rules, &state.sessions[session].fences) {
                let next = match shown != 0 && rules.check_fence {
                    false => turn.to(S::End),
                    true => turn.with(S::Announce, |writer| {
                        *writer = Writer { again: true, uses: NONE, ..Writer::default() };
                    }),
                };
                steps.add(number, "lists fences", next);
            }
        }
        S::End => {
            let mut next = turn.to(S::Done);
            if rules.leave_end {
                next.sessions[session].end = Object::new();
            } else {
                next.sessions[session].open.delete(rules);
            }
            steps.add(number, "ends its session", next);
        }
        S::Clear => {
            let mut next = turn.to(S::End);
            next.sessions[number * 2].clear = Object::new();
            steps.add(number, "clears its record", next);
        }
        S::Done | S::Stopped => {}
    }
}

impl Turn<'_> {
    fn to(&self, step: WriterStep) -> State {
        self.with(step, |_| {})
    }

    fn with(&self, step: WriterStep, change: impl FnOnce(&mut Writer)) -> State {
        let mut next = *self.state;
        change(&mut next.writers[self.number]);
        next.writers[self.number].step = step;
        next
    }

    fn before_commit(&self) -> WriterStep {
        match (self.state.writers[self.number].again, self.rules.look_again) {
            (true, _) => WriterStep::Clear,
            (false, true) => WriterStep::LookAgain,
            (false, false) => WriterStep::Commit,
        }
    }

    /// It has seen everything: takes a copy that is there, or makes one.
    fn choose(&self, seen: &State, steps: &mut Steps) {
        let mut next = *seen;
        let writer = &mut next.writers[self.number];
        let shunned = if self.rules.shun_condemned { writer.condemned } else { 0 };
        let usable = writer.found & !shunned;
        (writer.found, writer.condemned) = (0, 0);
        let is_first = !writer.again;
        if self.is_undelete && is_first && !self.state.forgotten.is_there() {
            writer.step = WriterStep::Stopped;
            next.sessions[self.number * 2].end = Object::new();
            return steps.add(self.number, "finds no record to undelete", next);
        }
        if usable == 0 {
            return steps.add(self.number, "has looked, finds no copy", next);
        }
        for pack in members(usable) {
            next.writers[self.number].uses = pack;
            next.writers[self.number].step = self.before_commit();
            steps.add(self.number, "has looked, takes a copy", next);
        }
    }

    fn put(&self, again: bool, steps: &mut Steps) {
        let mut next = self.to(if again { WriterStep::DeltaAgain } else { WriterStep::Delta });
        let has_bytes = !self.is_undelete && !self.state.writers[self.number].again;
        if !has_bytes && !self.state.packs.iter().any(|pack| pack.stored.is_there()) {
            next.writers[self.number].step = WriterStep::Stopped;
            return steps.add(self.number, "finds nothing to copy", next);
        }
        let Some(pack) = self.state.fresh_pack() else { return steps.cut() };
        next.packs[usize::from(pack)].stored = Object::new();
        next.writers[self.number].uses = pack;
        steps.add(self.number, "puts a pack", next);
    }
}

/// Every step that the check can take.
pub(super) fn checker_steps(rules: &Rules, state: &State, steps: &mut Steps) {
    use CheckerStep as S;
    const ACTOR: usize = 9;
    let checker = &state.checker;
    let mut next = *state;
    match checker.step {
        S::Records => {
            for (number, session) in state.sessions.iter().enumerate().take(2 * WRITERS) {
                let is_fenced = session.fences.iter().any(|fence| fence.is_there());
                if session.record.is_there() && is_fenced {
                    next.checker.session = number as u8;
                    next.checker.step = if rules.clear_by_marks { S::Marks } else { S::Index };
                    steps.add(ACTOR, "finds a suspect", next);
                }
            }
        }
        S::Marks => {
            next.checker.step = S::Index;
            for condemned in list_marks(rules, state) {
                next.checker.condemned = condemned;
                steps.add(ACTOR, "lists marks", next);
            }
        }
        S::Index => {
            next.checker.step = S::Packs;
            for found in list_index(rules, state) {
                next.checker.found = found;
                steps.add(ACTOR, "lists the index", next);
            }
        }
        S::Packs => {
            for listed in list_packs(rules, state) {
                let usable = checker.found & listed & !checker.condemned;
                next.checker.step = if usable == 0 { S::Done } else { S::Clear };
                (next.checker.found, next.checker.condemned) = (0, 0);
                steps.add(ACTOR, "lists packs", next);
            }
        }
        S::Clear => {
            next.sessions[usize::from(checker.session)].clear = Object::new();
            next.checker.step = S::Done;
            steps.add(ACTOR, "clears", next);
        }
        S::Done => {}
    }
}
