//! The recovery kit: one page that brings the backups back when computer and keys are lost.
//!
//! A [`Kit`] is plain data; [`text`] and [`html`] write it as a page, [`files`] puts the pages on
//! disk, [`paper`] reads them again. The password is not in it: whoever finds the page needs the
//! storage as well, and whoever has both can read everything, as with any key.

mod files;
mod html;
mod paper;
mod qr;
mod text;

pub(crate) use crate::model::quoted;
pub use files::KitFiles;
pub use paper::KitPaper;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use zeroize::Zeroizing;

use crate::crypto::{RecoveryCode, Suite};
use crate::error::Result;
use crate::format::key_slot::SlotKind;
use crate::model::{Encryption, RepoId};
use crate::repository::{HeadCode, Repository, Unlock};
use crate::runtime::Runtime;
use crate::storage::Location;

/// What is on the page.
#[derive(Clone, Debug)]
pub struct Kit {
    /// Where the repository is: the place in use first, then those of its copies.
    pub locations: Vec<String>,
    /// Which repository it is.
    pub repository: RepoId,
    /// How it is sealed.
    pub encryption: Encryption,
    /// The machine that the kit was made on.
    pub host: String,
    /// When it was made, milliseconds since 1970.
    pub made_ms: i64,
    /// The version of the program that made it.
    pub version: String,
    /// What opens the repository.
    pub code: KitCode,
    /// The newest head code, if there are snapshots.
    pub head: Option<HeadCode>,
    /// What else opens the repository. Names only.
    pub keys: Vec<KitKey>,
    /// What people have to fill in by hand, as nothing here knows it.
    pub blanks: Vec<String>,
}

/// The recovery code of a kit.
#[derive(Clone)]
pub enum KitCode {
    /// Made for this kit, and shown nowhere else.
    New(Zeroizing<String>),
    /// A line to write an earlier one on.
    Blank,
    /// None is needed: the repository is not encrypted.
    NotNeeded,
}

impl std::fmt::Debug for KitCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::New(_) => "New(..)",
            Self::Blank => "Blank",
            Self::NotNeeded => "NotNeeded",
        })
    }
}

/// A key that opens the repository beside the kit's code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KitKey {
    /// The first digits of its id, as `larder key list` shows them.
    pub id: String,
    /// `password` or `key file`.
    pub kind: String,
    /// What it is called; may be empty.
    pub label: String,
}

/// How a kit is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KitOptions {
    /// Places of copies of the repository, to be named on the page beside its mirrors: locations
    /// without secrets.
    pub also_at: Vec<String>,
    /// The machine to name; its own name if empty.
    pub host: String,
    /// Leaves the recovery code as it is: the page has a line to write it on.
    pub keep_code: bool,
}

/// Makes a kit with a recovery code of its own and hands it to `store`. Only when that has
/// returned, and the kit is safe, are the codes of earlier kits withdrawn.
///
/// # Errors
/// Those of `store`, and then earlier codes stay good and the new one is taken back; as
/// [`Repository::renew_recovery_code`].
pub fn make_kit(
    repository: &Repository,
    options: &KitOptions,
    runtime: &Runtime,
    store: &mut dyn FnMut(&Kit) -> Result<()>,
) -> Result<Kit> {
    let mut kit = Kit::without_code(repository, options, runtime)?;
    if !matches!(kit.code, KitCode::Blank) || options.keep_code {
        store(&kit)?;
        return Ok(kit);
    }
    let mut show = |code: &RecoveryCode| {
        let text = code.to_text();
        // Nobody shall find out in a year that this code opens nothing.
        repository.test_unlock(&Unlock::Recovery(RecoveryCode::parse(&text)?))?;
        kit.code = KitCode::New(text);
        store(&kit)
    };
    repository.renew_recovery_code(&mut show, runtime)?;
    Ok(kit)
}

impl Kit {
    /// All that is on the page but the code, for which there is a line.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::error::Error::Usage) for a place of a copy that is no location, or
    /// holds a password; the storage's.
    pub fn without_code(
        repository: &Repository,
        options: &KitOptions,
        runtime: &Runtime,
    ) -> Result<Self> {
        let is_encrypted = repository.suite() != Suite::None;
        let slots = repository.slots()?;
        let keys =
            slots.iter().filter(|slot| matches!(slot.kind, SlotKind::Password | SlotKind::KeyFile));
        let keys = keys.map(|slot| KitKey {
            id: slot.id.short(),
            kind: slot.kind.as_str().into(),
            label: on_one_line(&slot.label),
        });
        let mut locations = vec![on_one_line(repository.location())];
        let places = repository.places();
        let mirrors = places.mirrors().map(|place| &place.location);
        for place in options.also_at.iter().chain(mirrors) {
            // As a location it holds no password, and means the same on any computer.
            let place = on_one_line(&Location::parse(place)?.to_string());
            if !locations.contains(&place) {
                locations.push(place);
            }
        }
        let host = match &options.host[..] {
            "" => crate::fsmeta::host_name(),
            host => host.to_owned(),
        };
        Ok(Self {
            blanks: blanks(&locations),
            locations,
            repository: repository.id(),
            encryption: if is_encrypted { Encryption::Aes256 } else { Encryption::None },
            host: on_one_line(&host),
            made_ms: runtime.clock.now_ms(),
            version: env!("CARGO_PKG_VERSION").into(),
            code: if is_encrypted { KitCode::Blank } else { KitCode::NotNeeded },
            // A log that cannot be read must not stand in the way of a kit.
            head: repository.snapshots().ok().and_then(|list| list.head_code()),
            keys: keys.collect(),
        })
    }

