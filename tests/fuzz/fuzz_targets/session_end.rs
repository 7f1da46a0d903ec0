//! Ends of sessions.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = larder::format::record::decode::<larder::format::session::SessionEnd>(data, "fuzz");
});
