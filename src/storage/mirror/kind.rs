//! What an object is, by its name (SPEC.md, section 3), as far as mirrors treat it differently.

/// The roles of objects, in the order in which what lacks them is brought up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    /// `repo`, key slots, keyrings, configurations: small, and what a repository is opened with.
    Keys,
    /// Packs: nothing relies on one before an index object names it.
    Packs,
    /// Index objects and drop lists: they rest on packs.
    Index,
    /// Log records: they rest on everything before.
    Records,
    /// What writers tell each other while they work, and everything unknown: the primary's alone.
    Primary,
}

/// The folders that mirrors have, in the order in which they are compared.
pub(super) const FOLDERS: [&str; 7] =
    ["keys/", "keyring/", "config/", "snapshots/", "index/", "data/", "meta/"];

impl Kind {
    pub(super) fn of(name: &str) -> Self {
        match name.split_once('/').map_or(name, |(folder, _)| folder) {
            "repo" | "keys" | "keyring" | "config" => Self::Keys,
            "data" | "meta" => Self::Packs,
            "index" => Self::Index,
            "snapshots" => Self::Records,
            _ => Self::Primary,
        }
    }

    /// Whether an object that the primary does not have may be taken from a mirror. Not keys: one
    /// that is gone was taken away from somebody. Not records: one that is gone was let go of, or
    /// the primary may lack what it rests on, too.
    pub(super) fn is_read_if_missing(self) -> bool {
        matches!(self, Self::Packs | Self::Index)
    }
}

/// How much of a mirror must be as the primary before something is done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// The keys and the configuration.
    Keys,
    /// Everything.
    All,
}

impl Level {
    /// What an object of this kind rests on; `None`: on nothing.
    pub(super) fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Keys => Some(Self::Keys),
            Kind::Index | Kind::Records => Some(Self::All),
            Kind::Packs | Kind::Primary => None,
        }
    }

    pub(super) fn folders(self) -> &'static [&'static str] {
        match self {
            Self::Keys => &FOLDERS[..3],
            Self::All => &FOLDERS,
        }
    }

    pub(super) fn covers(self, kind: Kind) -> bool {
        match self {
            Self::Keys => kind == Kind::Keys,
            Self::All => kind != Kind::Primary,
        }
    }
}

/// The hash that an object's content must have, for all that are named by it.
pub(super) fn hash_in_name(name: &str) -> Option<blake3::Hash> {
    blake3::Hash::from_hex(name.rsplit(['/', '-']).next()?).ok()
}

/// Whether these are the bytes that the object was named after. Of those that are not named after
/// their bytes nothing can be said.
pub(super) fn is_good(name: &str, bytes: &[u8]) -> bool {
    hash_in_name(name).is_none_or(|hash| blake3::hash(bytes) == hash)
}
