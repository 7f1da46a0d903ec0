//! Attribute pages.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = larder::format::page::decode_xattrs(data, "fuzz");
});
