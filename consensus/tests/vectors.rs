//! Golden vectors that Rust and Solidity both read: the schedule here, signatures with their certificates and evidence.
//!
//! `BATON_BLESS=1` writes the files anew; a change of one is a change of what a chain agrees on.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "common/golden.rs"]
mod golden;

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, hex, keccak256};
use baton_consensus::{
    Committee, CommitteeMember, Schedule, SecretKey, Verifier, aggregate, to_eip2537, verify_possession,
};
use baton_proto::{
    Attestation, BatchHash, BatchIndex, BlockDigest, BlsPublicKey, BlsSignature, Certificate, Domain, Epoch, Evidence,
    Height, L1ChainId, L2ChainId, MemberIndex, PeerProof, SignedStatement, SignerSet, Statement, View, Weight,
};
use serde_json::{Value, json};

use crate::golden::golden;

fn domain() -> Domain {
    Domain {
        l1_chain_id: L1ChainId::new(31_337),
        registry: Address::from_slice(&keccak256("registry")[12..]),
        l2_chain_id: L2ChainId::new(42_069),
    }
}

fn owners(count: usize, salt: &str) -> Vec<Address> {
    let mut owners: Vec<Address> =
        (0..count).map(|index| Address::from_slice(&keccak256(format!("{salt} owner {index}"))[12..])).collect();
    owners.sort();
    owners
}

fn committee(epoch: u64, owners: &[Address], weights: &[u64], key: impl Fn(usize) -> BlsPublicKey) -> Committee {
    let member = |(index, (owner, weight)): (usize, (&Address, &u64))| CommitteeMember {
        owner: *owner,
        fee_recipient: *owner,
        weight: Weight::new(*weight),
        key: key(index),
    };
    Committee::new(Epoch::new(epoch), owners.iter().zip(weights).enumerate().map(member).collect())
        .expect("a committee")
}

#[test]
fn schedule_vectors_are_up_to_date() {
    // A total above 2^62 has a quarter of all words rejected.
    let odd = [1_u64, 3, 7, 1_000_003, 999_999_999_989, 12_345_678_901, (1 << 62) + 9];
    let many: Vec<u64> = (0..128_u64).map(|index| 1_000_000 + index * index * 977).collect();
    let cases: [(&str, u64, &[u64], u64); 4] = [
        ("one", 2, &[5], 64),
        ("devnet", 2, &[32_000_000, 28_000_000, 22_000_000, 18_000_000], 4_096),
        ("odd", 7, &odd, 1_024),
        ("many", 1_000_000_007, &many, 1_024),
    ];
    let cases = cases.map(|(name, epoch, weights, turns)| {
        let domain = domain();
        let owners = owners(weights.len(), name);
        // The schedule does not depend on keys; the committee only wants them distinct.
        let committee = committee(epoch, &owners, weights, |index| BlsPublicKey::new([index as u8; 256]));
        let randomness = keccak256(format!("{name} randomness"));
        let list = |schedule: Schedule| -> String {
            hex::encode((1..=turns).map(|turn| schedule.turn(turn).get()).collect::<Vec<u8>>())
        };
        json!({
            "l1ChainId": domain.l1_chain_id.get(),
            "registry": domain.registry,
            "l2ChainId": domain.l2_chain_id.get(),
            "epoch": epoch,
            "randomness": randomness,
            "addresses": owners,
            "weights": weights.iter().map(u64::to_string).collect::<Vec<_>>(),
            "leaders": format!("0x{}", list(Schedule::leaders(&domain, &committee, randomness))),
            "posters": format!("0x{}", list(Schedule::posters(&domain, &committee, randomness))),
        })
    });
    golden("schedule.json", &json!({ "cases": cases }));
}

fn secret(name: &str) -> SecretKey {
    SecretKey::generate(&keccak256(format!("vector key {name}")).0)
}

/// A peer id as libp2p writes that of an ed25519 key: the identity multihash of 36 bytes.
fn peer_id(name: &str) -> Bytes {
    [&hex::decode("002408011220").expect("hex")[..], keccak256(name).as_slice()].concat().into()
}

fn eip2537(signature: &BlsSignature) -> String {
    hex::encode_prefixed(to_eip2537(signature).expect("a signature"))
}

