//! Pack directories.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = larder::format::pack::Directory::decode(data, "fuzz");
});
