//! Pack tables.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = larder::format::index::PackTable::decode(data, "fuzz");
});
