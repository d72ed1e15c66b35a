//! The record under crashes, conflicts and wrong hands.

mod interchange;

use std::path::Path;

use alloy_primitives::{Address, B256};
use baton_consensus::SecretKey;
use baton_proto::{
    Attestation, BatchHash, BatchIndex, BlockDigest, Domain, Epoch, Height, L1ChainId, L2ChainId, MemberIndex, Offence,
    SignedStatement, Statement, View,
};
use proptest::prelude::*;

use super::*;
use crate::ledger::{
    EngineError,
    engine::{Engine, Expect, Layout},
    tests::crash,
};

const EPOCH: Epoch = Epoch::new(2);

fn key() -> SecretKey {
    SecretKey::generate(&[7; 32])
}

fn domain() -> Domain {
    Domain {
        l1_chain_id: L1ChainId::new(31_337),
        registry: Address::repeat_byte(1),
        l2_chain_id: L2ChainId::new(7_001),
    }
}

fn signer_on(record: SignRecord) -> Signer {
    OwnKey::new(key(), record, domain()).unwrap().seated(MemberIndex::new(3))
}

fn create(path: &Path) -> Signer {
    signer_on(SignRecord::create(path, &key().public_key()).unwrap())
}

fn reopen(path: &Path) -> Signer {
    signer_on(SignRecord::open(path, &key().public_key()).unwrap())
}

fn error_of<T>(result: Result<T, SignRecordError>) -> SignRecordError {
    match result {
        Ok(_) => panic!("it was accepted"),
        Err(error) => error,
    }
}

fn block(byte: u8) -> BlockDigest {
    BlockDigest::new(B256::repeat_byte(byte))
}

fn notarize(view: u64, byte: u8) -> Statement {
    Statement::Notarize { epoch: EPOCH, view: View::new(view), block: block(byte) }
}

fn finalize(view: u64, byte: u8) -> Statement {
    Statement::Finalize { epoch: EPOCH, view: View::new(view), block: block(byte) }
}

fn nullify(view: u64) -> Statement {
    Statement::Nullify { epoch: EPOCH, view: View::new(view) }
}

fn attestation() -> Attestation {
    Attestation {
        committee_epoch: EPOCH,
        batch_index: BatchIndex::new(4),
        prev_batch_hash: BatchHash::new(B256::repeat_byte(1)),
        header_hash: BatchHash::new(B256::repeat_byte(2)),
        last_height: Height::new(90),
        last_digest: block(3),
        state_root: B256::ZERO,
    }
}

/// Signs `first`, then asks for `second`, in one call, in two, and with a crash between; all three must agree.
fn is_allowed(first: Statement, second: Statement) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let together = create(&folder.path().join("together")).sign(&[first, second]).is_ok();
    let path = folder.path().join("apart");
    let signer = create(&path);
    signer.sign(&[first]).unwrap();
    let apart = signer.sign(&[second]);
    assert_eq!(apart.is_ok(), together);
    if let Err(error) = apart {
        assert!(
            matches!(&error, SignError::Conflict { recorded, asked } if **recorded == first && **asked == second),
            "{error}"
        );
        drop(signer);
        assert!(matches!(reopen(&path).sign(&[second]), Err(SignError::Conflict { .. })));
    }
    together
}

/// A proof is no statement: it needs no record, works on one that is closed to everything else, and leaves it as it was.
#[test]
fn a_peer_proof_is_the_keys_own_and_leaves_no_record() {
    let folder = tempfile::tempdir().unwrap();
    let record = SignRecord::create(folder.path(), &key().public_key()).unwrap();
    let own = OwnKey::new(key(), record, domain()).unwrap();
    let signer = own.seated(MemberIndex::new(3));
    signer.sign(&[notarize(5, 1)]).unwrap();
    let peer = |byte: u8| alloy_primitives::Bytes::from(vec![byte; 38]);
    let proof = PeerProof { signer_peer_id: peer(1), challenger_peer_id: peer(2), nonce: B256::repeat_byte(3) };
    assert_eq!(own.prove_peer(&proof), key().prove_peer(&proof, &domain()));
    assert_eq!(signer.recorded(EPOCH, View::ZERO).unwrap(), [notarize(5, 1)]);
}

