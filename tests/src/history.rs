//! Writes a chain that was never run: final blocks with real certificates of a test committee, as a node's own ledger.
//!
//! Headers follow the rules of protocol section 4, leaders the schedule, and every certificate is what the members' signatures
//! add up to, so a node that opens the folder, and every peer that it serves, finds nothing amiss. Views of members whose
//! keys are not given are skipped, as they would be while those members are away.

use std::{path::Path, sync::Arc, thread};

use alloy::signers::local::PrivateKeySigner;
use alloy_primitives::{Address, U256, uint};
use anyhow::{Context as _, ensure};
use baton_consensus::{Committee, Schedule, SecretKey};
use baton_execution::{NonceExecutor, execute_all};
use baton_node::{
    l1::ChainFacts,
    ledger::{ChainIdentity, FinalStep, Ledger as _, RocksLedger},
};
use baton_proto::{
    Block, BlockHeader, Certificate, Domain, Forced, Height, L1Origin, MemberIndex, PayloadCommitment, SignerSet,
    Statement, TimestampMs, Transaction,
};

use crate::transactions::transfer;

/// Blocks that are built, signed and written together.
const CHUNK_BLOCKS: u64 = 2_048;

/// Blocks that one step of the ledger makes final.
const STEP_BLOCKS: usize = 256;

/// Milliseconds between two blocks: the least there can be, so that a long chain does not reach into the future.
const BLOCK_MS: u64 = 1;

/// One block in so many holds transactions, and how many it holds.
const FULL_EVERY: u64 = 50;
const TRANSACTIONS: u64 = 2;

/// One block in so many was finalized by a descendant only.
const UNFINALIZED_EVERY: u64 = 7;

/// Blocks after the first thousand that were all finalized by one descendant, as after an outage of finality.
const STRETCH: std::ops::Range<u64> = 1_000..1_700;

/// The order of the group that keys and signatures are in.
const GROUP_ORDER: U256 = uint!(0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001_U256);

/// What a chain is made from.
pub struct Recipe<'a> {
    /// The chain, as L1 describes it.
    pub facts: &'a ChainFacts,
    /// Keys of the members who took part: a quorum.
    pub keys: Vec<(MemberIndex, SecretKey)>,
    /// Who sends transactions.
    pub senders: Vec<PrivateKeySigner>,
    /// L1 blocks that are final now, ascending; headers name one after the other.
    pub origins: Vec<L1Origin>,
}

impl Recipe<'_> {
    /// Writes `length` final blocks into a new ledger in `folder`, and returns the header of the last one.
    ///
    /// # Errors
    /// When the keys are no quorum of the committee, or the folder cannot be written.
    pub fn write(&self, folder: &Path, length: u64) -> anyhow::Result<BlockHeader> {
        let facts = self.facts;
        let committee = Arc::new(Committee::new(facts.first.epoch, facts.first.committee.clone())?);
        let signers: SignerSet = self.keys.iter().map(|(member, _)| *member).collect();
        ensure!(committee.is_quorum(signers), "the keys of {signers:?} are no quorum");
        let sum = sum_of(self.keys.iter().map(|(_, key)| key))?;
        let identity = ChainIdentity { domain: facts.domain, inbox: facts.inbox, slasher: facts.slasher };
        std::fs::create_dir_all(folder)?;
        let ledger = RocksLedger::open(folder, &identity)?;
        ledger.init_genesis(&facts.genesis)?;
        let leaders = Schedule::leaders(&facts.domain, &committee, facts.first.randomness);
        let mut author =
            Author { recipe: self, committee: &committee, leaders, signers, length, head: facts.genesis.clone() };
        while author.head.height.get() < length {
            let count = CHUNK_BLOCKS.min(length - author.head.height.get());
            let blocks = (0..count).map(|_| author.next()).collect::<anyhow::Result<Vec<_>>>()?;
            let certified: Vec<&BlockHeader> =
                blocks.iter().map(|block| &block.header).filter(|header| is_finalized(header.height, length)).collect();
            let certificates = certify(&certified, signers, &sum, &facts.domain)?;
            store(&ledger, &blocks, &certificates)?;
        }
        Ok(author.head)
    }
}

