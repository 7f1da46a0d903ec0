//! Every kind of damage to every kind of object: it is noticed or it does no harm. Wrong bytes never
//! come back, nothing panics, what is not hit stays readable, and the next backup stores again what
//! was lost and is still in the source.

use std::collections::BTreeMap;

use larder::chunker::{ChunkerParams, SizeClass};
use larder::crypto::Suite;
use larder::error::Error;
use larder::storage::Storage;

use crate::rounds;
use crate::support::{Dice, Lab, LabOptions, TreeCopy, set_xattr};

/// What is in a repository, by the first part of the name and the type in the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Repo,
    Key,
    Keyring,
    Config,
    DataPack,
    MetaPack,
    Delta,
    Run,
    PackTable,
    Record,
    Session,
}

impl Kind {
    fn of(name: &str, bytes: &[u8]) -> Self {
        match (name.split('/').next(), bytes.get(10)) {
            (Some("repo"), _) => Self::Repo,
            (Some("keys"), _) => Self::Key,
            (Some("keyring"), _) => Self::Keyring,
            (Some("config"), _) => Self::Config,
            (Some("data"), _) => Self::DataPack,
            (Some("meta"), _) => Self::MetaPack,
            (Some("index"), Some(5)) => Self::Delta,
            (Some("index"), Some(6)) => Self::Run,
            (Some("index"), Some(15)) => Self::PackTable,
            (Some("snapshots"), _) => Self::Record,
            (Some("sessions"), _) => Self::Session,
            _ => panic!("`{name}` is of no known kind"),
        }
    }

    /// Without it, or with a bad one, nothing can be opened.
    fn is_needed_to_open(self) -> bool {
        matches!(self, Self::Repo | Self::Key | Self::Keyring | Self::Config)
    }
}

#[derive(Clone, Debug)]
enum Damage {
    Delete,
    Truncate(usize),
    FlipBit(usize),
    /// 4 KiB of zeros, as a lost block of a disk.
    Zeros(usize),
    /// It holds what another of its kind held, and the other way round.
    Swap(String),
    /// It holds what an older one of its kind holds.
    Older(String),
}

impl Damage {
    fn apply(&self, lab: &Lab, name: &str) {
        let memory = &lab.memory;
        match self {
            Self::Delete => memory.remove(name),
            Self::Truncate(len) => assert!(memory.damage(name, |bytes| bytes.truncate(*len))),
            Self::FlipBit(at) => assert!(memory.damage(name, |bytes| bytes[*at] ^= 0x10)),
            Self::Zeros(at) => {
                let zero = |bytes: &mut Vec<u8>| {
                    let end = (at + 4096).min(bytes.len());
                    bytes[*at..end].fill(0);
                };
                assert!(memory.damage(name, zero));
            }
            Self::Swap(other) => {
                let (ours, theirs) = (memory.bytes(name), memory.bytes(other));
                memory.replace(name, &theirs.expect("is there"));
                memory.replace(other, &ours.expect("is there"));
            }
            Self::Older(other) => memory.replace(name, &memory.bytes(other).expect("is there")),
        }
    }

    /// Whether a listing alone shows it.
    fn changes_length(&self, lab: &Lab, name: &str) -> bool {
        let len = |name: &str| lab.memory.bytes(name).map(|bytes| bytes.len());
        match self {
            Self::Delete | Self::Truncate(_) => true,
            Self::FlipBit(_) | Self::Zeros(_) => false,
            Self::Swap(other) | Self::Older(other) => len(name) != len(other),
        }
    }
}

/// Three snapshots; the index of two in a run, that of the third in a delta; a session and a pack
/// that an interrupted run left.
fn lab(seed: u64, suite: Suite) -> Lab {
    let options = LabOptions { suite, samples: false, entries: 10, ..LabOptions::default() };
    with_snapshots(Lab::with(seed, options))
}

/// The same with chunks so small that a file needs list pages, and an attribute page.
fn lab_with_lists(seed: u64) -> Lab {
    let params = ChunkerParams::for_average(256).expect("parameters");
    let classes = Some(vec![SizeClass { below: u64::MAX, params }]);
    let suite = Suite::None;
    let lab = Lab::with(
        seed,
        LabOptions { suite, classes, samples: false, entries: 2, ..LabOptions::default() },
    );
    lab.tree().add_noise("with list pages", 100_000);
    let attributes = lab.tree().add_noise("with an attribute page", 10);
    set_xattr(&attributes, "user.long", &[7; 900]);
    with_snapshots(lab)
}

