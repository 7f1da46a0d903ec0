use super::*;
use crate::model::{EpochId, RepoId, SlotId};
use crate::runtime::Random;

fn key(suite: Suite) -> ClassKey {
    ClassKey::derive(Class::Data, &Secret::new([7; 32]), RepoId([1; 32]), EpochId([2; 8]), suite)
}

const UNIT: Unit = Unit { kind: SealKind::Segment, context: [0; 32] };

#[test]
fn a_unit_opens_only_as_what_it_is() {
    let random = Random::seeded(1);
    for suite in [Suite::None, Suite::Aes256] {
        let sealed = seal(&key(suite), UNIT, &random, b"some bytes");
        assert_eq!(sealed.len(), 10 + OVERHEAD);
        assert_eq!(
            open(&key(suite), UNIT, &sealed).as_deref().map(Vec::as_slice),
            Some(&b"some bytes"[..])
        );

        let other_kind = Unit { kind: SealKind::Pad, ..UNIT };
        assert!(open(&key(suite), other_kind, &sealed).is_none());
        let other_place = Unit { context: [1; 32], ..UNIT };
        assert!(open(&key(suite), other_place, &sealed).is_none());
        let other_epoch = ClassKey { epoch: EpochId([3; 8]), ..key(suite) };
        assert!(open(&other_epoch, UNIT, &sealed).is_none());
        let other_repo = ClassKey { repo_id: RepoId([9; 32]), ..key(suite) };
        assert!(open(&other_repo, UNIT, &sealed).is_none());
        let other_suite = if suite == Suite::None { key(Suite::Aes256) } else { key(Suite::None) };
        assert!(open(&other_suite, UNIT, &sealed).is_none());
    }
}

#[test]
fn every_flipped_or_missing_byte_is_noticed() {
    let random = Random::seeded(2);
    for suite in [Suite::None, Suite::Aes256] {
        let sealed = seal(&key(suite), UNIT, &random, &[5; 100]);
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert!(open(&key(suite), UNIT, &damaged).is_none(), "byte {at}");
            assert!(open(&key(suite), UNIT, &sealed[..at]).is_none(), "cut at {at}");
        }
    }
}

/// RFC 8452, appendix C.2 (AES-256): shows that the cipher is the one the format names.
#[test]
fn the_cipher_is_aes_256_gcm_siv() {
    use aes_gcm_siv::aead::Aead;
    use aes_gcm_siv::{Aes256GcmSiv, KeyInit, Nonce};
    let mut key = [0; 32];
    key[0] = 1;
    let mut nonce = [0; 12];
    nonce[0] = 3;
    let plain = [1, 0, 0, 0, 0, 0, 0, 0];
    let sealed =
        Aes256GcmSiv::new((&key).into()).encrypt(&Nonce::from(nonce), &plain[..]).expect("seals");
    assert_eq!(
        sealed.iter().map(|b| format!("{b:02x}")).collect::<String>(),
        "c2ef328e5c71c83b843122130f7364b761e0b97427e3df28"
    );
}

#[test]
fn recovery_codes_survive_paper() {
    let code = RecoveryCode::generate(&Random::seeded(3));
    let text = code.to_text();
    assert_eq!(text.len(), 47);
    let sloppy = text.to_lowercase().replace('-', " ").replace('0', "o").replace('1', "l");
    let again = RecoveryCode::parse(&sloppy).expect("reads");
    assert_eq!(again.key().bytes(), code.key().bytes());

    let mut mistyped = text.to_string();
    let first = if mistyped.starts_with('A') { "B" } else { "A" };
    mistyped.replace_range(0..1, first);
    assert!(RecoveryCode::parse(&mistyped).is_err());
    assert!(RecoveryCode::parse(&text[..40]).is_err());
    assert!(RecoveryCode::parse(&format!("{}A", &*text)).is_err());
    assert!(RecoveryCode::parse("").is_err());
}

#[test]
fn key_files_are_read_back() {
    let secret = KeyFileSecret::generate(&Random::seeded(4));
    let again = KeyFileSecret::parse(&secret.to_text()).expect("reads");
    assert_eq!(again.key().bytes(), secret.key().bytes());
    for wrong in ["", "larder-key-1:abcd", "ssh-rsa AAAA", "larder-key-1:zz"] {
        assert!(KeyFileSecret::parse(wrong).is_err());
    }
}

#[test]
fn roots_are_rewrapped_only_by_holders_of_the_root_before() {
    let random = Random::seeded(5);
    let (repo, slot, context) = (RepoId([1; 32]), SlotId([2; 16]), [3; 32]);
    let kek = Secret::new([4; 32]);
    let first = RootKey(Secret::new([5; 32]));
    let (public, sealed) = seal_slot_secret(Some(&kek), repo, &first, &random, |_| context);
    let (private, root) = open_slot_secret(Some(&kek), repo, context, &sealed).expect("opens");
    assert_eq!(root.0.bytes(), first.0.bytes());
    assert!(open_slot_secret(Some(&first.0), repo, context, &sealed).is_none());

    let second = RootKey(Secret::new([6; 32]));
    let (e, s, v) = rewrap_root(&second, &first, slot, repo, &public, context, &random);
    let opened = unwrap_root(&first, &private, slot, repo, context, (&e, &s, &v)).expect("opens");
    assert_eq!(opened.0.bytes(), second.0.bytes());

    let stranger = RootKey(Secret::new([7; 32]));
    let (e, s, v) = rewrap_root(&second, &stranger, slot, repo, &public, context, &random);
    assert!(unwrap_root(&first, &private, slot, repo, context, (&e, &s, &v)).is_none());
}

#[test]
fn secrets_are_not_printed() {
    let text = format!("{:?}", RootKey(Secret::new([0xab; 32])));
    assert!(!text.contains("ab") && !text.contains("171"), "{text}");
}

#[test]
fn costly_slots_are_refused() {
    let params = KdfParams { memory_kib: u32::MAX, passes: 1, lanes: 1, salt: [0; 32] };
    assert!(derive_password_key(b"x", &params).is_err());
    let params = KdfParams { memory_kib: 1, passes: 0, lanes: 0, salt: [0; 32] };
    assert!(derive_password_key(b"x", &params).is_err());
}
