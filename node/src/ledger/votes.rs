//! Votes of other members: one entry for each place, which is a member, a view and a kind.
//!
//! An entry holds what was said there, the older first: for each whether it was checked (0 or 1), the block (zero for a
//! Nullify) and the signature.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use baton_proto::{
    BlockDigest, BlsSignature, Epoch, MemberIndex, SignedStatement, Statement, StatementKind, View,
    limits::COMMITTEE_MEMBERS_MAX,
};

use super::{
    Change, Durability, Family, KeptVote, LedgerError, Order, Store, StoreLedger, VoteCheck, chain::corrupt, keys,
};

/// Votes of one place: two that differ are an offence, and a third says nothing new.
const IN_A_PLACE: usize = 2;

/// Check, block, signature.
const VOTE_BYTES: usize = 1 + 32 + 48;

/// Places of one view.
const PLACES_MAX: usize = KINDS.len() * COMMITTEE_MEMBERS_MAX;

const KINDS: [StatementKind; 3] = [StatementKind::Notarize, StatementKind::Finalize, StatementKind::Nullify];

impl<S: Store> StoreLedger<S> {
    /// Keeps votes; the caller holds the writer's lock.
    pub(super) fn add_votes(&self, votes: &[KeptVote]) -> Result<(), LedgerError> {
        let mut places: BTreeMap<Vec<u8>, (Vec<KeptVote>, bool)> = BTreeMap::new();
        for vote in votes {
            // An attestation is of no view, and judged elsewhere.
            let statement = &vote.signed.statement;
            let Some(view) = statement.view() else { continue };
            let key = keys::place(statement.epoch(), view, vote.signed.signer, statement.kind());
            let (kept, changed) = match places.entry(key) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    let bytes = self.store.get(Family::Votes, entry.key())?;
                    let kept = bytes.map(|bytes| decode(entry.key(), &bytes)).transpose()?;
                    entry.insert((kept.unwrap_or_default(), false))
                }
            };
            *changed |= add(kept, vote);
        }
        let changed = places.into_iter().filter(|(_, (_, changed))| *changed);
        let batch: Vec<Change> =
            changed.map(|(key, (kept, _))| Change::Put(Family::Votes, key, encode(&kept))).collect();
        if batch.is_empty() { Ok(()) } else { self.store.write(batch, Durability::Buffered) }
    }

    pub(super) fn votes_by(&self, epoch: Epoch, view: View, signer: MemberIndex) -> Result<Vec<KeptVote>, LedgerError> {
        let next = signer.get().saturating_add(1);
        let (from, to) = (keys::votes_by(epoch, view, signer.get()), keys::votes_by(epoch, view, next));
        let found = self.store.scan(Family::Votes, &from, &to, Order::Ascending, KINDS.len())?;
        let places = found.iter().map(|(key, bytes)| decode(key, bytes)).collect::<Result<Vec<_>, _>>()?;
        Ok(places.into_iter().flatten().collect())
    }

    pub(super) fn votes_of(&self, epoch: Epoch, view: View) -> Result<Vec<KeptVote>, LedgerError> {
        let (from, to) = (keys::votes(epoch, view), keys::votes_end(epoch, view));
        let found = self.store.scan(Family::Votes, &from, &to, Order::Ascending, PLACES_MAX)?;
        let places = found.iter().map(|(key, bytes)| decode(key, bytes)).collect::<Result<Vec<_>, _>>()?;
        Ok(places.into_iter().flatten().collect())
    }
}

/// Adds a vote to what is kept of its place; returns whether that changed anything.
fn add(kept: &mut Vec<KeptVote>, vote: &KeptVote) -> bool {
    if let Some(same) = kept.iter_mut().find(|same| same.signed == vote.signed) {
        let learned = same.check < vote.check;
        same.check = same.check.max(vote.check);
        return learned;
    }
    if kept.len() >= IN_A_PLACE {
        let Some(unchecked) = kept.iter().position(|kept| kept.check == VoteCheck::Unchecked) else { return false };
        kept.remove(unchecked);
    }
    kept.push(vote.clone());
    true
}

