//! Captures and applies what an operating system keeps about a file: owner, mode, times, links,
//! extended attributes (ACLs and capabilities among them), inode flags, holes.
//!
//! Everything works relative to an open directory and never follows a symbolic link it was not
//! told to follow. So paths may be longer than the system allows in one call, and somebody who
//! swaps a folder for a link while we work gains nothing.
//!
//! Capturing is for [`source`](crate::source), applying for `restore`. What the system does not
//! permit is returned as [`Unapplied`], never skipped in silence. Only Linux is complete; other
//! Unix systems lack extended attributes, flags and holes.
//!
//! Not here: how any of it is stored (`format`).

mod apply;
mod create;
mod disk;
mod flags;
mod here;
mod holes;
mod open;
mod owners;
mod private;
mod stat;
mod types;
mod xattr;

#[cfg(test)]
mod tests;

pub use apply::{
    Aspect, Metadata, Target, Unapplied, apply, clear_protection, prepare_flags, set_times,
};
pub use create::{
    create_dir_at, create_file_at, create_special_at, create_symlink_at, hard_link_at,
    make_dirs_beneath, open_dir_beneath, open_file_to_write_at, punch_hole, remove_dir_at,
    remove_file_at, rename_at, rename_new_at, set_len,
};
pub use disk::{
    Space, allocate, forget_cached, is_own, is_root, mount_of, own_ids, space, sync_file_system,
    try_lock, unlock,
};
pub use flags::{FLAGS_KEPT, read_flags};
pub use here::{host_name, user_name};
pub use holes::{DataRanges, data_ranges, data_ranges_in};
pub use open::{
    OpenDir, open_dir_at, open_dir_path_at, open_file_at, open_path_at, open_root, read_dir_names,
};
pub use owners::OwnerNames;
pub use private::{create_private, replace_private};
pub use stat::{has_nodump_at, read_link_at, stat_at, stat_fd, stat_follow_at};
pub use types::{FileKind, Stat, Time, Xattr, Xattrs};
pub use xattr::{read_xattrs_at, read_xattrs_fd};
