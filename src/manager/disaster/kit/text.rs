//! The kit as plain text: for printers, text consoles and `larder recover --kit`.

use std::fmt::Write;

use zeroize::Zeroizing;

use super::qr::Modules;
use super::{Kit, KitCode, paper};

/// Columns of the page.
const COLUMNS: usize = 79;

/// Where the values of facts begin.
const VALUE_COLUMN: usize = 16;

impl Kit {
    /// The page as text, with lines of at most 79 characters where words allow it.
    pub fn text(&self) -> Zeroizing<String> {
        let mut out = Zeroizing::new(String::with_capacity(32 << 10));
        out.push_str(paper::TITLE);
        out.push_str("\n\n");
        wrap(&mut out, "", &self.introduction());
        out.push('\n');
        for (label, value) in self.facts() {
            let _ = writeln!(out, "{label:VALUE_COLUMN$}{}", *value);
        }
        let _ = writeln!(out, "{:VALUE_COLUMN$}{}", "Other keys", self.keys_shown());
        let _ = writeln!(out, "{:VALUE_COLUMN$}{} on {}", "Made", self.made(), self.host);
        out.push_str("\nTo fill in by hand\n\n");
        for blank in &self.blanks {
            let line = "_".repeat(COLUMNS.saturating_sub(blank.chars().count() + 3).max(24));
            let _ = writeln!(out, "  {blank} {line}");
        }
        out.push_str("\nHow to get the files back, on any computer\n");
        for (number, (what, commands)) in (1..).zip(self.steps()) {
            let _ = write!(out, "\n {number}. ");
            wrap(&mut out, "    ", &what);
            out.push('\n');
            for command in commands {
                let _ = writeln!(out, "        {command}");
            }
        }
        out.push('\n');
        wrap(&mut out, "", LATER);
        out.push_str("\nNewer head codes\n");
        for _ in 0..2 {
            let _ = writeln!(out, "\n  {} {}", "_".repeat(12), "_".repeat(COLUMNS - 15));
        }
        out
    }

    /// The same facts as a QR code in half blocks, for a page of text that is printed black on
    /// white; `None` if they are too long for one.
    pub fn text_qr(&self) -> Option<Zeroizing<String>> {
        Modules::of(&self.qr_text()).map(|modules| modules.blocks())
    }

    /// What the page is, in a few sentences.
    pub(super) fn introduction(&self) -> String {
        match self.code {
            KitCode::NotNeeded => {
                "This page says how to get the backups back when the computer is lost. They are \
                 not encrypted: whoever gets at the storage can read them."
            }
            _ => OPENS,
        }
        .into()
    }
}

/// What a page with a code is.
pub(super) const OPENS: &str = "This page opens your backups when the computer and its keys are \
    lost. Whoever has it and gets at the storage can read everything: keep it where you keep your \
    passport, away from the computer, and delete the file once it is printed. It is void as soon \
    as a newer kit or recovery code is made.";

/// What is said at the end.
pub(super) const LATER: &str = "Every backup ends with a head code of eight words (`larder repo \
    info` shows the newest). Write it down now and then: it shows on any computer whether somebody \
    has hidden backups or brought an old state back. More in `larder runbook`.";

/// Writes `text` in lines, each but the first after `indent`.
fn wrap(out: &mut String, indent: &str, text: &str) {
    let mut column = if indent.is_empty() { 0 } else { indent.len() };
    let mut is_first = true;
    for word in text.split(' ') {
        let len = word.chars().count();
        if !is_first && column + 1 + len > COLUMNS {
            out.push('\n');
            out.push_str(indent);
            column = indent.len();
            is_first = true;
        }
        if !is_first {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += len;
        is_first = false;
    }
    out.push('\n');
}
