//! What honest members signed in the middle of trouble, for Solidity to read: no two statements of one of them are evidence.

use std::collections::BTreeMap;

use baton_proto::Statement;
use serde_json::{Value, json};

use crate::{cluster::Cluster, golden::golden, plan::Plan, random::Random, scenario::Scenario};

/// Runs whose transcripts are kept.
const RUNS: usize = 3;

/// Views of each member that are kept for each set of kinds that it signed in one: what is legal side by side matters most.
const VIEWS_PER_SET: usize = 4;

#[test]
fn transcripts_of_honest_members_are_up_to_date() {
    let is_rich = |plan: Plan| !plan.away.is_empty() && !plan.liars.is_empty();
    let seeds = (1..).filter(|seed| is_rich(Plan::of(&mut Random::new(*seed)))).take(RUNS);
    let runs: Vec<Value> = seeds.map(run).collect();
    let text = serde_json::to_string(&runs).unwrap();
    // Otherwise they would show nothing: timeouts after votes, and more than one epoch.
    for part in ["[0,2]", "[0,1]", "[2]"] {
        assert!(text.contains(part), "nobody signed the kinds {part} in one view");
    }
    golden("transcripts.json", &json!({ "runs": runs }));
}

fn run(seed: u64) -> Value {
    let mut cluster = Cluster::new(Scenario::of(seed, None));
    cluster.live();
    let members: Vec<Value> = cluster
        .watch
        .honest_statements()
        .into_iter()
        .map(|(member, views)| {
            let mut kept: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
            let mut statements: Vec<Statement> = Vec::new();
            let mut sets: Vec<Vec<u8>> = Vec::new();
            for said in views {
                let mut kinds: Vec<u8> = said.iter().map(|statement| statement.kind().code()).collect();
                kinds.sort_unstable();
                let count = kept.entry(kinds.clone()).or_default();
                *count += 1;
                if *count <= VIEWS_PER_SET {
                    sets.push(kinds);
                    statements.extend(said);
                }
            }
            json!({
                "member": member,
                "sets": sets,
                "kinds": statements.iter().map(|statement| statement.kind().code()).collect::<Vec<_>>(),
                "epochs": statements.iter().map(|statement| statement.epoch().get()).collect::<Vec<_>>(),
                "views": statements.iter().map(|statement| statement.view().unwrap().get()).collect::<Vec<_>>(),
                "blocks": statements.iter().map(|statement| statement.block().unwrap_or_default()).collect::<Vec<_>>(),
            })
        })
        .collect();
    let epochs = |member: &Value| member["epochs"].as_array().unwrap().iter().filter_map(Value::as_u64).max();
    assert!(members.iter().filter_map(epochs).max() > Some(2), "seed {seed}: no epoch ended");
    json!({ "seed": seed, "members": members })
}
