//! Repositories of any size without their data, and look-ups in them: what `run.py` measures.
//!
//! ```text
//! scale generate --repo FOLDER --chunks N --files M [--runs R] [--delta-packs D] [--password-file F]
//! scale open     --repo FOLDER --cache FOLDER [--password-file F]
//! scale lookup   --repo FOLDER --cache FOLDER --chunks N [--count C] [--unknown] [--password-file F]
//! ```
#![allow(clippy::print_stdout)]

mod generate;
mod numbers;

use std::path::{Path, PathBuf};
use std::time::Instant;

use larder::crypto::Suite;
use larder::error::{Error, Result};
use larder::repository::{InitOptions, LAYOUT, OpenOptions, Password, Repository, Unlock};
use larder::runtime::Runtime;
use larder::storage::{self, Location};

use generate::{Shape, generate};
use numbers::Numbers;

/// The arguments: names with values, and names alone.
struct Arguments(Vec<String>);

impl Arguments {
    fn text(&self, name: &str) -> Option<&str> {
        let at = self.0.iter().position(|argument| argument == name)?;
        self.0.get(at + 1).map(String::as_str)
    }

    fn number(&self, name: &str) -> Result<Option<u64>> {
        let wrong = |text| Error::usage(format!("`{name}` takes a number, not `{text}`"));
        self.text(name).map(|text| text.parse().map_err(|_| wrong(text))).transpose()
    }

    fn path(&self, name: &str) -> Result<PathBuf> {
        let missing = || Error::usage(format!("`{name}` is missing"));
        self.text(name).map(PathBuf::from).ok_or_else(missing)
    }

    fn unlock(&self) -> Result<Unlock> {
        let Some(file) = self.text("--password-file") else { return Ok(Unlock::Nothing) };
        let text = std::fs::read_to_string(file).map_err(|e| Error::local("read", file, e))?;
        Ok(Unlock::Password(Password::new(text.trim_end())))
    }
}

fn main() -> Result<()> {
    let arguments = Arguments(std::env::args().skip(1).collect());
    match arguments.0.first().map(String::as_str) {
        Some("generate") => make(&arguments),
        Some("open") => open(&arguments).map(|_| ()),
        Some("lookup") => look_up(&arguments),
        _ => {
            println!("see benches/scale/README.md");
            Ok(())
        }
    }
}

fn make(arguments: &Arguments) -> Result<()> {
    let folder = arguments.path("--repo")?;
    let chunks = arguments.number("--chunks")?.unwrap_or(1_000_000).max(1);
    let shape = Shape {
        chunks,
        files: arguments.number("--files")?.unwrap_or(chunks.div_ceil(10)),
        runs: arguments.number("--runs")?.unwrap_or(1),
        delta_packs: arguments.number("--delta-packs")?.unwrap_or(0),
    };
    let unlock = arguments.unlock()?;
    let suite = match unlock {
        Unlock::Nothing => Suite::None,
        _ => Suite::Aes256,
    };
    let runtime = Runtime::default();
    let storage = storage::create(&Location::from_path(&folder)?, LAYOUT)?;
    let init = InitOptions { suite, ..InitOptions::default() };
    let repository =
        Repository::init(storage, &[unlock], &init, &OpenOptions::default(), &runtime)?;
    let started = Instant::now();
    generate(&repository, Some(&folder), shape, &runtime)?;
    println!("generated {chunks} chunks in {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// Opens a repository and brings its index up to date.
fn open(arguments: &Arguments) -> Result<Repository> {
    let location = Location::from_path(&arguments.path("--repo")?)?;
    let cache: &Path = &arguments.path("--cache")?;
    let options = OpenOptions {
        cache_dir: Some(cache.into()),
        state_dir: Some(cache.join("scale-state")),
        ..OpenOptions::default()
    };
    let storage = storage::open(&location)?;
    let unlock = arguments.unlock()?;
    let started = Instant::now();
    let repository = Repository::open(storage, &unlock, &options, &Runtime::default())?;
    println!("opened in {:.4} s", started.elapsed().as_secs_f64());
    let started = Instant::now();
    let bad = repository.load_index()?;
    println!("index up to date in {:.4} s", started.elapsed().as_secs_f64());
    for error in bad {
        println!("bad: {error}");
    }
    Ok(repository)
}

/// Looks ids up, all over the index, and says how many were found.
fn look_up(arguments: &Arguments) -> Result<()> {
    let repository = open(arguments)?;
    let numbers = Numbers::new(arguments.number("--chunks")?.unwrap_or(1_000_000).max(1));
    let count = arguments.number("--count")?.unwrap_or(1_000_000);
    let unknown = arguments.0.iter().any(|argument| argument == "--unknown");
    let started = Instant::now();
    let mut found = 0_u64;
    for number in 0..count {
        let rank = numbers::mix(number) % numbers.chunks;
        let id = if unknown { numbers.absent_id(rank) } else { numbers.id(rank) };
        found += u64::from(repository.index().find(&id).is_some());
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("looked up {count} ids in {seconds:.3} s, {found} found");
    let expected = if unknown { 0 } else { count };
    if found != expected {
        return Err(Error::Internal { what: format!("{expected} ids should have been found") });
    }
    Ok(())
}
