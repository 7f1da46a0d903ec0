//! Bundles: the first byte picks what stands alone, or the whole file.

#![no_main]

use larder::format::bundle::{
    BundleFooter, BundleHeader, DirectoryEntry, FOOTER_LEN, OBJECT_HEADER_LEN, ObjectHeader,
};
use larder::storage::bundle::{BundleStorage, Trust};
use larder::storage::{Storage, list_sorted};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else { return };
    match kind {
        0 => drop(BundleHeader::decode(data)),
        1 => {
            if let Some(footer) = data.last_chunk::<FOOTER_LEN>() {
                let _ = BundleFooter::decode(footer, data.len() as u64);
            }
        }
        2 => {
            if let Some((header, name)) = data.split_first_chunk::<OBJECT_HEADER_LEN>()
                && let Ok(object) = ObjectHeader::decode(header)
            {
                let _ = object.name(header, name);
            }
        }
        3 => {
            let mut rest = data;
            while let Ok((_, len)) = DirectoryEntry::decode(rest) {
                rest = &rest[len..];
            }
        }
        _ => whole(data),
    }
});

/// Opens a file of these bytes, and reads what it says it holds.
fn whole(data: &[u8]) {
    let folder = std::env::temp_dir();
    let path = folder.join(format!("larder-fuzz-bundle-{}", std::process::id()));
    std::fs::write(&path, data).expect("writes");
    if let Ok(Some(bundle)) = BundleStorage::open(&path, "fuzz".into(), Trust::Told) {
        for meta in list_sorted(&bundle, "").expect("lists") {
            let _ = bundle.get(&meta.name, 1 << 20);
        }
    }
}
