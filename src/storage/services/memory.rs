//! Memory of this process, under a name.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use opendal::{Operator, services};
use parking_lot::Mutex;

use super::ServiceLocation;
use crate::error::{Error, Result};
use crate::storage::{Connection, OpendalStorage, SharedStorage};

/// Memory under a name: who opens the same name in this process gets the same objects, until the
/// process ends.
pub(super) fn connect(location: &ServiceLocation, _: &Connection) -> Result<SharedStorage> {
    static NAMED: Mutex<BTreeMap<String, Operator>> = Mutex::new(BTreeMap::new());
    location.check_options(&[])?;
    let location = location.to_string();
    let operator = match NAMED.lock().entry(location.clone()) {
        Entry::Occupied(named) => named.get().clone(),
        Entry::Vacant(free) => {
            let made = Operator::new(services::Memory::default())
                .map_err(|error| Error::usage(format!("could not open `{location}`: {error}")))?;
            free.insert(made).clone()
        }
    };
    let concurrency = std::thread::available_parallelism().map_or(2, usize::from);
    Ok(Arc::new(OpendalStorage::new(operator, location, concurrency)))
}
