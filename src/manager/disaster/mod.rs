//! When everything but the storage is gone: a page that opens it, and the way back to the files.
//!
//! * [`Kit`]: the page to print beforehand, and [`make_kit`], which gives it a recovery code.
//! * [`KitPaper`]: what a program reads from such a page, so that nothing has to be typed.
//!
//! Not here: getting single files back (`restore`), repairing a repository (`repair`).

mod kit;

pub use kit::{Kit, KitCode, KitFiles, KitKey, KitOptions, KitPaper, make_kit};
