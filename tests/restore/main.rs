//! Restores trees and compares them with what was backed up.

mod conflicts;
mod damage;
mod deletion;
mod existing;
mod hostile;
mod properties;
mod reading;
mod round_trip;
mod selection;
mod support;
mod system;
mod verifying;
