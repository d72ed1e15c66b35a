//! The live view of a devnet: one row per node, redrawn in place.

use std::{fmt::Write as _, time::Duration};

/// One node as the table shows it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    /// Name, for instance "node 0".
    pub(crate) name: String,
    /// Share of the committee's weight in hundredths of a percent.
    pub(crate) share_bps: u64,
    /// What the node answered, or `None` while it does not answer.
    pub(crate) status: Option<RowStatus>,
}

/// What a node says about itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct RowStatus {
    /// Final height.
    pub(crate) height: u64,
    /// Current view.
    pub(crate) view: u64,
    /// Blocks of the recent past that this member proposed, in hundredths of a percent.
    pub(crate) led_bps: Option<u64>,
    /// Whether it leads the current view.
    pub(crate) leads: bool,
    /// Milliseconds from a block's timestamp to its finality, over the last blocks.
    pub(crate) time_to_final_ms: Option<u64>,
    /// Transactions waiting.
    pub(crate) pool: u64,
    /// Peers connected.
    pub(crate) peers: u64,
    /// Last height in a batch that L1 accepted.
    pub(crate) posted: u64,
    /// Why it is not ready; empty when it is.
    pub(crate) not_ready: Vec<String>,
}

const HEADER: &str = "              stake    led   height     view  lead  final in     pool  peers   posted  state";

/// Returns the table as lines without trailing spaces; `elapsed` is the time since the devnet became ready.
#[must_use]
pub(crate) fn render(rows: &[Row], l1_block: Option<u64>, elapsed: Duration) -> Vec<String> {
    let l1 = l1_block.map_or_else(|| "not answering".to_owned(), |number| format!("block {number}"));
    let mut lines =
        vec![format!("L1 {l1} · up {}:{:02}", elapsed.as_secs() / 60, elapsed.as_secs() % 60), HEADER.to_owned()];
    lines.extend(rows.iter().map(line));
    lines
}

fn line(row: &Row) -> String {
    let mut text = format!("  {:<10} {:>6}", row.name, percent(row.share_bps));
    let Some(status) = &row.status else {
        text.push_str("  not answering");
        return text;
    };
    let led = status.led_bps.map_or_else(|| "–".to_owned(), percent);
    let latency = status.time_to_final_ms.map_or_else(|| "–".to_owned(), |ms| format!("{ms} ms"));
    let lead = if status.leads { "◆" } else { " " };
    let state = if status.not_ready.is_empty() { "ready".to_owned() } else { status.not_ready.join("; ") };
    let _ = write!(
        text,
        " {led:>6} {:>8} {:>8}   {lead}  {latency:>10} {:>8} {:>6} {:>8}  {state}",
        status.height, status.view, status.pool, status.peers, status.posted
    );
    text
}

fn percent(bps: u64) -> String {
    format!("{}.{} %", bps / 100, bps % 100 / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_what_the_node_says() {
        let status = RowStatus {
            height: 42,
            view: 43,
            led_bps: Some(3_150),
            leads: true,
            time_to_final_ms: Some(17),
            pool: 3,
            peers: 3,
            posted: 40,
            not_ready: vec![],
        };
        let rows = [Row { name: "node 0".into(), share_bps: 3_200, status: Some(status) }];
        let lines = render(&rows, Some(1_030), Duration::from_secs(65));
        assert_eq!(lines[0], "L1 block 1030 · up 1:05");
        assert_eq!(
            lines[2],
            "  node 0     32.0 % 31.5 %       42       43   ◆       17 ms        3      3       40  ready"
        );
        assert_eq!(lines[1].chars().count(), lines[2].chars().count());
    }

    #[test]
    fn a_silent_node_is_said_to_be_silent() {
        let rows = [Row { name: "node 3".into(), share_bps: 1_800, status: None }];
        assert!(render(&rows, None, Duration::ZERO)[2].ends_with("not answering"));
    }
}
