//! Storage as one process of one client sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use larder::error::{StorageError, StorageErrorKind};
use larder::storage::{ObjectMeta, PutMode, Storage};

use super::turnstile::Turnstile;
use super::world::{World, error};

/// One process. When it has crashed, nothing that it does reaches storage any more.
pub(super) struct Process {
    client: usize,
    turnstile: Arc<Turnstile>,
    crashed: AtomicBool,
}

impl Process {
    pub(super) fn new(client: usize, turnstile: Arc<Turnstile>) -> Self {
        Self { client, turnstile, crashed: AtomicBool::new(false) }
    }

    pub(super) fn has_crashed(&self) -> bool {
        self.crashed.load(Ordering::SeqCst)
    }

    fn call<T>(
        &self,
        name: &str,
        work: impl FnOnce(&mut World) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let gone = || error(name, StorageErrorKind::Permanent, "this process has crashed");
        if self.has_crashed() {
            return Err(gone());
        }
        self.turnstile.call(self.client, |world| {
            if self.has_crashed() {
                return Err(gone());
            }
            if !world.chance(world.trouble.crashes) {
                return work(world);
            }
            self.crashed.store(true, Ordering::SeqCst);
            world.tell(self.client, &format!("crashes at {name}"));
            // What was under way may still happen.
            if world.dice.once_in(2) {
                let _ = work(world);
            }
            Err(gone())
        })
    }
}

impl Storage for Process {
    fn location(&self) -> &str {
        "simulated:"
    }

    fn put(&self, name: &str, parts: &[&[u8]], mode: PutMode) -> Result<(), StorageError> {
        self.call(name, |world| world.put(self.client, name, parts.concat(), mode))
    }

    fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>, StorageError> {
        self.call(name, |world| world.read(name, |memory| memory.get(name, len_max)))
    }

    fn get_range(&self, name: &str, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        self.call(name, |world| world.read(name, |memory| memory.get_range(name, offset, buf)))
    }

    fn head(&self, name: &str) -> Result<ObjectMeta, StorageError> {
        self.call(name, |world| world.read(name, |memory| memory.head(name)))
    }

    fn list(&self, prefix: &str, found: &mut dyn FnMut(ObjectMeta)) -> Result<(), StorageError> {
        let all = self.call(prefix, |world| world.list(self.client, prefix))?;
        all.into_iter().for_each(found);
        Ok(())
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        self.call(name, |world| world.delete(self.client, name))
    }

    fn concurrency(&self) -> usize {
        1
    }
}
