//! What this node makes for L1, in a file that the contracts' tests read: `contracts/test/crosscheck/Submissions.t.sol` has
//! the same chain, with these members, and sends it. `BATON_BLESS=1` writes the file anew.

#[path = "../../../../consensus/tests/common/golden.rs"]
mod golden;

use alloy_primitives::{Address, B256, address, hex, keccak256};
use baton_consensus::{SecretKey, aggregate, to_eip2537};
use baton_proto::{
    Attestation, BatchHash, BatchIndex, BlockDigest, BlsSignature, Certificate, Conflict, Domain, Epoch, Evidence,
    Height, L1ChainId, L2ChainId, MemberIndex, Offence, SignedStatement, Statement, View, blobs,
};
use serde_json::{Value, json};

use crate::l1::{
    bindings::{conflict_submission, submission},
    kzg::Sidecar,
    reporter::commitment,
};

const DEPLOYER: Address = address!("000000000000000000000000000000000000ba70");
const EPOCH: Epoch = Epoch::new(2);

/// Four members of equal weight, in the order of their owners.
struct Chain {
    domain: Domain,
    members: Vec<(Address, SecretKey)>,
    reporter: Address,
}

fn address_of(name: &str) -> Address {
    Address::from_slice(&keccak256(name)[12..])
}

impl Chain {
    fn new() -> Self {
        let domain = Domain {
            l1_chain_id: L1ChainId::new(31_337),
            registry: DEPLOYER.create(0),
            l2_chain_id: L2ChainId::new(4_242),
        };
        let mut members: Vec<_> = (0..4)
            .map(|index| {
                let key = SecretKey::generate(&keccak256(format!("submission key {index}")).0);
                (address_of(&format!("submission owner {index}")), key)
            })
            .collect();
        members.sort_by_key(|(owner, _)| *owner);
        Self { domain, members, reporter: address_of("reporter") }
    }

    fn signed(&self, signer: u8, statement: Statement) -> SignedStatement {
        let signature = self.members[usize::from(signer)].1.sign(&statement, &self.domain);
        SignedStatement { statement, signer: MemberIndex::new(signer), signature }
    }

    fn certificate(&self, statement: Statement, signers: [u8; 3]) -> Certificate {
        let parts: Vec<BlsSignature> = signers.iter().map(|signer| self.signed(*signer, statement).signature).collect();
        let signers = signers.into_iter().map(MemberIndex::new).collect();
        Certificate { statement, signers, signature: aggregate(&parts).unwrap() }
    }

    fn entry(&self, name: &str, offence: u8, offenders: &[u8], calldata: &[u8]) -> Value {
        json!({
            "name": name,
            "offence": offence,
            "offenders": offenders.iter().map(|member| self.members[usize::from(*member)].0).collect::<Vec<_>>(),
            "calldata": hex::encode_prefixed(calldata),
            "commitment": commitment(self.reporter, calldata),
        })
    }

    /// Two statements of one member.
    fn pair(&self, name: &str, offender: u8, first: Statement, second: Statement) -> Value {
        let evidence = Evidence::new(self.signed(offender, first), self.signed(offender, second)).unwrap();
        let offence = match evidence.offence() {
            Offence::DoubleNotarize => 1,
            Offence::DoubleFinalize => 2,
            Offence::NullifyFinalize => 3,
            Offence::ConflictingAttestations => 5,
        };
        let owner = self.members[usize::from(offender)].0;
        self.entry(name, offence, &[offender], &submission(&evidence, owner).unwrap())
    }

    /// Two certificates: all but the last member signed one, all but the first the other.
    fn conflict(&self, name: &str, first: Statement, second: Statement) -> Value {
        let conflict = Conflict::new(self.certificate(first, [0, 1, 2]), self.certificate(second, [1, 2, 3])).unwrap();
        self.entry(name, 4, &[1, 2], &conflict_submission(&conflict).unwrap())
    }
}

fn attested(last: &str, state: u8) -> Statement {
    Statement::Attest(Attestation {
        committee_epoch: EPOCH,
        batch_index: BatchIndex::new(5),
        prev_batch_hash: BatchHash::new(keccak256("before")),
        header_hash: BatchHash::new(keccak256(format!("header of {last} {state}"))),
        last_height: Height::new(12),
        last_digest: BlockDigest::new(keccak256(last)),
        state_root: B256::repeat_byte(state),
    })
}

/// As many bytes, each its place modulo 251.
fn posted(length: usize) -> Value {
    let data: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
    let sidecar = Sidecar::of(&data).unwrap();
    json!({
        "bytes": length,
        "versionedHashes": sidecar.versioned_hashes,
        "dataHash": blobs::data_hash(&sidecar.versioned_hashes),
    })
}

#[test]
fn what_this_node_sends_is_what_the_contracts_take() {
    let chain = Chain::new();
    let view = View::new(7);
    let block = |name: &str| BlockDigest::new(keccak256(name));
    let notarize = |name: &str| Statement::Notarize { epoch: EPOCH, view, block: block(name) };
    let finalize = |name: &str| Statement::Finalize { epoch: EPOCH, view, block: block(name) };
    let nullify = Statement::Nullify { epoch: EPOCH, view };
    let members = chain.members.iter().map(|(owner, key)| {
        json!({
            "owner": owner,
            "key": key.public_key(),
            "message": chain.domain.possession_message(*owner, &key.public_key()),
            "possession": hex::encode_prefixed(to_eip2537(&key.prove_possession(&chain.domain, *owner)).unwrap()),
        })
    });
    golden::golden(
        "submissions.json",
        &json!({
            "domain": {
                "l1ChainId": chain.domain.l1_chain_id.get(),
                "l2ChainId": chain.domain.l2_chain_id.get(),
                "deployer": DEPLOYER,
                "registry": chain.domain.registry,
            },
            "members": members.collect::<Vec<_>>(),
            "reporter": chain.reporter,
            "submissions": [
                chain.pair("two notarizations", 0, notarize("a"), notarize("b")),
                chain.pair("two finalizations", 1, finalize("a"), finalize("b")),
                chain.pair("a nullification and a finalization", 2, nullify, finalize("a")),
                chain.pair("two attested blocks", 3, attested("a", 0), attested("b", 0)),
                chain.pair("two attested states", 3, attested("a", 0), attested("a", 1)),
                chain.conflict("two notarizations by quorums", notarize("a"), notarize("b")),
                chain.conflict("two finalizations by quorums", finalize("a"), finalize("b")),
                chain.conflict("a finalization and a nullification by quorums", finalize("a"), nullify),
            ],
            "blobs": [posted(34), posted(blobs::CARRIED_BYTES)],
        }),
    );
}