#[test]
fn votes_follow_the_rules_of_a_view() {
    assert!(is_allowed(notarize(5, 1), notarize(6, 2)));
    assert!(is_allowed(notarize(5, 1), finalize(5, 1)));
    assert!(is_allowed(notarize(5, 1), nullify(5)));
    assert!(is_allowed(nullify(5), nullify(5)));
    assert!(is_allowed(nullify(5), finalize(6, 1)));
    assert!(!is_allowed(notarize(5, 1), notarize(5, 2)));
    assert!(!is_allowed(finalize(5, 1), finalize(5, 2)));
    assert!(!is_allowed(finalize(5, 1), nullify(5)));
    assert!(!is_allowed(nullify(5), finalize(5, 1)));
    assert!(!is_allowed(nullify(5), notarize(5, 1)));
    let later = Statement::Notarize { epoch: Epoch::new(3), view: View::new(5), block: block(2) };
    assert!(is_allowed(notarize(5, 1), later));
}

#[test]
fn attestations_follow_the_rules_of_a_batch() {
    let first = Statement::Attest(attestation());
    let after_first = |change: &dyn Fn(&mut Attestation)| {
        let mut second = attestation();
        change(&mut second);
        is_allowed(first, Statement::Attest(second))
    };
    assert!(after_first(&|_| ()));
    // Another committee, another encoding, another place to close the batch.
    assert!(after_first(&|a| a.committee_epoch = Epoch::new(3)));
    assert!(after_first(&|a| a.header_hash = BatchHash::new(B256::repeat_byte(9))));
    assert!(after_first(&|a| (a.last_height, a.last_digest) = (Height::new(91), block(4))));
    // The same blocks behind another batch.
    assert!(after_first(&|a| a.prev_batch_hash = BatchHash::new(B256::repeat_byte(9))));
    assert!(after_first(&|a| a.batch_index = BatchIndex::new(5)));

    assert!(!after_first(&|a| a.last_digest = block(4)));
    assert!(!after_first(&|a| (a.last_digest, a.header_hash) = (block(4), BatchHash::new(B256::repeat_byte(9)))));
    assert!(!after_first(&|a| (a.last_digest, a.committee_epoch) = (block(4), Epoch::new(9))));
    assert!(!after_first(&|a| a.state_root = B256::repeat_byte(1)));
    assert!(!after_first(&|a| (a.state_root, a.prev_batch_hash) = (B256::repeat_byte(1), BatchHash::ZERO)));
}

#[test]
fn all_of_a_call_is_signed_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let signer = create(folder.path());
    signer.sign(&[nullify(1)]).unwrap();
    assert!(signer.sign(&[notarize(2, 1), finalize(1, 1)]).is_err());
    assert!(!signer.record().is_recorded(&notarize(2, 1)).unwrap());
    // So the other block may still be voted for.
    signer.sign(&[notarize(2, 2)]).unwrap();
    assert!(signer.sign(&[]).unwrap().is_empty());
}

#[test]
fn signatures_are_those_of_the_key_over_the_statement() {
    let folder = tempfile::tempdir().unwrap();
    let statements = [notarize(1, 1), Statement::Attest(attestation())];
    let signed = create(folder.path()).sign(&statements).unwrap();
    for (signed, statement) in signed.iter().zip(&statements) {
        assert_eq!(signed.statement, *statement);
        assert_eq!(signed.signer, MemberIndex::new(3));
        assert_eq!(signed.signature, key().sign(statement, &domain()));
    }
    assert_eq!(reopen(folder.path()).sign(&statements).unwrap(), signed);
}

#[test]
fn recovery_reads_votes_from_a_view_on() {
    let folder = tempfile::tempdir().unwrap();
    let signer = create(folder.path());
    let votes = [notarize(3, 1), nullify(3), notarize(300, 2), finalize(300, 2), nullify(301)];
    signer.sign(&votes).unwrap();
    signer.sign(&[Statement::Attest(attestation())]).unwrap();
    let later = Statement::Nullify { epoch: Epoch::new(3), view: View::new(1) };
    signer.sign(&[later]).unwrap();
    drop(signer);
    let signer = reopen(folder.path());
    assert_eq!(signer.recorded(EPOCH, View::ZERO).unwrap(), votes);
    assert_eq!(signer.recorded(EPOCH, View::new(4)).unwrap(), votes[2..]);
    assert_eq!(signer.recorded(EPOCH, View::new(302)).unwrap(), []);
    assert_eq!(signer.recorded(Epoch::new(3), View::ZERO).unwrap(), [later]);
    assert!(signer.record().is_recorded(&votes[0]).unwrap());
    assert!(signer.record().is_recorded(&Statement::Attest(attestation())).unwrap());
    assert!(!signer.record().is_recorded(&notarize(3, 2)).unwrap());
}

