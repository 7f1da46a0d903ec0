//! Compresses a stream by zstd on all processors: frames one after the other, each by itself, as
//! every reader of zstd takes them. Each frame ends with a checksum.

use std::collections::VecDeque;
use std::io::{self, Write};

use crossbeam_channel::{Receiver, bounded};
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

/// Bytes of a frame before compression. What is lost at its border is little against the window
/// of ordinary levels.
const FRAME_LEN: usize = 8 << 20;

/// Writes frames of what it is given.
pub(super) struct FrameWriter<W: Write> {
    out: W,
    level: i32,
    frame: Vec<u8>,
    /// In order.
    pending: VecDeque<Receiver<io::Result<Vec<u8>>>>,
    pending_max: usize,
}

impl<W: Write> FrameWriter<W> {
    pub(super) fn new(out: W, level: i32) -> Self {
        let pending_max = rayon::current_num_threads();
        Self { out, level, frame: Vec::new(), pending: VecDeque::new(), pending_max }
    }

    fn end_frame(&mut self) -> io::Result<()> {
        let frame = std::mem::take(&mut self.frame);
        let (sender, receiver) = bounded(1);
        let level = self.level;
        let work = move || {
            // Nobody waits any more if the archive was given up.
            let _ = sender.send(compress(&frame, level));
        };
        // A caller that is itself one of these threads would wait for itself.
        if rayon::current_thread_index().is_some() {
            work()
        } else {
            rayon::spawn(work)
        }
        self.pending.push_back(receiver);
        while self.pending.len() > self.pending_max {
            self.write_next()?;
        }
        Ok(())
    }

    fn write_next(&mut self) -> io::Result<()> {
        let Some(next) = self.pending.pop_front() else { return Ok(()) };
        let lost = |_| io::Error::other("a frame was not compressed");
        let frame = next.recv().map_err(lost)??;
        self.out.write_all(&frame)
    }

    /// Writes what is left. At least one frame: an empty file is no stream of zstd.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.end_frame()?;
        while !self.pending.is_empty() {
            self.write_next()?;
        }
        self.out.flush()?;
        Ok(self.out)
    }
}

impl<W: Write> Write for FrameWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.frame.capacity() == 0 {
            self.frame.reserve_exact(FRAME_LEN);
        }
        let len = bytes.len().min(FRAME_LEN - self.frame.len());
        self.frame.extend_from_slice(&bytes[..len]);
        if self.frame.len() == FRAME_LEN {
            self.end_frame()?;
        }
        Ok(len)
    }

    /// Frames end when they are full: to flush one early would only make it larger.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn compress(frame: &[u8], level: i32) -> io::Result<Vec<u8>> {
    let mut compressor = Compressor::new(level)?;
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    compressor.compress(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_one_stream() {
        for len in [0, 1, FRAME_LEN - 1, FRAME_LEN, 3 * FRAME_LEN + 17] {
            let plain: Vec<u8> = (0..len).map(|n| (n / 7 % 251) as u8).collect();
            let mut writer = FrameWriter::new(Vec::new(), 3);
            for part in plain.chunks(1_000_003) {
                writer.write_all(part).expect("writes");
            }
            let stream = writer.finish().expect("finishes");
            assert!(zstd::decode_all(&stream[..]).expect("decodes") == plain, "{len}");
        }
    }
}
