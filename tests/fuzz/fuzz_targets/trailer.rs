//! Ends of packs and runs.

#![no_main]

use larder::format::pack::{TRAILER_LEN, Trailer};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some(end) = data.last_chunk::<TRAILER_LEN>() {
        let _ = Trailer::decode(end, data.len() as u64, "fuzz");
    }
});
