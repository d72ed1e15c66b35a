//! Values of every type: real signed transactions, linked blocks, statements, messages.
//!
//! The strategies are boxed, because their value trees together outgrow the stack of a test.

use alloy_consensus::{
    SignableTransaction, Signed, TxEip1559, TxEip2930, TxEip7702, TxEnvelope, TxLegacy, crypto::secp256k1::sign_message,
};
use alloy_eips::{
    eip2718::Encodable2718,
    eip2930::{AccessList, AccessListItem},
    eip7702::{Authorization, SignedAuthorization},
};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use baton_proto::{
    Attestation, BatchHash, BatchHeader, BatchIndex, Block, BlockDigest, BlockHeader, BlsSignature, Certificate,
    DataKind, Epoch, Evidence, Forced, ForcedEntry, Height, L1BlockNumber, L1Origin, L2ChainId, MemberIndex,
    PayloadCommitment, SignedStatement, SignerSet, Statement, TimestampMs, Transaction, View,
    wire::{ConsensusMessage, FinalHeader, FinalRange, SyncRequest, SyncResponse},
};
use proptest::{
    collection::{btree_set, vec},
    option,
    prelude::*,
    sample::select,
    test_runner::RngSeed,
};

pub(crate) const CHAIN: L2ChainId = L2ChainId::new(42_069);

/// The same cases on every run; `PROPTEST_RNG_SEED` asks for others.
pub(crate) fn config(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    let rng_seed = match default.rng_seed {
        RngSeed::Random => RngSeed::Fixed(0x0bad_cafe),
        fixed @ RngSeed::Fixed(_) => fixed,
    };
    ProptestConfig { cases, rng_seed, failure_persistence: None, ..default }
}

/// Signs what `tx` commits to and returns it as Baton holds it.
pub(crate) fn signed<T: SignableTransaction<Signature>>(tx: T, key: u8) -> Transaction
where
    Signed<T>: Into<TxEnvelope>,
{
    Transaction::decode(Bytes::from(raw_signed(tx, key))).expect("a signed transaction decodes")
}

/// Returns the EIP-2718 encoding of `tx`, signed by the `key`-th test key.
pub(crate) fn raw_signed<T: SignableTransaction<Signature>>(tx: T, key: u8) -> Vec<u8>
where
    Signed<T>: Into<TxEnvelope>,
{
    let signature = sign_message(secret(key), tx.signature_hash()).expect("the key is valid");
    let envelope: TxEnvelope = tx.into_signed(signature).into();
    envelope.encoded_2718()
}

/// Secret key number `key`.
pub(crate) fn secret(key: u8) -> B256 {
    B256::with_last_byte(key.saturating_add(1))
}

/// A plain transfer of type 2 with a chosen size of data.
pub(crate) fn transfer(key: u8, nonce: u64, data: usize) -> Transaction {
    signed(unsigned_transfer(nonce, vec![0x5a; data]), key)
}

/// A transfer whose raw encoding has exactly `size` bytes; from 100,200 on, where its lengths take three bytes each.
pub(crate) fn transfer_of_size(key: u8, nonce: u64, size: usize) -> Transaction {
    let data = 100_000 + size - raw_signed(unsigned_transfer(nonce, vec![0x5a; 100_000]), key).len();
    // r and s lose a byte now and then, so the data is varied until the sum is right.
    (0..=255)
        .map(|fill| raw_signed(unsigned_transfer(nonce, vec![fill; data]), key))
        .find(|raw| raw.len() == size)
        .map(|raw| Transaction::decode(Bytes::from(raw)).expect("a signed transaction decodes"))
        .expect("most signatures have the same length")
}

fn unsigned_transfer(nonce: u64, data: Vec<u8>) -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN.get(),
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 30_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
        to: TxKind::Call(Address::repeat_byte(0xaa)),
        value: U256::from(1_000_000_000_000_000_000_u128),
        input: Bytes::from(data),
        ..Default::default()
    }
}

