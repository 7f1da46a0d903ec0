//! When everything but the storage is gone: a page that opens it, and the way back to the files.
//!
//! * [`Kit`]: the page to print beforehand, and [`make_kit`], which gives it a recovery code.
//! * [`KitPaper`]: what a program reads from such a page, so that nothing has to be typed.
//!
//! * [`RecoverPlan`]: what is restored, from which snapshots, in which order. [`recover()`] does it,
//!   keeps in a [`RecoverState`] how far it is, and says in a [`RecoverReport`] what is lost.
//!
//! Not here: getting single files back (`restore`), repairing a repository (`repair`).

mod damage;
mod kit;
mod plan;
mod recover;
mod report;
mod state;

pub use damage::{DamageReport, PackHeld};
pub(crate) use kit::quoted;
pub use kit::{Kit, KitCode, KitFiles, KitKey, KitOptions, KitPaper, make_kit};
pub use plan::{ORDER_TAG, PlanOptions, RecoverPlan, RecoverStep};
pub use recover::{RecoverEvent, RecoverOptions, recover};
pub use report::{RecoverReport, StepReport};
pub use state::{RecoverState, StepDone};
