use super::*;

const MIB: u64 = 1 << 20;

/// A series, snapshot by snapshot.
struct Series {
    last: Figures,
    steps: Vec<Step>,
    limits: GuardLimits,
}

impl Series {
    /// Of 1,000 files and 100 MiB.
    fn new() -> Self {
        let last = Figures { files: 1_000, bytes: 100 * MIB, added: 100 * MIB, stored: 50 * MIB };
        Self { last, steps: Vec::new(), limits: GuardLimits::default() }
    }

    /// With some days as they usually are.
    fn usual() -> Self {
        let mut series = Self::new();
        (0..10).for_each(|_| assert!(series.day().is_empty()));
        series
    }

    /// One on which 1 MiB changes.
    fn day(&mut self) -> Vec<String> {
        self.then(Figures { added: MIB, stored: MIB / 2, ..self.last }, (2, 10))
    }

    /// The next snapshot, with so many files gone and changed.
    fn then(&mut self, after: Figures, (gone, changed): (u64, u64)) -> Vec<String> {
        let (before, changes) = (self.last, Changes { gone, changed });
        let case = Case { history: &self.steps, before, after, changes };
        let signs = case.judge(&self.limits);
        self.steps.push(Step::between(&before, &after, &changes));
        self.last = after;
        signs
    }
}

#[test]
fn what_is_usual_is_no_sign() {
    let mut series = Series::usual();
    let last = series.last;
    assert!(series.then(Figures { files: 900, ..last }, (100, 100)).is_empty(), "a tenth of them");
    let much = Figures { added: 20 * MIB, stored: 9 * MIB, ..last };
    assert!(series.then(much, (0, 200)).is_empty(), "much new");
    let films = Figures { bytes: 110 * MIB, added: 10 * MIB, stored: 10 * MIB, ..last };
    assert!(series.then(films, (0, 0)).is_empty(), "a few films");
}

/// Files that are replaced by random bytes, in place or under other names.
#[test]
fn encryption_by_somebody_else_is_seen() {
    let last = Series::usual().last;
    let random = Figures { added: 100 * MIB, stored: 100 * MIB, ..last };
    let signs = Series::usual().then(random, (0, 1_000));
    assert_eq!(signs[0], "1000 of 1000 files have other content (1 % at most before)");
    assert!(signs[1].starts_with("100 % of the bytes are new") && signs[1].contains("encrypted"));
    let renamed = Series::usual().then(random, (1_000, 0));
    assert_eq!(renamed[0], "1000 of 1000 files are gone (none before)");
    assert!(renamed[1].contains("encrypted"), "{renamed:?}");
    let fifth = Figures { added: 20 * MIB, stored: 20 * MIB, ..last };
    assert_eq!(Series::usual().then(fifth, (0, 200)).len(), 1, "a fifth of it is enough");
}

/// As many files as before: that others came hides nothing.
#[test]
fn files_that_go_while_others_come_are_seen() {
    let mut series = Series::usual();
    let after = Figures { added: 5 * MIB, stored: MIB, ..series.last };
    assert_eq!(series.then(after, (700, 0)), ["700 of 1000 files are gone (none before)"]);
    let mut series = Series::usual();
    let after = Figures { files: 100, bytes: 10 * MIB, ..series.last };
    let least = Changes::at_least(&series.last, &after);
    assert_eq!(least.gone, 900, "seen without a comparison, too");
    assert_eq!(series.then(after, (least.gone, 0)).len(), 1);
}

#[test]
fn growth_is_no_sign() {
    let mut series = Series::new();
    for _ in 0..40 {
        let Figures { files, bytes, .. } = series.last;
        let (more, added) = (files / 10, bytes / 5);
        let after =
            Figures { files: files + more, bytes: bytes + added, added, stored: added - added / 5 };
        assert_eq!(series.then(after, (files / 100, files / 50)), [""; 0]);
    }
}

/// Nothing is usual yet; nor is anything in a series that is tiny.
#[test]
fn first_snapshots_and_tiny_series_do_what_they_like() {
    let mut young = Series::new();
    let gone = Figures { files: 1, ..young.last };
    for _ in 0..3 {
        assert!(young.then(gone, (1_000, 0)).is_empty());
        young.last.files = 1_000;
    }
    let mut tiny = Series::usual();
    tiny.last = Figures { files: 5, bytes: 1_000, added: 0, stored: 0 };
    let other = Figures { added: 1_000, stored: 1_000, ..tiny.last };
    assert!(tiny.then(other, (5, 5)).is_empty());
}

/// A large change each month is usual after the first; an attack is seen all the same.
#[test]
fn a_large_change_each_month_is_learned() {
    let mut series = Series::usual();
    let mut told = 0;
    for month in 0..4 {
        let after = Figures { added: 60 * MIB, stored: 30 * MIB, ..series.last };
        let signs = series.then(after, (300 + 10 * month, 600));
        told += usize::from(!signs.is_empty());
        (0..30).for_each(|_| assert!(series.day().is_empty()));
    }
    assert_eq!(told, 1, "the first of them");
    let random = Figures { added: 100 * MIB, stored: 100 * MIB, ..series.last };
    let signs = series.then(random, (1_000, 0));
    assert_eq!(signs.len(), 2, "{signs:?}");
    assert!(signs[0].contains("(33 % at most before)"), "{signs:?}");
}

#[test]
fn a_series_that_always_does_so_is_left_alone() {
    let mut series = Series::new();
    for day in 0..20 {
        let after = Figures { added: 80 * MIB, stored: 80 * MIB, ..series.last };
        let signs = series.then(after, (400 * (day % 2), 800));
        assert!(signs.is_empty(), "{day}: {signs:?}");
    }
}

#[test]
fn limits_are_as_a_profile_says() {
    let limits: GuardLimits =
        toml::from_str("files-gone-percent = 80\nleast-snapshots = 20").expect("limits");
    let gone = (700, 0);
    let mut series = Series { limits, ..Series::usual() };
    let same = series.last;
    assert!(series.then(same, gone).is_empty(), "too few of them");
    (0..20).for_each(|_| _ = series.day());
    assert!(series.then(same, (750, 0)).is_empty(), "less than the limit");
    for wrong in [
        "files-gone-percent = 0",
        "bytes-new-percent = 101",
        "times-usual = -1",
        "least-snapshots = 1",
        "gone = 3",
        "least-bytes = \"x\"",
    ] {
        assert!(toml::from_str::<GuardLimits>(wrong).is_err(), "{wrong}");
    }
}
