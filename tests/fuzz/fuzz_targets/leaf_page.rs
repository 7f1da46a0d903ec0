//! Leaf pages: what is accepted comes out the same a second time.

#![no_main]

use larder::format::page::{decode_leaf, encode_leaf};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(entries) = decode_leaf(data, "fuzz") {
        let again = decode_leaf(&encode_leaf(&entries), "fuzz").expect("its own encoding");
        assert_eq!(again, entries);
    }
});
