//! Objects that go to a service in parts: what did not arrive is sent again, and nothing else.
//!
//! The client keeps a part until it has arrived, so a call that failed for a reason that passes is
//! simply made again. The end of an upload is another matter: when its answer got lost, the service
//! knows the upload no more. Then the whole object is repeated, by
//! [`retry`](crate::storage::retry), and so it is when a part fails several times.

use std::time::Duration;

use opendal::options::WriteOptions;
use opendal::{Buffer, Writer};

use super::Call;
use crate::error::StorageError;
use crate::storage::throttle::Transfer;

/// How often a part is sent.
const ATTEMPTS_MAX: u32 = 4;

/// The wait after the first failure of a part; it doubles each time.
const WAIT_FIRST: Duration = Duration::from_millis(200);

impl Call<'_> {
    /// Writes an object in parts of `part_len` bytes.
    pub(super) fn put_in_parts(
        &self,
        bytes: Vec<u8>,
        part_len: usize,
        options: WriteOptions,
        transfer: Option<&Transfer<'_>>,
    ) -> Result<(), StorageError> {
        let mut writer = self.wait(self.operator.writer_options(self.object, options))?;
        let written = self
            .write_parts(&mut writer, bytes.into(), part_len, transfer)
            .and_then(|()| self.close(&mut writer));
        if written.is_err() {
            // What cannot be taken back now is found by its age later.
            let _ = self.wait(writer.abort());
        }
        written
    }

    fn write_parts(
        &self,
        writer: &mut Writer,
        mut rest: Buffer,
        part_len: usize,
        transfer: Option<&Transfer<'_>>,
    ) -> Result<(), StorageError> {
        let part_min = self.operator.info().capability().write_multi_min_size.unwrap_or(1);
        while !rest.is_empty() {
            // No short part at the end: the client would keep it back until the upload is ended,
            // and lose it if that fails.
            let is_last = rest.len() < part_len.saturating_add(part_min);
            let part = rest.slice(..if is_last { rest.len() } else { part_len });
            rest = rest.slice(part.len()..);
            self.pay(transfer, part.len())?;
            let mut attempt = 1;
            while let Err(error) = self.wait(writer.write(part.clone())) {
                self.pause_after(attempt, error)?;
                attempt += 1;
            }
        }
        Ok(())
    }

    /// Waits for the parts on their way, and ends the upload.
    fn close(&self, writer: &mut Writer) -> Result<(), StorageError> {
        let mut attempt = 1;
        let mut passing: Option<StorageError> = None;
        loop {
            let error = match self.wait(writer.close()) {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            if !error.is_temporary() {
                // After a lost answer the service says that there is no such upload.
                return Err(passing.unwrap_or(error));
            }
            passing = Some(self.pause_after(attempt, error)?);
            attempt += 1;
        }
    }

    /// Waits before the next attempt; gives `error` back.
    ///
    /// # Errors
    /// `error` itself, if there is no sense in another one.
    fn pause_after(&self, attempt: u32, error: StorageError) -> Result<StorageError, StorageError> {
        if !error.is_temporary() || attempt >= ATTEMPTS_MAX {
            return Err(error);
        }
        tracing::debug!(name = self.object, attempt, cause = %error.source, "sends a part again");
        std::thread::sleep(WAIT_FIRST * (1 << (attempt - 1)));
        Ok(error)
    }
}
