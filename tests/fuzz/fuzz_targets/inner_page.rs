//! Inner pages; the first byte is the level.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some((level, data)) = data.split_first() {
        let _ = larder::format::page::decode_inner(data, *level, "fuzz");
    }
});
