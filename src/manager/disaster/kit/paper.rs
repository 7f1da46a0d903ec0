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
    /// Reads the text of a kit, its HTML page, or the text of its QR code.
    ///
    /// # Errors
    /// [`Error::Usage`] if it is none of these, and for a recovery code with a typing error.
    pub fn parse(text: &str) -> Result<Self> {
        let plain = without_markup(text);
        if !plain.lines().any(|line| line.contains(TITLE)) {
            return Err(Error::usage_hint(
                "this is no recovery kit of larder",
                "give the file that `larder kit` made, or the text of its QR code",
            ));
        }
        let mut paper = Self::default();
        for line in plain.lines() {
            let line = line.trim();
            if let Some(place) = after(line, LOCATION).or_else(|| after(line, ALSO_AT)) {
                if paper.locations.len() < PLACES_MAX {
                    paper.locations.push(place.to_owned());
                }
            } else if let Some(id) = after(line, REPOSITORY_ID) {
                paper.repository = paper.repository.or(RepoId::from_hex(id));
            } else if let Some(code) = after(line, RECOVERY_CODE) {
                // Only whoever wrote into the blank line left something else there.
                if !code.chars().all(|c| matches!(c, '_' | '-' | ' ' | '.')) {
                    paper.code = Some(RecoveryCode::parse(code)?);
                }
            } else if let Some(head) = after(line, HEAD_CODE) {
                paper.head = head.parse().ok();
            }
        }
        Ok(paper)
    }
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

/// What follows `label` on a line, after a colon or two spaces.
fn after<'t>(line: &'t str, label: &str) -> Option<&'t str> {
    let rest = line.strip_prefix(label)?;
    let value = rest.strip_prefix(':').or_else(|| rest.strip_prefix("  "))?.trim();
    (!value.is_empty()).then_some(value)
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
