//! From what the user has to the root key: slots, and the rewraps in them.

use zeroize::Zeroizing;

use super::object::{FOREIGN, check_hash, hash_in_name};
use crate::crypto::{
    KdfParams, KeyFileSecret, RecoveryCode, RootKey, Secret, derive_password_key, open_slot_secret,
    slot_public_key, unwrap_root,
};
use crate::error::{Error, Result, StorageErrorKind};
use crate::format::key_slot::{KdfRecord, KeySlot, SlotKind};
use crate::model::{ObjectHash, RepoId, SlotId};
use crate::storage::{Storage, list_sorted};

/// What a user opens a repository with.
#[derive(Debug)]
pub enum Unlock {
    /// A password as typed, without the end of line.
    Password(Password),
    /// The secret in a key file.
    KeyFile(KeyFileSecret),
    /// The recovery code from the kit.
    Recovery(RecoveryCode),
    /// Nothing: for repositories without encryption.
    Nothing,
}

/// A password: wiped on drop, never printed.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes over a password.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// Its bytes, as they go into the key derivation.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Whether it has no characters.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        use subtle::ConstantTimeEq;
        self.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(..)")
    }
}

impl Unlock {
    /// What it is called in messages.
    pub fn what(&self) -> &'static str {
        match self {
            Self::Password(_) => "password",
            Self::KeyFile(_) => "key file",
            Self::Recovery(_) => "recovery code",
            Self::Nothing => "absence of a password",
        }
    }

    fn kind(&self) -> SlotKind {
        match self {
            Self::Password(_) => SlotKind::Password,
            Self::KeyFile(_) => SlotKind::KeyFile,
            Self::Recovery(_) => SlotKind::Recovery,
            Self::Nothing => SlotKind::Plain,
        }
    }
}

/// A key slot and the name of its object.
#[derive(Clone, Debug)]
pub(crate) struct StoredSlot {
    pub(crate) name: String,
    pub(crate) slot: KeySlot,
}

/// Most bytes of a key slot.
const SLOT_LEN_MAX: u64 = 64 << 10;
/// Most passwords that are derived for one unlock: planted slots must not cost hours.
const PASSWORDS_MAX: usize = 16;

/// How often slots are listed again because one of them is gone.
const RACES_MAX: usize = 5;

/// Reads all key slots of this repository. Damaged and foreign ones are left out and counted:
/// they must not keep the others from opening.
///
/// # Errors
/// The storage's.
pub(crate) fn load_slots(
    storage: &dyn Storage,
    repo_id: RepoId,
) -> Result<(Vec<StoredSlot>, Vec<Error>)> {
    let mut tries = 0;
    loop {
        let (mut slots, mut bad) = (Vec::new(), Vec::new());
        let mut is_gone = false;
        for meta in list_sorted(storage, "keys/")? {
            match load_slot(storage, &meta.name, repo_id) {
                Ok(slot) => slots.push(StoredSlot { name: meta.name, slot }),
                Err(error) if error.is_damage() => {
                    is_gone |=
                        matches!(&error, Error::Storage(e) if e.kind == StorageErrorKind::Missing);
                    bad.push(error);
                }
                Err(error) => return Err(error),
            }
        }
        // Somebody replaces slots right now: the others of this listing are gone, too.
        if is_gone && tries < RACES_MAX {
            tries += 1;
            continue;
        }
        slots.sort_by_key(|s| std::cmp::Reverse(s.slot.created_ms));
        return Ok((slots, bad));
    }
}

pub(super) fn load_slot(storage: &dyn Storage, name: &str, repo_id: RepoId) -> Result<KeySlot> {
    let bytes = storage.get(name, SLOT_LEN_MAX)?;
    let hash = hash_in_name(name).ok_or_else(|| Error::damaged(name, "foreign name"))?;
    check_hash(&bytes, hash, name)?;
    let slot = KeySlot::decode(&bytes, name)?;
    if slot.repo_id != repo_id {
        return Err(Error::damaged(name, FOREIGN));
    }
    Ok(slot)
}

/// An opened slot. Its chains are the root keys that its objects lead to, oldest first: mostly one
/// chain, more where a rekey was interrupted or two ran at once.
#[derive(Clone)]
pub(crate) struct Opened {
    pub(crate) slot_id: SlotId,
    /// What its secret is sealed with, so that the same slot can be followed later on; `None` for
    /// plain slots.
    pub(crate) kek: Option<Secret>,
    pub(crate) chains: Vec<Chain>,
}

