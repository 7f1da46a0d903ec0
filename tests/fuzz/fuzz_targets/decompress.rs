//! Compressed segments; the first byte says how long the original should be, in KiB.

#![no_main]

use larder::codec::{Codec, Decompressor};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some((len, data)) = data.split_first() {
        let mut out = Vec::new();
        let _ =
            Decompressor::new().decompress(Codec::Zstd, data, usize::from(*len) << 10, &mut out);
    }
});
