//! Damage lists.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = larder::format::record::decode::<larder::format::gc::DamageList>(data, "fuzz");
});
