//! Catching up from honest members and from every kind of liar. Answers pass through their bytes, as on the network.

mod liars;
mod plan;
mod range;
mod runs;
mod serve;
mod servers;

use std::sync::Arc;

use alloy_primitives::{Address, B256};
use baton_consensus::{Committee, CommitteeMember, SecretKey, Verifier, aggregate};
use baton_execution::{ExecutedBlock, NonceExecutor, execute_all};
use baton_proto::{
    Block, BlockDigest, BlockHeader, Certificate, Domain, Epoch, Epochs, Height, L1BlockNumber, L1ChainId, L1Origin,
    L2ChainId, MemberIndex, SignerSet, Statement, Weight, wire::FinalRange,
};

use crate::{
    driver::testing::{child, transaction},
    ledger::{ChainIdentity, FinalStep, Ledger, LedgerError},
    p2p::{Keypair, PeerId},
};

const EPOCH: Epoch = Epoch::new(2);
const L2_CHAIN: u64 = 7_001;

fn domain() -> Domain {
    Domain {
        l1_chain_id: L1ChainId::new(31_337),
        registry: Address::repeat_byte(0xa1),
        l2_chain_id: L2ChainId::new(L2_CHAIN),
    }
}

/// L1 blocks that make up epochs; all origins of these chains lie in the first ones.
const EPOCHS: Epochs = Epochs { genesis: L1BlockNumber::ZERO, blocks: 1_000 };

fn identity() -> ChainIdentity {
    ChainIdentity { domain: domain(), inbox: Address::repeat_byte(0xa2), slasher: Address::repeat_byte(0xa3) }
}

/// A peer that may serve; 0 and on are members', unless a test says otherwise.
fn peer(n: u8) -> PeerId {
    Keypair::ed25519_from_bytes([n.wrapping_add(1); 32]).unwrap().public().to_peer_id()
}

fn key(member: u8) -> SecretKey {
    SecretKey::generate(&[member.wrapping_add(1); 32])
}

/// Checks certificates of four members with stakes 32, 28, 22 and 18; the last one is the node that catches up.
fn verifier() -> Arc<Verifier> {
    let member = |(weight, index): (u64, u8)| CommitteeMember {
        owner: Address::repeat_byte(index),
        fee_recipient: Address::ZERO,
        weight: Weight::new(weight),
        key: key(index).public_key(),
    };
    let members = [32, 28, 22, 18].into_iter().zip(0..).map(member).collect();
    Arc::new(Verifier::new(domain(), Arc::new(Committee::new(EPOCH, members).unwrap())).unwrap())
}

/// A finalization of `header` by `signers`.
fn finalization_by(header: &BlockHeader, signers: &[u8]) -> Certificate {
    certificate_by(Statement::Finalize { epoch: EPOCH, view: header.view, block: header.digest() }, signers)
}

fn certificate_by(statement: Statement, signers: &[u8]) -> Certificate {
    let parts: Vec<_> = signers.iter().map(|member| key(*member).sign(&statement, &domain())).collect();
    let signers: SignerSet = signers.iter().copied().map(MemberIndex::new).collect();
    Certificate { statement, signers, signature: aggregate(&parts).unwrap() }
}

fn finalization(header: &BlockHeader) -> Certificate {
    finalization_by(header, &[0, 1, 2])
}

fn genesis() -> BlockHeader {
    let origin = L1Origin { number: L1BlockNumber::new(99), hash: B256::repeat_byte(9) };
    BlockHeader::genesis(L2ChainId::new(L2_CHAIN), origin, 1_700_000_000)
}

/// A chain on genesis, of which every block can be proven final.
struct Chain(Vec<Block>);

impl Chain {
    /// `length` blocks; every hundredth holds a transaction.
    fn new(length: u64) -> Self {
        let mut blocks: Vec<Block> = Vec::new();
        let mut parent = genesis();
        for height in 1..=length {
            let transactions =
                if height.is_multiple_of(100) { vec![transaction(L2_CHAIN, height / 100 - 1, 0)] } else { Vec::new() };
            blocks.push(child(&parent, transactions));
            parent = blocks.last().unwrap().header.clone();
        }
        Self(blocks)
    }

    fn block(&self, height: u64) -> Option<&Block> {
        self.0.get(usize::try_from(height.checked_sub(1)?).unwrap())
    }

    fn head(&self) -> &BlockHeader {
        &self.0.last().unwrap().header
    }

    /// Blocks from `from` on with a finalization of the last of them.
    fn range(&self, from: u64, count: u32) -> Option<FinalRange> {
        let first = usize::try_from(from.checked_sub(1)?).unwrap();
        let end = first.saturating_add(count as usize).min(self.0.len());
        let blocks = self.0.get(first..end)?.to_vec();
        let finalization = finalization(&blocks.last()?.header);
        Some(FinalRange { blocks, tail: Vec::new(), finalization })
    }
}

/// What the driver does with a range: execute and store in one step.
fn take(ledger: &dyn Ledger, blocks: &[Block], certificate: Certificate) -> Result<(), LedgerError> {
    // Of what does not build on the head the ledger says what it breaks, whatever its results.
    let results = execute_all(&NonceExecutor, blocks, ledger.state()?.as_ref());
    let results = results.unwrap_or_else(|_| vec![ExecutedBlock::default(); blocks.len()]);
    ledger.finalize(&FinalStep { blocks: blocks.to_vec(), certificate, results })
}

fn head_of(ledger: &dyn Ledger) -> (Height, BlockDigest) {
    let head = ledger.head().unwrap();
    (head.height, head.digest)
}
