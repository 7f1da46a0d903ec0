//! Names the snapshots and files that damage hits.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::manifests::{DEPTH_MAX, key};
use crate::error::Result;
use crate::format::list::{ListPage, decode_list};
use crate::format::page::{Child, decode_inner, decode_leaf};
use crate::model::{BackupId, Content, Entry, PageId, Piece, XattrsRef, escape_bytes};
use crate::repository::{Damage, Reader, Repository, Snapshot};
use crate::runtime::Runtime;

/// What damage hits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Hits {
    /// Snapshots that are not whole any more, in the order they were given.
    pub snapshots: Vec<HitSnapshot>,
    /// How many files are counted and not listed.
    pub left_out: u64,
}

/// A snapshot that is not whole any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HitSnapshot {
    /// Its id.
    pub id: BackupId,
    /// On which host it was made.
    pub host: String,
    /// When its run started, milliseconds since 1970.
    pub time_ms: i64,
    /// How many of its files lack content or attributes, listed or not. Each name of a hard link
    /// counts.
    pub file_count: u64,
    /// Bytes that these files lack.
    pub lost_bytes: u64,
    /// The files, in path order.
    pub files: Vec<HitFile>,
    /// Parts of its tree whose files are not even known by name.
    pub ranges: Vec<HitRange>,
}

/// A file that lacks something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HitFile {
    /// Its path, from `/`, with `%XX` for bytes that cannot be shown.
    pub path: String,
    /// What it lacks.
    pub part: HitPart,
    /// Bytes of content that it lacks; of 0 bytes if not even that is known.
    pub lost_bytes: u64,
}

/// What a file lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HitPart {
    /// Some of its content.
    Content,
    /// Its extended attributes.
    Attributes,
}

/// A part of a tree that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HitRange {
    /// What is lost comes after this path; `None` from the start.
    pub after: Option<String>,
    /// Its last path; `None` to the end.
    pub last: Option<String>,
    /// How many entries it has, where that is known.
    pub entries: Option<u64>,
}

/// Walks the manifests of `snapshots` and names what needs something that is lost. At most
/// `files_max` files are listed, those of the first snapshots first.
///
/// # Errors
/// The storage's, and [`crate::error::Error::Cancelled`].
pub fn hits(
    repository: &Repository,
    snapshots: &[Snapshot],
    damage: &Damage,
    files_max: usize,
    runtime: &Runtime,
) -> Result<Hits> {
    let mut search = Search {
        repository,
        damage,
        runtime,
        reader: repository.reader(),
        whole: HashSet::new(),
        lists: HashMap::new(),
        files_left: files_max,
        left_out: 0,
    };
    let mut hits = Hits::default();
    for snapshot in snapshots {
        if let Some(hit) = search.snapshot(snapshot)? {
            hits.snapshots.push(hit);
        }
    }
    hits.left_out = search.left_out;
    Ok(hits)
}

struct Search<'a> {
    repository: &'a Repository,
    damage: &'a Damage,
    runtime: &'a Runtime,
    reader: Reader<'a>,
    /// Pages with nothing lost below them: passed over when they come again.
    whole: HashSet<[u8; 16]>,
    /// List pages, and the bytes that are lost below them.
    lists: HashMap<[u8; 16], Lost>,
    files_left: usize,
    left_out: u64,
}

/// Whether something is lost, and how many bytes of it are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lost {
    any: bool,
    bytes: u64,
}

/// What is known about a page before it is read.
struct Place<'p> {
    page: PageId,
    level: u8,
    before: Option<&'p [u8]>,
    said: Option<&'p Child>,
}

