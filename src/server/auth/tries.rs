//! Logins that failed: whoever guesses has to wait longer and longer.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use parking_lot::Mutex;

/// So many guesses cost nothing: people make mistakes.
const FREE: u32 = 5;
/// The longest wait, milliseconds.
const WAIT_MAX_MS: i64 = 60_000;
/// Who has not guessed for so long starts anew, milliseconds.
const FORGET_MS: i64 = 3_600_000;
/// Users and addresses that are remembered at most.
const KNOWN_MAX: usize = 10_000;

/// Who guesses: an address, or anybody at all about one user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Guesser {
    Address(IpAddr),
    About(String),
}

impl Guesser {
    /// Whoever has one address of IPv6 has 2^64 of them.
    pub(super) fn at(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(address) => {
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
            }
            address => address,
        })
    }
}

#[derive(Clone, Copy, Default)]
struct Guesses {
    count: u32,
    last_ms: i64,
}

impl Guesses {
    fn wait_ms(self, now_ms: i64) -> i64 {
        let Some(over) = self.count.checked_sub(FREE) else { return 0 };
        let wait_ms = 1_000_i64.checked_shl(over.min(16)).unwrap_or(WAIT_MAX_MS).min(WAIT_MAX_MS);
        // A clock that was set back keeps nobody out for good.
        (self.last_ms.saturating_add(wait_ms).saturating_sub(now_ms)).min(wait_ms)
    }
}

/// Counts guesses.
#[derive(Default)]
pub(super) struct Tries(Mutex<HashMap<Guesser, Guesses>>);

impl Tries {
    /// Counts a guess, before anybody knows whether it is right: many at once are many. If one of
    /// them has to wait, it is not counted.
    ///
    /// # Errors
    /// How long to wait.
    pub(super) fn begin(&self, who: &[Guesser], now_ms: i64) -> Result<(), Duration> {
        let mut known = self.0.lock();
        let old = |guesses: &Guesses| now_ms.saturating_sub(guesses.last_ms) > FORGET_MS;
        let wait_ms =
            |one| known.get(one).filter(|guesses| !old(guesses)).map_or(0, |g| g.wait_ms(now_ms));
        let wait_ms = who.iter().map(wait_ms).max().unwrap_or_default();
        if wait_ms > 0 {
            return Err(Duration::from_millis(wait_ms.unsigned_abs()));
        }
        for one in who {
            if known.len() >= KNOWN_MAX && !known.contains_key(one) {
                make_room(&mut known, now_ms);
            }
            let guesses = known.entry(one.clone()).or_default();
            if old(guesses) {
                *guesses = Guesses::default();
            }
            *guesses = Guesses { count: guesses.count.saturating_add(1), last_ms: now_ms };
        }
        Ok(())
    }

    /// The guess was right.
    pub(super) fn succeeded(&self, who: &[Guesser]) {
        let mut known = self.0.lock();
        for one in who {
            known.remove(one);
        }
    }
}

fn make_room(known: &mut HashMap<Guesser, Guesses>, now_ms: i64) {
    known.retain(|_, guesses| now_ms.saturating_sub(guesses.last_ms) <= FORGET_MS);
    if known.len() >= KNOWN_MAX {
        // Those who guessed least, so that nobody is forgotten by being one of many.
        let mut counts: Vec<u32> = known.values().map(|guesses| guesses.count).collect();
        counts.sort_unstable();
        let median = counts[counts.len() / 2];
        let mut to_drop = known.len() / 2;
        known.retain(|_, guesses| {
            let goes = guesses.count <= median && to_drop > 0;
            to_drop -= usize::from(goes);
            !goes
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ann() -> [Guesser; 1] {
        [Guesser::About("ann".into())]
    }

    #[test]
    fn waits_grow_and_end() {
        let tries = Tries::default();
        for _ in 0..FREE {
            tries.begin(&ann(), 0).expect("free");
        }
        let mut now_ms = 0;
        let mut waits = Vec::new();
        for _ in 0..10 {
            let wait = tries.begin(&ann(), now_ms).expect_err("has to wait");
            waits.push(wait.as_secs());
            now_ms += i64::try_from(wait.as_millis()).unwrap();
            tries.begin(&ann(), now_ms).expect("waited");
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
        tries.begin(&ann(), now_ms - 1).expect_err("another clock");
        tries.begin(&ann(), now_ms + FORGET_MS + 1).expect("forgotten");
        tries.succeeded(&ann());
        assert!(tries.0.lock().is_empty());
    }

    #[test]
    fn one_of_several_is_enough() {
        let tries = Tries::default();
        let home = Guesser::at("192.0.2.7".parse().unwrap());
        for user in 0..FREE {
            tries.begin(&[home.clone(), Guesser::About(user.to_string())], 0).expect("free");
        }
        tries.begin(&[home, Guesser::About("another".into())], 0).expect_err("the address waits");
        tries.begin(&[Guesser::About("another".into())], 0).expect("was not counted");
        let [one, other] =
            ["2001:db8::1", "2001:db8::ffff:1"].map(|text| Guesser::at(text.parse().unwrap()));
        assert_eq!(one, other);
        assert_eq!(
            Guesser::at("::ffff:192.0.2.7".parse().unwrap()),
            Guesser::at("192.0.2.7".parse().unwrap())
        );
    }

    #[test]
    fn memory_is_bounded_and_guessers_stay() {
        let tries = Tries::default();
        for _ in 0..FREE {
            tries.begin(&ann(), 0).unwrap();
        }
        for user in 0..3 * KNOWN_MAX {
            tries.begin(&[Guesser::About(user.to_string())], 0).unwrap();
        }
        assert!(tries.0.lock().len() <= KNOWN_MAX);
        tries.begin(&ann(), 0).expect_err("is still known");
    }
}
