//! `larder repo stats`: what is stored, and what deduplication and compression save.

use serde::Serialize;

use crate::cli::Finish;
use crate::cli::context::Context;
use crate::cli::output::{Align, Table, plural, ratio};
use crate::cli::select::warn_of_bad;
use crate::error::Result;
use crate::model::format_bytes;
use crate::repository::Repository;
use crate::storage::SharedStorage;

/// The object that `repo stats` prints.
#[derive(Serialize)]
struct Stats {
    snapshots: u64,
    original_bytes: u64,
    unique_bytes: u64,
    stored_bytes: u64,
    objects: u64,
    chunks: u64,
    data_packs: u64,
    data_bytes: u64,
    meta_packs: u64,
    meta_bytes: u64,
    meta_unique_bytes: u64,
    /// What is at the repository's own location and at that of its data, if those are two.
    #[serde(skip_serializing_if = "Option::is_none")]
    sides: Option<Sides>,
}

#[derive(Serialize)]
struct Sides {
    hot_bytes: u64,
    cold_bytes: u64,
}

fn sides(repository: &Repository) -> Result<Option<Sides>> {
    let Some(split) = repository.split() else { return Ok(None) };
    let bytes_of = |storage: &SharedStorage| {
        let mut bytes = 0;
        storage.list("", &mut |object| bytes += object.len).map(|()| bytes)
    };
    Ok(Some(Sides { hot_bytes: bytes_of(split.hot())?, cold_bytes: bytes_of(split.cold())? }))
}

pub(super) fn run(context: &Context) -> Result<Finish> {
    let out = &context.out;
    let repository = context.open_indexed()?;
    let list = repository.snapshots()?;
    warn_of_bad(&list, out);
    let index = repository.index().stats();
    let (mut objects, mut stored_bytes) = (0, 0);
    repository.storage().list("", &mut |object| {
        objects += 1;
        stored_bytes += object.len;
    })?;
    let stats = Stats {
        snapshots: list.snapshots.len() as u64,
        original_bytes: list.snapshots.iter().map(|snapshot| snapshot.body.bytes).sum(),
        unique_bytes: index.data_plain_bytes,
        stored_bytes,
        objects,
        chunks: index.records,
        data_packs: index.data_packs,
        data_bytes: index.data_bytes,
        meta_packs: index.meta_packs,
        meta_bytes: index.meta_bytes,
        meta_unique_bytes: index.meta_plain_bytes,
        sides: sides(&repository)?,
    };
    if out.json {
        out.object(&stats)?;
    } else {
        print_stats(&stats, context)?;
    }
    Ok(Finish::Done)
}

fn print_stats(stats: &Stats, context: &Context) -> Result<()> {
    let saved = |what: &str, original: u64, left: u64| {
        if original == 0 || left == 0 {
            String::new()
        } else {
            format!("{what} {}", ratio(original, left))
        }
    };
    let mut table = Table::new(&[("", Align::Left), ("Size", Align::Right), ("", Align::Left)]);
    let mut row = |name: &str, bytes: u64, note: String| {
        table.row(vec![name.to_owned(), format_bytes(bytes), note]);
    };
    row("original", stats.original_bytes, plural(stats.snapshots, "snapshot"));
    let unique = stats.unique_bytes;
    row("unique", unique, saved("deduplication", stats.original_bytes, unique));
    row("in data packs", stats.data_bytes, saved("compression", unique, stats.data_bytes));
    let pages = saved("compression", stats.meta_unique_bytes, stats.meta_bytes);
    row("in page packs", stats.meta_bytes, pages);
    let all = saved("in all", stats.original_bytes, stats.stored_bytes);
    row("stored", stats.stored_bytes, all);
    if let Some(sides) = &stats.sides {
        row("  hot", sides.hot_bytes, String::new());
        row("  cold", sides.cold_bytes, "with a copy of the rest".into());
    }
    table.print(&context.out)?;
    context.out.line(format!(
        "{}, {}, {}",
        plural(stats.chunks, "chunk"),
        plural(stats.data_packs + stats.meta_packs, "pack"),
        plural(stats.objects, "object"),
    ))
}
