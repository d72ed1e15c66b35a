//! Members that serve ranges, each in its own way.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use baton_proto::{
    Height, Statement, View,
    wire::{FinalRange, NOTHING_KNOWN, SyncRequest, SyncResponse},
};

use super::{Chain, L2_CHAIN, child, finalization, finalization_by, peer, transaction};
use crate::{
    p2p::{PeerId, Reach, RequestError},
    sync::RangeSource,
};

/// How a peer serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Honest,
    /// Has the chain up to this height only.
    Behind(u64),
    /// At most so many blocks in an answer.
    InSmallBites(u32),
    /// Never answers, as long as the network lets it.
    Silent,
    /// The network gives up on every request.
    TimesOut,
    /// Shows how far the chain goes, and serves none of it.
    PromisesOnly,
    /// The certificate's signature is of another statement.
    ForgedCertificate,
    /// Signed by less than a quorum.
    LightCertificate,
    /// A nullification in place of a finalization.
    Nullification,
    /// A finalization of another block.
    OtherBlocksCertificate,
    /// A block in the middle builds on another.
    BrokenLinks,
    /// No block.
    Empty,
    /// Proven blocks, but not those that were asked for.
    Elsewhere,
    /// More blocks than were asked for.
    TooMany,
    /// A block with a transaction that its header does not commit to.
    WrongBody,
    /// More bytes than an answer may have.
    Endless,
    /// Another block than the one that was asked for by digest.
    OtherBlock,
}

impl Way {
    pub(super) const LIES: [Self; 10] = [
        Self::ForgedCertificate,
        Self::LightCertificate,
        Self::Nullification,
        Self::OtherBlocksCertificate,
        Self::BrokenLinks,
        Self::Empty,
        Self::Elsewhere,
        Self::TooMany,
        Self::WrongBody,
        Self::Endless,
    ];
}

/// The members, and what was asked of them.
#[derive(Clone)]
pub(super) struct Servers(Arc<Inner>);

struct Inner {
    chain: Chain,
    ways: BTreeMap<PeerId, Way>,
    /// In the order in which they were given.
    reach: Reach,
    seen: Mutex<Seen>,
}

/// What the servers saw.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Ranges that each peer was asked for, by first height.
    pub(super) asked: BTreeMap<PeerId, Vec<u64>>,
    pub(super) charges: BTreeMap<PeerId, u32>,
    open: usize,
    pub(super) most_open: usize,
}

/// Counts a question as open while it lives.
struct Open<'a>(&'a Inner);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner).open -= 1;
    }
}

impl Servers {
    /// Members 0, 1, … in these ways.
    pub(super) fn new(chain: Chain, ways: &[Way]) -> Self {
        Self::beside(chain, ways, &[])
    }

    /// The same with others after them who are no members.
    pub(super) fn beside(chain: Chain, members: &[Way], others: &[Way]) -> Self {
        let named: Vec<(PeerId, Way)> = (0..).map(peer).zip(members.iter().chain(others).copied()).collect();
        let members: Vec<PeerId> = named.iter().take(members.len()).map(|(peer, _)| *peer).collect();
        let others = named.iter().skip(members.len()).map(|(peer, _)| *peer).collect();
        let reach = Reach { members, others, ..Reach::default() };
        Self(Arc::new(Inner { chain, ways: named.into_iter().collect(), reach, seen: Mutex::default() }))
    }

    pub(super) fn chain(&self) -> &Chain {
        &self.0.chain
    }

    pub(super) fn seen(&self) -> Seen {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note<T>(&self, note: impl FnOnce(&mut Seen) -> T) -> T {
        note(&mut self.0.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn range(&self, way: Way, from: u64, count: u32) -> Option<FinalRange> {
        let chain = &self.0.chain;
        let mut range = chain.range(from, count)?;
        let header = range.blocks.last().unwrap().header.clone();
        match way {
            Way::Behind(height) if from > height => return None,
            Way::Behind(height) => return chain.range(from, count.min(u32::try_from(height - from + 1).unwrap())),
            Way::InSmallBites(most) => return chain.range(from, count.min(most)),
            Way::ForgedCertificate => {
                range.finalization.signature = finalization(&child(&header, vec![]).header).signature
            }
            Way::LightCertificate => range.finalization = finalization_by(&header, &[1, 2]),
            Way::Nullification => {
                range.finalization.statement = Statement::Nullify { epoch: header.epoch, view: View::new(3) };
            }
            Way::OtherBlocksCertificate => range.finalization = finalization(&child(&header, vec![]).header),
            Way::BrokenLinks => {
                let middle = range.blocks.len() / 2;
                range.blocks.remove(middle);
            }
            Way::Empty => range.blocks.clear(),
            Way::Elsewhere => return chain.range(if from == 1 { 2 } else { from - 1 }, count),
            Way::TooMany => return chain.range(from, count + 1),
            Way::WrongBody => range.blocks[0].transactions.push(transaction(L2_CHAIN, 9, 0)),
            _ => {}
        }
        Some(range)
    }
}

impl RangeSource for Servers {
    async fn request(&self, peer: PeerId, request: SyncRequest) -> Result<SyncResponse, RequestError> {
        let way = self.0.ways[&peer];
        self.note(|seen| {
            seen.open += 1;
            seen.most_open = seen.most_open.max(seen.open);
        });
        let _open = Open(&self.0);
        // Others get their turn while this one is "on its way".
        tokio::task::yield_now().await;
        let response = match request {
            SyncRequest::Range { from: Height::ZERO, .. } => SyncResponse::Unavailable,
            SyncRequest::Range { from, blocks_max } => {
                self.note(|seen| seen.asked.entry(peer).or_default().push(from.get()));
                match way {
                    Way::Silent => std::future::pending().await,
                    Way::TimesOut => return Err(RequestError::Timeout),
                    Way::PromisesOnly => SyncResponse::Unavailable,
                    Way::Endless => {
                        self.charge(peer);
                        return Err(RequestError::WrongLength);
                    }
                    way => {
                        self.range(way, from.get(), blocks_max).map_or(SyncResponse::Unavailable, SyncResponse::Range)
                    }
                }
            }
            SyncRequest::Block(digest) => {
                let known = self.0.chain.0.iter().find(|block| block.header.digest() == digest).cloned();
                SyncResponse::Block(match way {
                    Way::Behind(height) => known.filter(|block| block.header.height.get() <= height),
                    Way::OtherBlock => self.0.chain.block(1).cloned(),
                    _ => known,
                })
            }
            _ => SyncResponse::Unavailable,
        };
        // As the network does: bytes, and a charge for those that are no answer.
        SyncResponse::decode(&response.encode(), NOTHING_KNOWN).map_err(|error| {
            let error = RequestError::from(error);
            if error.is_peer_fault() {
                self.charge(peer);
            }
            error
        })
    }

    fn reach(&self) -> Reach {
        self.0.reach.clone()
    }

    fn charge(&self, peer: PeerId) {
        self.note(|seen| *seen.charges.entry(peer).or_default() += 1);
    }
}
