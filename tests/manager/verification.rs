//! Backups proved, and damage found.