/// A statement with everything that Solidity needs to rebuild its digest.
fn described(statement: &Statement, domain: &Domain) -> Value {
    let mut value = serde_json::to_value(statement).expect("a statement is json");
    value["code"] = json!(statement.kind().code());
    value["digest"] = json!(statement.digest(domain));
    value
}

#[test]
fn signature_vectors_are_up_to_date() {
    let domain = domain();
    let epoch = Epoch::new(2);
    let (view, other_view) = (View::new(7), View::new(8));
    let block = |name: &str| BlockDigest::new(keccak256(format!("block {name}")));
    let notarize = |name: &str| Statement::Notarize { epoch, view, block: block(name) };
    let finalize = |name: &str| Statement::Finalize { epoch, view, block: block(name) };
    let nullify = |view| Statement::Nullify { epoch, view };
    let attest = Statement::Attest(Attestation {
        committee_epoch: epoch,
        batch_index: BatchIndex::new(0),
        prev_batch_hash: BatchHash::ZERO,
        header_hash: BatchHash::new(keccak256("batch")),
        last_height: Height::new(12),
        last_digest: block("a"),
        state_root: B256::ZERO,
    });

    let signatures = [notarize("a"), finalize("a"), nullify(view), attest].map(|statement| {
        let key = secret("signer");
        let signed =
            SignedStatement { statement, signer: MemberIndex::new(0), signature: key.sign(&statement, &domain) };
        let alone = committee(2, &owners(1, "signer"), &[1], |_| key.public_key());
        let verifier = Verifier::new(domain, Arc::new(alone)).unwrap();
        let signature = verifier.verify(signed).unwrap().signature;
        json!({
            "key": key.public_key(),
            "dst": "statement",
            "statement": described(&statement, &domain),
            "message": statement.digest(&domain),
            "signature": eip2537(&signature),
        })
    });

    let possession = owners(3, "possession").into_iter().map(|owner| {
        let key = secret(&owner.to_string());
        let proof = key.prove_possession(&domain, owner);
        assert!(verify_possession(&domain, owner, &key.public_key(), &proof));
        json!({
            "l1ChainId": domain.l1_chain_id.get(),
            "registry": domain.registry,
            "owner": owner,
            "key": key.public_key(),
            "dst": "possession",
            "message": domain.possession_message(owner, &key.public_key()),
            "signature": eip2537(&proof),
        })
    });

    let peer_proofs = ["first", "second"].map(|name| {
        let key = secret("peer");
        let proof = PeerProof {
            signer_peer_id: peer_id(&format!("{name} signer")),
            challenger_peer_id: peer_id(&format!("{name} challenger")),
            nonce: keccak256(format!("{name} nonce")),
        };
        let signature = key.prove_peer(&proof, &domain);
        let alone = committee(2, &owners(1, "peer"), &[1], |_| key.public_key());
        assert!(Verifier::new(domain, Arc::new(alone)).unwrap().verify_peer(MemberIndex::new(0), &proof, &signature));
        json!({
            "key": key.public_key(),
            "dst": "peer",
            "signerPeerId": proof.signer_peer_id,
            "challengerPeerId": proof.challenger_peer_id,
            "nonce": proof.nonce,
            "message": proof.digest(&domain),
            "signature": eip2537(&signature),
        })
    });

    let cases: [(&str, &[u64], &[u8], Statement); 5] = [
        ("one", &[5], &[0], finalize("a")),
        ("devnet, one absent", &[32_000_000, 28_000_000, 22_000_000, 18_000_000], &[1, 2, 3], attest),
        ("devnet, all", &[32_000_000, 28_000_000, 22_000_000, 18_000_000], &[0, 1, 2, 3], attest),
        ("heads do not count", &[40, 30, 20, 5, 5], &[0, 1], nullify(view)),
        ("seven", &[1, 1, 1, 1, 1, 1, 1], &[0, 2, 3, 5, 6], notarize("a")),
    ];
    let certificates = cases.map(|(name, weights, signers, statement)| {
        let owners = owners(weights.len(), name);
        let keys: Vec<SecretKey> = owners.iter().map(|owner| secret(&owner.to_string())).collect();
        let committee = committee(2, &owners, weights, |index| keys[index].public_key());
        let parts: Vec<BlsSignature> =
            signers.iter().map(|signer| keys[usize::from(*signer)].sign(&statement, &domain)).collect();
        let signers: SignerSet = signers.iter().copied().map(MemberIndex::new).collect();
        let certificate = Certificate { statement, signers, signature: aggregate(&parts).unwrap() };
        let verifier = Verifier::new(domain, Arc::new(committee.clone())).unwrap();
        let certificate = verifier.verify_certificate(certificate).unwrap();
        json!({
            "name": name,
            "l1ChainId": domain.l1_chain_id.get(),
            "registry": domain.registry,
            "l2ChainId": domain.l2_chain_id.get(),
            "epoch": epoch,
            "owners": owners,
            "keys": committee.members().iter().map(|member| member.key).collect::<Vec<_>>(),
            "weights": weights.iter().map(u64::to_string).collect::<Vec<_>>(),
            "statement": described(&statement, &domain),
            "bitmap": format!("{:#066x}", signers.bits()),
            "signedWeight": committee.weight_of(signers).unwrap().to_string(),
            "totalWeight": committee.total_weight().get().to_string(),
            "signature": eip2537(&certificate.signature),
        })
    });

    let pairs = [
        ("double notarize", notarize("a"), notarize("b")),
        ("double finalize", finalize("a"), finalize("b")),
        ("nullify and finalize", nullify(view), finalize("a")),
        ("finalize and nullify", finalize("a"), nullify(view)),
        ("legal: notarize then nullify", notarize("a"), nullify(view)),
        ("legal: notarize and finalize", notarize("a"), finalize("a")),
        ("legal: different views", nullify(view), nullify(other_view)),
    ];
    let evidence = pairs.map(|(name, first, second)| {
        let owner = owners(1, "evidence")[0];
        let key = secret("evidence");
        let sign = |statement: Statement| SignedStatement {
            statement,
            signer: MemberIndex::new(0),
            signature: key.sign(&statement, &domain),
        };
        let offence = Evidence::new(sign(first), sign(second)).map(|pair| format!("{:?}", pair.offence()));
        assert_eq!(offence.is_none(), name.starts_with("legal"));
        let sum = aggregate(&[sign(first).signature, sign(second).signature]).unwrap();
        json!({
            "name": name,
            "l1ChainId": domain.l1_chain_id.get(),
            "registry": domain.registry,
            "l2ChainId": domain.l2_chain_id.get(),
            "owner": owner,
            "epoch": epoch,
            "key": key.public_key(),
            "offence": offence,
            "first": described(&first, &domain),
            "second": described(&second, &domain),
            "signatureSum": eip2537(&sum),
        })
    });

    let attested = |last: &str, state: u8, index, epoch| {
        Statement::Attest(Attestation {
            committee_epoch: Epoch::new(epoch),
            batch_index: BatchIndex::new(index),
            prev_batch_hash: BatchHash::new(keccak256("before")),
            header_hash: BatchHash::new(keccak256(format!("header of {last} {state}"))),
            last_height: Height::new(12),
            last_digest: block(last),
            state_root: B256::repeat_byte(state),
        })
    };
    let pairs = [
        ("two blocks", attested("a", 0, 5, 2), attested("b", 0, 5, 2)),
        ("two states", attested("a", 0, 5, 2), attested("a", 1, 5, 2)),
        ("legal: two batches", attested("a", 0, 5, 2), attested("b", 0, 6, 2)),
        ("legal: two committees", attested("a", 0, 5, 2), attested("a", 0, 5, 3)),
    ];
    let attestations = pairs.map(|(name, first, second)| {
        let (owner, key) = (owners(1, "evidence")[0], secret("evidence"));
        let sign = |statement: Statement| key.sign(&statement, &domain);
        let (Statement::Attest(a), Statement::Attest(b)) = (first, second) else { unreachable!("both are made above") };
        assert_eq!(!a.conflicts_with(&b), name.starts_with("legal"));
        json!({
            "name": name,
            "owner": owner,
            "key": key.public_key(),
            "first": described(&first, &domain),
            "second": described(&second, &domain),
            "signatureSum": eip2537(&aggregate(&[sign(first), sign(second)]).unwrap()),
        })
    });

    let possession: Vec<Value> = possession.collect();
    golden(
        "signatures.json",
        &json!({
            "signatures": signatures,
            "possession": possession,
            "peerProofs": peer_proofs,
            "certificates": certificates,
            "evidence": evidence,
            "attestations": attestations,
        }),
    );
}
