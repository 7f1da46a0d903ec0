//! The names of a directory's entries, in little memory.

/// Names of entries, in any order until sorted.
#[derive(Default)]
pub(super) struct Names {
    bytes: Vec<u8>,
    refs: Vec<NameRef>,
}

/// A name in [`Names`].
#[derive(Clone, Copy)]
pub(super) struct NameRef {
    start: usize,
    len: u16,
    kind: NameKind,
}

/// What is known about an entry by its name and by reading the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameKind {
    /// A source, or the way to one: taken whatever the rules say.
    Rooted,
    Dir,
    Other,
    Unknown,
}

/// Memory kept for the next directory.
const KEPT_BYTES_MAX: usize = 1 << 20;

impl Names {
    /// Forgets the names but keeps the memory, unless it is much.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.refs.clear();
        self.bytes.shrink_to(KEPT_BYTES_MAX);
        self.refs.shrink_to(KEPT_BYTES_MAX / size_of::<NameRef>());
    }

    pub(super) fn push(&mut self, name: &[u8], kind: NameKind) {
        // The kernel's own limit is 255 bytes; what is longer could not be opened anyway.
        if let Ok(len) = u16::try_from(name.len()) {
            self.refs.push(NameRef { start: self.bytes.len(), len, kind });
            self.bytes.extend_from_slice(name);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.refs.len()
    }

    pub(super) fn get(&self, index: usize) -> (&[u8], NameKind) {
        let name = &self.refs[index];
        (self.bytes_of(name), name.kind)
    }

    pub(super) fn sort(&mut self) {
        let mut refs = std::mem::take(&mut self.refs);
        refs.sort_unstable_by(|a, b| self.bytes_of(a).cmp(self.bytes_of(b)));
        self.refs = refs;
    }

    /// Keeps the names for which `keep` says so, and those of sources.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&[u8], NameKind) -> bool) {
        let mut refs = std::mem::take(&mut self.refs);
        refs.retain(|name| name.kind == NameKind::Rooted || keep(self.bytes_of(name), name.kind));
        self.refs = refs;
    }

    /// Whether the name is there; looks at all, in whatever order they are.
    pub(super) fn contains(&self, name: &[u8]) -> bool {
        self.refs.iter().any(|other| self.bytes_of(other) == name)
    }

    fn bytes_of(&self, name: &NameRef) -> &[u8] {
        &self.bytes[name.start..name.start + usize::from(name.len)]
    }
}
