//! Chunker speed, in bytes of input per second. Inputs come from a fixed seed: nothing to download.
//! Compare a change: run once with `-- --save-baseline before`, once with `-- --baseline before`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use larder::chunker::{Chunker, ChunkerParams};
use larder::runtime::Random;

const SIZE: usize = 32 << 20;

fn random() -> Vec<u8> {
    let mut data = vec![0; SIZE];
    Random::seeded(1).fill(&mut data);
    data
}

fn text() -> Vec<u8> {
    let line =
        |n: usize| format!("{n:08} the quick brown fox jumps over dog {}\n", n * 7919 % 1009);
    (0..SIZE / 50).map(line).collect::<String>().into_bytes()
}

/// Finding all cut points, and the same with each chunk hashed, as a backup does.
fn cut_points(c: &mut Criterion) {
    let mut group = c.benchmark_group("chunker");
    group.sample_size(20);
    for (name, data) in [("random", random()), ("text", text()), ("zeros", vec![0; SIZE])] {
        group.throughput(Throughput::Bytes(data.len() as u64));
        for avg_kib in [64, 256] {
            let params = ChunkerParams::for_average(avg_kib << 10).expect("inside the limits");
            let chunker = Chunker::new(&[1; 32], params).expect("valid");
            group.bench_function(format!("{name}/{avg_kib} KiB"), |b| {
                b.iter(|| chunker.chunks(black_box(&data)).count());
            });
            group.bench_function(format!("{name}/{avg_kib} KiB and hash"), |b| {
                let hash = |chunk| blake3::keyed_hash(&[2; 32], chunk).as_bytes()[0];
                b.iter(|| chunker.chunks(black_box(&data)).map(hash).fold(0, |all, h| all ^ h));
            });
        }
    }
    group.finish();
}

/// The set-up for a repository: 2 KiB of secret table.
fn table(c: &mut Criterion) {
    let params = ChunkerParams::for_average(64 << 10).expect("inside the limits");
    c.bench_function("chunker/new", |b| b.iter(|| Chunker::new(black_box(&[1; 32]), params)));
}

criterion_group!(benches, cut_points, table);
criterion_main!(benches);