fn hash() -> impl Strategy<Value = B256> {
    prop_oneof![1 => Just(B256::ZERO), 1 => Just(B256::repeat_byte(0xff)), 6 => any::<[u8; 32]>().prop_map(B256::new)]
}

fn address() -> impl Strategy<Value = Address> {
    prop_oneof![1 => Just(Address::ZERO), 6 => any::<[u8; 20]>().prop_map(Address::new)]
}

/// Numbers of every magnitude, the ends among them.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(u64::MAX), 0..300_u64, (any::<u64>(), 0..64_u32).prop_map(|(bits, shift)| bits >> shift)]
}

fn fee() -> impl Strategy<Value = u128> {
    prop_oneof![Just(0), Just(u128::MAX), (any::<u128>(), 0..128_u32).prop_map(|(bits, shift)| bits >> shift),]
}

fn word() -> impl Strategy<Value = U256> {
    (any::<[u8; 32]>(), 0..=256_usize).prop_map(|(bytes, shift)| U256::from_be_bytes(bytes) >> shift)
}

fn data() -> impl Strategy<Value = Bytes> {
    prop_oneof![Just(Bytes::new()), vec(any::<u8>(), 0..200).prop_map(Bytes::from)]
}

fn kind() -> impl Strategy<Value = TxKind> {
    prop_oneof![1 => Just(TxKind::Create), 3 => address().prop_map(TxKind::Call)]
}

fn access_list() -> impl Strategy<Value = AccessList> {
    let item = (address(), vec(hash(), 0..4));
    let item = item.prop_map(|(address, storage_keys)| AccessListItem { address, storage_keys });
    vec(item, 0..4).prop_map(AccessList)
}

fn authorizations() -> impl Strategy<Value = Vec<SignedAuthorization>> {
    let one = (word(), address(), number(), any::<u8>(), word(), word());
    let one = one.prop_map(|(chain_id, address, nonce, y_parity, r, s)| {
        SignedAuthorization::new_unchecked(Authorization { chain_id, address, nonce }, y_parity, r, s)
    });
    vec(one, 0..4)
}

/// A signed transaction of any type that Baton orders.
pub(crate) fn transaction() -> BoxedStrategy<Transaction> {
    let common = (0..5_u8, number(), number(), fee(), fee());
    let rest = (kind(), word(), data(), access_list(), authorizations());
    (0..4_u8, common, rest)
        .prop_map(|(of, common, rest)| {
            let (key, nonce, gas_limit, max_fee_per_gas, max_priority_fee_per_gas) = common;
            let (to, value, input, access_list, authorization_list) = rest;
            let (chain_id, gas_price) = (CHAIN.get(), max_fee_per_gas);
            match of {
                0 => signed(TxLegacy { chain_id: Some(chain_id), nonce, gas_price, gas_limit, to, value, input }, key),
                1 => signed(TxEip2930 { chain_id, nonce, gas_price, gas_limit, to, value, access_list, input }, key),
                2 => signed(
                    TxEip1559 {
                        chain_id,
                        nonce,
                        gas_limit,
                        max_fee_per_gas,
                        max_priority_fee_per_gas,
                        to,
                        value,
                        access_list,
                        input,
                    },
                    key,
                ),
                _ => signed(
                    TxEip7702 {
                        chain_id,
                        nonce,
                        gas_limit,
                        max_fee_per_gas,
                        max_priority_fee_per_gas,
                        to: to.to().copied().unwrap_or_default(),
                        value,
                        access_list,
                        authorization_list,
                        input,
                    },
                    key,
                ),
            }
        })
        .boxed()
}

pub(crate) fn origin() -> impl Strategy<Value = L1Origin> {
    (number(), hash()).prop_map(|(number, hash)| L1Origin { number: L1BlockNumber::new(number), hash })
}

fn member() -> impl Strategy<Value = MemberIndex> {
    prop_oneof![Just(0), Just(127), 0..128_u8].prop_map(MemberIndex::new)
}

