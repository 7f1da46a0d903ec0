//! Random sequences of what people do with keys, against a list of who must open the repository.

use std::collections::BTreeMap;

use larder::repository::{KdfCost, Password, RekeyOptions, Repository, Unlock};
use larder::runtime::Random;

use super::circle::{Circle, key};
use crate::rounds;

/// What a person opens it with now: a key file, or the password of this number.
#[derive(Clone, Copy, PartialEq)]
enum With {
    KeyFile,
    Password(u64),
}

fn unlock(name: &str, with: With) -> Unlock {
    match with {
        With::KeyFile => key(name),
        With::Password(number) => Unlock::Password(Password::new(format!("{name} {number}"))),
    }
}

fn id_of(repository: &Repository, name: &str) -> String {
    let slots = repository.slots().expect("lists");
    slots.into_iter().find(|slot| slot.label == name).expect("has a key").id.to_string()
}

/// Somebody adds a key, removes one, changes a password, rekeys with or without leaving people out,
/// or writes. Whoever has a key opens everything, whoever was left out opens nothing, and old
/// passwords and codes are void.
#[test]
fn whoever_has_a_key_opens_everything_whatever_was_done_before() {
    for seed in 0..rounds(6, 300) {
        let random = Random::seeded(seed);
        let below = |limit: usize| {
            let mut bytes = [0; 4];
            random.fill(&mut bytes);
            u32::from_le_bytes(bytes) as usize % limit
        };
        let mut circle = Circle::of(&["p0", "p1"]);
        let mut access: BTreeMap<String, With> =
            ["p0", "p1"].map(|name| (name.to_owned(), With::KeyFile)).into();
        let mut gone: Vec<(String, With)> = Vec::new();
        let cheap = KdfCost::CheapForTests;
        let mut did = Vec::new();
        for step in 0..14_u64 {
            let names: Vec<String> = access.keys().cloned().collect();
            let who = &names[below(names.len())];
            let repository = circle.try_open_with(&unlock(who, access[who]));
            let repository = repository.unwrap_or_else(|e| panic!("{seed} {did:?} {who}: {e}"));
            let others: Vec<&String> = names.iter().filter(|name| *name != who).collect();
            let other = others.get(below(others.len().max(1))).copied();
            match (below(6), other) {
                (0, _) => {
                    let name = format!("p{}", 2 + step);
                    let with = if below(2) == 0 { With::KeyFile } else { With::Password(step) };
                    let added = unlock(&name, with);
                    repository.add_slot(&added, &name, cheap, &circle.runtime()).expect("adds");
                    did.push(format!("{who} adds {name}"));
                    access.insert(name, with);
                }
                (1, Some(other)) => {
                    let id = id_of(&repository, other);
                    repository.remove_slot(&id).expect("removes");
                    did.push(format!("{who} removes {other}"));
                    let with = access.remove(other).expect("had access");
                    gone.push((other.clone(), with));
                }
                (2, _) if access[who] != With::KeyFile => {
                    let with = With::Password(1000 + step);
                    let new = Password::new(format!("{who} {}", 1000 + step));
                    repository.change_password(&new, cheap, &circle.runtime()).expect("changes");
                    did.push(format!("{who} changes the password"));
                    gone.push((who.clone(), access[who]));
                    access.insert(who.clone(), with);
                }
                (3 | 4, _) => {
                    let out: Vec<&String> = others.into_iter().filter(|_| below(4) == 0).collect();
                    let remove = out.iter().map(|name| id_of(&repository, name)).collect();
                    let options = RekeyOptions { remove, ..Default::default() };
                    let done = repository.rekey(&options, &mut |_| Ok(()), &circle.runtime());
                    did.push(format!("{who} rekeys without {out:?}"));
                    done.unwrap_or_else(|error| panic!("{seed} {did:?}: {error}"));
                    for name in out {
                        gone.push((name.clone(), access.remove(name).expect("had access")));
                    }
                    circle.write_in(&repository);
                }
                _ => {
                    circle.write_in(&repository);
                    did.push(format!("{who} writes"));
                }
            }
        }
        for (name, with) in &access {
            let opened = circle.try_open_with(&unlock(name, *with));
            let opened = opened.unwrap_or_else(|e| panic!("{seed} {did:?} {name}: {e}"));
            circle.assert_reads(&opened);
        }
        for (name, with) in &gone {
            assert!(circle.try_open_with(&unlock(name, *with)).is_err(), "{seed} {did:?} {name}");
        }
    }
}
