//! Pages that are written as they fill up are the pages of the whole list.

use proptest::prelude::*;

use super::*;
use crate::model::ChunkId;
use crate::tree::testing::Lab;

/// As SPEC.md says it, over all pieces at once.
fn all_at_once(mut pieces: Vec<Piece>, sink: &mut Sink<'_>) -> Result<Content> {
    if matches!(pieces[..], [] | [Piece::Hole(_)]) {
        return Ok(Content::None);
    }
    let pages = sink.repository().config().pages.clone();
    if pieces.len() <= pages.pieces_max as usize {
        pieces.shrink_to_fit();
        return Ok(Content::Pieces(pieces));
    }
    let count = pieces.len() as u64;
    let mut children = Vec::new();
    let mut rest = &pieces[..];
    while !rest.is_empty() {
        let end = page_end(rest, &pages, |piece| match piece {
            Piece::Chunk(id, _) => Some(&id.0),
            Piece::Hole(_) => None,
        });
        let (leaf, after) = rest.split_at(end);
        children.push(ListChild {
            page: sink.put_page(&encode_leaf(leaf))?,
            bytes: leaf.iter().map(Piece::len).sum(),
            pieces: leaf.len() as u64,
        });
        rest = after;
    }
    let mut depth = 0;
    while children.len() > 1 {
        depth += 1;
        let mut above = Vec::new();
        let mut rest = &children[..];
        while !rest.is_empty() {
            let end = page_end(rest, &pages, |child| Some(&child.page.0));
            let (inner, after) = rest.split_at(end);
            above.push(ListChild {
                page: sink.put_page(&encode_inner(depth, inner))?,
                bytes: inner.iter().map(|child| child.bytes).sum(),
                pieces: inner.iter().map(|child| child.pieces).sum(),
            });
            rest = after;
        }
        children = above;
    }
    Ok(Content::List { root: children[0].page, depth, pieces: count })
}

/// How many elements the next page takes.
fn page_end<T>(rest: &[T], pages: &PageRecord, id: impl Fn(&T) -> Option<&[u8; 32]>) -> usize {
    let cuts = |element: &T| {
        id(element).is_some_and(|id| {
            let mut first = [0; 8];
            first.copy_from_slice(&id[..8]);
            u64::from_le_bytes(first) & pages.list_cut_mask == 0
        })
    };
    let (min, max) = (pages.list_min as usize, pages.list_max as usize);
    let limit = rest.len().min(max);
    (min..=limit).find(|end| cuts(&rest[end - 1])).unwrap_or(limit)
}

/// Chunks whose ids end a page once in `rarity`, and holes.
fn pieces(seed: u64, count: usize, rarity: u64) -> Vec<Piece> {
    let mut all: Vec<Piece> = Vec::new();
    for number in 0..count as u64 {
        let mut id = *blake3::hash(&(seed << 32 | number).to_le_bytes()).as_bytes();
        let random = u64::from_le_bytes(id[8..16].try_into().expect("eight bytes"));
        if random.is_multiple_of(7) && !matches!(all.last(), Some(Piece::Hole(_))) {
            all.push(Piece::Hole(random >> 40));
        } else {
            if random.is_multiple_of(rarity) {
                id[..8].fill(0);
            }
            all.push(Piece::Chunk(ChunkId(id), (random >> 50) as u32 + 1));
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn piece_by_piece_is_the_same_as_all_at_once(
        seed in any::<u32>(),
        count in prop_oneof![0..20_usize, 250..262_usize, 500..530_usize, 0..9000_usize],
        rarity in prop_oneof![Just(u64::MAX), Just(300), Just(3)],
        split_holes in any::<bool>(),
    ) {
        let lab = Lab::new();
        let writer = lab.repository.pack_writer(&Default::default(), &Default::default());
        let mut sink = Sink::storing(&lab.repository, &writer);
        let pieces = pieces(u64::from(seed), count, rarity);
        let expected = all_at_once(pieces.clone(), &mut sink).expect("stores");
        let mut list = ListWriter::default();
        for piece in &pieces {
            match piece {
                // Holes come in parts, where slices of a file meet.
                Piece::Hole(len) if split_holes && *len > 1 => {
                    let parts = [Piece::Hole(1), Piece::Hole(len - 1)];
                    list.extend(parts, &mut sink).expect("stores");
                }
                piece => list.extend([*piece], &mut sink).expect("stores"),
            }
        }
        prop_assert_eq!(list.len(), pieces.iter().map(Piece::len).sum::<u64>());
        let found = list.finish(&mut sink).expect("stores");
        prop_assert_eq!(found, expected);
    }
}
