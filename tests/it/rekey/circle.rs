//! Some people with a key file each, and a repository in memory with a few chunks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use larder::crypto::{KeyFileSecret, RecoveryCode};
use larder::error::Result;
use larder::model::ChunkId;
use larder::repository::{
    InitOptions, KdfCost, OpenOptions, RekeyOptions, RekeyReport, Repository, SegmentUse, Standing,
    Unlock, WriterOptions,
};
use larder::runtime::{Clock, Random, Runtime, SystemClock, TestClock};
use larder::storage::{MemoryStorage, SharedStorage};

/// The key file of a person.
pub(super) fn key(name: &str) -> Unlock {
    let hex = blake3::hash(name.as_bytes()).to_hex();
    Unlock::KeyFile(KeyFileSecret::parse(&format!("larder-key-1:{hex}")).expect("a key file"))
}

/// The id of a person's key: slots are labelled with names.
pub(super) fn short_id(circle: &Circle, name: &str) -> String {
    let repository = circle.somebody();
    let slots = repository.slots().expect("lists");
    let slot = slots.into_iter().find(|slot| slot.label == name);
    slot.unwrap_or_else(|| panic!("{name} has no key")).id.to_string()
}

pub(super) struct Circle {
    pub(super) storage: Arc<MemoryStorage>,
    clock: Arc<TestClock>,
    draws: Arc<AtomicU64>,
    /// What was stored, and its bytes.
    pub(super) chunks: Vec<(ChunkId, Vec<u8>)>,
    /// The recovery code that was shown last.
    pub(super) shown: Option<String>,
    people: Vec<String>,
}

impl Circle {
    pub(super) fn of(names: &[&str]) -> Self {
        let clock = Arc::new(TestClock::at_ms(SystemClock.now_ms()));
        let storage = MemoryStorage::with_clock(Arc::clone(&clock) as Arc<dyn Clock>);
        let circle = Self {
            storage: Arc::new(storage),
            clock,
            draws: Arc::default(),
            chunks: Vec::new(),
            shown: None,
            people: names.iter().map(|name| (*name).to_owned()).collect(),
        };
        let init = InitOptions { kdf: KdfCost::CheapForTests, ..InitOptions::default() };
        let options = OpenOptions::default();
        let unlocks = [key("first")];
        let storage = Arc::clone(&circle.storage) as SharedStorage;
        let made = Repository::init(storage, &unlocks, &init, &options, &circle.runtime());
        let made = made.expect("makes a repository");
        for name in names {
            made.add_slot(&key(name), name, KdfCost::CheapForTests, &circle.runtime())
                .expect("adds a key");
        }
        let first = made.slot_id().to_string();
        circle.open(names[0]).remove_slot(&first).expect("removes");
        circle
    }

    /// The same people before a copy of the storage.
    pub(super) fn on(&self, storage: MemoryStorage) -> Self {
        Self {
            storage: Arc::new(storage),
            clock: Arc::clone(&self.clock),
            draws: Arc::clone(&self.draws),
            chunks: self.chunks.clone(),
            shown: self.shown.clone(),
            people: self.people.clone(),
        }
    }

    pub(super) fn fork(&self) -> Self {
        self.on(self.storage.fork())
    }

    pub(super) fn runtime(&self) -> Runtime {
        self.clock.advance_ms(1000);
        let draw = self.draws.fetch_add(1, Ordering::Relaxed);
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        Runtime { random: Random::seeded(draw + 77), clock, ..Runtime::default() }
    }

    pub(super) fn wait_ms(&self, ms: i64) {
        self.clock.advance_ms(ms);
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.storage.names()
    }

    pub(super) fn open_on(&self, storage: SharedStorage, unlock: &Unlock) -> Result<Repository> {
        let repository =
            Repository::open(storage, unlock, &OpenOptions::default(), &self.runtime())?;
        let bad = repository.load_index()?;
        assert!(bad.len() < 100, "{bad:?}");
        Ok(repository)
    }

    pub(super) fn try_open_with(&self, unlock: &Unlock) -> Result<Repository> {
        self.open_on(Arc::clone(&self.storage) as SharedStorage, unlock)
    }

    pub(super) fn try_open(&self, name: &str) -> Result<Repository> {
        self.try_open_with(&key(name))
    }