/// A header that commits to nothing in particular.
pub(crate) fn header() -> BoxedStrategy<BlockHeader> {
    let numbers = (number(), number(), number(), number(), number(), number(), number());
    let rest = (hash(), hash(), hash(), origin(), any::<u32>(), any::<u32>(), member(), address());
    (numbers, rest)
        .prop_map(|(numbers, rest)| BlockHeader {
            l2_chain_id: L2ChainId::new(numbers.0),
            epoch: Epoch::new(numbers.1),
            view: View::new(numbers.2),
            height: Height::new(numbers.3),
            parent: BlockDigest::new(rest.0),
            timestamp_ms: TimestampMs::new(numbers.4),
            origin: rest.3,
            forced_position: numbers.5,
            forced_hash: rest.1,
            payload_root: rest.2,
            transaction_count: rest.4,
            payload_bytes: rest.5,
            declared_gas: numbers.6,
            proposer: rest.6,
            fee_recipient: rest.7,
        })
        .boxed()
}

/// Makes `header` commit to `transactions`.
pub(crate) fn block_of(header: BlockHeader, transactions: Vec<Transaction>) -> Block {
    let PayloadCommitment { payload_root, transaction_count, payload_bytes, declared_gas } =
        PayloadCommitment::of(&Forced::default(), &transactions);
    Block {
        header: BlockHeader { payload_root, transaction_count, payload_bytes, declared_gas, ..header },
        forced: Forced::default(),
        transactions,
    }
}

/// Makes `header` commit to forced entries that follow where the queue stands at `position` with the rolling hash `before`, and
/// then to `transactions`.
pub(crate) fn forced_block_of(
    header: BlockHeader,
    (position, before): (u64, B256),
    entries: Vec<ForcedEntry>,
    transactions: Vec<Transaction>,
) -> Block {
    let forced = Forced::new(before, entries);
    let PayloadCommitment { payload_root, transaction_count, payload_bytes, declared_gas } =
        PayloadCommitment::of(&forced, &transactions);
    let header = BlockHeader {
        forced_position: position + forced.len() as u64,
        forced_hash: forced.hash_after(position).unwrap_or(before),
        payload_root,
        transaction_count,
        payload_bytes,
        declared_gas,
        ..header
    };
    Block { header, forced, transactions }
}

/// An entry of any bytes, or one that holds a transaction.
pub(crate) fn forced_entry() -> BoxedStrategy<ForcedEntry> {
    let data = prop_oneof![
        vec(any::<u8>(), 1..40).prop_map(Bytes::from),
        transaction().prop_filter_map("too long", |tx| (tx.raw().len() <= 16_384).then(|| tx.raw().clone())),
    ];
    (number(), address(), prop_oneof![4 => Just(0_u8), 1 => any::<u8>()], data)
        .prop_map(|(l1_block, sender, kind, data)| ForcedEntry::new(L1BlockNumber::new(l1_block), sender, kind, data))
        .boxed()
}

pub(crate) fn block() -> BoxedStrategy<Block> {
    let entries = prop_oneof![2 => Just(Vec::new()), 1 => vec(forced_entry(), 1..=16)];
    (header(), entries, hash(), vec(transaction(), 0..4))
        .prop_map(|(header, entries, before, transactions)| {
            let position = header.forced_position / 2;
            forced_block_of(header, (position, before), entries, transactions)
        })
        .boxed()
}

