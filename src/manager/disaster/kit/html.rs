//! The kit as one HTML page to print: nothing is fetched from anywhere, no script runs.

use std::fmt::Write;

use zeroize::Zeroizing;

use super::qr::Modules;
use super::{Kit, paper, text};

/// One sheet of A4 or Letter. The policy forbids whatever the page does not have.
const HEAD: &str = "<!doctype html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">
<meta name=\"robots\" content=\"noindex\">
<meta name=\"viewport\" content=\"width=device-width\">
<title>Larder recovery kit</title>
<style>
@page { margin: 12mm 15mm; }
:root { color-scheme: light; }
body { font: 9.5pt/1.28 system-ui, sans-serif; color: #000; background: #fff; max-width: 178mm;
  margin: 0 auto; padding: 4mm; }
h1 { font-size: 16pt; margin: 0 0 1mm; letter-spacing: .04em; }
h2 { font-size: 10.5pt; margin: 3mm 0 1mm; border-bottom: .3mm solid #000; }
p { margin: 0 0 1.5mm; }
.top { display: flex; gap: 5mm; align-items: flex-start; }
.top > div { flex: 1; min-width: 0; }
.top svg { width: 37mm; height: 37mm; flex: none; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; vertical-align: top; font-weight: 600; padding: .6mm 3mm .6mm 0;
  white-space: nowrap; width: 1%; }
td { padding: .6mm 0; overflow-wrap: anywhere; }
td.line { border-bottom: .2mm dotted #000; height: 5.6mm; }
table.blanks th { font-weight: 400; }
tr.secret td { font: 700 12.5pt/1.3 ui-monospace, monospace; }
code, pre { font: 8.5pt/1.3 ui-monospace, monospace; }
pre { margin: .6mm 0 1.2mm; padding: 1mm 2mm; background: #f1f1f1; white-space: pre-wrap;
  overflow-wrap: anywhere; }
ol { margin: 0; padding-left: 5mm; }
li { break-inside: avoid; }
@media print { body { max-width: none; padding: 0; } pre { background: none; border: .2mm solid #999; } }
</style>
</head>
<body>
";

impl Kit {
    /// The page as HTML. It has no script, no link and nothing to fetch, and prints on one sheet.
    pub fn html(&self) -> Zeroizing<String> {
        let mut out = Zeroizing::new(String::with_capacity(128 << 10));
        out.push_str(HEAD);
        let _ = writeln!(out, "<h1>{}</h1>\n<div class=\"top\">\n<div>", paper::TITLE);
        let _ = writeln!(out, "<p>{}</p>", *escaped(&self.introduction()));
        let _ = writeln!(
            out,
            "<p>The square holds what the table says, for a camera: it is as secret.</p>\n</div>"
        );
        if let Some(modules) = Modules::of(&self.qr_text()) {
            out.push_str(&modules.svg());
            out.push('\n');
        }
        out.push_str("</div>\n<table>\n");
        for (label, value) in self.facts() {
            let class = if label == paper::RECOVERY_CODE { " class=\"secret\"" } else { "" };
            row(&mut out, class, label, &value);
        }
        row(&mut out, "", "Other keys", &self.keys_shown());
        row(&mut out, "", "Made", &format!("{} on {}", self.made(), self.host));
        out.push_str("</table>\n<h2>To fill in by hand</h2>\n<table class=\"blanks\">\n");
        for blank in &self.blanks {
            let blank = &*escaped(blank);
            let _ =
                writeln!(out, "<tr><th scope=\"row\">{blank}</th><td class=\"line\"></td></tr>");
        }
        out.push_str("</table>\n<h2>How to get the files back, on any computer</h2>\n<ol>\n");
        for (what, commands) in self.steps() {
            let _ = writeln!(
                out,
                "<li>{}<pre>{}</pre></li>",
                *escaped(&what),
                *escaped(&commands.join("\n"))
            );
        }
        let later = &*escaped(text::LATER);
        let _ = writeln!(
            out,
            "</ol>\n<h2>Newer head codes</h2>\n<p>{later}</p>\n<table class=\"blanks\">"
        );
        for _ in 0..2 {
            out.push_str(
                "<tr><th scope=\"row\">Date and words</th><td class=\"line\"></td></tr>\n",
            );
        }
        out.push_str("</table>\n</body>\n</html>\n");
        out
    }
}

fn row(out: &mut String, class: &str, label: &str, value: &str) {
    let value = escaped(value);
    let _ = writeln!(out, "<tr{class}><th scope=\"row\">{label}</th><td>{}</td></tr>", *value);
}

/// Text as it may stand between tags.
fn escaped(text: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(text.len() + 32));
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
