//! Archives out and in.
