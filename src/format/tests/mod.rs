//! Tests of all encoders and decoders together: known bytes, and generated ones.

mod generated;
mod samples;
mod vectors;
