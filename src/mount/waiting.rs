//! Requests of the kernel that have no answer yet.
//!
//! A process whose request a file system has taken waits for the answer and cannot be killed until
//! then. So requests that take long are looked at twice a second: if whoever asked is being killed,
//! or if it has taken too long, they are answered with an error, and what comes in later is kept
//! for whoever asks again.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use fuser::Errno;
use parking_lot::{Condvar, Mutex};

/// How often requests without an answer are looked at.
const LOOK: Duration = Duration::from_millis(500);

/// What a request can always be answered with.
pub(super) trait Refuse: Send + 'static {
    fn refuse(self, errno: Errno);
}

macro_rules! refuse {
    ($($reply:ident),+) => { $(
        impl Refuse for fuser::$reply {
            fn refuse(self, errno: Errno) {
                self.error(errno);
            }
        }
    )+ };
}

refuse!(
    ReplyAttr,
    ReplyData,
    ReplyDirectory,
    ReplyDirectoryPlus,
    ReplyEntry,
    ReplyLseek,
    ReplyOpen,
    ReplyStatfs,
    ReplyXattr
);

/// A reply that whoever comes first gives.
pub(super) struct Answer<R>(Arc<Mutex<Option<R>>>);

impl<R: Refuse> Answer<R> {
    /// Gives it, unless it was given.
    pub(super) fn give(&self, give: impl FnOnce(R)) {
        // Taken out first: nobody waits for the lock while the kernel copies.
        let reply = self.0.lock().take();
        if let Some(reply) = reply {
            give(reply);
        }
    }

    /// Changes it; `None` if it was given.
    pub(super) fn fill<T>(&self, fill: impl FnOnce(&mut R) -> T) -> Option<T> {
        self.0.lock().as_mut().map(fill)
    }
}

/// All requests without an answer.
pub(super) struct Waiting {
    state: Mutex<State>,
    /// There is something to look at.
    some: Condvar,
    patience: Duration,
}

#[derive(Default)]
struct State {
    requests: HashMap<u64, Request>,
    next: u64,
}

struct Request {
    since: Instant,
    pid: u32,
    refuse: Box<dyn Fn(Errno) + Send>,
}

/// Ends the waiting of a request when it is dropped.
pub(super) struct Ticket<'w> {
    waiting: &'w Waiting,
    number: u64,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.waiting.state.lock().requests.remove(&self.number);
    }
}

impl Waiting {
    /// Refuses what has no answer after `patience`.
    pub(super) fn start(patience: Duration) -> Arc<Self> {
        let waiting = Arc::new(Self { state: Mutex::default(), some: Condvar::new(), patience });
        let weak = Arc::downgrade(&waiting);
        // Without the thread requests are answered all the same, only never early.
        let _ = std::thread::Builder::new().name("mount-watch".into()).spawn(move || watch(&weak));
        waiting
    }

    /// Takes a request of the process `pid`, until the ticket is dropped.
    pub(super) fn take<R: Refuse>(&self, pid: u32, reply: R) -> (Answer<R>, Ticket<'_>) {
        let answer = Arc::new(Mutex::new(Some(reply)));
        let theirs = Arc::clone(&answer);
        let refuse = move |errno| {
            let reply = theirs.lock().take();
            if let Some(reply) = reply {
                reply.refuse(errno);
            }
        };
        let mut state = self.state.lock();
        state.next += 1;
        let number = state.next;
        let request = Request { since: Instant::now(), pid, refuse: Box::new(refuse) };
        state.requests.insert(number, request);
        if state.requests.len() == 1 {
            self.some.notify_one();
        }
        (Answer(answer), Ticket { waiting: self, number })
    }

    /// Refuses what nobody waits for any more, and what waits too long.
    fn look(&self) {
        let mut state = self.state.lock();
        let hopeless: Vec<(u64, Errno)> = state
            .requests
            .iter()
            .filter_map(|(number, request)| {
                let waits = request.since.elapsed();
                let errno = match () {
                    () if waits >= self.patience => Errno::EIO,
                    () if waits >= LOOK && is_being_killed(request.pid) => Errno::EINTR,
                    () => return None,
                };
                Some((*number, errno))
            })
            .collect();
        for (number, errno) in hopeless {
            if let Some(request) = state.requests.remove(&number) {
                (request.refuse)(errno);
            }
        }
    }
}

fn watch(waiting: &Weak<Waiting>) {
    while let Some(waiting) = waiting.upgrade() {
        let mut state = waiting.state.lock();
        if state.requests.is_empty() {
            // Looks now and then whether anybody is left that could wait.
            waiting.some.wait_for(&mut state, 10 * LOOK);
        }
        drop(state);
        waiting.look();
        drop(waiting);
        std::thread::sleep(LOOK);
    }
}

/// Whether a process has a signal on the way that ends it.
#[cfg(target_os = "linux")]
fn is_being_killed(pid: u32) -> bool {
    const KILL: u64 = 1 << (9 - 1);
    let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else {
        // Requests of the kernel itself (read-ahead) have no process. One that is gone cannot wait.
        return false;
    };
    ["SigPnd:", "ShdPnd:"].iter().any(|name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let bits = line.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
        bits.is_some_and(|bits| bits & KILL != 0)
    })
}

#[cfg(not(target_os = "linux"))]
fn is_being_killed(_pid: u32) -> bool {
    false
}
