//! A cheap look at a few samples: is it worth trying to compress this?

/// How many samples, evenly spread, and how long each is, in bytes.
const SAMPLES: usize = 16;
const SAMPLE_LEN: usize = 1024;

/// Entropy in bits per byte above which even a perfect Huffman code saves less than 1 %.
const RANDOM_BITS: f32 = 7.92;

/// Whether `data` looks compressed or encrypted: bytes as frequent as in random data.
///
/// Data shorter than the samples together is never called random: it costs little to try.
pub(super) fn looks_random(data: &[u8]) -> bool {
    if data.len() < SAMPLES * SAMPLE_LEN {
        return false;
    }
    let mut counts = [0_u16; 256];
    let stride = (data.len() - SAMPLE_LEN) / (SAMPLES - 1);
    for sample in 0..SAMPLES {
        for &byte in &data[sample * stride..][..SAMPLE_LEN] {
            counts[byte as usize] += 1;
        }
    }
    entropy_bits(&counts) > RANDOM_BITS
}

/// Entropy of the counted bytes, in bits per byte.
fn entropy_bits(counts: &[u16; 256]) -> f32 {
    let total = (SAMPLES * SAMPLE_LEN) as f32;
    let sum: f32 =
        counts.iter().filter(|n| **n > 0).map(|n| f32::from(*n) * f32::from(*n).log2()).sum();
    total.log2() - sum / total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_bytes_look_random_and_others_do_not() {
        let mut random = vec![0; 1 << 20];
        crate::runtime::Random::seeded(1).fill(&mut random);
        assert!(looks_random(&random));
        let hex: Vec<u8> =
            random.iter().map(|b| b"0123456789abcdef"[usize::from(b & 15)]).collect();
        assert!(!looks_random(&hex));
        // Random numbers of 31 bits in 4 bytes: Huffman coding saves 3 %.
        let numbers: Vec<u8> =
            random.chunks(4).flat_map(|n| [n[0], n[1], n[2], n[3] & 31]).collect();
        assert!(!looks_random(&numbers));
        // An eighth of text among random data is seen.
        let mut mixed = random.clone();
        mixed[..1 << 17].fill(b'x');
        assert!(!looks_random(&mixed));
        assert!(!looks_random(&random[..1000]));
        assert!(!looks_random(&[]));
    }
}
