//! Keyrings.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = larder::format::keyring::Keyring::decode(data, "fuzz");
});
