//! The `repo` object.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = larder::format::repo::RepoRecord::decode(data, "fuzz");
});
