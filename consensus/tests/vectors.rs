//! Golden vectors that Rust and Solidity both read: the schedule here, signatures with their certificates and evidence.
//!
//! `BATON_BLESS=1` writes the files anew; a change of one is a change of what a chain agrees on.

use std::{fs, path::PathBuf};

use alloy_primitives::{Address, keccak256};
use baton_consensus::{Committee, CommitteeMember, Schedule};
use baton_proto::{BlsPublicKey, Domain, Epoch, L1ChainId, L2ChainId, Weight};
use serde_json::{Value, json};

fn domain() -> Domain {
    Domain {
        l1_chain_id: L1ChainId::new(31_337),
        registry: Address::from_slice(&keccak256("registry")[12..]),
        l2_chain_id: L2ChainId::new(42_069),
    }
}

/// Compares `value` with the golden file, or writes it when blessed.
fn golden(name: &str, value: &Value) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../contracts/test/vectors").join(name);
    let text = format!("{}\n", serde_json::to_string_pretty(value).unwrap());
    if std::env::var_os("BATON_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        return;
    }
    let stored = fs::read_to_string(&path).unwrap();
    assert!(stored == text, "{} differs from what this crate computes", path.display());
}

fn owners(count: usize, salt: &str) -> Vec<Address> {
    let mut owners: Vec<Address> =
        (0..count).map(|index| Address::from_slice(&keccak256(format!("{salt} owner {index}"))[12..])).collect();
    owners.sort();
    owners
}

fn committee(epoch: u64, owners: &[Address], weights: &[u64], key: impl Fn(usize) -> BlsPublicKey) -> Committee {
    let member = |(index, (owner, weight)): (usize, (&Address, &u64))| CommitteeMember {
        owner: *owner,
        fee_recipient: *owner,
        weight: Weight::new(*weight),
        key: key(index),
    };
    Committee::new(Epoch::new(epoch), owners.iter().zip(weights).enumerate().map(member).collect()).unwrap()
}

#[test]
fn schedule_vectors_are_up_to_date() {
    // A total above 2^62 has a quarter of all words rejected.
    let odd = [1_u64, 3, 7, 1_000_003, 999_999_999_989, 12_345_678_901, (1 << 62) + 9];
    let many: Vec<u64> = (0..128_u64).map(|index| 1_000_000 + index * index * 977).collect();
    let cases: [(&str, u64, &[u64], u64); 4] = [
        ("one", 2, &[5], 64),
        ("devnet", 2, &[32_000_000, 28_000_000, 22_000_000, 18_000_000], 4_096),
        ("odd", 7, &odd, 1_024),
        ("many", 1_000_000_007, &many, 1_024),
    ];
    let cases = cases.map(|(name, epoch, weights, turns)| {
        let domain = domain();
        let owners = owners(weights.len(), name);
        // The schedule does not depend on keys; the committee only wants them distinct.
        let committee = committee(epoch, &owners, weights, |index| BlsPublicKey::new([index as u8; 256]));
        let randomness = keccak256(format!("{name} randomness"));
        let list = |schedule: Schedule| -> String {
            hex::encode((1..=turns).map(|turn| schedule.turn(turn).get()).collect::<Vec<u8>>())
        };
        json!({
            "l1ChainId": domain.l1_chain_id.get(),
            "registry": domain.registry,
            "l2ChainId": domain.l2_chain_id.get(),
            "epoch": epoch,
            "randomness": randomness,
            "addresses": owners,
            "weights": weights.iter().map(u64::to_string).collect::<Vec<_>>(),
            "leaders": format!("0x{}", list(Schedule::leaders(&domain, &committee, randomness))),
            "posters": format!("0x{}", list(Schedule::posters(&domain, &committee, randomness))),
        })
    });
    golden("schedule.json", &json!({ "cases": cases }));
}