fn encode(kept: &[KeptVote]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(kept.len() * VOTE_BYTES);
    for KeptVote { signed, check } in kept {
        bytes.push(u8::from(*check == VoteCheck::Checked));
        bytes.extend_from_slice(signed.statement.block().unwrap_or_default().get().as_slice());
        bytes.extend_from_slice(signed.signature.as_bytes());
    }
    bytes
}

fn decode(key: &[u8], bytes: &[u8]) -> Result<Vec<KeptVote>, LedgerError> {
    place_in(key)
        .filter(|_| bytes.len() / VOTE_BYTES <= IN_A_PLACE && bytes.len().is_multiple_of(VOTE_BYTES))
        .and_then(|place| bytes.chunks_exact(VOTE_BYTES).map(|vote| vote_in(place, vote)).collect())
        .ok_or_else(|| corrupt(Family::Votes, key, "votes do not decode"))
}

type Place = (Epoch, View, MemberIndex, StatementKind);

fn place_in(key: &[u8]) -> Option<Place> {
    let (epoch, rest) = key.split_first_chunk()?;
    let (view, rest) = rest.split_first_chunk()?;
    let [signer, code] = *<&[u8; 2]>::try_from(rest).ok()?;
    let kind = KINDS.into_iter().find(|kind| kind.code() == code)?;
    let (epoch, view) = (Epoch::new(u64::from_be_bytes(*epoch)), View::new(u64::from_be_bytes(*view)));
    Some((epoch, view, MemberIndex::new(signer), kind))
}

fn vote_in((epoch, view, signer, kind): Place, bytes: &[u8]) -> Option<KeptVote> {
    let (check, rest) = bytes.split_first()?;
    let check = [VoteCheck::Unchecked, VoteCheck::Checked].get(usize::from(*check)).copied()?;
    let (block, signature) = rest.split_first_chunk::<32>()?;
    let (block, signature) = (BlockDigest::new(B256::from(*block)), BlsSignature::new(signature.try_into().ok()?));
    let statement = match kind {
        StatementKind::Notarize => Statement::Notarize { epoch, view, block },
        StatementKind::Finalize => Statement::Finalize { epoch, view, block },
        StatementKind::Nullify => Statement::Nullify { epoch, view },
        StatementKind::Attest => return None,
    };
    Some(KeptVote { signed: SignedStatement { statement, signer, signature }, check })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn votes() -> impl Strategy<Value = Vec<KeptVote>> {
        let one = (any::<[u8; 32]>(), any::<[u8; 16]>(), any::<bool>());
        (any::<(u64, u64, u8)>(), 0..3_u8, prop::collection::vec(one, 0..=IN_A_PLACE)).prop_map(
            |((epoch, view, signer), kind, said)| {
                let (epoch, view) = (Epoch::new(epoch), View::new(view));
                let vote = |(block, signature, is_checked): ([u8; 32], [u8; 16], bool)| {
                    let block = BlockDigest::new(B256::from(block));
                    let statement = match kind {
                        0 => Statement::Notarize { epoch, view, block },
                        1 => Statement::Finalize { epoch, view, block },
                        _ => Statement::Nullify { epoch, view },
                    };
                    let signature = BlsSignature::new(signature.repeat(3).try_into().unwrap());
                    let signed = SignedStatement { statement, signer: MemberIndex::new(signer), signature };
                    KeptVote { signed, check: if is_checked { VoteCheck::Checked } else { VoteCheck::Unchecked } }
                };
                said.into_iter().map(vote).collect()
            },
        )
    }

    proptest! {
        #[test]
        fn votes_come_back_as_they_were(votes in votes()) {
            let Some(KeptVote { signed, .. }) = votes.first() else { return Ok(()) };
            let statement = &signed.statement;
            let key = keys::place(statement.epoch(), statement.view().unwrap(), signed.signer, statement.kind());
            prop_assert_eq!(decode(&key, &encode(&votes)).unwrap(), votes);
        }

        #[test]
        fn no_bytes_make_a_reader_panic(
            key in prop::collection::vec(any::<u8>(), 0..24),
            bytes in prop::collection::vec(any::<u8>(), 0..4 * VOTE_BYTES),
        ) {
            let _ = decode(&key, &bytes);
            let _ = decode(&key[..key.len().min(18)], &bytes[..bytes.len() / VOTE_BYTES * VOTE_BYTES]);
        }
    }
}
