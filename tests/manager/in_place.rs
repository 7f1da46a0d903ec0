//! Transactional restores into the live tree.