    /// When it was made, for people.
    fn made(&self) -> String {
        let Ok(time) = Timestamp::from_millisecond(self.made_ms) else { return "?".into() };
        time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M %:z").to_string()
    }

    /// The lines that say what opens what, as label and value: on every form of the page, and all
    /// that [`KitPaper`] reads.
    fn facts(&self) -> Vec<(&'static str, Zeroizing<String>)> {
        let mut facts = Vec::new();
        for (number, place) in self.locations.iter().enumerate() {
            let label = if number == 0 { paper::LOCATION } else { paper::ALSO_AT };
            facts.push((label, Zeroizing::new(place.clone())));
        }
        facts.push((paper::REPOSITORY_ID, Zeroizing::new(self.repository.to_string())));
        match &self.code {
            KitCode::New(code) => facts.push((paper::RECOVERY_CODE, code.clone())),
            KitCode::Blank => facts.push((paper::RECOVERY_CODE, Zeroizing::new(BLANK_CODE.into()))),
            KitCode::NotNeeded => {}
        }
        if let Some(head) = &self.head {
            facts.push((paper::HEAD_CODE, Zeroizing::new(head.to_string())));
        }
        facts
    }

    /// What else opens the repository, on one line.
    fn keys_shown(&self) -> String {
        if matches!(self.code, KitCode::NotNeeded) {
            return "none is needed: the backups are not encrypted".into();
        }
        let shown = self.keys.iter().map(|key| match &key.label[..] {
            "" => format!("{} {}", key.kind, key.id),
            label => format!("{} {} ({label})", key.kind, key.id),
        });
        let shown: Vec<String> = shown.collect();
        if shown.is_empty() { "none but this code".into() } else { shown.join(", ") }
    }

    /// The steps on a bare machine: what to do, and the commands for it.
    fn steps(&self) -> Vec<(String, Vec<String>)> {
        let place = self.locations.first().map(String::as_str).unwrap_or_default();
        let larder = format!("larder -r {}", quoted(place));
        let look = match scheme_of(place) {
            Some(_) => format!("{larder} snapshots"),
            None => format!("ls {}", quoted(place)),
        };
        let mut from_paper = vec![format!("{larder} recover --target FOLDER")];
        if let Some(head) = &self.head {
            from_paper[0].push_str(" \\");
            from_paper.push(format!("  --head \"{head}\""));
        }
        let mut key = vec![format!("{larder} key add"), format!("{larder} kit")];
        if matches!(self.code, KitCode::NotNeeded) {
            key.remove(0);
        }
        let paper = match self.code {
            KitCode::NotNeeded => "Without the file:",
            _ => "From paper; it asks for the recovery code:",
        };
        let after = match self.code {
            KitCode::NotNeeded => "Make a new kit:",
            _ => "Make a new key and a new kit. This page is void then:",
        };
        vec![
            (
                format!(
                    "Install larder {} or newer: copy the program from another computer, or build \
                     it from its sources. This shows that it is there:",
                    self.version
                ),
                vec!["larder --version".into()],
            ),
            (
                "Bring the storage within reach: attach the disk, mount the share, set the \
                 credentials. If its place is another one now, write that in place of the location."
                    .into(),
                vec![look],
            ),
            (
                "Restore everything, as it was last, into an empty folder. This can be stopped and \
                 run again. With this page as a file:"
                    .into(),
                vec!["larder recover --kit FILE --target FOLDER".into()],
            ),
            (paper.into(), from_paper),
            (after.into(), key),
        ]
    }
}

/// As long as a code, to be filled in.
const BLANK_CODE: &str = "_____-_____-_____-_____-_____-_____-_____-_____";

/// What stands before the `:` of a location that is no folder.
fn scheme_of(location: &str) -> Option<&str> {
    location.split_once("://").map(|(scheme, _)| scheme)
}

/// What is needed to get at these places and cannot be known here.
fn blanks(locations: &[String]) -> Vec<String> {
    let mut blanks = Vec::new();
    for (number, location) in (1..).zip(locations) {
        let needed: &[&str] = match scheme_of(location) {
            None => &[
                "Disk or server it is on, and where that is kept",
                "How that is unlocked, if it is",
            ],
            Some("s3" | "b2") => &["Access key id", "Secret access key, or where it is kept"],
            Some("azblob") => &["Storage account", "Account key, or where it is kept"],
            Some("gcs") => &["Service account", "Its credential file, or where it is kept"],
            Some("sftp") => &["User, and where the SSH key or password is kept"],
            Some(_) => &["User", "Password, or where it is kept"],
        };
        for what in needed {
            let what = match locations.len() {
                1 => (*what).to_owned(),
                _ => format!("{what} (place {number})"),
            };
            if !blanks.contains(&what) {
                blanks.push(what);
            }
        }
    }
    blanks
}

/// Text that cannot break a line of the page in two.
fn on_one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
