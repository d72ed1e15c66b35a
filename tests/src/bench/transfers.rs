//! Transfers that are signed before anybody measures: accounts, nonces, and whole JSON-RPC bodies.

use std::ops::Range;

use alloy::{hex, signers::local::PrivateKeySigner};
use alloy_primitives::{B256, TxHash, keccak256};

use crate::transactions::transfer_with;

/// Accounts that send over one connection. A body of [`BODY_TRANSFERS`] takes each at most once, so that an account's
/// transactions never overtake one another.
const ACCOUNTS: usize = 200;

/// Transfers in one JSON-RPC batch.
pub const BODY_TRANSFERS: usize = 50;

/// Tip of every transfer, in wei.
const TIP: u128 = 1;

/// One JSON-RPC batch, ready to be sent.
#[derive(Clone, Debug)]
pub struct Body {
    /// The request's bytes.
    pub bytes: Vec<u8>,
    /// Which transfers of the phase are in it.
    pub transfers: Range<usize>,
}

/// What one phase sends: bodies in order for each connection, and the hashes of all transfers by their number.
#[derive(Clone, Debug, Default)]
pub struct Signed {
    /// One list for each connection.
    pub lanes: Vec<Vec<Body>>,
    /// Hash of transfer `i`.
    pub hashes: Vec<TxHash>,
}

/// The accounts of one connection, and their next nonces.
#[derive(Clone, Debug)]
pub struct Lane {
    accounts: Vec<(PrivateKeySigner, u64)>,
    next: usize,
}

impl Lane {
    /// Makes the accounts of connection `number`: the same in every run.
    ///
    /// # Panics
    /// Never: a hash that is no key has probability 2^-128.
    #[must_use]
    pub fn new(number: usize) -> Self {
        let account = |index: usize| {
            let seed: B256 = keccak256(format!("baton bench account {number} {index}"));
            (PrivateKeySigner::from_bytes(&seed).expect("a hash is below the group's order"), 0)
        };
        Self { accounts: (0..ACCOUNTS).map(account).collect(), next: 0 }
    }

    /// Signs `count` more transfers with `data_bytes` of calldata each, numbered from `first`.
    fn sign(&mut self, chain_id: u64, first: usize, count: usize, data_bytes: usize) -> (Vec<Body>, Vec<TxHash>) {
        let (mut bodies, mut hashes) = (Vec::new(), Vec::with_capacity(count));
        let mut left = count;
        while left > 0 {
            let size = left.min(BODY_TRANSFERS);
            let begin = first + hashes.len();
            let mut bytes = b"[".to_vec();
            for number in 0..size {
                let (key, nonce) = &mut self.accounts[self.next];
                let raw = transfer_with(key, chain_id, *nonce, TIP, data_bytes);
                *nonce += 1;
                self.next = (self.next + 1) % ACCOUNTS;
                hashes.push(keccak256(&raw));
                if number > 0 {
                    bytes.push(b',');
                }
                let call = r#"{"jsonrpc":"2.0","method":"eth_sendRawTransaction","id":"#;
                bytes.extend_from_slice(format!("{call}{number},\"params\":[\"0x{}\"]}}", hex::encode(raw)).as_bytes());
            }
            bytes.push(b']');
            bodies.push(Body { bytes, transfers: begin..begin + size });
            left -= size;
        }
        (bodies, hashes)
    }
}

/// Signs `per_lane` transfers for every lane, on all cores.
///
/// # Panics
/// Never: no thread panics.
#[must_use]
pub fn sign(lanes: &mut [Lane], chain_id: u64, per_lane: usize, data_bytes: usize) -> Signed {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let chunk = lanes.len().div_ceil(cores).max(1);
    let parts: Vec<Vec<(Vec<Body>, Vec<TxHash>)>> = std::thread::scope(|scope| {
        let threads: Vec<_> = lanes
            .chunks_mut(chunk)
            .enumerate()
            .map(|(number, lanes)| {
                scope.spawn(move || {
                    let first = number * chunk;
                    let sign = |(at, lane): (usize, &mut Lane)| {
                        lane.sign(chain_id, (first + at) * per_lane, per_lane, data_bytes)
                    };
                    lanes.iter_mut().enumerate().map(sign).collect()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("signing does not panic")).collect()
    });
    let mut signed = Signed::default();
    for (bodies, hashes) in parts.into_iter().flatten() {
        signed.lanes.push(bodies);
        signed.hashes.extend(hashes);
    }
    signed
}

#[cfg(test)]
mod tests {
    use super::*;
    use baton_proto::Transaction;
    use std::collections::{HashMap, HashSet};

    #[test]
    fn what_is_signed_can_be_sent_as_it_stands() {
        let mut lanes = vec![Lane::new(0), Lane::new(1), Lane::new(2)];
        let mut nonces: HashMap<_, u64> = HashMap::new();
        let mut hashes = HashSet::new();
        for (per_lane, data_bytes) in [(ACCOUNTS + 70, 0), (30, 64)] {
            let signed = sign(&mut lanes, 7, per_lane, data_bytes);
            assert_eq!((signed.lanes.len(), signed.hashes.len()), (3, 3 * per_lane));
            for body in signed.lanes.iter().flatten() {
                let calls: Vec<serde_json::Value> = serde_json::from_slice(&body.bytes).unwrap();
                assert_eq!(calls.len(), body.transfers.len());
                for (call, number) in calls.iter().zip(body.transfers.clone()) {
                    let raw = hex::decode(call["params"][0].as_str().unwrap()).unwrap();
                    let transaction = Transaction::decode(raw.into()).unwrap();
                    assert_eq!((*transaction.hash(), transaction.chain_id()), (signed.hashes[number], 7));
                    let next = nonces.entry(transaction.sender()).or_default();
                    assert_eq!(transaction.nonce(), *next, "each account's nonces follow one another");
                    *next += 1;
                    assert!(hashes.insert(*transaction.hash()));
                }
            }
        }
        assert_eq!(nonces.len(), 3 * ACCOUNTS);
    }
}
