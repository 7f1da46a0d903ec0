//! Who gives a command, as records name it.

use crate::fsmeta::{host_name, user_name};
use crate::repository::Author;

/// The user of this process, on this machine.
pub(crate) fn author() -> Author {
    Author { host: host_name(), user: user_name() }
}