    #[track_caller]
    pub(super) fn open(&self, name: &str) -> Repository {
        self.try_open(name).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The repository, opened by whoever can.
    fn somebody(&self) -> Repository {
        // Whoever reads the storage can read the labels.
        let opened = self.people.iter().find_map(|name| self.try_open(name).ok());
        opened.expect("somebody opens it")
    }

    pub(super) fn rekey(&mut self, name: &str, remove: &[&str]) -> Result<RekeyReport> {
        let remove = remove.iter().map(|name| short_id(self, name)).collect();
        self.rekey_with(name, &RekeyOptions { remove, ..RekeyOptions::default() })
    }

    pub(super) fn rekey_with(&mut self, name: &str, options: &RekeyOptions) -> Result<RekeyReport> {
        let repository = self.try_open(name)?;
        let mut shown = None;
        let mut show = |code: &RecoveryCode| {
            shown = Some(code.to_text().to_string());
            Ok(())
        };
        let report = repository.rekey(options, &mut show, &self.runtime());
        self.shown = shown.or(self.shown.take());
        report
    }

    pub(super) fn new_recovery(&self, name: &str) -> String {
        let mut shown = None;
        let mut show = |code: &RecoveryCode| {
            shown = Some(code.to_text().to_string());
            Ok(())
        };
        self.open(name).renew_recovery_code(&mut show, &self.runtime()).expect("makes a code");
        shown.expect("was shown")
    }

    /// Stores one more chunk in a session of its own.
    #[track_caller]
    pub(super) fn write(&mut self, name: &str) -> ChunkId {
        let repository = self.open(name);
        self.write_in(&repository)
    }

    #[track_caller]
    pub(super) fn write_in(&mut self, repository: &Repository) -> ChunkId {
        let written = self.try_write_in(repository).expect("writes");
        self.chunks.push(written);
        self.chunks.last().expect("one").0
    }

    /// A new chunk and its bytes.
    pub(super) fn try_write_in(&self, repository: &Repository) -> Result<(ChunkId, Vec<u8>)> {
        let runtime = self.runtime();
        let mut chunk = vec![0; 300];
        runtime.random.fill(&mut chunk);
        let (session, _) = repository.begin_session("test", "host", &runtime)?;
        let writer = repository.pack_writer(&WriterOptions::default(), &runtime);
        let mut segments = writer.segment_writer(SegmentUse::Files);
        let id = repository.constants().chunk_id(&chunk);
        assert!(writer.claims().claim(repository.index(), &id.0));
        segments.push(&id.0, &chunk)?;
        segments.flush()?;
        drop(segments);
        writer.finish()?;
        session.end()?;
        Ok((id, chunk))
    }

    #[track_caller]
    pub(super) fn assert_reads(&self, repository: &Repository) {
        let mut reader = repository.reader();
        for (id, bytes) in &self.chunks {
            let read = reader.chunk(*id).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(&read, bytes);
        }
    }

    #[track_caller]
    pub(super) fn assert_reads_all(&self, name: &str) -> Repository {
        let repository = self.open(name);
        self.assert_reads(&repository);
        repository
    }

    /// Whoever this is does not open it, or opens nothing that is written now.
    #[track_caller]
    pub(super) fn assert_shut_out(&self, name: &str) {
        assert!(self.is_shut_out(name), "{name} opens what is new");
    }

    pub(super) fn is_shut_out(&self, name: &str) -> bool {
        let epochs = self.somebody_with_access().epochs();
        let current = epochs.iter().find(|epoch| epoch.is_current).expect("one");
        let opened = self.try_open(name);
        opened.is_err() || opened.is_ok_and(|r| r.epochs().iter().all(|e| e.id != current.id))
    }

    pub(super) fn has_key(&self, name: &str) -> bool {
        let slots = self.somebody_with_access().slots().expect("lists");
        slots.iter().any(|slot| slot.label == name)
    }

    /// Of those who open it, the one who knows most epochs.
    fn somebody_with_access(&self) -> Repository {
        let opened = self.people.iter().filter_map(|name| self.try_open(name).ok());
        let known = opened.max_by_key(|r| r.epochs().len()).or_else(|| {
            let code = self.shown.as_ref()?;
            let code = RecoveryCode::parse(code).ok()?;
            self.try_open_with(&Unlock::Recovery(code)).ok()
        });
        known.expect("somebody opens it")
    }

    /// Nothing is left of older keys.
    #[track_caller]
    pub(super) fn assert_tidy(&self) {
        let repository = self.somebody_with_access();
        let names = self.names();
        let count = |folder: &str| names.iter().filter(|name| name.starts_with(folder)).count();
        assert_eq!((count("keyring/"), count("config/")), (1, 1), "{names:?}");
        let slots = repository.slots().expect("lists");
        assert_eq!(count("keys/"), slots.len(), "{names:?}");
        assert!(slots.iter().all(|slot| slot.standing == Standing::Current), "{slots:?}");
    }
}
