//! Restores trees and compares them with what was backed up.

mod round_trip;
mod support;