impl Search<'_> {
    fn snapshot(&mut self, snapshot: &Snapshot) -> Result<Option<HitSnapshot>> {
        let mut hit = HitSnapshot {
            id: snapshot.id,
            host: snapshot.host.clone(),
            time_ms: snapshot.time_ms(),
            file_count: 0,
            lost_bytes: 0,
            files: Vec::new(),
            ranges: Vec::new(),
        };
        let level = snapshot.body.depth.min(DEPTH_MAX);
        let root = Place { page: snapshot.body.root, level, before: None, said: None };
        let mut groups = HashSet::new();
        self.page(&root, &mut hit, &mut groups)?;
        if !groups.is_empty() {
            self.links(&root, &groups, &mut hit)?;
            hit.files.sort_by(|a, b| a.path.cmp(&b.path));
        }
        Ok((hit.file_count > 0 || !hit.ranges.is_empty()).then_some(hit))
    }

    /// Looks at a page and all below it. `groups` takes the paths of lost files that have other
    /// names, too.
    fn page(
        &mut self,
        place: &Place<'_>,
        hit: &mut HitSnapshot,
        groups: &mut HashSet<Vec<u8>>,
    ) -> Result<bool> {
        self.runtime.cancel.check()?;
        let key = key(place.page, place.level);
        if self.whole.contains(&key) {
            return Ok(true);
        }
        let Some(bytes) = self.read(place.page)? else {
            hit.ranges.push(range(place));
            return Ok(false);
        };
        let name = format!("page {}", place.page);
        let mut whole = true;
        if place.level == 0 {
            let Ok(entries) = decode_leaf(&bytes, &name) else {
                hit.ranges.push(range(place));
                return Ok(false);
            };
            for entry in &entries {
                let lost = self.entry(entry)?;
                for (part, lost) in lost.into_iter().flatten() {
                    whole = false;
                    if part == HitPart::Content && entry.nlink > 1 {
                        groups.insert(entry.path.clone());
                    }
                    self.put(hit, &entry.path, part, lost.bytes);
                }
            }
        } else {
            let Ok(children) = decode_inner(&bytes, place.level, &name) else {
                hit.ranges.push(range(place));
                return Ok(false);
            };
            for below in places(&children, place) {
                whole &= self.page(&below, hit, groups)?;
            }
        }
        if whole {
            self.whole.insert(key);
        }
        Ok(whole)
    }

    /// The other names of lost files.
    fn links(
        &mut self,
        place: &Place<'_>,
        groups: &HashSet<Vec<u8>>,
        hit: &mut HitSnapshot,
    ) -> Result<()> {
        self.runtime.cancel.check()?;
        // What cannot be read is in `ranges` already.
        let Some(bytes) = self.read(place.page)? else { return Ok(()) };
        let name = format!("page {}", place.page);
        if place.level == 0 {
            for entry in decode_leaf(&bytes, &name).unwrap_or_default() {
                if entry.link_to.as_ref().is_some_and(|first| groups.contains(first)) {
                    self.put(hit, &entry.path, HitPart::Content, 0);
                }
            }
            return Ok(());
        }
        let children = decode_inner(&bytes, place.level, &name).unwrap_or_default();
        places(&children, place).try_for_each(|below| self.links(&below, groups, hit))
    }

    fn put(&mut self, hit: &mut HitSnapshot, path: &[u8], part: HitPart, lost_bytes: u64) {
        hit.file_count += 1;
        hit.lost_bytes = hit.lost_bytes.saturating_add(lost_bytes);
        if self.files_left == 0 {
            self.left_out += 1;
            return;
        }
        self.files_left -= 1;
        hit.files.push(HitFile { path: shown(path), part, lost_bytes });
    }

    fn entry(&mut self, entry: &Entry) -> Result<[Option<(HitPart, Lost)>; 2]> {
        let content = match &entry.content {
            Content::None | Content::Inline(_) => Lost::default(),
            Content::Pieces(pieces) => self.pieces(pieces),
            Content::List { root, depth, .. } => {
                let mut lost = self.list(*root, *depth)?;
                if lost.any && lost.bytes == 0 {
                    lost.bytes = entry.size;
                }
                lost
            }
        };
        let attributes = match entry.xattrs {
            XattrsRef::Page(page) => Lost { any: self.read(page)?.is_none(), bytes: 0 },
            _ => Lost::default(),
        };
        Ok([
            content.any.then_some((HitPart::Content, content)),
            attributes.any.then_some((HitPart::Attributes, attributes)),
        ])
    }

    fn pieces(&self, pieces: &[Piece]) -> Lost {
        let index = self.repository.index();
        let mut lost = Lost::default();
        for piece in pieces {
            if let Piece::Chunk(id, len) = piece
                && self.damage.is_lost(index, &id.0, Some(*len))
            {
                lost.any = true;
                lost.bytes = lost.bytes.saturating_add(u64::from(*len));
            }
        }
        lost
    }

    fn list(&mut self, page: PageId, level: u8) -> Result<Lost> {
        let key = key(page, level);
        if let Some(lost) = self.lists.get(&key) {
            return Ok(*lost);
        }
        let bytes = self.read(page)?;
        let decoded = bytes.and_then(|bytes| decode_list(&bytes, level, "list").ok());
        let lost = match decoded {
            None => Lost { any: true, bytes: 0 },
            Some(ListPage::Leaf(pieces)) => self.pieces(&pieces),
            Some(ListPage::Inner(children)) => {
                let mut sum = Lost::default();
                for child in children {
                    let lost = self.list(child.page, level - 1)?;
                    let bytes = if lost.any && lost.bytes == 0 { child.bytes } else { lost.bytes };
                    sum.any |= lost.any;
                    sum.bytes = sum.bytes.saturating_add(bytes);
                }
                sum
            }
        };
        self.lists.insert(key, lost);
        Ok(lost)
    }

    /// `None` if the page is lost.
    fn read(&mut self, page: PageId) -> Result<Option<Vec<u8>>> {
        if self.damage.pages.contains(&page) {
            return Ok(None);
        }
        match self.reader.page(page) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_damage() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn places<'p>(children: &'p [Child], above: &Place<'p>) -> impl Iterator<Item = Place<'p>> {
    let (level, first) = (above.level - 1, above.before);
    children.iter().enumerate().map(move |(number, child)| Place {
        page: child.page,
        level,
        before: match number.checked_sub(1) {
            Some(number) => Some(&children[number].last.0),
            None => first,
        },
        said: Some(child),
    })
}

fn range(place: &Place<'_>) -> HitRange {
    HitRange {
        after: place.before.map(shown),
        last: place.said.map(|child| shown(&child.last.0)),
        entries: place.said.map(|child| child.entries),
    }
}

/// A path of a manifest as people know it.
fn shown(path: &[u8]) -> String {
    format!("/{}", escape_bytes(path))
}
