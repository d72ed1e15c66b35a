//! A committee with keys, and blocks of real transactions, for tests.

use std::{sync::Arc, time::Duration};

use alloy::signers::{SignerSync as _, local::PrivateKeySigner};
use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, B256, Bytes, TxKind};
use baton_consensus::{Committee, CommitteeMember, SecretKey, Verifier, aggregate};
use baton_mempool::TransactionRules;
use baton_proto::{
    Attestation, BatchHash, BatchIndex, Block, BlockDigest, BlockHeader, Certificate, ChainSpec, Domain, Epoch, Forced,
    Height, L1BlockNumber, L1ChainId, L1Origin, L2ChainId, MemberIndex, PayloadCommitment, SignedStatement, SignerSet,
    Statement, TimestampMs, Transaction, View, Weight,
};

use crate::{
    epoch::{EpochBook, EpochContext},
    l1::{EpochFacts, deploy::devnet_spec},
    p2p::{Keypair, Network, NetworkConfig, NetworkEvent, Speaker},
    signer::OwnKey,
};

/// Limit of every wait; a test that is well takes a fraction of it.
const LIMIT: Duration = Duration::from_secs(60);

/// The rollup of every test.
pub(crate) const L2: L2ChainId = L2ChainId::new(778);

/// The parameters of that rollup.
pub(crate) fn spec() -> ChainSpec {
    ChainSpec { block_bytes_max: 2 << 20, ..devnet_spec(L2, 512, Address::ZERO) }
}

/// What it demands of transactions.
pub(crate) fn rules() -> TransactionRules {
    TransactionRules::of(&spec())
}

/// A committee whose keys are all here.
pub(crate) struct World {
    pub(crate) domain: Domain,
    pub(crate) committee: Arc<Committee>,
    pub(crate) verifier: Arc<Verifier>,
    keys: Vec<SecretKey>,
}

impl World {
    pub(crate) fn new(weights: &[u64]) -> Self {
        let domain =
            Domain { l1_chain_id: L1ChainId::new(31_337), registry: Address::repeat_byte(0x52), l2_chain_id: L2 };
        let keys: Vec<SecretKey> = (1..).take(weights.len()).map(|seed: u8| SecretKey::generate(&[seed; 32])).collect();
        let members = (0..).zip(weights).zip(&keys).map(|((index, weight), key)| CommitteeMember {
            owner: Address::repeat_byte(index),
            fee_recipient: Address::ZERO,
            weight: Weight::new(*weight),
            key: key.public_key(),
        });
        let committee = Arc::new(Committee::new(Epoch::new(2), members.collect()).unwrap());
        let verifier = Arc::new(Verifier::new(domain, Arc::clone(&committee)).unwrap());
        Self { domain, committee, verifier, keys }
    }

    /// The epoch as a follower sees it.
    pub(crate) fn epoch(&self) -> Arc<EpochContext> {
        self.epoch_with(B256::repeat_byte(1), None)
    }

    /// The same as who has `key` sees it.
    pub(crate) fn epoch_seated(&self, key: &OwnKey) -> Arc<EpochContext> {
        self.epoch_with(B256::repeat_byte(1), Some(key))
    }

    /// The same with a schedule by which member 0 leads `view`.
    pub(crate) fn epoch_led_by_the_first(&self, view: View) -> Arc<EpochContext> {
        (0..=u8::MAX)
            .map(|n| self.epoch_with(B256::repeat_byte(n), None))
            .find(|epoch| epoch.leaders.leader(view) == MemberIndex::new(0))
            .unwrap()
    }

    fn epoch_with(&self, randomness: B256, key: Option<&OwnKey>) -> Arc<EpochContext> {
        self.seen(self.facts(randomness), key)
    }

    /// Any epoch, in which these members sit in this order.
    pub(crate) fn epoch_of(&self, epoch: u64, seats: &[u8]) -> Arc<EpochContext> {
        let seat = |(place, member): (u8, &u8)| {
            let member = self.committee.members()[usize::from(*member)].clone();
            CommitteeMember { owner: Address::repeat_byte(place), ..member }
        };
        let committee = (0..).zip(seats).map(seat).collect();
        self.seen(EpochFacts { epoch: Epoch::new(epoch), committee, randomness: B256::repeat_byte(1) }, None)
    }

    fn seen(&self, facts: EpochFacts, key: Option<&OwnKey>) -> Arc<EpochContext> {
        let origin = L1Origin { number: L1BlockNumber::new(1), hash: B256::ZERO };
        Arc::new(EpochContext::new(self.domain, &facts, BlockHeader::genesis(L2, origin, 1), key).unwrap())
    }

    pub(crate) fn facts(&self, randomness: B256) -> EpochFacts {
        EpochFacts { epoch: self.committee.epoch(), committee: self.committee.members().to_vec(), randomness }
    }

