//! All versions of a path.
