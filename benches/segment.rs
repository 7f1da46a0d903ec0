//! Segment compression and decompression, in bytes of plaintext per second, by level and content.
//!
//! `source` is this crate's own source text, over and over with numbers changed; `binary` is the
//! bench's own machine code; `random` shrinks by nothing. Nothing to download.
//! Compare a change: run once with `-- --save-baseline before`, once with `-- --baseline before`.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use larder::codec::{Compression, Compressor, Decompressor};
use larder::runtime::Random;

const SEGMENT: usize = 2 << 20;

fn source() -> Vec<u8> {
    let parts = [
        include_str!("../src/chunker/mod.rs"),
        include_str!("../src/chunker/tests.rs"),
        include_str!("../src/codec/mod.rs"),
        include_str!("../src/codec/tests.rs"),
        include_str!("../src/error.rs"),
    ];
    let numbered = |n: usize| format!("// part {n}, {}\n{}", n * 7919 % 1009, parts[n % 5]);
    let mut text = (0..).map(numbered).take(400).collect::<String>().into_bytes();
    text.truncate(SEGMENT);
    text
}

fn binary() -> Vec<u8> {
    let program = std::env::current_exe().and_then(std::fs::read).expect("the bench can be read");
    program.into_iter().cycle().take(SEGMENT).collect()
}

fn random() -> Vec<u8> {
    let mut data = vec![0; SEGMENT];
    Random::seeded(1).fill(&mut data);
    data
}

fn segments(c: &mut Criterion) {
    let mut group = c.benchmark_group("segment");
    group.sample_size(20);
    for (name, plain) in [("source", source()), ("binary", binary()), ("random", random())] {
        group.throughput(Throughput::Bytes(plain.len() as u64));
        for level in ["none", "fast", "default", "6", "max"] {
            let compression: Compression = level.parse().expect("a level");
            let mut compressor = Compressor::new(compression);
            let mut stored = Vec::new();
            group.bench_function(BenchmarkId::new(format!("compress/{name}"), level), |b| {
                b.iter(|| {
                    stored.clear();
                    compressor.compress_into(black_box(&plain), &mut stored)
                });
            });
            stored.clear();
            let codec = compressor.compress_into(&plain, &mut stored);
            let mut decompressor = Decompressor::new();
            let mut back = Vec::new();
            group.bench_function(BenchmarkId::new(format!("decompress/{name}"), level), |b| {
                b.iter(|| {
                    decompressor.decompress(codec, black_box(&stored), plain.len(), &mut back)
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, segments);
criterion_main!(benches);
