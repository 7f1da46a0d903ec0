//! Runbooks as manual pages of section 7.

use super::Topic;

/// The manual page of a runbook.
pub(in crate::cli) fn roff(topic: &Topic) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let name = format!("larder-runbook-{}", topic.name);
    let mut page = format!(".TH {name} 7 \"\" \"larder {version}\"\n.nh\n.ad l\n.SH NAME\n");
    page.push_str(&format!("{} \\- {}\n", escaped(&name), inline(topic.about)));
    let mut is_code = false;
    let mut is_item = false;
    for line in topic.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
            page.push_str(if is_code { ".PP\n.RS 4\n.nf\n" } else { ".fi\n.RE\n" });
        } else if is_code {
            page.push_str(&at_start(&escaped(line)));
            page.push('\n');
        } else if let Some(title) = line.strip_prefix("# ") {
            page.push_str(&format!(".SH DESCRIPTION\n{}.\n", at_start(&inline(title))));
        } else if let Some(title) = line.strip_prefix("## ") {
            page.push_str(&format!(".SH \"{}\"\n", inline(title).replace('"', "'")));
        } else if line.is_empty() {
            page.push_str(".PP\n");
            is_item = false;
        } else if let Some(item) = line.trim_start().strip_prefix("- ") {
            page.push_str(&format!(".IP \\(bu 2\n{}\n", at_start(&inline(item))));
            is_item = true;
        } else {
            let text = if is_item { line.trim_start() } else { line };
            page.push_str(&at_start(&inline(text)));
            page.push('\n');
        }
    }
    page
}

/// Text in which nothing is a command of the formatter, and a minus is one that can be copied.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq").replace('`', "\\(ga")
}

/// A line that does not begin with a command.
fn at_start(line: &str) -> String {
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() }
}

/// A line of running text, with what is between backticks in bold.
fn inline(line: &str) -> String {
    let mut out = String::new();
    for (number, part) in line.split('`').enumerate() {
        let part = part.replace('\\', "\\e");
        match number % 2 {
            0 => out.push_str(&part),
            _ => out.push_str(&format!("\\fB{}\\fR", part.replace('-', "\\-"))),
        }
    }
    out
}