fn with_snapshots(mut lab: Lab) -> Lab {
    for name in ["first", "second", "third"] {
        lab.tree().edit(4);
        lab.tree().add_noise(name, 3000);
        lab.backup_named(name);
        if name == "second" {
            lab.open().compact_index_beyond(0, &lab.runtime()).expect("merges");
        }
    }
    let left = lab.tree().add_noise("left", 3000);
    lab.storage.fail_after_writes(2);
    lab.try_backup().expect_err("storage stopped");
    lab.storage.heal();
    std::fs::remove_file(left).expect("removes a file");
    lab
}

/// All objects of a lab by kind.
fn objects(lab: &Lab) -> BTreeMap<Kind, Vec<String>> {
    let mut all: BTreeMap<Kind, Vec<String>> = BTreeMap::new();
    for name in lab.memory.names() {
        let bytes = lab.memory.bytes(&name).expect("is there");
        all.entry(Kind::of(&name, &bytes)).or_default().push(name);
    }
    all
}

/// What is done to one object: borders in any case, other places at random.
fn damages(lab: &Lab, dice: &Dice, name: &str, of_kind: &[String]) -> Vec<Damage> {
    let len = lab.memory.bytes(name).expect("is there").len();
    let mut found = vec![Damage::Delete, Damage::Zeros(0), Damage::Zeros(len / 2)];
    let borders = [0, 1, 63, 64, 65, len / 2, len - 33, len - 32, len - 31, len - 1];
    found.extend(borders.into_iter().filter(|at| *at < len).map(Damage::Truncate));
    let places = (0..rounds(4, 60)).map(|_| dice.below(len as u64) as usize);
    let places = places.chain([0, 10, 11, 20, 44, len - 33, len - 1]);
    found.extend(places.filter(|at| *at < len).map(Damage::FlipBit));
    if let Some(other) = of_kind.iter().find(|other| *other != name) {
        found.push(Damage::Swap(other.clone()));
        found.push(Damage::Older(other.clone()));
    }
    found
}

fn kinds_survive(lab: &Lab, kinds: &[Kind]) {
    lab.assert_all_whole("before the damage");
    let (all, dice) = (objects(lab), Dice::seeded(40));
    for kind in kinds {
        let names = all.get(kind).unwrap_or_else(|| panic!("there is no {kind:?}"));
        for name in names.iter().take(rounds(2, 5) as usize) {
            for damage in damages(lab, &dice, name, names) {
                let hurt = lab.fork();
                damage.apply(&hurt, name);
                Examination {
                    what: format!("{kind:?} {name}: {damage:?}"),
                    kind: *kind,
                    shows: damage.changes_length(lab, name),
                    is_lost: matches!(damage, Damage::Delete),
                    lab: hurt,
                }
                .run();
            }
        }
    }
}

/// A lab with one damage, looked at from all sides.
struct Examination {
    lab: Lab,
    what: String,
    kind: Kind,
    /// A listing shows the damage: the next backup can know.
    shows: bool,
    is_lost: bool,
}

impl Examination {
    fn run(mut self) {
        match self.lab.try_open() {
            Err(error) => self.cannot_be_opened(&error),
            Ok(_) => {
                let whole = self.read_all();
                self.check(whole);
                self.next_backup();
            }
        }
    }

    fn cannot_be_opened(&self, error: &Error) {
        let what = &self.what;
        assert!(self.kind.is_needed_to_open(), "{what}: {error}");
        let is_clean = match error {
            Error::RepositoryMissing { .. } => self.kind == Kind::Repo && self.is_lost,
            Error::UnsupportedFormat { .. } => matches!(self.kind, Kind::Repo | Kind::Config),
            Error::Damaged { .. } | Error::NotFound { .. } => true,
            _ => false,
        };
        assert!(is_clean, "{what}: {error:?}");
        assert!(self.lab.try_backup().is_err() && self.lab.try_check().is_err(), "{what}");
    }

    /// Everything that comes back is right. Says whether everything came back.
    fn read_all(&self) -> bool {
        let what = &self.what;
        let repository = self.lab.try_open().expect("opened before");
        repository.load_index().unwrap_or_else(|error| panic!("{what}: {error}"));
        let list = repository.snapshots().unwrap_or_else(|error| panic!("{what}: {error}"));
        let mut missing = 0;
        let mut whole = true;
        for (name, id, copy) in self.lab.all_remembered() {
            let Some(snapshot) = list.snapshots.iter().find(|s| s.id == id) else {
                missing += 1;
                continue;
            };
            let source = self.lab.source();
            let (read, errors) = TreeCopy::of_what_is_left(&repository, snapshot, &source);
            for (path, node) in &read.0 {
                assert_eq!(copy.get(path), Some(node), "{what}: `{name}` has wrong bytes");
            }
            for error in &errors {
                assert!(error.is_damage(), "{what}: {error}");
            }
            whole &= errors.is_empty() && read == *copy;
        }
        let hits_one = self.kind == Kind::Record && !self.what.contains("Swap");
        assert!(missing == 0 || self.kind == Kind::Record, "{what}: {missing} snapshots are gone");
        assert!(missing <= 1 || !hits_one, "{what}: {missing} snapshots are gone");
        assert!(missing == 0 || self.is_lost || !list.bad.is_empty(), "{what}: nobody says so");
        let may_hurt = [Kind::DataPack, Kind::MetaPack, Kind::Delta, Kind::Run, Kind::PackTable];
        assert!(whole || may_hurt.contains(&self.kind), "{what}: something is unreadable");
        whole && missing == 0
    }

