//! Digs the keys of a repository out of it, as SPEC.md says, apart from the code that opens it.

use larder::codec::{Codec, Decompressor};
use larder::crypto::{
    KdfParams, SealKind, Secret, Suite, Unit, derive_password_key, open, open_slot_secret,
};
use larder::format::key_slot::{KeySlot, SlotKind};
use larder::format::keyring::Keyring;

use crate::support::{Lab, PASSWORD};

pub(super) struct Secrets {
    pub(super) password_key: Secret,
    pub(super) root: Vec<u8>,
    pub(super) constant: Secret,
    pub(super) masters: Vec<Secret>,
}

impl Secrets {
    pub(super) fn of(lab: &Lab) -> Self {
        let objects = |folder: &str| -> Vec<Vec<u8>> {
            let names = lab.memory.names();
            let fits = names.iter().filter(|name| name.starts_with(folder));
            fits.map(|name| lab.memory.bytes(name).expect("is there").to_vec()).collect()
        };
        let slots = objects("keys/").into_iter();
        let slot = slots
            .map(|bytes| KeySlot::decode(&bytes, "slot").expect("a slot"))
            .find(|slot| slot.kind == SlotKind::Password)
            .expect("a password slot");
        let kdf = slot.kdf.as_ref().expect("how the key is derived");
        let params = KdfParams {
            memory_kib: kdf.memory_kib,
            passes: kdf.passes,
            lanes: kdf.lanes,
            salt: kdf.salt.0,
        };
        let password_key = derive_password_key(PASSWORD.as_bytes(), &params).expect("a key");
        let sealed = &slot.secret.0;
        let opened = open_slot_secret(Some(&password_key), slot.repo_id, slot.context(), sealed);
        let (_, root) = opened.expect("the password opens it");
        let keyring = objects("keyring/").pop().expect("a keyring");
        let (header, sealed) = keyring.split_at(64);
        let class_key = root.class_key(slot.repo_id, Suite::Aes256);
        let unit = Unit::in_object(SealKind::Keyring, header);
        let plain = open(&class_key, unit, sealed).expect("the root key opens it");
        let number = |at: usize| {
            u32::from_le_bytes([plain[at], plain[at + 1], plain[at + 2], plain[at + 3]]) as usize
        };
        let codec = Codec::from_u8(plain[0]).expect("a codec");
        let mut record = Vec::new();
        let payload = &plain[9..9 + number(5)];
        Decompressor::new().decompress(codec, payload, number(1), &mut record).expect("unpacks");
        let keyring = Keyring::decode(&record, "keyring").expect("a keyring");
        let copy = |secret: &Secret| Secret::new(*secret.bytes());
        Self {
            password_key,
            root: root.0.bytes().to_vec(),
            constant: copy(&keyring.constant.0),
            masters: keyring.epochs.iter().map(|epoch| copy(&epoch.master.0)).collect(),
        }
    }
}
