//! Random trees, random edits, interruptions.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use larder::error::Error;
use larder::restore::{Overwrite, RestoreOptions, restore};
use larder::runtime::{CancelToken, Progress, Runtime};
use proptest::prelude::*;

use crate::support::{Lab, noise};

/// One step of making or changing a tree. Steps that the tree does not permit do nothing.
#[derive(Clone, Debug)]
enum Step {
    File { at: PathBuf, len: usize, seed: u64 },
    Sparse { at: PathBuf, data_at: u64, len: u64 },
    Patch { at: PathBuf, offset: u64 },
    Dir(PathBuf),
    Symlink(PathBuf, String),
    Link(PathBuf, PathBuf),
    Mode(PathBuf, u32),
    Time(PathBuf, i64),
    Xattr(PathBuf, u8),
    Remove(PathBuf),
}

fn path() -> impl Strategy<Value = PathBuf> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "a-", "\u{e4}"]), 1..4)
        .prop_map(|names| names.iter().collect())
}

fn len() -> impl Strategy<Value = usize> {
    prop_oneof![Just(0), 1_usize..300, 300_usize..70_000, Just(65_536), 70_000_usize..3_000_000]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (path(), len(), 0_u64..4).prop_map(|(at, len, seed)| Step::File { at, len, seed }),
        1 => (path(), 0_u64..5_000_000, 0_u64..5_000_000)
            .prop_map(|(at, data_at, len)| Step::Sparse { at, data_at, len }),
        1 => (path(), 0_u64..100_000).prop_map(|(at, offset)| Step::Patch { at, offset }),
        2 => path().prop_map(Step::Dir),
        // Links lead nowhere: later steps must not reach out of the source through them.
        1 => (path(), "nowhere/[a-z/]{1,20}").prop_map(|(at, to)| Step::Symlink(at, to)),
        2 => (path(), path()).prop_map(|(from, to)| Step::Link(from, to)),
        1 => (path(), 0_u32..0o10000).prop_map(|(at, mode)| Step::Mode(at, mode)),
        1 => (path(), -2_000_000_000_i64..2_000_000_000).prop_map(|(at, s)| Step::Time(at, s)),
        1 => (path(), any::<u8>()).prop_map(|(at, value)| Step::Xattr(at, value)),
        1 => path().prop_map(Step::Remove),
    ]
}

fn take(root: &Path, step: &Step) -> Option<()> {
    match step {
        Step::File { at, len, seed } => {
            let at = root.join(at);
            fs::create_dir_all(at.parent()?).ok()?;
            if !at.is_symlink() {
                fs::write(at, noise(*len, *seed)).ok()?;
            }
        }
        Step::Sparse { at, data_at, len } => {
            let file = File::options().create_new(true).write(true).open(root.join(at)).ok()?;
            file.write_all_at(b"data", *data_at).ok()?;
            file.set_len(*len).ok()?;
        }
        Step::Patch { at, offset } => {
            let at = root.join(at);
            if at.is_file() && !at.is_symlink() {
                let file = File::options().write(true).open(at).ok()?;
                file.write_all_at(b"patch", *offset).ok()?;
            }
        }
        Step::Dir(at) => fs::create_dir_all(root.join(at)).ok()?,
        Step::Symlink(at, to) => symlink(to, root.join(at)).ok()?,
        Step::Link(from, to) => fs::hard_link(root.join(from), root.join(to)).ok()?,
        Step::Mode(at, mode) => {
            let at = root.join(at);
            if !at.is_symlink() {
                fs::set_permissions(at, fs::Permissions::from_mode(*mode)).ok()?;
            }
        }
        Step::Time(at, secs) => {
            let at = root.join(at);
            let distance = Duration::new(secs.unsigned_abs(), 123_456_789);
            let time = if *secs < 0 {
                SystemTime::UNIX_EPOCH - distance
            } else {
                SystemTime::UNIX_EPOCH + distance
            };
            if !at.is_symlink() {
                File::open(at).ok()?.set_modified(time).ok()?;
            }
        }
        Step::Xattr(at, value) => {
            let at = root.join(at);
            let value = vec![*value; usize::from(*value) * 3];
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::lsetxattr(at, "user.test", &value, flags).ok()?;
        }
        Step::Remove(at) => {
            let at = root.join(at);
            if at.is_dir() && !at.is_symlink() {
                fs::remove_dir_all(at).ok()?;
            } else {
                fs::remove_file(at).ok()?;
            }
        }
    }
    Some(())
}

/// Cancels after so many reports of progress.
struct CancelAfter {
    left: AtomicI64,
    cancel: CancelToken,
}

impl Progress for CancelAfter {
    fn done(&self, _entries: u64, _bytes: u64) {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 0 {
            self.cancel.cancel();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn restoring_gives_the_tree_that_was_backed_up(
        before in prop::collection::vec(step(), 1..40),
        after in prop::collection::vec(step(), 0..20),
        verify: bool,
    ) {
        let lab = Lab::new();
        for step in &before {
            take(&lab.src(""), step);
        }
        let first = lab.backup();
        let options = RestoreOptions { verify, delete: true, ..lab.options() };
        lab.restore_well(&first, &options);
        lab.assert_identical();
        // The target goes its own way, the source too, and then the target follows the source.
        for step in &after {
            take(&lab.out(""), step);
        }
        lab.restore_well(&first, &options);
        lab.assert_identical();
        for step in &after {
            take(&lab.src(""), step);
        }
        let second = lab.backup();
        lab.restore_well(&second, &options);
        lab.assert_identical();
    }

    #[test]
    fn interrupted_restores_are_finished_by_the_next(
        steps in prop::collection::vec(step(), 10..60),
        stop_after in 0_i64..60,
        overwrite in prop::sample::select(vec![
            Overwrite::Always,
            Overwrite::IfChanged,
            Overwrite::IfNewer,
            Overwrite::Never,
            Overwrite::KeepBoth,
        ]),
    ) {
        let lab = Lab::new();
        for step in &steps {
            take(&lab.src(""), step);
        }
        let snapshot = lab.backup();
        let cancel = CancelToken::default();
        let progress = CancelAfter { left: AtomicI64::new(stop_after), cancel: cancel.clone() };
        let runtime = Runtime { cancel, progress: Arc::new(progress), ..lab.runtime.clone() };
        let options = RestoreOptions { overwrite, ..lab.options() };
        let stopped = restore(&lab.repository, &snapshot, &options, &runtime);
        let is_as_asked = matches!(stopped, Ok(_) | Err(Error::Cancelled { .. }));
        prop_assert!(is_as_asked, "{stopped:?}");
        let is_finished = stopped.is_ok();
        lab.restore_well(&snapshot, &RestoreOptions { verify: true, ..options });
        // Folders and links that are there keep their metadata, files are whole.
        if overwrite == Overwrite::Never && !is_finished {
            lab.assert_same_names();
        } else {
            lab.assert_identical();
        }
    }
}
