//! Tests of all encoders and decoders together: known bytes, and generated ones.

mod bundle;
mod generated;
mod pages;
mod samples;
mod vectors;
