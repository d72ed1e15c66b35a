//! The digests that L1 rebuilds, in one file that Rust and Solidity tests both read.

use alloy_primitives::{Address, B256, Bytes, U256, address, hex, keccak256};
use baton_proto::{
    Attestation, BatchHash, BatchHeader, BatchIndex, BlockDigest, BlockHeader, BlsPublicKey, DataKind, Domain, Duties,
    Epoch, Height, L1BlockNumber, L1ChainId, L1Origin, L2ChainId, MemberIndex, PeerProof, Statement, TimestampMs, View,
    duties_root, merkle,
};
use serde_json::{Value, json};

use crate::golden;

const FILE: &str = "../contracts/test/vectors/digests.json";

#[test]
fn digests_are_the_ones_that_solidity_rebuilds() {
    let domain = Domain {
        l1_chain_id: L1ChainId::new(31_337),
        registry: address!("5fbdb2315678afecb367f032d93f642f64180aa3"),
        l2_chain_id: L2ChainId::new(42_069),
    };
    let vectors = json!({
        "domain": {
            "l1ChainId": domain.l1_chain_id.to_string(),
            "registry": hex_of(domain.registry),
            "l2ChainId": domain.l2_chain_id.to_string(),
            "separator": hex_of(domain.separator()),
        },
        "blockHeaders": block_headers().iter().map(block_header).collect::<Vec<_>>(),
        "batchHeaders": batch_headers().iter().map(batch_header).collect::<Vec<_>>(),
        "statements": statements().iter().map(|s| statement(s, &domain)).collect::<Vec<_>>(),
        "possession": possession(&domain),
        "peerProofs": peer_proofs(&domain),
        "dutiesRoots": duties_roots(),
        "merkle": merkle_roots(),
    });
    let mut text = serde_json::to_string_pretty(&vectors).unwrap();
    text.push('\n');
    golden::compare(FILE, text.as_bytes());
}

fn hex_of(bytes: impl AsRef<[u8]>) -> String {
    hex::encode_prefixed(bytes)
}

/// Bytes that look like no others: keccak256 of a name.
fn named(name: &str) -> B256 {
    keccak256(name)
}

fn block_headers() -> Vec<BlockHeader> {
    let filled = |fill: u8, number: u64| BlockHeader {
        l2_chain_id: L2ChainId::new(number),
        epoch: Epoch::new(number),
        view: View::new(number),
        height: Height::new(number),
        parent: BlockDigest::new(B256::repeat_byte(fill)),
        timestamp_ms: TimestampMs::new(number),
        origin: L1Origin { number: L1BlockNumber::new(number), hash: B256::repeat_byte(fill) },
        forced_position: number,
        forced_hash: B256::repeat_byte(fill),
        payload_root: B256::repeat_byte(fill),
        transaction_count: number as u32,
        payload_bytes: number as u32,
        declared_gas: number,
        proposer: MemberIndex::new(fill),
        fee_recipient: Address::repeat_byte(fill),
    };
    let origin = L1Origin { number: L1BlockNumber::new(1_031), hash: named("origin") };
    vec![
        filled(0x00, 0),
        filled(0xff, u64::MAX),
        BlockHeader::genesis(L2ChainId::new(42_069), origin, 1_763_700_000),
        BlockHeader {
            l2_chain_id: L2ChainId::new(42_069),
            epoch: Epoch::new(3),
            view: View::new(17),
            height: Height::new(1_234_567),
            parent: BlockDigest::new(named("parent")),
            timestamp_ms: TimestampMs::new(1_763_700_123_456),
            origin,
            forced_position: 9,
            forced_hash: named("forced"),
            payload_root: named("payload"),
            transaction_count: 321,
            payload_bytes: 45_678,
            declared_gas: 6_741_000,
            proposer: MemberIndex::new(5),
            fee_recipient: address!("00000000000000000000000000000000000fee01"),
        },
    ]
}

