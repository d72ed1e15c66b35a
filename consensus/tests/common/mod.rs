//! What the machine's tests share: a small chain and a scheme that is cheap and worth nothing.

#![allow(dead_code, reason = "every test file uses its own part")]

use std::sync::Arc;

use alloy_primitives::{Address, B256, keccak256};
use baton_consensus::{Committee, CommitteeMember, Config, Schedule, Scheme, Verified, Verifier, bls::BlsError};
use baton_proto::{
    BlockDigest, BlockHeader, BlsPublicKey, BlsSignature, Certificate, Domain, Epoch, Epochs, L1BlockNumber, L1ChainId,
    L1Origin, L2ChainId, MemberIndex, SignedStatement, SignerSet, Statement, TimestampMs, View, Weight,
};

/// Signatures that anyone can forge: a hash of key and message. Sums are exclusive ors.
#[derive(Debug)]
pub(crate) struct Insecure;

impl Scheme for Insecure {
    type Key = BlsPublicKey;

    fn decode_key(key: &BlsPublicKey) -> Result<BlsPublicKey, BlsError> {
        Ok(*key)
    }

    fn verify(key: &BlsPublicKey, message: &B256, signature: &BlsSignature) -> bool {
        insecure_sign(key, message) == *signature
    }

    fn aggregate(signatures: &[BlsSignature]) -> Result<BlsSignature, BlsError> {
        let mut sum = [0; 48];
        for signature in signatures {
            for (byte, other) in sum.iter_mut().zip(signature.as_bytes()) {
                *byte ^= other;
            }
        }
        Ok(BlsSignature::new(sum))
    }

    fn verify_aggregate(keys: &[&BlsPublicKey], message: &B256, signature: &BlsSignature) -> bool {
        let signatures: Vec<BlsSignature> = keys.iter().map(|key| insecure_sign(key, message)).collect();
        !keys.is_empty() && Self::aggregate(&signatures).as_ref() == Ok(signature)
    }
}

fn insecure_sign(key: &BlsPublicKey, message: &B256) -> BlsSignature {
    let hash = keccak256([key.as_bytes().as_slice(), message.as_slice()].concat());
    let mut bytes = [0; 48];
    bytes[..32].copy_from_slice(hash.as_slice());
    BlsSignature::new(bytes)
}

/// One chain, one committee, and the means to speak for each of its members.
pub(crate) struct World {
    pub(crate) domain: Domain,
    pub(crate) committee: Arc<Committee>,
    pub(crate) schedule: Schedule,
    pub(crate) verifier: Verifier<Insecure>,
    pub(crate) genesis: BlockHeader,
    pub(crate) config: Config,
}

fn key_of(number: u8) -> BlsPublicKey {
    BlsPublicKey::new([number; 256])
}

pub(crate) const EPOCH: Epoch = Epoch::new(2);

impl World {
    pub(crate) fn new(weights: &[u64]) -> Self {
        Self::of_members(EPOCH, &(1..).zip(weights.iter().copied()).collect::<Vec<_>>())
    }

    /// The world of an epoch with these members: a number from 1 on, ascending, that names the same one in every epoch, and a
    /// weight.
    pub(crate) fn of_members(epoch: Epoch, members: &[(u8, u64)]) -> Self {
        let domain = Domain {
            l1_chain_id: L1ChainId::new(31_337),
            registry: Address::repeat_byte(0x52),
            l2_chain_id: L2ChainId::new(42_069),
        };
        let member = |(number, weight): &(u8, u64)| CommitteeMember {
            owner: Address::repeat_byte(*number),
            fee_recipient: Address::repeat_byte(*number),
            weight: Weight::new(*weight),
            key: key_of(*number),
        };
        let committee = Arc::new(Committee::new(epoch, members.iter().map(member).collect()).unwrap());
        let origin = L1Origin { number: L1BlockNumber::new(100), hash: B256::repeat_byte(9) };
        Self {
            domain,
            schedule: Schedule::leaders(&domain, &committee, B256::repeat_byte(epoch.get() as u8 + 1)),
            verifier: Verifier::with_scheme(domain, Arc::clone(&committee)).unwrap(),
            genesis: BlockHeader::genesis(domain.l2_chain_id, origin, 1_700_000_000),
            // The genesis block's origin is the first L1 block of its epoch.
            config: Config {
                delta_ms: 100,
                min_block_ms: 50,
                idle_block_ms: 500,
                inactive_views: 20,
                epochs: Epochs { genesis: L1BlockNumber::new(80), blocks: 10 },
            },
            committee,
        }
    }

    /// Returns the seat of a member by its number, if it has one in this epoch.
    pub(crate) fn seat(&self, number: u8) -> Option<MemberIndex> {
        self.committee.index_of_key(&key_of(number))
    }

    /// Returns the number of the member in a seat.
    pub(crate) fn number(&self, seat: MemberIndex) -> u8 {
        self.committee.member(seat).unwrap().owner[0]
    }

    pub(crate) fn leader(&self, view: u64) -> MemberIndex {
        self.schedule.leader(View::new(view))
    }

    /// A block on `parent`; `salt` tells apart what one leader proposes twice.
    pub(crate) fn block(&self, view: u64, parent: &BlockHeader, salt: u64) -> BlockHeader {
        BlockHeader {
            epoch: self.committee.epoch(),
            view: View::new(view),
            height: parent.height.next().unwrap(),
            parent: parent.digest(),
            timestamp_ms: TimestampMs::new(parent.timestamp_ms.get() + 1),
            payload_root: keccak256((u128::from(view) << 64 | u128::from(salt)).to_be_bytes()),
            proposer: self.leader(view),
            ..parent.clone()
        }
    }

    /// A block like [`Self::block`] whose L1 origin is the first of `epoch`.
    pub(crate) fn block_of(&self, epoch: Epoch, view: u64, parent: &BlockHeader, salt: u64) -> BlockHeader {
        let origin = L1Origin { number: self.config.epochs.start(epoch), hash: B256::repeat_byte(9) };
        BlockHeader { origin, ..self.block(view, parent, salt) }
    }

    pub(crate) fn sign(&self, signer: MemberIndex, statement: Statement) -> Verified<SignedStatement> {
        self.verifier.verify(self.raw(signer, statement)).unwrap()
    }

    /// Returns a statement with its signature, whatever it says.
    pub(crate) fn raw(&self, signer: MemberIndex, statement: Statement) -> SignedStatement {
        let key = &self.committee.member(signer).unwrap().key;
        SignedStatement { statement, signer, signature: insecure_sign(key, &statement.digest(&self.domain)) }
    }

    pub(crate) fn everybody(&self) -> SignerSet {
        self.committee.indices().collect()
    }

    pub(crate) fn certify(&self, signers: &[u8], statement: Statement) -> Verified<Certificate> {
        let members = || signers.iter().copied().map(MemberIndex::new);
        let signatures: Vec<BlsSignature> = members().map(|signer| self.sign(signer, statement).signature).collect();
        let signature = Insecure::aggregate(&signatures).unwrap();
        let certificate = Certificate { statement, signers: members().collect::<SignerSet>(), signature };
        self.verifier.verify_certificate(certificate).unwrap()
    }
}

pub(crate) fn notarize(view: u64, block: BlockDigest) -> Statement {
    Statement::Notarize { epoch: EPOCH, view: View::new(view), block }
}

pub(crate) fn finalize(view: u64, block: BlockDigest) -> Statement {
    Statement::Finalize { epoch: EPOCH, view: View::new(view), block }
}

pub(crate) fn nullify(view: u64) -> Statement {
    Statement::Nullify { epoch: EPOCH, view: View::new(view) }
}
