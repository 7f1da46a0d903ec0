//! What people type or keep in files: recovery codes and key files.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = larder::crypto::RecoveryCode::parse(text);
    let _ = larder::crypto::KeyFileSecret::parse(text);
});