/// Whether the block at `height` has a finalization of its own.
fn is_finalized(height: Height, length: u64) -> bool {
    let height = height.get();
    let is_last_of_chunk = height.is_multiple_of(CHUNK_BLOCKS) || height == length;
    is_last_of_chunk || !(height.is_multiple_of(UNFINALIZED_EVERY) || STRETCH.contains(&height))
}

struct Author<'a> {
    recipe: &'a Recipe<'a>,
    committee: &'a Committee,
    leaders: Schedule,
    signers: SignerSet,
    length: u64,
    head: BlockHeader,
}

impl Author<'_> {
    /// The next block, proposed by the next leader who is there.
    fn next(&mut self) -> anyhow::Result<Block> {
        let parent = &self.head;
        let mut view = parent.view;
        let proposer = loop {
            view = view.next().context("views are used up")?;
            let leader = self.leaders.leader(view);
            if self.signers.contains(leader) {
                break leader;
            }
        };
        let height = parent.height.next().context("heights are used up")?;
        let transactions = self.transactions(height)?;
        let commitment = PayloadCommitment::of(&Forced::default(), &transactions);
        let header = BlockHeader {
            view,
            height,
            parent: parent.digest(),
            timestamp_ms: TimestampMs::new(parent.timestamp_ms.get() + BLOCK_MS),
            origin: self.origin(height).filter(|origin| origin.number > parent.origin.number).unwrap_or(parent.origin),
            payload_root: commitment.payload_root,
            transaction_count: commitment.transaction_count,
            payload_bytes: commitment.payload_bytes,
            declared_gas: commitment.declared_gas,
            proposer,
            fee_recipient: self.committee.member(proposer).map_or(Address::ZERO, |member| member.fee_recipient),
            ..parent.clone()
        };
        self.head = header.clone();
        Ok(Block { header, forced: Forced::default(), transactions })
    }

    /// The L1 blocks in turn, each for an equal part of the chain.
    fn origin(&self, height: Height) -> Option<L1Origin> {
        let origins = &self.recipe.origins;
        let at = u128::from(height.get()) * origins.len() as u128 / (u128::from(self.length) + 1);
        origins.get(usize::try_from(at).ok()?).copied()
    }

    fn transactions(&self, height: Height) -> anyhow::Result<Vec<Transaction>> {
        let senders = self.recipe.senders.len() as u64;
        if senders == 0 || !height.get().is_multiple_of(FULL_EVERY) {
            return Ok(Vec::new());
        }
        // The senders take turns, each with consecutive nonces.
        let turn = height.get() / FULL_EVERY - 1;
        let sender = &self.recipe.senders[usize::try_from(turn % senders)?];
        let first = turn / senders * TRANSACTIONS;
        let chain_id = self.recipe.facts.spec.l2_chain_id.get();
        let raw = (first..first + TRANSACTIONS).map(|nonce| transfer(sender, chain_id, nonce, 1));
        raw.map(|raw| Ok(Transaction::decode(raw.into())?)).collect()
    }
}

/// The key whose signature is the sum of all the keys' signatures. Nobody who holds only one of them could do this; here all
/// are ours, and it saves two signatures of three.
fn sum_of<'a>(keys: impl Iterator<Item = &'a SecretKey>) -> anyhow::Result<SecretKey> {
    let sum = keys.fold(U256::ZERO, |sum, key| sum.add_mod(U256::from_be_bytes(*key.to_bytes()), GROUP_ORDER));
    Ok(SecretKey::from_bytes(&sum.to_be_bytes())?)
}