/// Consecutive blocks of one epoch on one chain, of the kind that chains have and of any other kind.
pub(crate) fn chain(blocks: std::ops::Range<usize>) -> BoxedStrategy<Vec<Block>> {
    let usual = (1..3_u64, 1..2_000_u64, 0..4_u8, prop::bool::weighted(0.2));
    let step = prop_oneof![
        3 => usual.prop_map(Step::Usual),
        1 => header().prop_map(Step::Any),
    ];
    let entries = prop_oneof![3 => Just(Vec::new()), 1 => vec(forced_entry(), 1..4)];
    let steps = vec((step, entries, vec(transaction(), 0..3)), blocks);
    (steps, header(), 0..u64::MAX / 2)
        .prop_map(|(steps, mut previous, height)| {
            previous.l2_chain_id = CHAIN;
            previous.height = Height::new(height);
            previous.forced_position /= 2;
            let mut chain = Vec::new();
            for (step, entries, transactions) in steps {
                let header = step.apply(&previous);
                let queue = (previous.forced_position, previous.forced_hash);
                let block = forced_block_of(header, queue, entries, transactions);
                previous = block.header.clone();
                chain.push(block);
            }
            chain
        })
        .boxed()
}

#[derive(Clone, Debug)]
enum Step {
    Usual((u64, u64, u8, bool)),
    Any(BlockHeader),
}

impl Step {
    fn apply(self, previous: &BlockHeader) -> BlockHeader {
        let mut header = match self {
            Self::Usual((views, ms, proposer, new_origin)) => {
                let mut header = previous.clone();
                header.view = View::new(previous.view.get().wrapping_add(views));
                header.timestamp_ms = TimestampMs::new(previous.timestamp_ms.get().wrapping_add(ms));
                header.proposer = MemberIndex::new(proposer);
                header.fee_recipient = Address::repeat_byte(proposer);
                if new_origin {
                    let number = previous.origin.number.get().wrapping_add(1);
                    header.origin = L1Origin { number: L1BlockNumber::new(number), hash: B256::repeat_byte(proposer) };
                }
                header
            }
            Self::Any(header) => header,
        };
        header.l2_chain_id = previous.l2_chain_id;
        header.epoch = previous.epoch;
        header.height = previous.height.next().expect("heights are small");
        header.parent = previous.digest();
        header
    }
}

fn bls() -> impl Strategy<Value = BlsSignature> {
    (hash(), any::<[u8; 16]>())
        .prop_map(|(a, b)| BlsSignature::from_slice(&[a.as_slice(), &b].concat()).expect("32 and 16 are 48"))
}

fn vote() -> impl Strategy<Value = Statement> {
    (0..3_u8, number(), number(), hash()).prop_map(|(kind, epoch, view, hash)| {
        let (epoch, view, block) = (Epoch::new(epoch), View::new(view), BlockDigest::new(hash));
        match kind {
            0 => Statement::Notarize { epoch, view, block },
            1 => Statement::Finalize { epoch, view, block },
            _ => Statement::Nullify { epoch, view },
        }
    })
}

fn attest() -> impl Strategy<Value = Statement> {
    (number(), number(), number(), hash(), hash(), hash(), hash()).prop_map(|(epoch, index, height, a, b, c, d)| {
        Statement::Attest(Attestation {
            committee_epoch: Epoch::new(epoch),
            batch_index: BatchIndex::new(index),
            prev_batch_hash: BatchHash::new(a),
            header_hash: BatchHash::new(b),
            last_height: Height::new(height),
            last_digest: BlockDigest::new(c),
            state_root: d,
        })
    })
}

pub(crate) fn statement() -> BoxedStrategy<Statement> {
    prop_oneof![3 => vote(), 1 => attest()].boxed()
}

pub(crate) fn sign_with(statement: impl Strategy<Value = Statement>) -> impl Strategy<Value = SignedStatement> {
    (statement, member(), bls()).prop_map(|(statement, signer, signature)| SignedStatement {
        statement,
        signer,
        signature,
    })
}

pub(crate) fn certificate() -> BoxedStrategy<Certificate> {
    (statement(), any::<u128>(), bls())
        .prop_map(|(statement, bits, signature)| Certificate {
            statement,
            signers: SignerSet::from_bits(bits),
            signature,
        })
        .boxed()
}