fn block_header(header: &BlockHeader) -> Value {
    json!({
        "header": {
            "l2ChainId": header.l2_chain_id.to_string(),
            "epoch": header.epoch.to_string(),
            "viewNumber": header.view.to_string(),
            "height": header.height.to_string(),
            "parent": hex_of(header.parent.get()),
            "timestampMs": header.timestamp_ms.to_string(),
            "originNumber": header.origin.number.to_string(),
            "originHash": hex_of(header.origin.hash),
            "forcedPosition": header.forced_position.to_string(),
            "forcedHash": hex_of(header.forced_hash),
            "payloadRoot": hex_of(header.payload_root),
            "transactionCount": header.transaction_count.to_string(),
            "payloadBytes": header.payload_bytes.to_string(),
            "declaredGas": header.declared_gas.to_string(),
            "proposer": header.proposer.to_string(),
            "feeRecipient": hex_of(header.fee_recipient),
        },
        "encoded": hex_of(header.abi_encode()),
        "digest": hex_of(header.digest().get()),
    })
}

fn batch_headers() -> Vec<BatchHeader> {
    let filled = |fill: u8, number: u64, data_kind: DataKind| BatchHeader {
        index: BatchIndex::new(number),
        prev_batch_hash: BatchHash::new(B256::repeat_byte(fill)),
        epoch: Epoch::new(number),
        first_height: Height::new(number),
        last_height: Height::new(number),
        last_digest: BlockDigest::new(B256::repeat_byte(fill)),
        last_origin: L1Origin { number: L1BlockNumber::new(number), hash: B256::repeat_byte(fill) },
        state_root: B256::repeat_byte(fill),
        forced_position: number,
        forced_hash: B256::repeat_byte(fill),
        data_kind,
        data_hash: B256::repeat_byte(fill),
        duties_root: B256::repeat_byte(fill),
    };
    vec![
        filled(0x00, 0, DataKind::Blobs),
        filled(0xff, u64::MAX, DataKind::Calldata),
        BatchHeader {
            index: BatchIndex::new(7),
            prev_batch_hash: BatchHash::new(named("previous batch")),
            epoch: Epoch::new(3),
            first_height: Height::new(1_000),
            last_height: Height::new(1_250),
            last_digest: BlockDigest::new(named("last block")),
            last_origin: L1Origin { number: L1BlockNumber::new(1_048), hash: named("last origin") },
            state_root: named("state"),
            forced_position: 9,
            forced_hash: named("forced"),
            data_kind: DataKind::Calldata,
            data_hash: named("data"),
            duties_root: named("duties"),
        },
    ]
}

fn batch_header(header: &BatchHeader) -> Value {
    json!({
        "header": {
            "index": header.index.to_string(),
            "prevBatchHash": hex_of(header.prev_batch_hash.get()),
            "epoch": header.epoch.to_string(),
            "firstHeight": header.first_height.to_string(),
            "lastHeight": header.last_height.to_string(),
            "lastDigest": hex_of(header.last_digest.get()),
            "lastOriginNumber": header.last_origin.number.to_string(),
            "lastOriginHash": hex_of(header.last_origin.hash),
            "stateRoot": hex_of(header.state_root),
            "forcedPosition": header.forced_position.to_string(),
            "forcedHash": hex_of(header.forced_hash),
            "dataKind": header.data_kind.code().to_string(),
            "dataHash": hex_of(header.data_hash),
            "dutiesRoot": hex_of(header.duties_root),
        },
        "encoded": hex_of(header.abi_encode()),
        "hash": hex_of(header.hash().get()),
    })
}

fn statements() -> Vec<Statement> {
    let mut all = Vec::new();
    let fills = [(0, 0, B256::ZERO), (u64::MAX, u64::MAX, B256::repeat_byte(0xff)), (3, 17, named("block"))];
    for (epoch, view, hash) in fills {
        let (block, batch) = (BlockDigest::new(hash), BatchHash::new(hash));
        all.push(Statement::Notarize { epoch: Epoch::new(epoch), view: View::new(view), block });
        all.push(Statement::Finalize { epoch: Epoch::new(epoch), view: View::new(view), block });
        all.push(Statement::Nullify { epoch: Epoch::new(epoch), view: View::new(view) });
        all.push(Statement::Attest(Attestation {
            committee_epoch: Epoch::new(epoch),
            batch_index: BatchIndex::new(view),
            prev_batch_hash: batch,
            header_hash: batch,
            last_height: Height::new(view),
            last_digest: block,
            state_root: hash,
        }));
    }
    all.extend(batch_headers().iter().map(|header| Statement::Attest(Attestation::of(header.epoch, header))));
    all
}