#[test]
fn a_statement_is_on_the_disk_before_its_signature_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let signer = create(folder.path());
    let signed = signer.sign(&[nullify(1), notarize(2, 1)]).unwrap();
    let crashed = crash(folder.path());
    let signer = reopen(crashed.path());
    assert!(matches!(signer.sign(&[notarize(2, 2)]), Err(SignError::Conflict { .. })));
    assert!(matches!(signer.sign(&[finalize(1, 1)]), Err(SignError::Conflict { .. })));
    assert_eq!(signer.sign(&[nullify(1), notarize(2, 1)]).unwrap(), signed);
}

#[test]
fn what_is_forgotten_is_never_signed_again() {
    let folder = tempfile::tempdir().unwrap();
    let signer = create(folder.path());
    signer.sign(&[notarize(9, 1), notarize(10, 1), Statement::Attest(attestation())]).unwrap();
    signer.forget_below(EPOCH, View::new(10)).unwrap();
    signer.forget_below(EPOCH, View::new(4)).unwrap();
    drop(signer);
    let signer = reopen(folder.path());
    assert_eq!(signer.recorded(EPOCH, View::ZERO).unwrap(), [notarize(10, 1)]);
    for gone in [notarize(9, 1), notarize(9, 2), nullify(8)] {
        assert!(matches!(signer.sign(&[gone]), Err(SignError::Forgotten { view, .. }) if view == View::new(10)));
    }
    assert!(matches!(signer.sign(&[notarize(10, 2)]), Err(SignError::Conflict { .. })));
    signer.sign(&[notarize(10, 1), Statement::Attest(attestation())]).unwrap();
}

#[test]
fn a_missing_record_is_refused_unless_the_operator_overrides() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record");
    let error = error_of(SignRecord::open(&path, &key().public_key()));
    assert!(error.is_missing(), "{error}");
    assert!(!path.exists(), "looking for a record leaves nothing behind");
    let record = SignRecord::create_by_override(&path, &key().public_key()).unwrap();
    assert_eq!(record.origin(), RecordOrigin::Override);
    drop(record);
    let record = SignRecord::open(&path, &key().public_key()).unwrap();
    assert_eq!(record.origin(), RecordOrigin::Override);
    assert_eq!(record.key(), &key().public_key());
}

#[test]
fn an_existing_record_is_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let record = SignRecord::create(folder.path(), &key().public_key()).unwrap();
    assert_eq!(record.origin(), RecordOrigin::KeysNew);
    let signer = signer_on(record);
    signer.sign(&[notarize(1, 1)]).unwrap();
    drop(signer);
    for make in [SignRecord::create, SignRecord::create_by_override] {
        let error = error_of(make(folder.path(), &key().public_key()));
        assert!(matches!(error, SignRecordError::Exists { .. }), "{error}");
    }
    // Not even where somebody removed the mark that makes it complete.
    std::fs::remove_file(folder.path().join("format")).unwrap();
    assert!(error_of(SignRecord::open(folder.path(), &key().public_key())).is_missing());
    let error = error_of(SignRecord::create_by_override(folder.path(), &key().public_key()));
    assert!(matches!(error, SignRecordError::Exists { .. }), "{error}");
}

#[test]
fn another_keys_record_is_refused_with_both_names() {
    let folder = tempfile::tempdir().unwrap();
    let other = SecretKey::generate(&[8; 32]);
    drop(SignRecord::create(folder.path(), &key().public_key()).unwrap());
    let error = error_of(SignRecord::open(folder.path(), &other.public_key()));
    assert!(matches!(&error, SignRecordError::WrongKey { stored, asked, .. }
        if **stored == key().public_key() && **asked == other.public_key()));
    let text = error.to_string();
    for key in [key(), other.clone()] {
        assert!(text.contains(&hex::encode(&key.public_key().as_bytes()[16..32])), "{text}");
    }
    let record = SignRecord::open(folder.path(), &key().public_key()).unwrap();
    let error = error_of(OwnKey::new(other, record, domain()));
    assert!(matches!(error, SignRecordError::WrongKey { .. }), "{error}");
}