pub(crate) fn evidence() -> BoxedStrategy<Evidence> {
    let blocks = (hash(), hash()).prop_filter("two blocks", |(a, b)| a != b);
    (0..6_u8, number(), number(), blocks, member(), bls(), bls())
        .prop_map(|(pair, epoch, view, (a, b), signer, first, second)| {
            let (epoch, view) = (Epoch::new(epoch), View::new(view));
            let (a, b) = (BlockDigest::new(a), BlockDigest::new(b));
            let notarize = |block| Statement::Notarize { epoch, view, block };
            let finalize = |block| Statement::Finalize { epoch, view, block };
            let nullify = Statement::Nullify { epoch, view };
            let attest = |last_digest: BlockDigest, state_root| {
                Statement::Attest(Attestation {
                    committee_epoch: epoch,
                    batch_index: BatchIndex::new(view.get()),
                    prev_batch_hash: BatchHash::new(a.get()),
                    header_hash: BatchHash::new(last_digest.get()),
                    last_height: Height::new(view.get()),
                    last_digest,
                    state_root,
                })
            };
            let (x, y) = match pair {
                0 => (notarize(a), notarize(b)),
                1 => (finalize(a), finalize(b)),
                2 => (nullify, finalize(a)),
                3 => (finalize(a), nullify),
                4 => (attest(a, a.get()), attest(b, a.get())),
                _ => (attest(a, a.get()), attest(a, b.get())),
            };
            let sign = |statement, signature| SignedStatement { statement, signer, signature };
            Evidence::new(sign(x, first), sign(y, second)).expect("each pair is an offence")
        })
        .boxed()
}

pub(crate) fn batch_header() -> BoxedStrategy<BatchHeader> {
    let numbers = (number(), number(), number(), number(), number());
    let hashes = (hash(), hash(), hash(), hash(), hash(), hash());
    (numbers, hashes, origin(), select(vec![DataKind::Blobs, DataKind::Calldata]))
        .prop_map(|(numbers, hashes, last_origin, data_kind)| BatchHeader {
            index: BatchIndex::new(numbers.0),
            prev_batch_hash: BatchHash::new(hashes.0),
            epoch: Epoch::new(numbers.1),
            first_height: Height::new(numbers.2),
            last_height: Height::new(numbers.3),
            last_digest: BlockDigest::new(hashes.1),
            last_origin,
            state_root: hashes.2,
            forced_position: numbers.4,
            forced_hash: hashes.3,
            data_kind,
            data_hash: hashes.4,
            duties_root: hashes.5,
        })
        .boxed()
}

pub(crate) fn proposal() -> BoxedStrategy<ConsensusMessage> {
    (block(), number(), member(), bls())
        .prop_map(|(block, view, signer, signature)| {
            let statement =
                Statement::Notarize { epoch: block.header.epoch, view: View::new(view), block: block.header.digest() };
            ConsensusMessage::Proposal { block, notarize: SignedStatement { statement, signer, signature } }
        })
        .boxed()
}

/// A proposal with the hashes of its block's transactions in place of their bytes.
pub(crate) fn compact(block: &Block, notarize: SignedStatement) -> ConsensusMessage {
    let transactions = block.transactions.iter().map(|transaction| *transaction.hash()).collect();
    ConsensusMessage::CompactProposal {
        header: block.header.clone(),
        notarize,
        forced: block.forced.clone(),
        transactions,
    }
}

fn compact_proposal() -> BoxedStrategy<ConsensusMessage> {
    // The same transaction may come up twice, which no compact proposal takes.
    let distinct = |block: &Block| {
        let hashes: std::collections::HashSet<_> = block.transactions.iter().map(|tx| *tx.hash()).collect();
        hashes.len() == block.transactions.len()
    };
    (block().prop_filter("each transaction once", distinct), number(), member(), bls())
        .prop_map(|(block, view, signer, signature)| {
            let statement =
                Statement::Notarize { epoch: block.header.epoch, view: View::new(view), block: block.header.digest() };
            compact(&block, SignedStatement { statement, signer, signature })
        })
        .boxed()
}

