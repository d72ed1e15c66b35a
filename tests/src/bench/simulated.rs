//! Figures of the consensus simulator, in virtual time: the same on every machine.

use std::path::Path;

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use super::{say, table::Row};

/// Stands before each row that the tests print.
const ROW: &str = "bench row: ";

/// The least rows that the tests print.
const ROWS_MIN: usize = 8;

/// Runs the simulator's tests of hops, messages and memory, which assert their bounds, and returns what they measured.
///
/// # Errors
/// When a bound is not kept, or cargo cannot run.
pub async fn measure() -> anyhow::Result<Vec<Row>> {
    say("hops, messages and memory in the simulator");
    let arguments =
        ["test", "--locked", "--profile", "measured", "--package", "baton-consensus", "--test", "simulation"];
    let ran = Command::new("cargo")
        .args(arguments)
        .args(["--", "timing::", "--nocapture", "--test-threads=1"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .output();
    let ran = ran.await.context("cannot run cargo")?;
    let (text, errors) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    ensure!(ran.status.success(), "the simulator's tests fail:\n{text}{errors}");
    let rows = read(&text)?;
    ensure!(rows.len() >= ROWS_MIN, "the simulator printed {} rows, fewer than {ROWS_MIN}", rows.len());
    Ok(rows)
}

/// Rows stand anywhere in a line, since the harness does not end the one that names the test.
fn read(text: &str) -> anyhow::Result<Vec<Row>> {
    let rows = text.lines().filter_map(|line| line.split_once(ROW)).map(|(_, row)| {
        let mut cells = row.split(" | ").map(str::trim);
        let mut cell = || cells.next().with_context(|| format!("a row of three cells, not {row:?}"));
        // Whatever has a bound kept it, or the test had failed.
        Ok(Row::new(cell()?, cell()?, cell()?).bound(true))
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_in_what_the_harness_prints() {
        let rows =
            read("running 1 test\ntest timing::a ... bench row: hops | 2.00 / 2.01 | at most 2.2\nok\n").unwrap();
        let row = &rows[0];
        assert_eq!((rows.len(), &*row.what, &*row.figure, &*row.beside), (1, "hops", "2.00 / 2.01", "at most 2.2"));
        assert!(read("bench row: hops 2.00").is_err());
    }
}