fn statement(statement: &Statement, domain: &Domain) -> Value {
    let digest = hex_of(statement.digest(domain));
    let vote = |kind: &str, epoch: Epoch, view: View, block: BlockDigest| {
        json!({
            "kind": kind,
            "epoch": epoch.to_string(),
            "view": view.to_string(),
            "blockDigest": hex_of(block.get()),
            "digest": digest,
        })
    };
    match *statement {
        Statement::Notarize { epoch, view, block } => vote("Notarize", epoch, view, block),
        Statement::Finalize { epoch, view, block } => vote("Finalize", epoch, view, block),
        Statement::Nullify { epoch, view } => {
            json!({ "kind": "Nullify", "epoch": epoch.to_string(), "view": view.to_string(), "digest": digest })
        }
        Statement::Attest(a) => json!({
            "kind": "Attest",
            "committeeEpoch": a.committee_epoch.to_string(),
            "batchIndex": a.batch_index.to_string(),
            "prevBatchHash": hex_of(a.prev_batch_hash.get()),
            "headerHash": hex_of(a.header_hash.get()),
            "lastHeight": a.last_height.to_string(),
            "lastDigest": hex_of(a.last_digest.get()),
            "stateRoot": hex_of(a.state_root),
            "digest": digest,
        }),
    }
}

fn possession(domain: &Domain) -> Vec<Value> {
    let counting: [u8; 256] = std::array::from_fn(|i| i as u8);
    [
        (Address::ZERO, [0x00; 256]),
        (Address::repeat_byte(0xff), [0xff; 256]),
        (address!("70997970c51812dc3a010c7d01b50e0d17dc79c8"), counting),
    ]
    .into_iter()
    .map(|(owner, key)| {
        let message = domain.possession_message(owner, &BlsPublicKey::new(key));
        json!({ "owner": hex_of(owner), "blsKey": hex_of(key), "message": hex_of(message) })
    })
    .collect()
}

fn peer_proofs(domain: &Domain) -> Vec<Value> {
    let counting = |length: u8| Bytes::from_iter(0..length);
    [
        (Bytes::new(), Bytes::new(), B256::ZERO),
        (Bytes::from([0xff; 38]), Bytes::from([0xff; 38]), B256::repeat_byte(0xff)),
        (counting(38), counting(34), named("nonce")),
    ]
    .into_iter()
    .map(|(signer_peer_id, challenger_peer_id, nonce)| {
        let proof = PeerProof { signer_peer_id, challenger_peer_id, nonce };
        json!({
            "signerPeerId": hex_of(&proof.signer_peer_id),
            "challengerPeerId": hex_of(&proof.challenger_peer_id),
            "nonce": hex_of(proof.nonce),
            "digest": hex_of(proof.digest(domain)),
        })
    })
    .collect()
}

fn duties_roots() -> Vec<Value> {
    let row = |led, missed| Duties { led, missed };
    let tables = [
        (0, vec![]),
        (2, vec![row(0, 0)]),
        (3, vec![row(12, 0), row(11, 1), row(0, 12), row(7, 5)]),
        (u64::MAX, vec![row(u64::MAX, u64::MAX); 128]),
    ];
    tables
        .into_iter()
        .map(|(epoch, table)| {
            json!({
                "epoch": epoch.to_string(),
                "led": table.iter().map(|row| row.led.to_string()).collect::<Vec<_>>(),
                "missed": table.iter().map(|row| row.missed.to_string()).collect::<Vec<_>>(),
                "root": hex_of(duties_root(Epoch::new(epoch), &table)),
            })
        })
        .collect()
}

fn merkle_roots() -> Vec<Value> {
    [0_u64, 1, 2, 3, 5, 8, 11]
        .into_iter()
        .map(|count| {
            let leaves: Vec<B256> = (0..count).map(|i| keccak256(U256::from(i).to_be_bytes::<32>())).collect();
            let root = merkle::root(&leaves);
            json!({ "leaves": leaves.iter().map(hex_of).collect::<Vec<_>>(), "root": hex_of(root) })
        })
        .collect()
}

/// The digests once more, from type definitions that a library hashes by EIP-712's own rules.
mod by_library {
    use alloy_sol_types::{Eip712Domain, SolStruct, eip712_domain, sol};

