//! Reads tar archives as streams: v7, ustar, pax, star, and GNU with long names and all its sparse
//! files.
//!
//! A reader of our own: the usual crate reads names of any length into memory, and knows only one
//! of the four kinds of sparse files.

mod acl;
mod header;
mod pax;

use std::collections::HashMap;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use super::member::{Member, MemberKind, Stop};
use crate::model::{Owner, Time, escape_bytes};
use acl::AclNames;
use header::{BLOCK, Header, more_sparse};
use pax::{NUMBERS_MAX, Pax, decimal, extents};

/// Most bytes of an extended header: room for all attributes that a file can have.
const EXTENDED_MAX: u64 = 4 << 20;
/// Most bytes that are remembered for all members, each of which takes them over.
const GLOBAL_MAX: usize = 128 << 10;
/// Owners that are remembered.
const OWNERS_MAX: usize = 4096;
/// Stands for numbers that no owner can have.
const NOBODY: u32 = 65_534;

/// Members of an archive, one after the other.
pub(super) struct TarReader<R> {
    inner: R,
    /// Bytes that were read.
    at: u64,
    /// What is left of the content of the member before, and the padding behind it.
    left: u64,
    padding: u64,
    global: Pax,
    owners: HashMap<Owner, Arc<Owner>>,
    acl_names: AclNames,
    /// A header that was found when looking for a good one.
    found: Option<Header>,
    /// What somebody should know about the archive as a whole.
    pub(super) notices: Vec<&'static str>,
}

