//! Key slots.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = larder::format::key_slot::KeySlot::decode(data, "fuzz");
});
