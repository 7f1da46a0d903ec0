//! Configurations.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = larder::format::config::Config::decode(data, "fuzz");
});