impl<R: Read> TarReader<R> {
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            at: 0,
            left: 0,
            padding: 0,
            global: Pax::default(),
            owners: HashMap::new(),
            acl_names: AclNames::default(),
            found: None,
            notices: Vec::new(),
        }
    }

    /// The next member; `None` at the end, when everything behind it was read too.
    ///
    /// # Errors
    /// [`Stop::Damaged`].
    pub(super) fn next_member(&mut self) -> Result<Option<Member>, Stop> {
        let mut own = Pax::default();
        let (mut long_name, mut long_link) = (None, None);
        loop {
            self.skip_content()?;
            let Some(header) = self.header()? else { return Ok(None) };
            match header.kind() {
                b'x' | b'X' => own.read(&self.extended(&header)?, EXTENDED_MAX as usize)?,
                b'g' => {
                    let bytes = self.extended(&header)?;
                    self.global.read(&bytes, GLOBAL_MAX)?;
                    // Told with the next member.
                    own.odd.append(&mut self.global.odd);
                }
                b'L' => long_name = Some(self.long_text(&header)?),
                b'K' => long_link = Some(self.long_text(&header)?),
                // The name of a volume; names of old GNU tar.
                b'V' | b'N' => self.begin_content(self.size_of(&header, None)?)?,
                _ => {
                    let mut pax = own.over(&self.global);
                    pax.path = pax.path.or(long_name);
                    pax.link = pax.link.or(long_link);
                    return self.member(&header, pax).map(Some);
                }
            }
        }
    }

    /// What is left of the content of the last member.
    pub(super) fn content(&mut self) -> impl Read + '_ {
        Content(self)
    }

    /// Looks for the next header that may be one, after damage. `false` at the end.
    ///
    /// # Errors
    /// [`Stop::Damaged`] if not even that can be read.
    pub(super) fn find_header(&mut self) -> Result<bool, Stop> {
        (self.left, self.padding) = (0, 0);
        while let Some(block) = self.block()? {
            if block[0] != 0 && &block[257..262] == b"ustar" && Header::is_valid(&block) {
                self.found = Some(Header(block));
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn header(&mut self) -> Result<Option<Header>, Stop> {
        if let Some(found) = self.found.take() {
            return Ok(Some(found));
        }
        let start = self.at;
        let Some(block) = self.block()? else {
            return Err(Stop::damaged(format!("it ends after {start} bytes, without an end mark")));
        };
        if block == [0; BLOCK] {
            self.rest()?;
            return Ok(None);
        }
        if !Header::is_valid(&block) {
            return Err(Stop::damaged(format!("there is no valid header at byte {start}")));
        }
        Ok(Some(Header(block)))
    }

    /// Reads what is behind the end mark: what unpacks the stream checks its sums at the end.
    fn rest(&mut self) -> Result<(), Stop> {
        let mut buffer = vec![0; 64 << 10];
        let mut is_first = true;
        let mut has_more = false;
        loop {
            match self.inner.read(&mut buffer) {
                Ok(0) => break,
                Ok(len) => has_more |= buffer[..len].iter().any(|byte| *byte != 0),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Stop::damaged(error)),
            }
            is_first = false;
        }
        if is_first {
            self.notices.push("its end mark is not complete");
        }
        if has_more {
            self.notices.push("what comes after its end mark was left out");
        }
        Ok(())
    }

    fn member(&mut self, header: &Header, mut pax: Pax) -> Result<Member, Stop> {
        let size = self.size_of(header, pax.size)?;
        let is_new_sparse = pax.sparse.is_sparse();
        let xattrs = pax.take_xattrs();
        let odd = pax.odd.iter().map(|key| format!("its `{key}` makes no sense and is left out"));
        let odd = odd.collect();
        let mut name = pax.path.unwrap_or_else(|| header.name());
        if let Some(real) = pax.sparse.name.clone() {
            name = real;
        }
        let (major, minor) = header.device();
        let device = (pax.device.0.unwrap_or(major), pax.device.1.unwrap_or(minor));
        let link = || pax.link.clone().unwrap_or_else(|| header.link());
        let kind = match header.kind() {
            // In v7, folders are files with a `/` behind their name.
            0 | b'0' if name.ends_with(b"/") && !is_new_sparse => MemberKind::Dir,
            b'1' => MemberKind::HardLink(link()),
            b'2' => MemberKind::Symlink(Some(link())),
            b'3' => MemberKind::CharDevice(device.0, device.1),
            b'4' => MemberKind::BlockDevice(device.0, device.1),
            b'5' | b'D' => MemberKind::Dir,
            b'6' => MemberKind::Fifo,
            b'M' => MemberKind::Unsupported("it is continued from another volume".into()),
            // Unknown kinds are files, says POSIX.
            _ => MemberKind::File,
        };
        let mut member = Member {
            name,
            kind,
            mode: header.mode(),
            owner: self.owner(header, pax.uid, pax.gid, pax.user, pax.group),
            mtime: pax.mtime.unwrap_or(Time { secs: header.mtime_secs(), nanos: 0 }),
            atime: pax.atime,
            xattrs,
            odd,
            size: 0,
            extents: None,
        };
        if let Some(notice) = pax.acls.give(&mut member, &self.acl_names)
            && !self.notices.contains(&notice)
        {
            self.notices.push(notice);
        }
        // What is no file has no content, whatever the size says, but for lists of names of GNU.
        let has_content = matches!(member.kind, MemberKind::File | MemberKind::Unsupported(_))
            || header.kind() == b'D';
        if !has_content {
            return Ok(member);
        }
        self.begin_content(size)?;
        if member.kind != MemberKind::File {
            return Ok(member);
        }
        member.size = size;
        if header.kind() == b'S' {
            let (mut map, mut more, real_size) = header.old_sparse()?;
            // These blocks stand in front of the content and do not count as part of it.
            while more {
                let block = self.block()?.ok_or_else(cut_off)?;
                more = more_sparse(&block, &mut map)?;
                check_map_len(map.len())?;
            }
            self.sparse(&mut member, map, real_size)?;
        } else if is_new_sparse {
            let real_size = pax.sparse.size.ok_or_else(no_map)?;
            let map = match pax.sparse.major {
                None | Some(0) => extents(&pax.sparse.numbers).ok_or_else(no_map)?,
                Some(1) => self.map_in_content()?,
                Some(_) => return Err(Stop::damaged("a sparse file has an unknown kind of map")),
            };
            self.sparse(&mut member, map, real_size)?;
        }
        Ok(member)
    }

    /// Checks the map of a sparse file: its parts lie in the file, apart and in order, and are as
    /// long as what is stored.
    fn sparse(
        &self,
        member: &mut Member,
        mut map: Vec<Range<u64>>,
        real_size: u64,
    ) -> Result<(), Stop> {
        map.retain(|extent| !extent.is_empty());
        let in_order = map.windows(2).all(|pair| pair[0].end <= pair[1].start);
        let is_inside = map.last().is_none_or(|last| last.end <= real_size);
        // In order and inside, their sum is a length too.
        let is_good = in_order && is_inside;
        let stored: u64 = if is_good { map.iter().map(|e| e.end - e.start).sum() } else { 0 };
        if !is_good || stored != self.left {
            return Err(no_map());
        }
        member.size = real_size;
        member.extents = Some(map);
        Ok(())
    }

    /// The map that stands in front of the content (GNU format 1.0): decimal numbers, one a line,
    /// filled up to a block.
    fn map_in_content(&mut self) -> Result<Vec<Range<u64>>, Stop> {
        let mut line = Vec::new();
        let mut numbers = Vec::new();
        let mut count = None;
        while count != Some(numbers.len()) {
            if self.left < BLOCK as u64 {
                return Err(no_map());
            }
            let block = self.block()?.ok_or_else(cut_off)?;
            self.left -= BLOCK as u64;
            for byte in block {
                if byte != b'\n' {
                    line.push(byte);
                    if line.len() > 20 {
                        return Err(no_map());
                    }
                    continue;
                }
                let number = decimal(&line).ok_or_else(no_map)?;
                line.clear();
                match count {
                    Some(count) if numbers.len() < count => numbers.push(number),
                    Some(_) => {}
                    None => {
                        let pairs = usize::try_from(number).map_err(|_| no_map())?;
                        check_map_len(pairs)?;
                        count = Some(2 * pairs);
                    }
                }
                if count == Some(numbers.len()) {
                    break;
                }
            }
        }
        extents(&numbers).ok_or_else(no_map)
    }

    fn owner(
        &mut self,
        header: &Header,
        uid: Option<u32>,
        gid: Option<u32>,
        user: Option<Vec<u8>>,
        group: Option<Vec<u8>>,
    ) -> Arc<Owner> {
        let (user_field, group_field) = header.owner_names();
        let owner = Owner {
            uid: uid.or(header.uid()).unwrap_or(NOBODY),
            gid: gid.or(header.gid()).unwrap_or(NOBODY),
            user: user.unwrap_or_else(|| user_field.to_vec()),
            group: group.unwrap_or_else(|| group_field.to_vec()),
        };
        if let Some(known) = self.owners.get(&owner) {
            return Arc::clone(known);
        }
        if self.owners.len() >= OWNERS_MAX {
            self.owners.clear();
        }
        let shared = Arc::new(owner.clone());
        self.owners.insert(owner, Arc::clone(&shared));
        shared
    }

    fn size_of(&self, header: &Header, pax: Option<u64>) -> Result<u64, Stop> {
        pax.or_else(|| header.size()).filter(|size| i64::try_from(*size).is_ok()).ok_or_else(|| {
            let name = escape_bytes(&header.name()).into_owned();
            Stop::damaged(format!("the size of `{name}` is none"))
        })
    }

    fn extended(&mut self, header: &Header) -> Result<Vec<u8>, Stop> {
        let size = self.size_of(header, None)?;
        if size > EXTENDED_MAX {
            let what = format!("an extended header has {size} bytes, more than any file needs");
            return Err(Stop::Damaged(what));
        }
        self.begin_content(size)?;
        let mut bytes = Vec::new();
        self.content().read_to_end(&mut bytes).map_err(Stop::damaged)?;
        Ok(bytes)
    }

    /// A name that is too long for its field, as old GNU tar writes it.
    fn long_text(&mut self, header: &Header) -> Result<Vec<u8>, Stop> {
        let mut text = self.extended(header)?;
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
        text.truncate(end);
        Ok(text)
    }

    fn begin_content(&mut self, size: u64) -> Result<(), Stop> {
        self.left = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
        Ok(())
    }

    fn skip_content(&mut self) -> Result<(), Stop> {
        let mut rest = self.left + self.padding;
        let mut buffer = [0; 16 << 10];
        while rest > 0 {
            let len = rest.min(buffer.len() as u64) as usize;
            match self.inner.read(&mut buffer[..len]) {
                Ok(0) => return Err(cut_off()),
                Ok(len) => {
                    rest -= len as u64;
                    self.at += len as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Stop::damaged(error)),
            }
        }
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    /// The next block; `None` at the end.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, Stop> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.inner.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(cut_off()),
                Ok(len) => filled += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Stop::damaged(error)),
            }
        }
        self.at += BLOCK as u64;
        Ok(Some(block))
    }
}

/// The content of a member. It is an error if the archive ends before it does.
struct Content<'t, R>(&'t mut TarReader<R>);

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = buf.len().min(usize::try_from(self.0.left).unwrap_or(usize::MAX));
        if len == 0 {
            return Ok(0);
        }
        let len = self.0.inner.read(&mut buf[..len])?;
        if len == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends too early"));
        }
        self.0.left -= len as u64;
        self.0.at += len as u64;
        Ok(len)
    }
}

fn cut_off() -> Stop {
    Stop::damaged("it ends in the middle of a member")
}

fn no_map() -> Stop {
    Stop::damaged("a sparse file has no valid map")
}

fn check_map_len(extents: usize) -> Result<(), Stop> {
    if extents > NUMBERS_MAX / 2 {
        return Err(Stop::damaged("a sparse file has more holes than fit into memory"));
    }
    Ok(())
}

/// Whether a block begins a tar archive.
pub(super) fn is_header(block: &[u8; BLOCK]) -> bool {
    block[0] != 0 && Header::is_valid(block)
}
