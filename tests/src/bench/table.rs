//! The results as one table, for a terminal and for the README.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::Context as _;

/// Stands before the results in the README.
const BEGIN: &str = "<!-- bench:begin -->";

/// Stands after them.
const END: &str = "<!-- bench:end -->";

/// One result.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// The figure with its unit.
    pub figure: String,
    /// What it is to be compared with.
    pub beside: String,
    /// Whether it keeps its bound, where it has one.
    pub keeps: Option<bool>,
}

impl Row {
    /// Makes a row.
    #[must_use]
    pub fn new(what: impl Into<String>, figure: impl Into<String>, beside: impl Into<String>) -> Self {
        Self { what: what.into(), figure: figure.into(), beside: beside.into(), keeps: None }
    }

    /// Says whether the figure keeps its bound.
    #[must_use]
    pub fn bound(mut self, keeps: bool) -> Self {
        self.keeps = Some(keeps);
        self
    }
}

/// Rows below one another, for a terminal.
#[must_use]
pub fn text(rows: &[Row]) -> String {
    let width = |of: fn(&Row) -> &str| rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0);
    let (what, figure) = (width(|row| &row.what), width(|row| &row.figure));
    let mut text = String::new();
    for row in rows {
        let mark = mark(row);
        let _ = writeln!(text, "{:what$}  {:>figure$}  {}{mark}", row.what, row.figure, row.beside);
    }
    text
}

/// The same in Markdown.
#[must_use]
pub fn markdown(heading: &str, rows: &[Row]) -> String {
    let mut text = format!("{heading}\n\n| what | measured | beside it |\n| --- | --- | --- |\n");
    for row in rows {
        let _ = writeln!(text, "| {} | {} | {}{} |", row.what, row.figure, row.beside, mark(row));
    }
    text
}

fn mark(row: &Row) -> &'static str {
    match row.keeps {
        Some(false) => " (**not kept**)",
        Some(true) | None => "",
    }
}

/// Puts `results` between the two markers of a file.
///
/// # Errors
/// When the file lacks a marker, or cannot be read or written.
pub fn write_into(path: &Path, results: &str) -> anyhow::Result<()> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let replaced = between(&text, results)
        .with_context(|| format!("{} lacks {BEGIN} and {END}, in this order", path.display()))?;
    fs::write(path, replaced).with_context(|| format!("cannot write {}", path.display()))
}

fn between(text: &str, results: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{}\n{END}{after}", results.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_is_replaced() {
        let text = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let once = between(&text, "new\n").unwrap();
        assert_eq!(once, format!("a\n{BEGIN}\nnew\n{END}\nb\n"));
        assert_eq!(between(&once, "new").unwrap(), once);
        assert!(between("a", "new").is_none() && between(&format!("{END}{BEGIN}"), "new").is_none());
    }

    #[test]
    fn a_bound_that_is_not_kept_shows() {
        let rows = [Row::new("a", "1", "at most 2").bound(true), Row::new("bb", "30", "at most 2").bound(false)];
        assert_eq!(text(&rows), "a    1  at most 2\nbb  30  at most 2 (**not kept**)\n");
        assert_eq!(
            markdown("head", &rows),
            "head\n\n| what | measured | beside it |\n| --- | --- | --- |\n| a | 1 | at most 2 |\n| bb | 30 | at most 2 (**not kept**) |\n"
        );
    }
}
