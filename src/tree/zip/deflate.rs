//! Compresses the blocks of files on all processors, each by itself: a flushed block of deflate
//! ends on a whole byte, so blocks one after the other are one stream.

use std::cell::RefCell;
use std::io;
use std::sync::OnceLock;

use crossbeam_channel::{Receiver, bounded};
use flate2::{Compress, Compression, Crc, FlushCompress};

/// Bytes of a block.
pub(super) const BLOCK_LEN: usize = 1 << 20;
/// So few bytes hardly shrink; and room for what a flush adds.
const STORED_SLACK: usize = 64;

/// Handing less than this to another thread takes longer than the work.
const TINY_LEN: usize = 512;

/// A compressed block.
pub(super) struct Packed {
    /// The checksum of the original bytes.
    pub(super) crc: Crc,
    /// How many these were.
    pub(super) original_len: u64,
    /// Deflated, or as they were.
    pub(super) bytes: Vec<u8>,
    /// Whether it is deflated.
    pub(super) is_deflated: bool,
}

/// A block that somebody is working on.
pub(super) type Pending = Receiver<io::Result<Packed>>;

/// Whether more blocks follow in the same file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It is the whole file: stored as it is if that is shorter.
    Only,
    /// Others follow.
    Inner,
}

/// Starts to compress a block.
pub(super) fn start(bytes: Vec<u8>, place: Place, level: u32) -> Pending {
    let (sender, receiver) = bounded(1);
    let is_tiny = bytes.len() <= TINY_LEN;
    let work = move || {
        // Nobody waits any more if the archive was given up.
        let _ = sender.send(pack(bytes, place, level));
    };
    // A caller that is itself one of these threads would wait for itself.
    if is_tiny || rayon::current_thread_index().is_some() {
        work()
    } else {
        rayon::spawn(work)
    }
    receiver
}

/// The end of the stream of a file of several blocks: an empty last block.
pub(super) const STREAM_END: [u8; 2] = [0x03, 0x00];

/// A block of zeros, which is made once: holes of any size cost nothing to compress.
pub(super) fn zeros(level: u32) -> io::Result<&'static (Crc, Vec<u8>)> {
    static ZEROS: [OnceLock<(Crc, Vec<u8>)>; 10] = [const { OnceLock::new() }; 10];
    let cell = &ZEROS[(level as usize).min(9)];
    if let Some(made) = cell.get() {
        return Ok(made);
    }
    let packed = pack(vec![0; BLOCK_LEN], Place::Inner, level)?;
    Ok(cell.get_or_init(|| (packed.crc, packed.bytes)))
}

fn pack(bytes: Vec<u8>, place: Place, level: u32) -> io::Result<Packed> {
    let mut crc = Crc::new();
    crc.update(&bytes);
    let original_len = bytes.len() as u64;
    let deflated = match place {
        Place::Only if bytes.len() <= STORED_SLACK || level == 0 => None,
        Place::Only => {
            Some(deflate(&bytes, FlushCompress::Finish, level)?).filter(|d| d.len() < bytes.len())
        }
        Place::Inner => Some(deflate(&bytes, FlushCompress::Sync, level)?),
    };
    let is_deflated = deflated.is_some();
    Ok(Packed { crc, original_len, bytes: deflated.unwrap_or(bytes), is_deflated })
}

fn deflate(bytes: &[u8], flush: FlushCompress, level: u32) -> io::Result<Vec<u8>> {
    thread_local! {
        /// Making one takes longer than compressing a small file.
        static COMPRESS: RefCell<Option<(u32, Compress)>> = const { RefCell::new(None) };
    }
    COMPRESS.with_borrow_mut(|slot| {
        let compress = match slot {
            Some((of, compress)) if *of == level => {
                compress.reset();
                compress
            }
            other => &mut other.insert((level, Compress::new(Compression::new(level), false))).1,
        };
        let mut out = Vec::with_capacity(bytes.len() / 2 + STORED_SLACK);
        let mut rest = bytes;
        loop {
            let before = compress.total_in();
            let len = out.len();
            compress.compress_vec(rest, &mut out, flush).map_err(io::Error::other)?;
            rest = &rest[(compress.total_in() - before) as usize..];
            // Room that was left says that everything was flushed.
            if rest.is_empty() && out.len() < out.capacity() {
                return Ok(out);
            }
            if out.len() == len && out.len() < out.capacity() {
                return Err(io::Error::other("deflate makes no progress"));
            }
            out.reserve(bytes.len() / 2 + STORED_SLACK);
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn blocks_one_after_the_other_are_one_stream() {
        let mut random = vec![0; 300_000];
        crate::runtime::Random::seeded(1).fill(&mut random);
        for level in [0, 1, 6, 9] {
            let parts = [&random[..], b"text text text", &[0; 5000], &random[..77]];
            let mut stream = Vec::new();
            let mut crc = Crc::new();
            for part in parts {
                let packed = start(part.to_vec(), Place::Inner, level).recv().expect("answers");
                let packed = packed.expect("packs");
                stream.extend_from_slice(&packed.bytes);
                crc.combine(&packed.crc);
            }
            let (zeros_crc, zeros) = zeros(level).expect("packs");
            stream.extend_from_slice(zeros);
            crc.combine(zeros_crc);
            stream.extend_from_slice(&STREAM_END);
            let mut back = Vec::new();
            flate2::read::DeflateDecoder::new(&stream[..])
                .read_to_end(&mut back)
                .expect("inflates");
            let want = [&parts.concat()[..], &vec![0; BLOCK_LEN]].concat();
            assert!(back == want, "level {level}");
            let mut whole = Crc::new();
            whole.update(&want);
            assert_eq!(crc.sum(), whole.sum());
        }
    }

    #[test]
    fn what_does_not_shrink_stays_as_it_is() {
        let mut random = vec![0; 3000];
        crate::runtime::Random::seeded(2).fill(&mut random);
        let packed = pack(random.clone(), Place::Only, 6).expect("packs");
        assert!(!packed.is_deflated && packed.bytes == random);
        assert!(pack(vec![7; 3000], Place::Only, 6).expect("packs").is_deflated);
    }
}