/// A finalization of each header, made on all cores.
fn certify(
    headers: &[&BlockHeader],
    signers: SignerSet,
    sum: &SecretKey,
    domain: &Domain,
) -> anyhow::Result<Vec<Certificate>> {
    let finalize = |header: &&BlockHeader| {
        let statement = Statement::Finalize { epoch: header.epoch, view: header.view, block: header.digest() };
        Certificate { statement, signers, signature: sum.sign(&statement, domain) }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let part = headers.len().div_ceil(threads).max(1);
    thread::scope(|scope| {
        let parts: Vec<_> = headers
            .chunks(part)
            .map(|headers| scope.spawn(move || headers.iter().map(finalize).collect::<Vec<_>>()))
            .collect();
        let mut certificates = Vec::with_capacity(headers.len());
        for part in parts {
            certificates.extend(part.join().map_err(|_| anyhow::anyhow!("a signing thread panicked"))?);
        }
        Ok(certificates)
    })
}

/// Stores blocks whose last one is finalized, in steps that each end with a finalized one.
fn store(ledger: &RocksLedger, blocks: &[Block], certificates: &[Certificate]) -> anyhow::Result<()> {
    let mut certificates = certificates.iter().peekable();
    let (mut step, mut passed): (Vec<Block>, Vec<Certificate>) = Default::default();
    for block in blocks {
        step.push(block.clone());
        let digest = block.header.digest();
        let Some(certificate) = certificates.next_if(|next| next.statement.block() == Some(digest)) else { continue };
        if step.len() < STEP_BLOCKS && certificates.peek().is_some() {
            passed.push(certificate.clone());
            continue;
        }
        ledger.persist(&[], &std::mem::take(&mut passed))?;
        let blocks = std::mem::take(&mut step);
        let results = execute_all(&NonceExecutor, &blocks, ledger.state()?.as_ref())?;
        ledger.finalize(&FinalStep { blocks, certificate: certificate.clone(), results })?;
    }
    ensure!(step.is_empty(), "{} blocks without a finalization above them", step.len());
    Ok(())
}

/// Copies a folder that nobody has open.
///
/// # Errors
/// When something in it cannot be read or written.
pub fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use baton_consensus::{CommitteeMember, Verifier, aggregate};
    use baton_proto::{View, Weight};

    use super::*;

    #[test]
    fn the_sum_of_keys_signs_the_sum_of_signatures() {
        let keys: Vec<SecretKey> = (1..=5).map(|seed| SecretKey::generate(&[seed; 32])).collect();
        let domain = Domain {
            l1_chain_id: baton_proto::L1ChainId::new(31_337),
            registry: Address::repeat_byte(1),
            l2_chain_id: baton_proto::L2ChainId::new(7),
        };
        let statement = Statement::Nullify { epoch: baton_proto::Epoch::new(2), view: View::new(9) };
        let parts: Vec<_> = keys.iter().map(|key| key.sign(&statement, &domain)).collect();
        let sum = sum_of(keys.iter()).unwrap();
        assert_eq!(sum.sign(&statement, &domain), aggregate(&parts).unwrap());
        let member = |(key, byte): (&SecretKey, u8)| CommitteeMember {
            owner: Address::repeat_byte(byte),
            fee_recipient: Address::ZERO,
            weight: Weight::new(1),
            key: key.public_key(),
        };
        let members = keys.iter().zip(1..).map(member).collect();
        let committee = Arc::new(Committee::new(baton_proto::Epoch::new(2), members).unwrap());
        let signers = committee.indices().collect();
        let certificate = Certificate { statement, signers, signature: sum.sign(&statement, &domain) };
        assert!(Verifier::new(domain, committee).unwrap().verify_certificate(certificate).is_ok());
    }

    #[test]
    fn the_last_block_of_every_chunk_is_finalized() {
        for length in [1, 7, 2_048, 5_000] {
            assert!(is_finalized(Height::new(length), length));
            assert!(is_finalized(Height::new(CHUNK_BLOCKS), length));
        }
        assert!(!is_finalized(Height::new(1_300), 5_000) && !is_finalized(Height::new(7), 5_000));
    }
}
