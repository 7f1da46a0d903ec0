//! Backups made, listed, deleted.