#[test]
fn another_chains_record_is_refused_with_both_names() {
    let folder = tempfile::tempdir().unwrap();
    drop(create(folder.path()));
    let other = Domain { registry: Address::repeat_byte(2), ..domain() };
    let record = SignRecord::open(folder.path(), &key().public_key()).unwrap();
    let error = error_of(OwnKey::new(key(), record, other));
    assert!(matches!(&error, SignRecordError::OtherChain { stored, asked, .. }
        if **stored == domain() && **asked == other));
    let text = error.to_string();
    assert!(text.contains(&domain().registry.to_string()) && text.contains(&other.registry.to_string()), "{text}");
}

#[test]
fn a_second_opener_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let signer = create(folder.path());
    let error = error_of(SignRecord::open(folder.path(), &key().public_key()));
    assert!(matches!(error, SignRecordError::Locked { .. }), "{error}");
    drop(signer);
    reopen(folder.path());
}

#[test]
fn a_record_of_a_newer_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let newer = Layout { what: "sign record", schema: 2, families: &["votes"], remedy: "" };
    let mut engine = Engine::open(folder.path(), newer, Expect::New).unwrap();
    engine.complete().unwrap();
    drop(engine);
    let error = error_of(SignRecord::open(folder.path(), &key().public_key()));
    assert!(matches!(error, SignRecordError::Engine(EngineError::NewerSchema { stored: 2, known: 1, .. })), "{error}");
}

#[test]
fn the_key_never_prints() {
    let folder = tempfile::tempdir().unwrap();
    let signer = create(folder.path());
    let text = format!("{signer:?}");
    assert!(text.contains("[redacted]"), "{text}");
    assert!(!text.contains(&hex::encode(key().to_bytes().as_slice())));
}

mod keyfile {
    use super::super::keyfile::{self, KeyFileError};

    #[test]
    fn a_written_key_reads_back_and_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("consensus.key");
        let made = keyfile::create(&path).unwrap();
        assert_eq!(keyfile::load(&path).unwrap().public_key(), made.public_key());
        let error = keyfile::create(&path).unwrap_err();
        assert!(matches!(&error, KeyFileError::Io { error, .. } if error.kind() == std::io::ErrorKind::AlreadyExists));
        assert_eq!(keyfile::load(&path).unwrap().public_key(), made.public_key());
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("consensus.key");
        keyfile::create(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for mode in [0o604, 0o640] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let error = keyfile::load(&path).unwrap_err();
            assert!(matches!(error, KeyFileError::Exposed { mode: seen, .. } if seen == mode), "{error}");
            assert!(error.to_string().contains("chmod 600"));
        }
    }

    #[test]
    fn what_is_not_a_key_is_refused_without_being_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("consensus.key");
        keyfile::create(&path).unwrap();
        let (zero, order) = ("0".repeat(64), "f".repeat(64));
        for text in ["abcdef", &zero, &order, "correct horse battery staple", &"1".repeat(200)] {
            std::fs::write(&path, text).unwrap();
            let error = keyfile::load(&path).unwrap_err();
            assert!(matches!(error, KeyFileError::Malformed { .. }), "{error}");
            assert!(!error.to_string().contains(text));
        }
        std::fs::write(&path, format!("0x{}\n", "1".repeat(64))).unwrap();
        keyfile::load(&path).unwrap();
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Ask for signatures.
    Sign(Vec<Statement>),
    /// Record, and crash before anything is signed.
    CrashBeforeSigning(Vec<Statement>),
    /// Crash between two calls.
    Crash,
}

