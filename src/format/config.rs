//! The configuration: what all writers of a repository must agree on (SPEC.md, sections 7 and 8).

use super::record::{decode, record};
use crate::error::{Error, Result};
use crate::model::{MirrorPolicy, Place, PlaceRole, Places, RepoId};

/// The only chunker so far: FastCDC 2020 with a secret gear table.
pub const CHUNKER_GEAR: u8 = 1;

record! {
    /// Chunk sizes for files below a size.
    ClassRecord {
        /// Files smaller than this many bytes; 2^64 - 1 in the last class.
        below: u64,
        /// Least bytes of a chunk.
        min: u32,
        /// Average bytes.
        avg: u32,
        /// Most bytes.
        max: u32,
        /// Mask before the average.
        mask_s: u64,
        /// Mask after it.
        mask_l: u64,
    }
}

record! {
    /// How files are cut.
    ChunkerRecord {
        /// Which algorithm.
        chunker: u8,
        /// Bytes of a slice.
        slice_len: u64,
        /// Alignment and least length of holes.
        hole_align: u32,
        /// Sizes by file size.
        classes: Vec<ClassRecord>,
    }
}

record! {
    /// How chunks are grouped.
    SegmentRecord {
        /// Plain bytes of a data segment.
        data_target: u32,
        /// Plain bytes of a segment of a large file (one of the last size class): read in long
        /// runs, so longer segments compress better at no cost.
        large_target: u32,
        /// Plain bytes of a segment of pages.
        meta_target: u32,
        /// Chunks of this length and more stand alone.
        lone_min: u32,
    }
}

record! {
    /// How manifests are cut into pages.
    PageRecord {
        /// A page ends where the masked hash is zero.
        cut_mask: u64,
        /// But not before this many elements.
        entries_min: u32,
        /// And at this many at the latest.
        entries_max: u32,
        /// Or at this weight.
        weight_max: u32,
        /// Files up to this many bytes stand in their entry.
        inline_max: u32,
        /// Files of more pieces have a list.
        pieces_max: u32,
        /// As `cut_mask`, for list pages.
        list_cut_mask: u64,
        /// As `entries_min`, for list pages.
        list_min: u32,
        /// As `entries_max`, for list pages.
        list_max: u32,
    }
}

record! {
    /// A further location of the repository.
    PlaceRecord {
        /// 1 mirror, 2 data.
        role: u8,
        /// What people call it.
        name: String,
        /// Where it is.
        location: String,
    }
}

record! {
    /// The configuration of a repository.
    Config, schema 1 {
        /// The repository it belongs to.
        repo_id: RepoId,
        /// Rises with every rewrite.
        generation: u32,
        /// When this generation was made, milliseconds since 1970.
        created_ms: i64,
        /// Features that a reader must know.
        features_read: Vec<String>,
        /// Features that a writer must know.
        features_write: Vec<String>,
        /// Features that may be ignored.
        features_info: Vec<String>,
        /// How files are cut.
        chunker: ChunkerRecord,
        /// How chunks are grouped.
        segments: SegmentRecord,
        /// How manifests are cut.
        pages: PageRecord,
        /// Bytes of a pack; each client may choose its own.
        pack_target: u64,
    } trailing {
        /// Further locations.
        places: Vec<PlaceRecord>,
        /// What commits ask of mirrors: 0 all, 1 quorum, 2 asynchronous.
        mirror_policy: u8,
    }
}

impl PageRecord {
    /// What new repositories get.
    pub fn standard() -> Self {
        Self {
            cut_mask: 63,
            entries_min: 16,
            entries_max: 1024,
            weight_max: 64 << 10,
            inline_max: 256,
            pieces_max: 256,
            list_cut_mask: 1023,
            list_min: 256,
            list_max: 4096,
        }
    }
}

impl SegmentRecord {
    /// What new repositories get.
    pub fn standard() -> Self {
        Self {
            data_target: 2 << 20,
            large_target: 4 << 20,
            meta_target: 256 << 10,
            lone_min: 1 << 20,
        }
    }
}

impl Config {
    /// Reads it, and checks everything that later code divides, allocates or loops by.
    ///
    /// # Errors
    /// [`Error::Damaged`], naming `name`, for values outside the limits of SPEC.md.
    pub fn decode(bytes: &[u8], name: &str) -> Result<Self> {
        let config: Self = decode(bytes, name)?;
        let limit = |ok: bool, what: &str| {
            if ok { Ok(()) } else { Err(Error::damaged(name, format!("{what} out of range"))) }
        };
        let c = &config.chunker;
        limit(c.chunker == CHUNKER_GEAR, "chunker")?;
        limit(
            c.hole_align.is_power_of_two() && (4 << 10..=1 << 20).contains(&c.hole_align),
            "hole alignment",
        )?;
        limit(
            c.slice_len.is_multiple_of(u64::from(c.hole_align))
                && (1 << 20..=1 << 32).contains(&c.slice_len),
            "slice length",
        )?;
        limit((1..=16).contains(&c.classes.len()), "number of size classes")?;
        limit(c.classes.last().is_some_and(|last| last.below == u64::MAX), "last size class")?;
        let s = &config.segments;
        limit((64 << 10..=8 << 20).contains(&s.data_target), "data segment target")?;
        limit((64 << 10..=8 << 20).contains(&s.large_target), "large segment target")?;
        limit((4 << 10..=8 << 20).contains(&s.meta_target), "meta segment target")?;
        limit(s.lone_min <= 16 << 20, "lone chunk minimum")?;
        let p = &config.pages;
        limit(1 <= p.entries_min && p.entries_min <= p.entries_max, "entries of a page")?;
        limit(p.entries_max <= 1 << 16 && p.weight_max <= 4 << 20, "size of a page")?;
        limit(p.inline_max <= 64 << 10 && p.pieces_max <= 64 << 10, "inline content")?;
        limit(2 <= p.list_min && p.list_min <= p.list_max, "pieces of a list page")?;
        limit(p.list_max <= 1 << 16 && p.entries_min >= 2, "page fan-out")?;
        limit((4 << 20..=64 << 20).contains(&config.pack_target), "pack target")?;
        limit(config.places.len() <= Places::COUNT_MAX, "number of places")?;
        Ok(config)
    }

    /// The further locations.
    pub fn places(&self) -> Places {
        places_of(&self.places, self.mirror_policy)
    }

    /// Says that these are the further locations.
    pub fn set_places(&mut self, places: &Places) {
        let record = |place: &Place| PlaceRecord {
            role: match place.role {
                PlaceRole::Mirror => 1,
                PlaceRole::Data => 2,
                PlaceRole::Other(other) => other,
            },
            name: place.name.clone(),
            location: place.location.clone(),
        };
        self.places = places.all.iter().map(record).collect();
        self.mirror_policy = match places.policy {
            MirrorPolicy::All => 0,
            MirrorPolicy::Quorum => 1,
            MirrorPolicy::Async => 2,
        };
    }
}

/// What records say of places. Whoever does not know the policy asks for all mirrors.
pub(crate) fn places_of(records: &[PlaceRecord], mirror_policy: u8) -> Places {
    let place = |record: &PlaceRecord| Place {
        role: match record.role {
            1 => PlaceRole::Mirror,
            2 => PlaceRole::Data,
            other => PlaceRole::Other(other),
        },
        name: record.name.clone(),
        location: record.location.clone(),
    };
    let policy = match mirror_policy {
        1 => MirrorPolicy::Quorum,
        2 => MirrorPolicy::Async,
        _ => MirrorPolicy::All,
    };
    Places { all: records.iter().map(place).collect(), policy }
}
