//! What repairs put right, and that they put nothing wrong.

mod index;
mod packs;
mod snapshots;

use larder::repository::Author;

use crate::support::{Lab, LabOptions};

pub(super) fn author() -> Author {
    Author { host: "lab".into(), user: "tester".into() }
}

/// Two remembered snapshots whose files share no chunk with each other, in several packs.
pub(super) fn lab(seed: u64) -> Lab {
    let options = LabOptions {
        suite: larder::crypto::Suite::None,
        samples: false,
        entries: 12,
        ..LabOptions::default()
    };
    let mut lab = Lab::with(seed, options);
    for name in ["first", "second"] {
        lab.tree().edit(4);
        for number in 0..4 {
            lab.tree().add_noise(&format!("{name} {number}"), 40_000);
        }
        lab.backup_named(name);
    }
    lab
}

/// Names of objects below a prefix.
pub(super) fn names(lab: &Lab, prefix: &str) -> Vec<String> {
    lab.memory.names().into_iter().filter(|name| name.starts_with(prefix)).collect()
}
