//! Index deltas.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = larder::format::index::Delta::decode(data, "fuzz");
});
