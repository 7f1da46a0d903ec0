//! Where a file has data and where holes.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};

#[cfg(target_os = "linux")]
use rustix::{fs::SeekFrom, io::Errno};

/// The ranges of an open file that hold data, in order, as far as the file system tells. Between
/// them, and up to `size`, all is zero.
///
/// Moves the file's position: read with `read_at`.
pub fn data_ranges(file: &impl AsFd, size: u64) -> DataRanges<'_> {
    data_ranges_in(file, 0..size)
}

/// As [`data_ranges`], of a part of the file.
pub fn data_ranges_in(file: &impl AsFd, part: Range<u64>) -> DataRanges<'_> {
    DataRanges { file: file.as_fd(), at: part.start, size: part.end }
}

/// Iterator of [`data_ranges`]. Ends after the first error.
pub struct DataRanges<'a> {
    file: BorrowedFd<'a>,
    at: u64,
    size: u64,
}

impl Iterator for DataRanges<'_> {
    type Item = io::Result<Range<u64>>;

    #[cfg(target_os = "linux")]
    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.size {
            return None;
        }
        let seek = |to| loop {
            match rustix::fs::seek(self.file, to) {
                Err(Errno::INTR) => {}
                result => return result,
            }
        };
        let rest = self.at..self.size;
        self.at = self.size;
        let start = match seek(SeekFrom::Data(rest.start)) {
            Ok(start) => start.max(rest.start),
            // No data after this offset.
            Err(Errno::NXIO) => return None,
            // A file system that cannot tell: all is data.
            Err(Errno::INVAL | Errno::NOTSUP | Errno::SPIPE) => return Some(Ok(rest)),
            Err(error) => return Some(Err(error.into())),
        };
        if start >= rest.end {
            return None;
        }
        let end = match seek(SeekFrom::Hole(start)) {
            Ok(end) if end > start => end.min(rest.end),
            // Shrunk meanwhile, or a file system that contradicts itself: reading decides.
            Ok(_) | Err(Errno::NXIO | Errno::INVAL | Errno::NOTSUP) => rest.end,
            Err(error) => return Some(Err(error.into())),
        };
        self.at = end;
        Some(Ok(start..end))
    }

    #[cfg(not(target_os = "linux"))]
    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.at..self.size;
        self.at = self.size;
        (!rest.is_empty()).then_some(Ok(rest))
    }
}
