//! Lets one client go on at a time, and decides which.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::world::{DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, World};

/// One storage call that waits: who, and which of its calls.
type Ticket = u64;

struct Client {
    waiting: VecDeque<Ticket>,
    /// It is not let on before.
    until_ms: i64,
    finished: bool,
}

struct State {
    world: World,
    clients: Vec<Client>,
    /// Clients that have not come to the turnstile for the first time.
    missing: usize,
    /// Who is let on, and the call that it may make now.
    holder: Option<usize>,
    granted: Option<Ticket>,
    next: Ticket,
    last: Option<usize>,
    /// How often, in percent, the one that was let on last goes on.
    stay_percent: u64,
}

/// Where all clients wait.
pub(super) struct Turnstile {
    state: Mutex<State>,
    turned: Condvar,
}

impl Turnstile {
    pub(super) fn new(world: World, clients: usize, stay_percent: u64) -> Self {
        let client = || Client { waiting: VecDeque::new(), until_ms: 0, finished: false };
        let state = State {
            world,
            clients: (0..clients).map(|_| client()).collect(),
            missing: clients,
            holder: None,
            granted: None,
            next: 1,
            last: None,
            stay_percent,
        };
        Self { state: Mutex::new(state), turned: Condvar::new() }
    }

    /// The world, while nobody is at work.
    pub(super) fn world<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        look(&mut self.state.lock().world)
    }

    /// Comes for the first time: nobody goes on before all have come.
    pub(super) fn arrive(&self, client: usize) {
        let mut state = self.state.lock();
        state.missing -= 1;
        self.pass(&mut state, client);
        self.leave(&mut state, client);
    }

    /// One storage call.
    pub(super) fn call<T>(&self, client: usize, work: impl FnOnce(&mut World) -> T) -> T {
        let mut state = self.state.lock();
        self.pass(&mut state, client);
        let result = work(&mut state.world);
        self.leave(&mut state, client);
        result
    }

    /// Does nothing for a while.
    pub(super) fn sleep(&self, client: usize, ms: i64) {
        let mut state = self.state.lock();
        state.clients[client].until_ms = state.world.clock.storage_ms() + ms;
        self.pass(&mut state, client);
        self.leave(&mut state, client);
    }

    /// It never comes again.
    pub(super) fn finish(&self, client: usize) {
        let mut state = self.state.lock();
        state.clients[client].finished = true;
        if state.holder == Some(client) {
            state.holder = None;
        }
        self.turn(&mut state);
    }

    /// Waits until this call may be made.
    fn pass(&self, state: &mut MutexGuard<'_, State>, client: usize) {
        let ticket = state.next;
        state.next += 1;
        state.clients[client].waiting.push_back(ticket);
        if state.holder == Some(client) && state.granted.is_none() {
            state.holder = None;
        }
        self.turn(state);
        while state.granted != Some(ticket) {
            let waited = self.turned.wait_for(state, Duration::from_secs(60));
            assert!(!waited.timed_out(), "the simulation hangs");
        }
    }

    /// The call is made. Whoever has several threads at the turnstile is not at work without them.
    fn leave(&self, state: &mut MutexGuard<'_, State>, client: usize) {
        state.granted = None;
        if !state.clients[client].waiting.is_empty() {
            state.holder = None;
            self.turn(state);
        }
    }

    /// Decides who goes on, if nobody is at work.
    fn turn(&self, state: &mut MutexGuard<'_, State>) {
        if state.holder.is_some() || state.missing > 0 {
            return;
        }
        let Some(client) = state.choose() else { return };
        state.holder = Some(client);
        state.granted = state.clients[client].waiting.pop_front();
        self.turned.notify_all();
    }
}

impl State {
    fn choose(&mut self) -> Option<usize> {
        let is_waiting = |client: &&Client| !client.waiting.is_empty();
        let earliest = self.clients.iter().filter(is_waiting).map(|c| c.until_ms).min()?;
        let pause_ms = self.pause();
        self.world.clock.advance(pause_ms);
        // Nobody can go on before: time passes.
        self.world.clock.advance(earliest - self.world.clock.storage_ms());
        self.world.arrive();
        loop {
            let now_ms = self.world.clock.storage_ms();
            let ready = self.clients.iter().enumerate().filter(|(_, client)| {
                is_waiting(client) && client.until_ms <= now_ms && !client.finished
            });
            let ready: Vec<usize> = ready.map(|(number, _)| number).collect();
            let last = self.last.filter(|last| ready.contains(last));
            let stays = self.world.dice.below(100) < self.stay_percent;
            let chosen = match last.filter(|_| stays) {
                Some(last) => last,
                None => *self.world.dice.pick(&ready),
            };
            // Somebody's lid is closed, unless nobody else is awake.
            if ready.len() > 1 && self.world.chance(self.world.trouble.stalls) {
                let stall_ms = self.stall();
                let what = format!("stalls for {} minutes", stall_ms / MINUTE_MS);
                self.world.tell(chosen, &what);
                self.clients[chosen].until_ms = now_ms + stall_ms;
                continue;
            }
            self.last = Some(chosen);
            return Some(chosen);
        }
    }

    /// How long a call takes.
    fn pause(&self) -> i64 {
        match self.world.dice.below(40) {
            0 => self.world.dice.below(20 * MINUTE_MS as u64) as i64,
            1..4 => self.world.dice.below(MINUTE_MS as u64) as i64,
            _ => self.world.dice.below(2 * SECOND_MS as u64) as i64,
        }
    }

    fn stall(&self) -> i64 {
        let ms =
            *self.world.dice.pick(&[HOUR_MS, 4 * HOUR_MS, 16 * HOUR_MS, 2 * DAY_MS, 9 * DAY_MS]);
        ms / 2 + self.world.dice.below(ms as u64) as i64
    }
}
