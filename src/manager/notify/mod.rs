//! Who is told of what: web hooks, mail, commands, and pings of a service that watches.
//!
//! | Module | Subject |
//! |---|---|
//! | `settings` | channels, as people write them |
//! | `notice` | one message: what it is about, and how it is written as JSON |
//! | `find` | which messages jobs and alerts make, from the database: the bus only wakes |
//! | `queue` | messages that wait for their channel, in the database; limits of their number |
//! | `template` | subject and text |
//! | `channel` | the ways out |
//! | `notifier` | the thread that does all this |
//! | `patrol` | the thread that looks after repositories: what it finds are alerts |
//!
//! A message is in the database before the job or alert that it tells of counts as told, and leaves
//! it when its channel has taken it. So none is lost with a process, and one is sent twice only if
//! the process ends between the answer of a channel and the note of it; its id is the same then.

mod channel;
mod find;
mod notice;
mod notifier;
mod patrol;
mod queue;
mod settings;
mod template;

pub use channel::SIGNATURE_HEADER;
pub use notice::{Notice, NoticeEvent};
pub use notifier::Notifier;
pub use queue::Waiting;
pub use settings::{
    ChannelKind, ChannelSettings, ChannelView, CommandSettings, EmailSecurity, EmailSettings,
    NotifySettings, PingSettings, WebhookSettings,
};

#[cfg(test)]
mod tests;
