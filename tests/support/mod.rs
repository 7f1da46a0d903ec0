//! What the tests of the engine stand on.
//!
//! [`Lab`] is the one place that builds a repository for tests; [`LiveTree`] is a folder with
//! everything that a file system can hold, made from a seed and edited at random; [`TreeCopy`] is
//! what a tree or a snapshot holds, as plain data, for comparison.

mod crash_states;
mod dice;
mod edit;
mod lab;
mod live;
mod live_copy;
pub(crate) mod proxy;
mod snapshot_copy;
mod tree_copy;
mod vault;

pub(crate) use crash_states::{CrashState, crash_states};
pub(crate) use dice::Dice;
pub(crate) use lab::{Lab, LabOptions, LabTime, ManifestCopy, PASSWORD};
pub(crate) use live::{LiveTree, set_times, set_xattr};
pub(crate) use tree_copy::TreeCopy;
#[allow(unused_imports)]
pub(crate) use tree_copy::{Body, Node};
#[allow(unused_imports)]
pub(crate) use vault::Vault;