/// Root keys, oldest first; never empty.
pub(crate) type Chain = Vec<RootKey>;

impl Opened {
    /// Follows all objects of this slot. Those that do not open are passed over: they are old ones
    /// under another password, or not of this slot.
    pub(crate) fn chains_in(&self, slots: &[StoredSlot]) -> Vec<Chain> {
        let ours = slots.iter().filter(|stored| stored.slot.slot_id == self.slot_id);
        ours.filter_map(|stored| open_chain(&stored.slot, self.kek.as_ref())).collect()
    }
}

/// Tries `unlock` on all slots of its kind.
///
/// # Errors
/// [`Error::WrongKey`] if none opens, [`Error::KeyNeeded`] if a secret is needed and none given.
pub(crate) fn unlock_slots(
    slots: &[StoredSlot],
    unlock: &Unlock,
    last_used: Option<SlotId>,
    location: &str,
) -> Result<Opened> {
    let mut fitting: Vec<&StoredSlot> =
        slots.iter().filter(|s| s.slot.kind == unlock.kind()).collect();
    fitting.sort_by_key(|s| Some(s.slot.slot_id) != last_used);
    // A slot that was rewritten by a rekey costs no second derivation.
    let mut derived: Vec<(&Option<KdfRecord>, Option<Option<Secret>>)> = Vec::new();
    let mut tried = 0;
    for stored in fitting {
        let known = derived.iter().position(|(kdf, _)| *kdf == &stored.slot.kdf);
        let number = match known {
            Some(number) => number,
            None if tried == PASSWORDS_MAX && unlock.kind() == SlotKind::Password => break,
            None => {
                tried += 1;
                derived.push((&stored.slot.kdf, slot_kek(&stored.slot, unlock)?));
                derived.len() - 1
            }
        };
        let Some(kek) = &derived[number].1 else { continue };
        if open_chain(&stored.slot, kek.as_ref()).is_some() {
            let kek = kek.clone();
            let mut opened = Opened { slot_id: stored.slot.slot_id, kek, chains: Vec::new() };
            opened.chains = opened.chains_in(slots);
            return Ok(opened);
        }
    }
    let location = location.to_string();
    let tried = slots.iter().filter(|s| s.slot.kind == unlock.kind()).count().min(PASSWORDS_MAX);
    Err(match unlock {
        Unlock::Nothing => Error::KeyNeeded { location },
        _ => Error::WrongKey { what: unlock.what(), location, tried },
    })
}

/// The key-encryption key: outer `None` if the slot takes something else, inner `None` if it
/// takes nothing.
fn slot_kek(slot: &KeySlot, unlock: &Unlock) -> Result<Option<Option<Secret>>> {
    Ok(Some(match unlock {
        Unlock::Nothing => None,
        Unlock::KeyFile(secret) => Some(secret.key()),
        Unlock::Recovery(code) => Some(code.key()),
        Unlock::Password(password) => {
            let Some(kdf) = &slot.kdf else { return Ok(None) };
            let params = KdfParams {
                memory_kib: kdf.memory_kib,
                passes: kdf.passes,
                lanes: kdf.lanes,
                salt: kdf.salt.0,
            };
            // A slot with impossible parameters is a planted one: the next may be good.
            match derive_password_key(password.as_bytes(), &params) {
                Ok(key) => Some(key),
                Err(_) => return Ok(None),
            }
        }
    }))
}

/// The root keys that a slot leads to.
fn open_chain(slot: &KeySlot, kek: Option<&Secret>) -> Option<Chain> {
    let context = slot.context();
    let (private, first) = open_slot_secret(kek, slot.repo_id, context, &slot.secret.0)?;
    if slot_public_key(&private) != slot.public_key.0 {
        return None;
    }
    let mut roots = vec![first];
    for rewrap in &slot.rewraps {
        let root = unwrap_root(
            roots.last()?,
            &private,
            slot.slot_id,
            slot.repo_id,
            context,
            (&rewrap.ephemeral.0, &rewrap.sealed.0, &rewrap.vouch.0),
        )?;
        roots.push(root);
    }
    let mac: ObjectHash = slot.expected_mac(roots.last()?);
    (mac == slot.mac).then_some(roots)
}
