//! Runbooks: what to do when it is bad, step by step, as Markdown that is part of the program.
//!
//! A test runs the commands of each as they stand here, in a disaster that was made for it. For
//! that, comments that nobody is shown say with which code a block ends if not with 0.

mod roff;

pub(super) use roff::roff;

/// A runbook.
pub(super) struct Topic {
    /// What it is called on the command line.
    pub(super) name: &'static str,
    /// What it is about, on one line.
    pub(super) about: &'static str,
    markdown: &'static str,
}

/// All runbooks.
pub(super) const TOPICS: &[Topic] = &[
    Topic {
        name: "lost-machine",
        about: "the computer is lost, the kit and the storage are there",
        markdown: include_str!("lost-machine.md"),
    },
    Topic {
        name: "lost-password",
        about: "nobody remembers the password",
        markdown: include_str!("lost-password.md"),
    },
    Topic {
        name: "ransomware",
        about: "files were encrypted or destroyed by somebody",
        markdown: include_str!("ransomware.md"),
    },
    Topic {
        name: "damaged-repository",
        about: "`larder check` finds damage, or files of the repository are missing",
        markdown: include_str!("damaged-repository.md"),
    },
    Topic {
        name: "provider-gone",
        about: "the storage does not exist any more, a second copy does",
        markdown: include_str!("provider-gone.md"),
    },
];

impl Topic {
    /// The topic of this name.
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        TOPICS.iter().find(|topic| topic.name == name)
    }

    /// The lines that are shown.
    fn lines(&self) -> impl Iterator<Item = &'static str> {
        self.markdown.lines().filter(|line| !line.starts_with("<!--"))
    }

    /// The Markdown, without what is for tests only.
    pub(super) fn markdown(&self) -> String {
        self.lines().flat_map(|line| [line, "\n"]).collect()
    }

    /// As text for a terminal: commands are indented, headings stand out without colour.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let mut is_code = false;
        for line in self.lines() {
            if line.starts_with("```") {
                is_code = !is_code;
                continue;
            }
            if is_code {
                text.push_str(if line.is_empty() { "" } else { "    " });
                text.push_str(line);
            } else if let Some(title) = line.strip_prefix("# ") {
                text.push_str(&title.to_uppercase());
            } else if let Some(title) = line.strip_prefix("## ") {
                text.push_str(&format!("{title}\n{}", "-".repeat(title.chars().count())));
            } else {
                text.push_str(line);
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_a_terminal_and_are_plain_markdown() {
        for topic in TOPICS {
            let (text, page) = (topic.text(), roff(topic));
            assert!(!text.contains("<!--") && !text.contains("```"), "{}", topic.name);
            let is_long = |line: &&str| line.chars().count() > 84;
            assert_eq!(text.lines().find(is_long), None, "{}", topic.name);
            assert_eq!(topic.markdown().matches("```").count() % 2, 0, "{}", topic.name);
            assert!(page.starts_with(".TH"), "{}", topic.name);
            for line in page.lines().filter(|line| line.starts_with(['.', '\''])) {
                let word = line.split(' ').next().unwrap_or_default();
                let known = [".TH", ".SH", ".PP", ".RS", ".RE", ".nf", ".fi", ".IP", ".nh", ".ad"];
                assert!(known.contains(&word), "{}: {line}", topic.name);
            }
        }
    }
}
