//! Prunes of the model.

use super::explore::Steps;
use super::state::{
    MARKS, NONE, Object, Packs, Prune, Rules, Saving, Session, Sight, State, list_index,
    list_marks, list_packs, listings, members,
};

/// What a prune does next. The first half plans, the second finishes a mark.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) enum PruneStep {
    #[default]
    Records,
    Marks,
    Index,
    Packs,
    CopyPut,
    CopyDelta,
    PutMark,
    Wait,
    RecordsAgain,
    MarksAgain,
    IndexAgain,
    PacksAgain,
    RescuePut,
    RescueDelta,
    Drop,
    DeletePacks,
    DeleteRecord,
    DeleteFences,
    DeleteMark,
    Done,
}

struct Turn<'a> {
    rules: &'a Rules,
    state: &'a State,
    number: usize,
}

/// Every step that a prune process can take.
pub(super) fn prune_steps(rules: &Rules, state: &State, number: usize, steps: &mut Steps) {
    use PruneStep as S;
    let turn = Turn { rules, state, number };
    let prune = &state.prunes[number];
    let mark_number = turn.mark_number();
    let mark = &state.marks[mark_number];
    let actor = 4 + number;
    match prune.step {
        // Somebody who goes on with the first mark as soon as there is one.
        S::Records if number == MARKS => {
            if mark.object.is_there() {
                let next = turn.with(S::Wait, |prune| prune.plan = mark.packs);
                steps.add(actor, "goes on with a mark", next);
            }
        }
        S::Records if rules.any_plan => turn.plan_anything(steps),
        S::Records => turn.list_records(S::Marks, steps),
        S::Marks => {
            for condemned in list_marks(rules, state) {
                let next = turn.with(S::Index, |prune| prune.condemned = condemned);
                steps.add(actor, "lists marks", next);
            }
        }
        S::Index => {
            for found in list_index(rules, state) {
                let next = turn.with(S::Packs, |prune| prune.found = found);
                steps.add(actor, "lists the index", next);
            }
        }
        S::Packs => {
            for listed in list_packs(rules, state) {
                turn.plan(listed, steps);
            }
        }
        S::CopyPut => turn.put_copy(S::CopyDelta, steps),
        S::CopyDelta => turn.put_delta(S::PutMark, steps),
        S::PutMark => {
            let mut next = turn.with(S::Wait, |prune| prune.copy = NONE);
            next.marks[mark_number].object = Object::new();
            next.marks[mark_number].packs = prune.plan;
            steps.add(actor, "puts its mark", next);
        }
        S::Wait => turn.wait(steps),
        S::RecordsAgain => turn.list_records(S::MarksAgain, steps),
        S::MarksAgain => {
            for condemned in list_marks(rules, state) {
                let condemned = condemned | prune.plan;
                let next = turn.with(S::IndexAgain, |prune| prune.condemned = condemned);
                steps.add(actor, "lists marks again", next);
            }
        }
        S::IndexAgain => {
            for found in list_index(rules, state) {
                let next = turn.with(S::PacksAgain, |prune| prune.found = found);
                steps.add(actor, "lists the index again", next);
            }
        }
        S::PacksAgain => {
            for listed in list_packs(rules, state) {
                turn.decide(listed, steps);
            }
        }
        S::RescuePut => turn.put_copy(S::RescueDelta, steps),
        S::RescueDelta => turn.put_delta(S::Drop, steps),
        S::Drop => {
            let mut next = turn.to(S::DeletePacks);
            for pack in members(prune.plan) {
                let dropped = &mut next.packs[usize::from(pack)].dropped;
                // The list of somebody else who finishes this mark stays where it is.
                *dropped = if dropped.is_there() { *dropped } else { Object::new() };
            }
            steps.add(actor, "puts its drop list", next);
        }
        S::DeletePacks => {
            let is_there = |pack: &u8| state.packs[usize::from(*pack)].stored.is_there();
            let Some(pack) = members(prune.plan).find(is_there) else {
                return steps.add(actor, "has deleted its packs", turn.to(S::DeleteRecord));
            };
            let mut next = *state;
            next.packs[usize::from(pack)].stored.delete(rules);
            steps.add(actor, "deletes a pack", next);
        }
        S::DeleteRecord => {
            let mut next = turn.to(S::DeleteFences);
            if prune.record {
                next.forgotten.delete(rules);
            }
            steps.add(actor, "deletes a forgotten record", next);
        }
        S::DeleteFences => {
            let mut next = turn.with(S::DeleteMark, |prune| {
                *prune = Prune { plan: prune.plan, copy: NONE, ..Prune::default() };
            });
            for (number, session) in next.sessions.iter_mut().enumerate() {
                if prune.seen & (1 << number) != 0 {
                    session.fences[mark_number].delete(rules);
                }
            }
            steps.add(actor, "deletes fences", next);
        }
        S::DeleteMark => {
            let is_ripe = |pack| state.packs[usize::from(pack)].dropped.is_aged(rules.drop_age);
            if members(prune.plan).all(is_ripe) {
                let mut next = turn.with(S::Done, |prune| prune.plan = 0);
                next.marks[mark_number].object.delete(rules);
                steps.add(actor, "deletes its mark", next);
            }
        }
        S::Done => {}
    }
}