/// Few views, blocks and batches, so that most requests meet an earlier one.
fn statements() -> impl Strategy<Value = Statement> {
    let vote = (0..3_u8, 2..4_u64, 1..4_u64, 1..3_u8).prop_map(|(kind, epoch, view, byte)| {
        let (epoch, view, block) = (Epoch::new(epoch), View::new(view), block(byte));
        match kind {
            0 => Statement::Notarize { epoch, view, block },
            1 => Statement::Finalize { epoch, view, block },
            _ => Statement::Nullify { epoch, view },
        }
    });
    let attest = (0..2_u64, 0..2_u8, 1..3_u8, 5..7_u64, 1..3_u8, 0..2_u8, 2..4_u64).prop_map(
        |(index, previous, header, height, digest, root, epoch)| {
            Statement::Attest(Attestation {
                committee_epoch: Epoch::new(epoch),
                batch_index: BatchIndex::new(index),
                prev_batch_hash: BatchHash::new(B256::repeat_byte(previous)),
                header_hash: BatchHash::new(B256::repeat_byte(header)),
                last_height: Height::new(height),
                last_digest: block(digest),
                state_root: B256::repeat_byte(root),
            })
        },
    );
    prop_oneof![2 => vote, 1 => attest]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let asked = || prop::collection::vec(statements(), 1..4);
    let step = prop_oneof![
        6 => asked().prop_map(Step::Sign),
        1 => asked().prop_map(Step::CrashBeforeSigning),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..30)
}

/// Whether both together can be held against a key, in either order: the rules told a second time.
fn is_punishable(a: &Statement, b: &Statement) -> bool {
    let two_stories = match (a, b) {
        (Statement::Attest(a), Statement::Attest(b)) => {
            let of_one_batch = (a.batch_index, a.prev_batch_hash) == (b.batch_index, b.prev_batch_hash);
            let two_digests = of_one_batch && a.last_height == b.last_height && a.last_digest != b.last_digest;
            let one_block = (a.last_height, a.last_digest) == (b.last_height, b.last_digest);
            two_digests || one_block && a.state_root != b.state_root
        }
        _ => false,
    };
    Offence::of(a, b).is_some() || two_stories
}

/// Whether an honest key that is bound by `earlier` may say `later`.
fn may_follow(earlier: &Statement, later: &Statement) -> bool {
    let given_up = matches!((earlier, later), (Statement::Nullify { .. }, Statement::Notarize { .. }))
        && (earlier.epoch(), earlier.view()) == (later.epoch(), later.view());
    !is_punishable(earlier, later) && !given_up
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_requests_and_crashes_yields_two_conflicting_statements(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let mut signer = create(folder.path());
        let mut said: Vec<Verified<SignedStatement>> = Vec::new();
        // What is recorded, in order: a statement that was recorded but not signed binds as well.
        let mut bound: Vec<Statement> = Vec::new();
        for step in steps {
            let (asked, is_signed) = match step {
                Step::Crash => {
                    drop(signer);
                    signer = reopen(folder.path());
                    continue;
                }
                Step::Sign(asked) => (asked, true),
                Step::CrashBeforeSigning(asked) => (asked, false),
            };
            let mut with_asked = bound.clone();
            let is_legal = asked.iter().all(|statement| {
                let ok = with_asked.contains(statement) || with_asked.iter().all(|earlier| may_follow(earlier, statement));
                with_asked.push(*statement);
                ok
            });
            let accepted = if is_signed {
                let signed = signer.sign(&asked);
                prop_assert!(matches!(&signed, Ok(_) | Err(SignError::Conflict { .. })), "{:?}", signed);
                if let Ok(signed) = &signed {
                    for one in signed {
                        let before = said.iter().find(|before| before.statement == one.statement);
                        prop_assert!(before.is_none_or(|before| before == one), "the same bytes again");
                    }
                    said.extend(signed.iter().cloned());
                }
                signed.is_ok()
            } else {
                let accepted = signer.record().record(&asked).is_ok();
                drop(signer);
                signer = reopen(folder.path());
                accepted
            };
            prop_assert_eq!(accepted, is_legal, "{:?} after {:?}", asked, bound);
            if accepted {
                bound = with_asked;
            }
        }
        for (n, later) in said.iter().enumerate() {
            for earlier in &said[..n] {
                prop_assert!(!is_punishable(&earlier.statement, &later.statement), "{:?}, {:?}", earlier, later);
            }
        }
        // All of it can be said again after one more crash, byte for byte.
        drop(signer);
        let signer = reopen(folder.path());
        for one in &said {
            let again = signer.sign(&[one.statement]).unwrap();
            prop_assert_eq!(again.first(), Some(one));
        }
    }
}
