//! Asks storage how late it is: nothing may be forgotten or deleted on the word of a client's clock.

use super::Repository;
use super::object::make_object;
use crate::crypto::Class;
use crate::error::Result;
use crate::format::gc::Lease;
use crate::format::header::ObjectType;
use crate::format::record::encode;
use crate::model::BackupId;
use crate::runtime::Runtime;
use crate::storage::PutMode;

impl Repository {
    /// Storage's time, milliseconds since 1970: that of a lease that is put for this and removed
    /// again. `None` where storage has no times.
    ///
    /// # Errors
    /// The storage's. That it may refuse the removal is no error: somebody else cleans up.
    pub fn storage_now_ms(
        &self,
        host: &str,
        purpose: &str,
        runtime: &Runtime,
    ) -> Result<Option<i64>> {
        let now_ms = runtime.clock.now_ms();
        let lease = Lease {
            gc_id: BackupId(runtime.random.bytes()),
            number: 0,
            host: host.into(),
            process_id: std::process::id(),
            started_ms: now_ms,
            now_ms,
            purpose: purpose.into(),
        };
        let key = self.keys.current(Class::Control);
        let record = encode(&lease);
        let (_, object) =
            make_object(ObjectType::Lease, self.keys.suite, self.id, key, &self.random, &record);
        let name = format!("gc/lease-{}-{:08x}", lease.gc_id, lease.number);
        self.storage.put(&name, &[&object], PutMode::Content)?;
        let time_ms = self.storage.head(&name)?.modified_ms;
        if let Err(error) = self.storage.delete(&name) {
            tracing::warn!("a lease stays: {error}");
        }
        Ok(time_ms)
    }
}