impl Turn<'_> {
    fn actor(&self) -> usize {
        4 + self.number
    }

    fn mark_number(&self) -> usize {
        self.number % MARKS
    }

    fn prune(&self) -> &Prune {
        &self.state.prunes[self.number]
    }

    fn to(&self, step: PruneStep) -> State {
        self.with(step, |_| {})
    }

    fn with(&self, step: PruneStep, change: impl FnOnce(&mut Prune)) -> State {
        let mut next = *self.state;
        let prune = &mut next.prunes[self.number];
        change(prune);
        prune.step = step;
        if step == PruneStep::Done {
            *prune = Prune { step, copy: NONE, ..Prune::default() };
        }
        next
    }

    fn list_records(&self, after: PruneStep, steps: &mut Steps) {
        let sessions = &self.state.sessions;
        let records = listings(self.rules, &sessions.map(|session| session.record));
        for seen in records {
            let seen = seen as u8;
            let undeleted = members(seen).any(|n| sessions[usize::from(n)].is_undelete);
            let next = self.with(after, |prune| {
                prune.live = seen != 0 || self.rules.kept;
                prune.seen = seen;
                prune.record = !undeleted && !self.rules.kept;
            });
            steps.add(self.actor(), "lists records", next);
        }
    }

    /// Condemns any packs that there are. What it thought while it chose them does not count.
    fn plan_anything(&self, steps: &mut Steps) {
        let packs = self.state.packs.iter().enumerate();
        let stored = packs.filter(|(_, pack)| pack.stored.is_there());
        let stored = stored.fold(0, |set: Packs, (number, _)| set | 1 << number);
        for packs in (1..=stored).filter(|packs| packs & !stored == 0) {
            let next = self.with(PruneStep::PutMark, |prune| prune.plan = packs);
            steps.add(self.actor(), "condemns", next);
        }
        if self.rules.repack && stored != 0 {
            let next = self.with(PruneStep::CopyPut, |prune| {
                (prune.plan, prune.found) = (stored, stored);
            });
            steps.add(self.actor(), "repacks", next);
        }
    }

    fn plan(&self, listed: Packs, steps: &mut Steps) {
        use PruneStep as S;
        let prune = self.prune();
        let good = prune.found & listed & !prune.condemned;
        let condemn = |step: PruneStep, packs: Packs| {
            self.with(step, |prune| {
                prune.plan = packs;
                prune.found = if step == S::CopyPut { good } else { 0 };
                prune.condemned = 0;
            })
        };
        if !prune.live {
            return steps.add(self.actor(), "finds all unneeded", condemn(S::PutMark, listed));
        }
        for kept in members(good) {
            let rest = listed & !(1 << kept);
            if rest != 0 {
                steps.add(self.actor(), "keeps one copy", condemn(S::PutMark, rest));
            }
        }
        if self.rules.repack && good != 0 {
            steps.add(self.actor(), "repacks", condemn(S::CopyPut, listed));
        }
    }

    /// Copies the chunk from wherever it is into a new pack.
    fn put_copy(&self, after: PruneStep, steps: &mut Steps) {
        let is_there = |pack| self.state.packs[usize::from(pack)].stored.is_there();
        if !members(self.prune().found).any(is_there) {
            return steps.add(self.actor(), "finds nothing to copy", self.to(PruneStep::Done));
        }
        let Some(pack) = self.state.fresh_pack() else { return steps.cut() };
        let mut next = self.with(after, |prune| (prune.copy, prune.found) = (pack, 0));
        next.packs[usize::from(pack)].stored = Object::new();
        steps.add(self.actor(), "puts a copy", next);
    }

    fn put_delta(&self, after: PruneStep, steps: &mut Steps) {
        let mut next = self.with(after, |prune| prune.copy = NONE);
        next.packs[usize::from(self.prune().copy)].indexed = Object::new();
        steps.add(self.actor(), "puts the delta of its copy", next);
    }

    /// p4 and p5. A session may be fenced at any time.
    fn wait(&self, steps: &mut Steps) {
        let (rules, number) = (self.rules, self.mark_number());
        let mark = &self.state.marks[number];
        if !mark.object.is_there() {
            return steps.add(self.actor(), "finds its mark gone", self.to(PruneStep::Done));
        }
        let counts = |session: &Session| session.later_than & (1 << number) == 0;
        for (at, session) in self.state.sessions.iter().enumerate() {
            let is_open = session.open.is_there() && !session.end.is_there();
            if rules.fence && counts(session) && is_open && !session.fences[number].is_there() {
                let mut next = *self.state;
                next.sessions[at].fences[number] = Object::new();
                steps.add(self.actor(), "fences a session", next);
            }
        }
        let is_fenced = |session: &Session| match rules.own_fence {
            true => session.fences[number].is_aged(rules.fence_age),
            false => session.fences.iter().any(|fence| fence.is_aged(rules.fence_age)),
        };
        let may_pass = |session: &Session| {
            session.open.sight(rules) != Sight::Shown
                || !counts(session)
                || session.end.is_aged(rules.end_age)
                || is_fenced(session)
                || !rules.fence
        };
        let all_pass = self.state.sessions.iter().all(may_pass);
        if mark.object.is_aged(rules.mark_age) && (all_pass || !rules.wait) {
            let lists = rules.list_again || self.number == MARKS;
            let after = match (lists, rules.recheck) {
                (true, _) => PruneStep::RecordsAgain,
                (false, true) => PruneStep::MarksAgain,
                (false, false) => PruneStep::Drop,
            };
            steps.add(self.actor(), "has waited", self.to(after));
        }
    }

    /// The end of p6: deletes, or saves what is needed.
    fn decide(&self, listed: Packs, steps: &mut Steps) {
        use PruneStep as S;
        let (rules, prune) = (self.rules, self.prune());
        let good = prune.found & listed & !prune.condemned;
        // What the index does not name can be read from the packs themselves.
        let own = members(prune.plan).filter(|pack| {
            let is_dropped = self.state.packs[usize::from(*pack)].dropped.is_there();
            rules.read_condemned && (rules.saving == Saving::Copy || !is_dropped)
        });
        let own = own.fold(0, |set: Packs, pack| set | 1 << pack);
        let known = (prune.found | own) & listed;
        let forget = |prune: &mut Prune| (prune.found, prune.condemned) = (0, 0);
        let is_own = known & prune.plan != 0;
        let is_enough = good != 0 || !rules.recheck || (!rules.save_all && !is_own);
        if !prune.live || is_enough {
            return steps.add(self.actor(), "needs nothing condemned", self.with(S::Drop, forget));
        }
        if known == 0 {
            let next = self.with(S::Drop, |prune| {
                forget(prune);
                prune.seen = if rules.keep_fences { 0 } else { prune.seen };
            });
            return steps.add(self.actor(), "finds no copy at all", next);
        }
        if rules.saving == Saving::Copy {
            let next = self.with(S::RescuePut, |prune| {
                (prune.found, prune.condemned) = (known, 0);
            });
            return steps.add(self.actor(), "needs what is condemned", next);
        }
        let left = prune.plan & !known;
        let mut next = self.with(S::Drop, |prune| {
            forget(prune);
            prune.plan = left;
        });
        if rules.saving == Saving::SmallerMark {
            next.marks[self.mark_number()].packs = left;
        }
        steps.add(self.actor(), "leaves packs out", next);
    }
}