    /// Two networks: a follower's, and the one of `member`, which is connected to it and can be charged there.
    pub(crate) async fn hears(&self, member: u8) -> (Network, Network) {
        let config = |speakers, peers| NetworkConfig {
            identity: Keypair::generate_ed25519(),
            listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
            announce: vec![],
            book: None,
            epochs: EpochBook::new(self.epoch()),
            spec: spec(),
            speakers,
            peers,
            observers: vec![],
        };
        let start = async |config| Network::start(config, Arc::new(|_: &_| None)).await.unwrap();
        let (network, mut events) = start(config(vec![], vec![])).await;
        let here = (network.peer_id(), network.listen_addresses()[0].clone());
        let (sender, _) = start(config(vec![self.speaker(member)], vec![here])).await;
        let connected = tokio::time::timeout(LIMIT, events.recv()).await.expect("in time");
        assert!(matches!(connected, Some(NetworkEvent::MemberConnected { .. })), "{connected:?}");
        (network, sender)
    }

    /// What a node proves to be this member with.
    pub(crate) fn speaker(&self, member: u8) -> Speaker {
        let (key, domain) = (self.keys[usize::from(member)].clone(), self.domain);
        Speaker { key: key.public_key(), prove: Arc::new(move |proof| key.prove_peer(proof, &domain)) }
    }

    pub(crate) fn key(&self, member: u8) -> SecretKey {
        self.keys[usize::from(member)].clone()
    }

    pub(crate) fn sign(&self, signer: u8, statement: Statement) -> SignedStatement {
        let signature = self.keys[usize::from(signer)].sign(&statement, &self.domain);
        SignedStatement { statement, signer: MemberIndex::new(signer), signature }
    }

    /// What a member says of the end of one batch, for the committee of `epoch`.
    pub(crate) fn attest(&self, signer: u8, epoch: Epoch, fill: u8) -> SignedStatement {
        let attestation = Attestation {
            committee_epoch: epoch,
            batch_index: BatchIndex::new(5),
            prev_batch_hash: BatchHash::ZERO,
            header_hash: BatchHash::new(B256::repeat_byte(fill)),
            last_height: Height::new(9),
            last_digest: BlockDigest::new(B256::repeat_byte(fill)),
            state_root: B256::ZERO,
        };
        self.sign(signer, Statement::Attest(attestation))
    }

    pub(crate) fn certify(&self, signers: &[u8], statement: Statement) -> Certificate {
        let signatures: Vec<_> = signers.iter().map(|signer| self.sign(*signer, statement).signature).collect();
        let signature = aggregate(&signatures).unwrap();
        let signers: SignerSet = signers.iter().map(|signer| MemberIndex::new(*signer)).collect();
        Certificate { statement, signers, signature }
    }
}

/// A signed transaction with `data_bytes` of calldata, always of the same account.
pub(crate) fn transfer(nonce: u64, data_bytes: usize) -> Transaction {
    transaction(L2.get(), nonce, data_bytes)
}

/// The same on another chain.
pub(crate) fn transaction(chain_id: u64, nonce: u64, data_bytes: usize) -> Transaction {
    signed(TxEip1559 {
        chain_id,
        nonce,
        gas_limit: 1 << 24,
        max_fee_per_gas: 1_000_000_000,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(Address::repeat_byte(9)),
        input: Bytes::from(vec![0x5a; data_bytes]),
        ..Default::default()
    })
}

/// `tx`, signed by always the same account.
pub(crate) fn signed(tx: TxEip1559) -> Transaction {
    signed_by(7, tx)
}

/// `tx`, signed by account `key`, which is not 0.
pub(crate) fn signed_by(key: u8, tx: TxEip1559) -> Transaction {
    let signer = PrivateKeySigner::from_bytes(&B256::repeat_byte(key)).unwrap();
    let signature = signer.sign_hash_sync(&tx.signature_hash()).unwrap();
    Transaction::decode(TxEnvelope::from(tx.into_signed(signature)).encoded_2718().into()).unwrap()
}

/// A block of `view` that member 0 proposes, with these transactions.
pub(crate) fn block_of(height: u64, view: u64, transactions: Vec<Transaction>) -> Block {
    let commitment = PayloadCommitment::of(&Forced::default(), &transactions);
    let header = BlockHeader {
        l2_chain_id: L2,
        epoch: Epoch::new(2),
        view: View::new(view),
        height: Height::new(height),
        parent: BlockDigest::new(B256::repeat_byte(3)),
        timestamp_ms: TimestampMs::new(1_800_000_000_000),
        origin: L1Origin { number: L1BlockNumber::new(12), hash: B256::repeat_byte(4) },
        forced_position: 0,
        forced_hash: B256::ZERO,
        payload_root: commitment.payload_root,
        transaction_count: commitment.transaction_count,
        payload_bytes: commitment.payload_bytes,
        declared_gas: commitment.declared_gas,
        proposer: MemberIndex::new(0),
        fee_recipient: Address::repeat_byte(5),
    };
    Block { header, forced: Forced::default(), transactions }
}

/// The block after `parent` with these transactions, of the next view and 100 ms later.
pub(crate) fn child(parent: &BlockHeader, transactions: Vec<Transaction>) -> Block {
    let commitment = PayloadCommitment::of(&Forced::default(), &transactions);
    let header = BlockHeader {
        view: parent.view.next().unwrap(),
        height: parent.height.next().unwrap(),
        parent: parent.digest(),
        timestamp_ms: TimestampMs::new(parent.timestamp_ms.get() + 100),
        payload_root: commitment.payload_root,
        transaction_count: commitment.transaction_count,
        payload_bytes: commitment.payload_bytes,
        declared_gas: commitment.declared_gas,
        ..parent.clone()
    };
    Block { header, forced: Forced::default(), transactions }
}
