//! Snapshots.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = larder::format::log::SnapshotBody::decode(data, "fuzz");
});
