//! Cuts bytes into chunks whose borders follow the content, so that an insertion moves few of them.
//!
//! The algorithm is FastCDC 2020 with a *secret* gear table: 256 numbers drawn from the repository's
//! chunker secret. A public table, even one shifted by a seed, gives its borders away to anybody
//! who knows some of the content (SPEC.md, "Chunker"). The secret table is the second line only:
//! the first is that chunk lengths are never visible in storage.
//!
//! The cut points are part of the repository format: the same secret and parameters must give the
//! same cuts for ever, or nothing dedups against what is stored. Vectors in `fixtures/vectors` and
//! an independent scalar implementation in the tests hold them fast.
//!
//! Not here: slices, holes and reading of files (`archive`), chunk ids (`crypto`).

mod classes;
mod params;
mod table;

pub use classes::{Chunkers, SizeClass, default_size_classes};
pub use params::{ChunkerParams, ParamsError};

use std::sync::Arc;
use table::GearTable;

/// Finds cut points with one secret table and one set of parameters. Clones share the table.
#[derive(Clone)]
pub struct Chunker {
    table: Arc<GearTable>,
    params: ChunkerParams,
}

impl Chunker {
    /// Makes the gear table from the repository's chunker secret.
    ///
    /// # Errors
    /// [`ParamsError`] if the parameters break a limit of the algorithm: they come from storage.
    pub fn new(secret: &[u8; 32], params: ChunkerParams) -> Result<Self, ParamsError> {
        Self::with_table(Arc::new(GearTable::derive(secret)), params)
    }

    fn with_table(table: Arc<GearTable>, params: ChunkerParams) -> Result<Self, ParamsError> {
        params.validate()?;
        Ok(Self { table, params })
    }

    /// The parameters it cuts with.
    pub fn params(&self) -> ChunkerParams {
        self.params
    }

    /// The length of the first chunk of `data`: zero only if `data` is empty.
    ///
    /// `data` must hold [`ChunkerParams::max`] bytes or reach to the end of the input, otherwise the
    /// end of the buffer is taken for the end of the input.
    pub fn cut(&self, data: &[u8]) -> usize {
        let p = &self.params;
        // The crate tests two bytes a step, the first of them on a hash shifted once more.
        let (_, length) = fastcdc::v2020::cut_gear(
            data,
            p.min as usize,
            p.avg as usize,
            p.max as usize,
            p.mask_s,
            p.mask_l,
            p.mask_s << 1,
            p.mask_l << 1,
            &self.table.gear,
            &self.table.gear_shifted,
        );
        length
    }

    /// The chunks of `data`, which is the whole input, in order.
    pub fn chunks<'a>(&'a self, data: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = data;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let (chunk, after) = rest.split_at(self.cut(rest));
            rest = after;
            Some(chunk)
        })
    }
}

#[cfg(test)]
mod tests;