    /// A check notices whatever was changed, and whatever is not readable.
    fn check(&self, whole: bool) {
        let what = &self.what;
        let report = self.lab.try_check().unwrap_or_else(|error| panic!("{what}: {error}"));
        // Nobody can miss the last record of a chain, who has not seen it.
        let can_be_known = !(self.kind == Kind::Record && self.is_lost);
        assert!(whole || !can_be_known || !report.is_clean(), "{what}: the check noticed nothing");
        assert!(self.is_lost || !report.findings.is_empty(), "{what}: the check noticed nothing");
    }

    fn next_backup(&mut self) {
        let what = &self.what;
        let report = self.lab.try_backup().unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(report.is_complete(), "{what}: {:?}", report.stats);
        let snapshot = report.snapshot.expect("a snapshot");
        let repository = self.lab.try_open().expect("opens");
        repository.load_index().expect("loads the index");
        let (read, errors) = TreeCopy::of_what_is_left(&repository, &snapshot, &self.lab.source());
        let live = self.lab.live_copy();
        for (path, node) in &read.0 {
            assert_eq!(live.get(path), Some(node), "{what}: wrong bytes after the next backup");
        }
        // Bytes that changed in place are only found by reading them, which no backup does.
        let is_pack = matches!(self.kind, Kind::DataPack | Kind::MetaPack);
        if self.shows || !is_pack {
            assert!(errors.is_empty() && read == live, "{what}: not healed: {errors:?}");
        }
    }
}

#[test]
fn damage_to_what_opens_a_repository_is_told() {
    kinds_survive(&lab(40, Suite::Aes256), &[Kind::Repo, Kind::Key, Kind::Keyring, Kind::Config]);
}

#[test]
fn damaged_packs_cost_only_what_is_in_them() {
    kinds_survive(&lab(41, Suite::Aes256), &[Kind::DataPack, Kind::MetaPack]);
}

#[test]
fn damaged_lists_and_attributes_are_told() {
    kinds_survive(&lab_with_lists(46), &[Kind::MetaPack]);
}

#[test]
fn a_damaged_index_is_made_again_from_packs() {
    kinds_survive(&lab(42, Suite::Aes256), &[Kind::Delta, Kind::Run, Kind::PackTable]);
}

#[test]
fn damaged_records_hide_nothing_else() {
    kinds_survive(&lab(43, Suite::Aes256), &[Kind::Record, Kind::Session]);
}

/// Without encryption accidents are noticed just as well.
#[test]
fn damage_is_noticed_without_encryption_too() {
    let kinds = [
        Kind::Keyring,
        Kind::Config,
        Kind::DataPack,
        Kind::MetaPack,
        Kind::Delta,
        Kind::Run,
        Kind::Record,
    ];
    kinds_survive(&lab(44, Suite::None), &kinds);
}

/// A second way to open a repository is as good as the first: damage to one key slot locks nobody
/// out.
#[test]
fn another_key_opens_what_a_damaged_one_does_not() {
    let lab = lab(45, Suite::Aes256);
    let secret = lab.open().add_key_file("spare", &lab.runtime()).expect("adds a key");
    let text = secret.to_text();
    let keys = objects(&lab).remove(&Kind::Key).expect("keys");
    assert_eq!(keys.len(), 2);
    let opens_with_password = |lab: &Lab| lab.try_open().is_ok();
    let mut locked_out = 0;
    for name in &keys {
        let hurt = lab.fork();
        hurt.memory.damage(name, |bytes| bytes[100] ^= 1);
        locked_out += u64::from(!opens_with_password(&hurt));
        if !opens_with_password(&hurt) {
            let secret = larder::crypto::KeyFileSecret::parse(&text).expect("a key file");
            let unlock = larder::repository::Unlock::KeyFile(secret);
            hurt.try_open_with(&unlock).expect("opens with the other key");
        }
        assert!(hurt.memory.head("repo").is_ok());
    }
    assert_eq!(locked_out, 1, "the damage hit both, or none");
}
