//! Tables for people: columns aligned by what a terminal shows, not by bytes.

use unicode_width::UnicodeWidthStr;

use super::Output;
use crate::error::Result;

/// On which side of its column a cell stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// Text.
    Left,
    /// Numbers and sizes.
    Right,
}

/// Rows gathered and printed at once, under a head that is left out when there are no rows.
pub(crate) struct Table {
    head: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Starts a table with these columns.
    pub(crate) fn new(head: &[(&'static str, Align)]) -> Self {
        Self { head: head.to_vec(), rows: Vec::new() }
    }

    /// Adds a row with one cell for each column.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.head.len());
        self.rows.push(cells);
    }

    /// The table as lines without trailing blanks.
    pub(crate) fn lines(&self) -> Vec<String> {
        if self.rows.is_empty() {
            return Vec::new();
        }
        let mut widths: Vec<usize> = self.head.iter().map(|(name, _)| name.width()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        let head: Vec<String> = self.head.iter().map(|(name, _)| (*name).to_owned()).collect();
        std::iter::once(&head).chain(&self.rows).map(|row| self.line(row, &widths)).collect()
    }

    fn line(&self, row: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            if at > 0 {
                line.push_str("  ");
            }
            let padding = " ".repeat(widths[at] - cell.width());
            match self.head[at].1 {
                Align::Left => line.extend([cell.as_str(), &padding]),
                Align::Right => line.extend([&padding, cell.as_str()]),
            }
        }
        line.truncate(line.trim_end().len());
        line
    }

    /// Prints the table.
    pub(crate) fn print(&self, out: &Output) -> Result<()> {
        self.lines().into_iter().try_for_each(|line| out.line(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_letters_take_two_places() {
        let mut table = Table::new(&[("Name", Align::Left), ("Size", Align::Right)]);
        table.row(vec!["日本".into(), "5 B".into()]);
        table.row(vec!["größe".into(), "12.5 KiB".into()]);
        assert_eq!(table.lines(), ["Name       Size", "日本        5 B", "größe  12.5 KiB"]);
    }

    #[test]
    fn an_empty_table_prints_nothing() {
        assert!(Table::new(&[("Name", Align::Left)]).lines().is_empty());
    }
}
