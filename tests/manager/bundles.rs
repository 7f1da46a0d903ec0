//! Bundles: repositories in one file.
