//! The secret numbers behind the rolling hash.

use zeroize::Zeroize;

/// Domain of the derivation (SPEC.md, "Chunker").
const CONTEXT: &str = "larder v1 chunker table";

/// One number per byte value, and the same shifted left by one for the two-byte step.
///
/// Secret: it is wiped on drop and has no `Debug`.
pub(super) struct GearTable {
    pub(super) gear: [u64; 256],
    pub(super) gear_shifted: [u64; 256],
}

impl GearTable {
    /// 2,048 bytes of the BLAKE3 stream derived from `secret`, as 256 little-endian numbers.
    pub(super) fn derive(secret: &[u8; 32]) -> Self {
        let mut stream = blake3::Hasher::new_derive_key(CONTEXT).update(secret).finalize_xof();
        let mut table = Self { gear: [0; 256], gear_shifted: [0; 256] };
        let mut bytes = [0; 8];
        for (number, shifted) in table.gear.iter_mut().zip(&mut table.gear_shifted) {
            stream.fill(&mut bytes);
            *number = u64::from_le_bytes(bytes);
            *shifted = *number << 1;
        }
        bytes.zeroize();
        stream.zeroize();
        table
    }
}

impl Drop for GearTable {
    fn drop(&mut self) {
        self.gear.zeroize();
        self.gear_shifted.zeroize();
    }
}