pub(crate) fn final_header() -> BoxedStrategy<FinalHeader> {
    (header(), number(), any::<u128>(), bls())
        .prop_map(|(header, view, bits, signature)| {
            let statement = Statement::Finalize { epoch: header.epoch, view: View::new(view), block: header.digest() };
            let finalization = Certificate { statement, signers: SignerSet::from_bits(bits), signature };
            FinalHeader { header, finalization }
        })
        .boxed()
}

fn raw_transactions() -> impl Strategy<Value = Vec<Bytes>> {
    vec(vec(any::<u8>(), 0..40).prop_map(Bytes::from), 1..6)
}

pub(crate) fn consensus_message() -> BoxedStrategy<ConsensusMessage> {
    let vote = (sign_with(vote()), option::of(bls())).prop_map(|(vote, leader)| {
        let leader = leader.filter(|_| matches!(vote.statement, Statement::Notarize { .. }));
        ConsensusMessage::Vote { vote, leader }
    });
    prop_oneof![
        2 => proposal(),
        1 => compact_proposal(),
        2 => vote,
        1 => certificate().prop_map(ConsensusMessage::Certificate),
        1 => (number(), number()).prop_map(|(epoch, view)| {
            ConsensusMessage::CertificateRequest { epoch: Epoch::new(epoch), view: View::new(view) }
        }),
        1 => evidence().prop_map(ConsensusMessage::Evidence),
        1 => (number(), batch_header(), data()).prop_map(|(epoch, header, data)| {
            ConsensusMessage::BatchProposal { committee_epoch: Epoch::new(epoch), header, data }
        }),
        1 => sign_with(attest()).prop_map(ConsensusMessage::Attestation),
    ]
    .boxed()
}

pub(crate) fn sync_request() -> impl Strategy<Value = SyncRequest> {
    prop_oneof![
        Just(SyncRequest::Head),
        (number(), 1..=256_u32)
            .prop_map(|(from, blocks_max)| SyncRequest::Range { from: Height::new(from), blocks_max }),
        hash().prop_map(|digest| SyncRequest::Block(BlockDigest::new(digest))),
        (hash(), btree_set(0..32_768_u32, 1..20)).prop_map(|(digest, indices)| SyncRequest::Transactions {
            block: BlockDigest::new(digest),
            indices: indices.into_iter().collect(),
        }),
        raw_transactions().prop_map(SyncRequest::Take),
        number().prop_map(|epoch| SyncRequest::EpochEnd(Epoch::new(epoch))),
    ]
}

pub(crate) fn final_range() -> BoxedStrategy<FinalRange> {
    (chain(1..6), 0..5_usize, number(), any::<u128>(), bls())
        .prop_map(|(mut blocks, tail, view, bits, signature)| {
            let tail = tail.min(blocks.len() - 1);
            let last = blocks[blocks.len() - 1].header.clone();
            let tail = blocks.split_off(blocks.len() - tail).into_iter().map(|block| block.header).collect();
            let statement = Statement::Finalize { epoch: last.epoch, view: View::new(view), block: last.digest() };
            let finalization = Certificate { statement, signers: SignerSet::from_bits(bits), signature };
            FinalRange { blocks, tail, finalization }
        })
        .boxed()
}

pub(crate) fn sync_response() -> BoxedStrategy<SyncResponse> {
    prop_oneof![
        (number(), hash()).prop_map(|(height, digest)| SyncResponse::Head {
            height: Height::new(height),
            digest: BlockDigest::new(digest)
        }),
        final_range().prop_map(SyncResponse::Range),
        option::of(block()).prop_map(SyncResponse::Block),
        raw_transactions().prop_map(SyncResponse::Transactions),
        (0..=512_u32).prop_map(SyncResponse::Taken),
        final_header().prop_map(SyncResponse::EpochEnd),
        Just(SyncResponse::Unavailable),
    ]
    .boxed()
}
