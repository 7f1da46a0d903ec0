//! Walking speed, in entries per second: every name and `stat` of a tree, in order.
//!
//! Walks `/usr`, or the folder that `LARDER_BENCH_TREE` names; `plain` is one thread that reads and
//! looks in no order, the least that any walk has to do.
//! Compare a change: run once with `-- --save-baseline before`, once with `-- --baseline before`.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use larder::fsmeta::{self, OpenDir};
use larder::runtime::Runtime;
use larder::source::{Item, SourcePath, Walk, WalkOptions};

fn walk(root: &Path, options: &WalkOptions) -> u64 {
    let sources = [SourcePath::new(root).expect("a path")];
    let walk = Walk::start(&sources, options, &Runtime::default()).expect("the tree is there");
    walk.map(|item| u64::from(matches!(item, Ok(Item::Entry(_))))).sum()
}

fn plain(dir: &OwnedFd) -> u64 {
    let mut names = Vec::new();
    let keep = |name: &[u8], _| names.push(name.to_vec());
    fsmeta::read_dir_names(dir, &mut Vec::new(), keep).expect("the folder is readable");
    let mut count = 0;
    for name in names {
        let Ok(stat) = fsmeta::stat_at(dir, &name) else { continue };
        count += 1;
        if stat.is_dir()
            && let Ok(inner) = fsmeta::open_dir_at(dir, &name, OpenDir::Read)
        {
            count += plain(&inner);
        }
    }
    count
}

fn trees(c: &mut Criterion) {
    let root = std::env::var_os("LARDER_BENCH_TREE").map_or("/usr".into(), PathBuf::from);
    let mut group = c.benchmark_group("walk");
    group.sample_size(10);
    group.throughput(Throughput::Elements(walk(&root, &WalkOptions::default())));
    for threads in [0, 1, 2, 4] {
        let options = WalkOptions { threads: Some(threads), ..Default::default() };
        group.bench_function(format!("threads-{threads}"), |b| b.iter(|| walk(&root, &options)));
    }
    let exclude = ["*.o", "target", "/home/*/.cache", "node_modules/**/test"];
    let exclude = exclude.map(String::from).to_vec();
    let options = WalkOptions { exclude, ..Default::default() };
    group.bench_function("four-patterns", |b| b.iter(|| walk(&root, &options)));
    group.bench_function("plain", |b| {
        b.iter(|| {
            let path = fsmeta::open_dir_path_at(rustix::fs::CWD, root.as_os_str().as_bytes());
            let path = path.expect("the tree is there");
            plain(&fsmeta::open_dir_at(&path, b".", OpenDir::Read).expect("it is readable"))
        });
    });
    group.finish();
}

criterion_group!(benches, trees);
criterion_main!(benches);
