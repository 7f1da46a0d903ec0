//! What Larder offers over HTTP.
//!
//! Requests are answered by async tasks; whatever waits for storage runs on threads of its own
//! (`threads`), as everywhere else in this crate.

#[cfg(feature = "serve")]
pub mod api;
#[cfg(feature = "serve")]
pub mod assets;
#[cfg(feature = "serve")]
pub mod audit;
#[cfg(feature = "serve")]
pub mod auth;
#[cfg(feature = "serve-files")]
pub mod files;
#[cfg(feature = "serve")]
pub mod listen;
mod threads;

use threads::Threads;
