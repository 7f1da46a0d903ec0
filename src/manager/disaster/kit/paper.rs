//! Reads a kit: its text, its page, or what a camera made of its QR code.
//!
//! What is read is not trusted: it says where to look and what to try, and the repository itself
//! decides whether the code opens it.

use zeroize::Zeroizing;

use super::{Kit, KitCode};
use crate::crypto::RecoveryCode;
use crate::error::{Error, Result};
use crate::model::RepoId;
use crate::repository::HeadCode;

/// First line of every form of the kit.
pub(super) const TITLE: &str = "LARDER RECOVERY KIT";

pub(super) const LOCATION: &str = "Location";
pub(super) const ALSO_AT: &str = "Also at";
pub(super) const REPOSITORY_ID: &str = "Repository id";
pub(super) const RECOVERY_CODE: &str = "Recovery code";
pub(super) const HEAD_CODE: &str = "Head code";

/// Most places that are read from one page.
const PLACES_MAX: usize = 16;

/// What a program can use of a kit.
#[derive(Debug, Default)]
pub struct KitPaper {
    /// Where the repository is, the place in use first. May be empty.
    pub locations: Vec<String>,
    /// Which repository it is.
    pub repository: Option<RepoId>,
    /// What opens it, unless the line for it was left blank.
    pub code: Option<RecoveryCode>,
    /// The head code of that time.
    pub head: Option<HeadCode>,
}

impl KitPaper {
    /// Reads the text of a kit, its HTML page, the text of its QR code, or its facts as somebody
    /// typed them off the paper: the title may be missing then, and a label be in any case and end
    /// in a colon or a space.
    ///
    /// # Errors
    /// [`Error::Usage`] if it is none of these, and for a recovery code, a head code or an id with
    /// a typing error: what is there and cannot be read must not count as not there, as the checks
    /// that it is for would be left out.
    pub fn parse(text: &str) -> Result<Self> {
        let plain = without_markup(text);
        let mut paper = Self::default();
        for line in plain.lines() {
            let line = line.trim_start_matches('\u{feff}').trim();
            if is_prose(line) {
                continue;
            }
            if let Some(place) = after(line, LOCATION).or_else(|| after(line, ALSO_AT)) {
                if paper.locations.len() < PLACES_MAX {
                    paper.locations.push(place.to_owned());
                }
            } else if let Some(id) = after(line, REPOSITORY_ID) {
                paper.repository = Some(paper.repository.map_or_else(|| repo_id(id), Ok)?);
            } else if let Some(code) = after(line, RECOVERY_CODE) {
                paper.code = Some(RecoveryCode::parse(code)?);
            } else if let Some(head) = after(line, HEAD_CODE) {
                paper.head = Some(head_code(head)?);
            }
        }
        let is_titled = plain.lines().any(|line| line.contains(TITLE));
        let is_blank = paper.locations.is_empty() && paper.repository.is_none();
        match paper.code {
            None if is_titled && is_blank => Err(Error::usage_hint(
                "this has the title of a recovery kit, and neither its location nor its code",
                FACTS,
            )),
            None if !is_titled && paper.repository.is_none() => {
                Err(Error::usage_hint("this is no recovery kit of larder", FACTS))
            }
            _ => Ok(paper),
        }
    }
}

/// What makes a text a kit.
const FACTS: &str = "give the file that `larder kit` made, the text of its QR code, or the lines \
    `Location`, `Repository id`, `Recovery code` and `Head code` of the kit";

fn repo_id(text: &str) -> Result<RepoId> {
    let digits: String = text.split_whitespace().collect();
    RepoId::from_hex(&digits).ok_or_else(|| {
        let need = 2 * size_of::<RepoId>();
        let what = match digits.chars().find(|c| !c.is_ascii_hexdigit()) {
            Some(c) => format!("`{c}` is no hex digit"),
            None => format!("it has {} digits, not {need}", digits.len()),
        };
        Error::usage_hint(
            format!("the repository id of the kit is mistyped: {what}"),
            "compare it with the paper, or leave the line out",
        )
    })
}

fn head_code(text: &str) -> Result<HeadCode> {
    text.parse().map_err(|what: String| {
        Error::usage_hint(
            format!("the head code of the kit is mistyped: {what}"),
            "compare each word with the paper; without the line nothing shows whether backups \
             are hidden",
        )
    })
}

impl Kit {
    /// What the QR code holds: the facts of the page, the recovery code among them, in the form
    /// that [`KitPaper::parse`] reads. As secret as the page.
    pub fn qr_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(1024));
        text.push_str(TITLE);
        for (label, value) in self.facts() {
            if label == RECOVERY_CODE && !matches!(self.code, KitCode::New(_)) {
                continue;
            }
            for part in ["\n", label, ": ", &value] {
                text.push_str(part);
            }
        }
        text
    }
}

/// What follows `label` on a line, after a colon or space; `None` if that was left blank.
fn after<'t>(line: &'t str, label: &str) -> Option<&'t str> {
    let (start, rest) = line.split_at_checked(label.len())?;
    if !start.eq_ignore_ascii_case(label) || !rest.starts_with([':', ' ', '\t', '\u{a0}']) {
        return None;
    }
    let value = rest.trim_start_matches(|c: char| c == ':' || c.is_whitespace()).trim_end();
    let is_blank = value.chars().all(|c| matches!(c, '_' | '-' | ' ' | '.'));
    (!is_blank).then_some(value)
}

/// Whether a line is of the sentences of a page, of which some say what a recovery code is.
fn is_prose(line: &str) -> bool {
    [super::text::OPENS, super::text::LATER].iter().any(|text| text.contains(line))
}

/// The text of a page: every tag becomes two spaces.
fn without_markup(text: &str) -> Zeroizing<String> {
    if !text.trim_start().get(..9).is_some_and(|start| start.eq_ignore_ascii_case("<!doctype")) {
        return Zeroizing::new(text.to_owned());
    }
    let mut plain = Zeroizing::new(String::with_capacity(text.len()));
    let mut rest = text;
    while let Some((before, tag)) = rest.split_once('<') {
        plain.push_str(before);
        plain.push_str("  ");
        rest = tag.split_once('>').map_or("", |(_, rest)| rest);
    }
    plain.push_str(rest);
    let mut out = plain;
    for (entity, c) in
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")]
    {
        out = Zeroizing::new(out.replace(entity, c));
    }
    out
}