    use super::*;
    use crate::strategies::{config, statement};

    sol! {
        struct Notarize { uint64 l2ChainId; uint64 epoch; uint64 view; bytes32 blockDigest; }
        struct Finalize { uint64 l2ChainId; uint64 epoch; uint64 view; bytes32 blockDigest; }
        struct Nullify { uint64 l2ChainId; uint64 epoch; uint64 view; }
        struct Attest {
            uint64 l2ChainId;
            uint64 committeeEpoch;
            uint64 batchIndex;
            bytes32 prevBatchHash;
            bytes32 headerHash;
            uint64 lastHeight;
            bytes32 lastDigest;
            bytes32 stateRoot;
        }
    }

    mod typed {
        alloy_sol_types::sol! {
            struct PeerProof { uint64 l2ChainId; bytes signerPeerId; bytes challengerPeerId; bytes32 nonce; }
        }
    }

    fn domain_712(domain: &Domain) -> Eip712Domain {
        eip712_domain! {
            name: "Baton",
            version: "1",
            chain_id: domain.l1_chain_id.get(),
            verifying_contract: domain.registry,
        }
    }

    fn digest(statement: &Statement, domain: &Domain) -> B256 {
        let typed = domain_712(domain);
        let l2_chain_id = domain.l2_chain_id.get();
        match *statement {
            Statement::Notarize { epoch, view, block } => {
                let (epoch, view, digest) = (epoch.get(), view.get(), block.get());
                Notarize { l2ChainId: l2_chain_id, epoch, view, blockDigest: digest }.eip712_signing_hash(&typed)
            }
            Statement::Finalize { epoch, view, block } => {
                let (epoch, view, digest) = (epoch.get(), view.get(), block.get());
                Finalize { l2ChainId: l2_chain_id, epoch, view, blockDigest: digest }.eip712_signing_hash(&typed)
            }
            Statement::Nullify { epoch, view } => {
                Nullify { l2ChainId: l2_chain_id, epoch: epoch.get(), view: view.get() }.eip712_signing_hash(&typed)
            }
            Statement::Attest(a) => Attest {
                l2ChainId: l2_chain_id,
                committeeEpoch: a.committee_epoch.get(),
                batchIndex: a.batch_index.get(),
                prevBatchHash: a.prev_batch_hash.get(),
                headerHash: a.header_hash.get(),
                lastHeight: a.last_height.get(),
                lastDigest: a.last_digest.get(),
                stateRoot: a.state_root,
            }
            .eip712_signing_hash(&typed),
        }
    }

    proptest::proptest! {
        #![proptest_config(config(200))]

        #[test]
        fn statements_are_hashed_as_eip_712_says(
            statement in statement(),
            l1_chain_id in proptest::prelude::any::<u64>(),
            l2_chain_id in proptest::prelude::any::<u64>(),
            registry in proptest::prelude::any::<[u8; 20]>(),
        ) {
            let domain = Domain {
                l1_chain_id: L1ChainId::new(l1_chain_id),
                registry: Address::new(registry),
                l2_chain_id: L2ChainId::new(l2_chain_id),
            };
            proptest::prop_assert_eq!(statement.digest(&domain), digest(&statement, &domain));
        }

        #[test]
        fn peer_proofs_are_hashed_as_eip_712_says(
            signer in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80),
            challenger in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80),
            nonce in proptest::prelude::any::<[u8; 32]>(),
            l2_chain_id in proptest::prelude::any::<u64>(),
        ) {
            let domain = Domain {
                l1_chain_id: L1ChainId::new(31_337),
                registry: Address::repeat_byte(0x52),
                l2_chain_id: L2ChainId::new(l2_chain_id),
            };
            let (signer, challenger) = (Bytes::from(signer), Bytes::from(challenger));
            let proof = PeerProof {
                signer_peer_id: signer.clone(),
                challenger_peer_id: challenger.clone(),
                nonce: nonce.into(),
            };
            let by_library = typed::PeerProof {
                l2ChainId: l2_chain_id,
                signerPeerId: signer,
                challengerPeerId: challenger,
                nonce: nonce.into(),
            };
            proptest::prop_assert_eq!(proof.digest(&domain), by_library.eip712_signing_hash(&domain_712(&domain)));
        }
    }
}
