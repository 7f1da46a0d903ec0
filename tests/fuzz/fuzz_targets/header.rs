//! Object headers.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = larder::format::header::Header::decode(data, "fuzz");
});
