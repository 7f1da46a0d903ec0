//! The kit's QR code, as an inline picture and in characters.

use std::fmt::Write;

use qrcode::{Color, EcLevel, QrCode};
use zeroize::Zeroizing;

/// Modules of white around it that scanners need.
const QUIET: usize = 4;

/// A square of dark and light modules.
pub(super) struct Modules {
    width: usize,
    dark: Vec<bool>,
}

impl Modules {
    /// The code of `text`; `None` if it is too long for any.
    pub(super) fn of(text: &str) -> Option<Self> {
        // Paper gets folded: a code that bears damage, if there is room for it.
        let code = [EcLevel::M, EcLevel::L]
            .into_iter()
            .find_map(|level| QrCode::with_error_correction_level(text, level).ok())?;
        let dark = code.to_colors().into_iter().map(|color| color == Color::Dark).collect();
        Some(Self { width: code.width(), dark })
    }

    fn is_dark(&self, x: usize, y: usize) -> bool {
        x < self.width && y < self.width && self.dark[y * self.width + x]
    }

    /// An `<svg>` element of one path, without anything from outside.
    pub(super) fn svg(&self) -> Zeroizing<String> {
        let side = self.width + 2 * QUIET;
        let mut svg = Zeroizing::new(String::with_capacity(64 << 10));
        let _ = write!(
            svg,
            "<svg role=\"img\" aria-label=\"QR code of this kit\" viewBox=\"0 0 {side} {side}\" \
             shape-rendering=\"crispEdges\"><path d=\""
        );
        for y in 0..self.width {
            let mut x = 0;
            while x < self.width {
                let start = x;
                while self.is_dark(x, y) {
                    x += 1;
                }
                if x > start {
                    let len = x - start;
                    let _ = write!(svg, "M{} {}h{len}v1h-{len}z", start + QUIET, y + QUIET);
                }
                x += 1;
            }
        }
        svg.push_str("\"/></svg>");
        svg
    }

    /// Two rows of modules in each line of half blocks, for dark text on white paper.
    pub(super) fn blocks(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(self.width * self.width * 2));
        for y in (0..self.width).step_by(2) {
            text.push_str("    ");
            for x in 0..self.width {
                text.push(match (self.is_dark(x, y), self.is_dark(x, y + 1)) {
                    (true, true) => '\u{2588}',
                    (true, false) => '\u{2580}',
                    (false, true) => '\u{2584}',
                    (false, false) => ' ',
                });
            }
            let len = text.trim_end_matches(' ').len();
            text.truncate(len);
            text.push('\n');
        }
        text
    }
}
