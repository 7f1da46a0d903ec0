//! Decides by path, name and kind what is left out.

use std::fs;
use std::path::Path;

use globset::{Candidate, GlobBuilder, GlobSet, GlobSetBuilder};

use crate::error::{Error, Result};

use super::options::WalkOptions;

/// Compiled patterns. Empty ones cost nothing.
#[derive(Default)]
pub(crate) struct Excludes {
    rules: Vec<Rule>,
    /// Whether any rule says more than "leave it out, whatever it is".
    ordered: bool,
    exact: Patterns,
    /// Patterns in lower case, for entries in lower case.
    folded: Patterns,
}

struct Rule {
    include: bool,
    dirs_only: bool,
}

/// Patterns for names, and patterns for whole paths, each with the numbers of their rules.
#[derive(Default)]
struct Patterns {
    names: GlobSet,
    name_rules: Vec<usize>,
    paths: GlobSet,
    path_rules: Vec<usize>,
}

impl Excludes {
    /// Compiles the patterns of `options`, those of its files too.
    ///
    /// # Errors
    /// [`Error::Usage`] that names the pattern and what is wrong with it, [`Error::Local`] for a
    /// file that cannot be read.
    pub(crate) fn new(options: &WalkOptions) -> Result<Self> {
        let mut excludes = Self::default();
        let mut exact = Draft::new();
        let mut folded = Draft::new();
        for pattern in &options.exclude {
            excludes.add(pattern, &mut exact)?;
        }
        for pattern in &options.iexclude {
            excludes.add(&pattern.to_lowercase(), &mut folded)?;
        }
        for path in &options.exclude_file {
            for pattern in read_patterns(path)? {
                excludes.add(&pattern, &mut exact)?;
            }
        }
        for path in &options.iexclude_file {
            for pattern in read_patterns(path)? {
                excludes.add(&pattern.to_lowercase(), &mut folded)?;
            }
        }
        excludes.ordered = excludes.rules.iter().any(|rule| rule.include || rule.dirs_only);
        excludes.exact = exact.finish()?;
        excludes.folded = folded.finish()?;
        Ok(excludes)
    }

    fn add(&mut self, given: &str, draft: &mut Draft) -> Result<()> {
        let wrong = |why: &str| Error::Usage {
            message: format!("`{given}` is no pattern: {why}"),
            hint: Some("patterns look like `*.o`, `target/debug`, `/home/*/tmp`, `!keep`".into()),
        };
        let (include, pattern) = match given.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, given),
        };
        let anchored = pattern.starts_with('/');
        // A slash after a backslash is part of the name as far as the user thinks; there is no
        // such name, and cutting it off would leave a backslash without its character.
        let dirs_only = pattern.ends_with('/');
        let mut components = Vec::new();
        for component in pattern.split('/').filter(|component| !component.is_empty()) {
            match component {
                "." | ".." => {
                    return Err(wrong(
                        "it holds `.` or `..`; patterns never begin at the current folder",
                    ));
                }
                _ => components.push(component),
            }
        }
        if components.is_empty() {
            return Err(wrong("it names nothing"));
        }
        let rule = self.rules.len();
        let text = components.join("/");
        if !anchored && components.len() == 1 && text != "**" {
            draft.names.add(glob(&text).map_err(|why| wrong(&why))?);
            draft.name_rules.push(rule);
        } else {
            let text = if anchored { text } else { format!("**/{text}") };
            draft.paths.add(glob(&text).map_err(|why| wrong(&why))?);
            draft.path_rules.push(rule);
        }
        self.rules.push(Rule { include, dirs_only });
        Ok(())
    }

    /// Whether there is nothing to decide.
    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether the entry with this path (without `/` in front) and name is left out.
    pub(crate) fn exclude(&self, path: &[u8], name: &[u8], is_dir: bool) -> bool {
        if self.is_empty() {
            return false;
        }
        if !self.ordered {
            return self.exact.fits_any(path, name)
                || (!self.folded.is_empty()
                    && self.folded.fits_any(&lower_case(path), &lower_case(name)));
        }
        let mut last = None;
        let mut offer = |rule: usize| {
            if (is_dir || !self.rules[rule].dirs_only) && last.is_none_or(|last| rule > last) {
                last = Some(rule);
            }
        };
        self.exact.fitting(path, name, &mut offer);
        if !self.folded.is_empty() {
            self.folded.fitting(&lower_case(path), &lower_case(name), &mut offer);
        }
        last.is_some_and(|rule| !self.rules[rule].include)
    }
}

impl Patterns {
    fn is_empty(&self) -> bool {
        self.name_rules.is_empty() && self.path_rules.is_empty()
    }

    fn fits_any(&self, path: &[u8], name: &[u8]) -> bool {
        (!self.name_rules.is_empty() && self.names.is_match_candidate(&Candidate::from_bytes(name)))
            || (!self.path_rules.is_empty()
                && self.paths.is_match_candidate(&Candidate::from_bytes(path)))
    }

    fn fitting(&self, path: &[u8], name: &[u8], offer: &mut impl FnMut(usize)) {
        let sets = [(&self.names, &self.name_rules, name), (&self.paths, &self.path_rules, path)];
        let mut found = Vec::new();
        for (set, rules, text) in sets {
            if !rules.is_empty() {
                set.matches_candidate_into(&Candidate::from_bytes(text), &mut found);
                found.iter().for_each(|index| offer(rules[*index]));
            }
        }
    }
}

struct Draft {
    names: GlobSetBuilder,
    name_rules: Vec<usize>,
    paths: GlobSetBuilder,
    path_rules: Vec<usize>,
}

impl Draft {
    fn new() -> Self {
        let (names, paths) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        Self { names, name_rules: Vec::new(), paths, path_rules: Vec::new() }
    }

    fn finish(self) -> Result<Patterns> {
        let build = |set: GlobSetBuilder| {
            set.build().map_err(|error| {
                Error::usage(format!("the patterns to exclude are too much together: {error}"))
            })
        };
        Ok(Patterns {
            names: build(self.names)?,
            name_rules: self.name_rules,
            paths: build(self.paths)?,
            path_rules: self.path_rules,
        })
    }
}

/// A compiled pattern for bytes, or what is wrong with it.
pub(super) fn glob(text: &str) -> Result<globset::Glob, String> {
    GlobBuilder::new(text)
        .literal_separator(true)
        .backslash_escape(true)
        .build()
        .map_err(|error| error.kind().to_string())
}

/// A name in lower case: of what is not UTF-8 only the ASCII letters.
fn lower_case(bytes: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_lowercase().into_bytes(),
        Err(_) => bytes.to_ascii_lowercase(),
    }
}

fn read_patterns(path: &Path) -> Result<Vec<String>> {
    let bytes = fs::read(path).map_err(|error| Error::local("read", path, error))?;
    let text = String::from_utf8(bytes).map_err(|_| Error::Usage {
        message: format!("`{}` holds patterns that are not UTF-8", path.display()),
        hint: Some("write `?` for each byte of such a name".into()),
    })?;
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    Ok(lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(String::from).collect())
}
