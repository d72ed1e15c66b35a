//! Attestations of the batch after the one that L1 waits for: others may see L1 move first.
//!
//! What batch comes before that one nobody can say yet, so a member can attest any number of them without lying. So little of it is
//! kept, and none of it on the disk, before L1 has moved.

use std::collections::{BTreeMap, VecDeque};

use baton_proto::{BlsPublicKey, Evidence, SignedStatement};

use super::hearing::pair;

/// Attestations kept of each member, the newest.
const KEPT_MAX: usize = 4;

/// Attestations of each member that are verified while L1 waits for one batch: each takes a millisecond of a core.
const VERIFIED_MAX: usize = 64;

/// What members attest ahead of L1.
#[derive(Default)]
pub(super) struct AheadVotes {
    /// One for each key with a seat in an epoch that the book knows.
    members: BTreeMap<BlsPublicKey, Said>,
}

#[derive(Default)]
struct Said {
    verified: usize,
    newest: VecDeque<SignedStatement>,
}

impl AheadVotes {
    /// Returns whether an attestation by `key` is worth verifying, which is then counted.
    pub(super) fn wants(&mut self, key: &BlsPublicKey, signed: &SignedStatement) -> bool {
        let said = self.members.entry(*key).or_default();
        if said.verified >= VERIFIED_MAX || said.newest.contains(signed) {
            return false;
        }
        said.verified += 1;
        true
    }

    /// Keeps a verified attestation by `key`, in place of its oldest where there is no room. Returns what shows that its signer lies,
    /// if one of those that are kept does.
    pub(super) fn keep(&mut self, key: &BlsPublicKey, signed: SignedStatement) -> Option<Evidence> {
        let said = self.members.entry(*key).or_default();
        let evidence = said.newest.iter().find_map(|said| pair(said.clone(), signed.clone()));
        if said.newest.len() >= KEPT_MAX {
            said.newest.pop_front();
        }
        said.newest.push_back(signed);
        evidence
    }

    /// Takes all of it, with whose it is: L1 has moved.
    pub(super) fn take(&mut self) -> impl Iterator<Item = (BlsPublicKey, SignedStatement)> + use<> {
        let members = std::mem::take(&mut self.members);
        members.into_iter().flat_map(|(key, said)| said.newest.into_iter().map(move |signed| (key, signed)))
    }
}
