//! Moving a record between machines: nothing is forgotten, nothing foreign is taken, and what may be missing is waited for.

use std::{
    fs,
    path::{Path, PathBuf},
};

use alloy_primitives::keccak256;

use super::*;
use crate::signer::interchange::{Interchange, InterchangeError, export_record, import_record};

fn export(record: &Path, file: &Path) -> usize {
    export_record(record, &key().public_key(), file).unwrap()
}

fn import(record: &Path, file: &Path) -> Result<usize, InterchangeError> {
    import_record(record, &key().public_key(), file)
}

/// The record in `path`, with somebody vouching for it.
fn vouched(path: &Path) -> SignRecord {
    let mut record = SignRecord::open(path, &key().public_key()).unwrap();
    record.vouch().unwrap();
    record
}

/// A record in `name` that holds `statements`, closed, and its export.
fn exported(folder: &Path, name: &str, statements: &[Statement]) -> (PathBuf, PathBuf) {
    let (path, file) = (folder.join(name), folder.join(name).with_extension("json"));
    create(&path).sign(statements).unwrap();
    export(&path, &file);
    (path, file)
}

fn contents(path: &Path) -> Interchange {
    SignRecord::open(path, &key().public_key()).unwrap().export().unwrap()
}

#[test]
fn the_file_has_the_documented_shape() {
    let folder = tempfile::tempdir().unwrap();
    let statements = [nullify(6), notarize(5, 1), finalize(5, 1), Statement::Attest(attestation())];
    let (path, file) = exported(folder.path(), "record", &statements);
    let hash = |byte: u8| B256::repeat_byte(byte).to_string();
    let expected = serde_json::json!({
        "metadata": {
            "interchangeFormatVersion": "1",
            "publicKey": key().public_key().to_string(),
            "domain": { "l1ChainId": 31_337, "registry": Address::repeat_byte(1), "l2ChainId": 7_001 },
        },
        "data": {
            "floor": { "epoch": 0, "view": 0 },
            "statements": [
                { "kind": "notarize", "epoch": 2, "view": 5, "block": hash(1) },
                { "kind": "finalize", "epoch": 2, "view": 5, "block": hash(1) },
                { "kind": "nullify", "epoch": 2, "view": 6 },
                { "kind": "attest", "committeeEpoch": 2, "batchIndex": 4, "prevBatchHash": hash(1), "headerHash": hash(2),
                  "lastHeight": 90, "lastDigest": hash(3), "stateRoot": hash(0) },
            ],
        },
    });
    let mut written: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let checksum = written.as_object_mut().unwrap().remove("checksum").unwrap();
    assert_eq!(written, expected);
    let contents = contents(&path);
    let checked = serde_json::to_vec(&(contents.metadata, contents.data)).unwrap();
    assert_eq!(checksum, keccak256(checked).to_string());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_record_comes_back_byte_for_byte_and_binds() {
    let folder = tempfile::tempdir().unwrap();
    let statements = [notarize(11, 1), finalize(11, 1), nullify(12), Statement::Attest(attestation())];
    let path = folder.path().join("old");
    let signer = create(&path);
    signer.sign(&[notarize(9, 1)]).unwrap();
    signer.sign(&statements).unwrap();
    signer.forget_below(EPOCH, View::new(10)).unwrap();
    drop(signer);
    let [file, again] = ["old.json", "again.json"].map(|name| folder.path().join(name));
    assert_eq!(export(&path, &file), 4);
    let moved = folder.path().join("new");
    assert_eq!(import(&moved, &file).unwrap(), 4);
    assert_eq!(export(&moved, &again), 4);
    assert_eq!(fs::read(&file).unwrap(), fs::read(&again).unwrap());

    let signer = signer_on(vouched(&moved));
    assert_eq!(signer.sign(&statements).unwrap().len(), 4);
    for asked in [notarize(11, 2), nullify(11), notarize(12, 1)] {
        assert!(matches!(signer.sign(&[asked]), Err(SignError::Conflict { .. })), "{asked:?}");
    }
    assert!(matches!(signer.sign(&[nullify(9)]), Err(SignError::Forgotten { .. })));
    let other_block = Attestation { last_digest: block(9), ..attestation() };
    assert!(matches!(signer.sign(&[Statement::Attest(other_block)]), Err(SignError::Conflict { .. })));
    signer.sign(&[notarize(13, 1)]).unwrap();
    // It is the record of that chain, also for a key that had signed nothing here.
    drop(signer);
    let other = Domain { registry: Address::repeat_byte(2), ..domain() };
    let record = SignRecord::open(&moved, &key().public_key()).unwrap();
    let error = error_of(OwnKey::new(key(), record, other));
    assert!(matches!(error, SignRecordError::OtherChain { .. }), "{error}");
}

#[test]
fn an_imported_record_signs_nothing_in_the_epoch_in_which_a_quorum_was_heard_out() {
    let folder = tempfile::tempdir().unwrap();
    let (_, file) = exported(folder.path(), "old", &[notarize(5, 1)]);
    let moved = folder.path().join("new");
    import(&moved, &file).unwrap();
    let start = |epoch| {
        let record = SignRecord::open(&moved, &key().public_key()).unwrap();
        assert_eq!(record.origin(), RecordOrigin::Imported);
        let signer = signer_on(record);
        signer.settle_listening(Epoch::new(epoch)).unwrap();
        signer
    };
    let in_epoch = |epoch| Statement::Nullify { epoch: Epoch::new(epoch), view: View::new(8) };
    let attest = |epoch| {
        let committee_epoch = Epoch::new(epoch);
        Statement::Attest(Attestation { committee_epoch, ..attestation() })
    };
    let expect_silence = |signer: &Signer, epoch: u64| {
        assert!(signer.listens_in(Epoch::new(epoch)));
        for asked in [notarize(5, 1), in_epoch(epoch), attest(epoch)] {
            let error = signer.sign(&[asked]).unwrap_err();
            assert!(matches!(error, SignError::Listening { .. }) && error.is_refusal(), "{error}");
        }
    };
    // Before that, in none: who knows which epochs this node slept through.
    let signer = reopen(&moved);
    (0..9).for_each(|epoch| expect_silence(&signer, epoch));
    drop(signer);
    expect_silence(&start(3), 3);
    // A restart, in that epoch or a later one, does not begin to wait again.
    expect_silence(&start(3), 3);
    let signer = start(4);
    expect_silence(&signer, 3);
    assert!(!signer.listens_in(Epoch::new(4)));
    signer.sign(&[in_epoch(4), attest(4)]).unwrap();
    drop(signer);

    // The same file again teaches nothing; another one does, and the waiting begins anew.
    assert_eq!(import(&moved, &file).unwrap(), 0);
    start(4).sign(&[in_epoch(4)]).unwrap();
    let (_, more) = exported(folder.path(), "more", &[notarize(6, 1)]);
    assert_eq!(import(&moved, &more).unwrap(), 1);
    expect_silence(&reopen(&moved), 9);
    expect_silence(&start(5), 5);

    // The operator's word ends it for good.
    drop(vouched(&moved));
    let record = SignRecord::open(&moved, &key().public_key()).unwrap();
    assert_eq!(record.origin(), RecordOrigin::Override);
    let signer = signer_on(record);
    // Nor is it silenced by a quorum that is heard out later.
    signer.settle_listening(Epoch::new(5)).unwrap();
    signer.sign(&[in_epoch(5)]).unwrap();
    drop(signer);

    // And the operator's doubt begins it again, with all that is recorded still binding.
    let mut record = SignRecord::open(&moved, &key().public_key()).unwrap();
    record.listen().unwrap();
    let signer = signer_on(record);
    expect_silence(&signer, 6);
    signer.settle_listening(Epoch::new(6)).unwrap();
    signer.sign(&[in_epoch(7)]).unwrap();
    drop(signer);
    let at_5 = |record: &Interchange| record.data.statements.contains(&in_epoch(5));
    assert!(at_5(&contents(&moved)));
}

#[test]
fn an_empty_record_that_nobody_vouches_for_listens_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let make = || SignRecord::create_listening(folder.path(), &key().public_key(), RecordOrigin::Listening);
    let signer = signer_on(make().unwrap());
    assert!(matches!(signer.sign(&[notarize(1, 1)]), Err(SignError::Listening { .. })));
    drop(signer);
    assert!(matches!(reopen(folder.path()).sign(&[notarize(1, 1)]), Err(SignError::Listening { .. })));
    assert!(matches!(error_of(make()), SignRecordError::Exists { .. }));
}

#[test]
fn two_records_of_one_key_become_their_union() {
    let folder = tempfile::tempdir().unwrap();
    let both = nullify(20);
    let (path, _) = exported(folder.path(), "here", &[notarize(3, 1), both]);
    let (there, file) = (folder.path().join("there"), folder.path().join("there.json"));
    let signer = create(&there);
    signer.sign(&[both, notarize(30, 2), Statement::Attest(attestation())]).unwrap();
    signer.forget_below(EPOCH, View::new(10)).unwrap();
    drop(signer);
    export(&there, &file);
    assert_eq!(import(&path, &file).unwrap(), 2);
    let merged = contents(&path);
    assert_eq!(merged.data.statements, [notarize(3, 1), both, notarize(30, 2), Statement::Attest(attestation())]);
    assert_eq!((merged.data.floor.epoch, merged.data.floor.view), (EPOCH, View::new(10)));
    // A lower floor lowers nothing.
    let (_, low) = exported(folder.path(), "low", &[both]);
    assert_eq!(import(&path, &low).unwrap(), 0);
    assert_eq!(contents(&path), merged);
}

#[test]
fn an_old_export_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (path, file) = exported(folder.path(), "record", &[notarize(3, 1), Statement::Attest(attestation())]);
    let signer = reopen(&path);
    signer.sign(&[notarize(12, 1)]).unwrap();
    signer.forget_below(EPOCH, View::new(10)).unwrap();
    drop(signer);
    let before = contents(&path);
    assert_eq!(import(&path, &file).unwrap(), 0);
    assert_eq!(contents(&path), before, "what is forgotten does not come back");
    let record = SignRecord::open(&path, &key().public_key()).unwrap();
    assert_eq!(record.origin(), RecordOrigin::KeysNew, "there is nothing to wait for");
    let signer = signer_on(record);
    assert!(matches!(signer.sign(&[notarize(3, 2)]), Err(SignError::Forgotten { .. })));
    assert!(matches!(signer.sign(&[notarize(12, 2)]), Err(SignError::Conflict { .. })));
}

#[test]
fn a_contradiction_is_refused_and_names_the_pair() {
    let folder = tempfile::tempdir().unwrap();
    let attest = |change: &dyn Fn(&mut Attestation)| {
        let mut changed = attestation();
        change(&mut changed);
        Statement::Attest(changed)
    };
    let pairs = [
        (notarize(5, 1), notarize(5, 2)),
        (finalize(5, 1), nullify(5)),
        (nullify(5), finalize(5, 1)),
        (attest(&|_| ()), attest(&|a| a.last_digest = block(9))),
        // The same block under another batch.
        (attest(&|_| ()), attest(&|a| (a.batch_index, a.state_root) = (BatchIndex::new(9), B256::repeat_byte(1)))),
    ];
    for (n, (here, there)) in pairs.into_iter().enumerate() {
        let (path, _) = exported(folder.path(), &format!("here{n}"), &[here]);
        let (_, file) = exported(folder.path(), &format!("there{n}"), &[notarize(1, 1), there]);
        let before = contents(&path);
        let error = import(&path, &file).unwrap_err();
        assert!(
            matches!(&error, InterchangeError::Contradiction { first, second } if **first == here && **second == there),
            "{error}"
        );
        assert_eq!(error.exit_code(), 3);
        assert_eq!(contents(&path), before, "nothing of it was taken");
        assert_eq!(SignRecord::open(&path, &key().public_key()).unwrap().origin(), RecordOrigin::KeysNew);

        // Nor is a file taken that contradicts itself, and no record is made for it.
        let mut forged = Interchange::read(&file).unwrap();
        forged.data.statements.push(here);
        forged.write(&file).unwrap();
        let new = folder.path().join(format!("new{n}"));
        let error = import(&new, &file).unwrap_err();
        assert!(
            matches!(&error, InterchangeError::Contradiction { first, second } if **first == there && **second == here),
            "{error}"
        );
        assert!(!new.exists());
    }
    // Given up here after it was voted for there: legal for one machine, and taken.
    let (path, _) = exported(folder.path(), "nullified", &[nullify(5)]);
    let (_, file) = exported(folder.path(), "notarized", &[notarize(5, 1)]);
    assert_eq!(import(&path, &file).unwrap(), 1);
}

#[test]
fn what_is_not_this_keys_record_of_this_chain_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (path, file) = exported(folder.path(), "record", &[notarize(5, 1)]);
    let own = Interchange::read(&file).unwrap();
    let refused = |change: &dyn Fn(&mut Interchange)| {
        let (mut changed, file) = (own.clone(), folder.path().join("changed.json"));
        change(&mut changed);
        let _ = fs::remove_file(&file);
        changed.write(&file).unwrap();
        let error = import(&path, &file).unwrap_err();
        assert_eq!(contents(&path), own);
        error
    };
    let other = SecretKey::generate(&[8; 32]).public_key();
    let error = refused(&|changed| changed.metadata.public_key = other);
    assert!(
        matches!(&error, InterchangeError::WrongKey { file, own } if **file == other && **own == key().public_key())
    );
    assert_eq!(error.exit_code(), 3);

    let chain = Domain { registry: Address::repeat_byte(2), ..domain() };
    let error = refused(&|changed| changed.metadata.domain = Some(chain));
    assert!(matches!(&error, InterchangeError::OtherChain { file, own } if **file == chain && **own == domain()));
    assert_eq!(error.exit_code(), 3);

    // A newer version is named as one, whatever else it holds.
    let newer = folder.path().join("newer.json");
    fs::write(&newer, r#"{"metadata":{"interchangeFormatVersion":"2","chains":[]},"data":[]}"#).unwrap();
    let error = import(&path, &newer).unwrap_err();
    assert!(matches!(&error, InterchangeError::UnknownVersion { got, .. } if got == "2"), "{error}");
    assert_eq!(error.exit_code(), 2);

    assert_eq!(contents(&path), own);
}

#[test]
fn a_file_that_is_not_as_it_was_exported_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = exported(folder.path(), "here", &[notarize(5, 1)]);
    let (_, file) = exported(folder.path(), "there", &[nullify(16), Statement::Attest(attestation())]);
    let before = contents(&path);
    let bytes = fs::read(&file).unwrap();
    let refused = |wrong: &[u8]| {
        fs::write(&file, wrong).unwrap();
        let error = import(&path, &file).expect_err(&String::from_utf8_lossy(wrong));
        let is_about_the_file = matches!(
            &error,
            InterchangeError::Malformed { .. }
                | InterchangeError::Damaged { .. }
                | InterchangeError::UnknownVersion { .. }
        );
        assert!(is_about_the_file && error.exit_code() == 2, "{error}");
    };
    // Every bit, every end, and what an editor does.
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 7);
        refused(&flipped);
    }
    (0..bytes.len()).for_each(|end| refused(&bytes[..end]));
    let text = String::from_utf8(bytes.clone()).unwrap();
    for (from, to) in [("\"view\"", "\"more\": 1, \"view\""), ("16", "17"), ("\n", "\r\n"), ("{\n", "{")] {
        assert!(text.contains(from));
        refused(text.replacen(from, to, 1).as_bytes());
    }
    let two = text.replacen(
        "\"data\"",
        "\"data\": { \"floor\": { \"epoch\": 0, \"view\": 0 }, \"statements\": [] }, \"data\"",
        1,
    );
    refused(two.as_bytes());
    assert_eq!(contents(&path), before);
    fs::write(&file, &bytes).unwrap();
    assert_eq!(import(&path, &file).unwrap(), 2);
}

#[test]
fn a_record_in_use_is_neither_exported_nor_changed() {
    let folder = tempfile::tempdir().unwrap();
    let (path, file) = exported(folder.path(), "record", &[notarize(5, 1)]);
    let running = reopen(&path);
    let elsewhere = folder.path().join("elsewhere.json");
    for error in [export_record(&path, &key().public_key(), &elsewhere).unwrap_err(), import(&path, &file).unwrap_err()]
    {
        assert!(matches!(error, InterchangeError::Record(SignRecordError::Locked { .. })), "{error}");
        assert_eq!(error.exit_code(), 3);
    }
    assert!(!elsewhere.exists());
    running.sign(&[notarize(6, 1)]).unwrap();
}

#[test]
fn an_export_replaces_nothing_but_an_export_of_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let (path, file) = exported(folder.path(), "record", &[notarize(5, 1)]);
    let first = fs::read(&file).unwrap();
    // An attempt that was interrupted left a part beside it, readable by all.
    let part = folder.path().join("record.json.new");
    fs::write(&part, &first[..first.len() / 2]).unwrap();
    assert_eq!(fs::read(&file).unwrap(), first);
    reopen(&path).sign(&[notarize(6, 1)]).unwrap();
    export(&path, &file);
    assert_eq!(Interchange::read(&file).unwrap().data.statements, [notarize(5, 1), notarize(6, 1)]);
    assert!(!part.exists());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let precious = folder.path().join("consensus.key");
    fs::write(&precious, "secret").unwrap();
    let error = export_record(&path, &key().public_key(), &precious).unwrap_err();
    assert!(matches!(&error, InterchangeError::Occupied { .. }), "{error}");
    assert_eq!(fs::read(&precious).unwrap(), b"secret");
}

#[test]
fn a_crash_while_importing_leaves_the_old_record_or_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let (_, file) = exported(folder.path(), "there", &[notarize(6, 1), nullify(7), Statement::Attest(attestation())]);
    let imported = Interchange::read(&file).unwrap();
    let path = folder.path().join("here");
    let signer = create(&path);
    signer.sign(&[notarize(5, 1)]).unwrap();
    let old = signer.record().export().unwrap();
    signer.record().merge(&imported).unwrap();
    let new = signer.record().export().unwrap();
    assert_ne!(old, new);
    let crashed = crash(&path);
    for cut in [0, 1, 8, 24, 40] {
        let torn = crash(crashed.path());
        let log = fs::read_dir(torn.path().join("db")).unwrap().map(|entry| entry.unwrap().path());
        let log = log.filter(|path| path.extension().is_some_and(|extension| extension == "log")).max().unwrap();
        let log = fs::OpenOptions::new().write(true).open(log).unwrap();
        log.set_len(log.metadata().unwrap().len() - cut).unwrap();
        drop(log);
        let record = SignRecord::open(torn.path(), &key().public_key()).unwrap();
        let (expected, origin) = if cut == 0 { (&new, RecordOrigin::Imported) } else { (&old, RecordOrigin::KeysNew) };
        assert_eq!((&record.export().unwrap(), record.origin()), (expected, origin), "{cut} bytes of the log are lost");
    }
    // Where there was no record, a crash may leave one that is empty: it signs nothing, and takes the import.
    let fresh = folder.path().join("fresh");
    drop(SignRecord::create_listening(&fresh, &key().public_key(), RecordOrigin::Imported).unwrap());
    assert!(matches!(reopen(&fresh).sign(&[notarize(6, 2)]), Err(SignError::Listening { .. })));
    assert_eq!(import(&fresh, &file).unwrap(), 3);
    assert_eq!(contents(&fresh), imported);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_merged_record_binds_as_both_did_or_names_a_pair_that_is_punishable(
        said in prop::collection::vec((any::<bool>(), statements()), 0..24),
        floors in prop::array::uniform2(prop::option::of((2..4_u64, 1..4_u64))),
        asked in prop::collection::vec(statements(), 1..24),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let [here, there, moved] = ["here", "there", "moved"].map(|name| folder.path().join(name));
        let records = [&here, &there].map(|path| create(path));
        for (is_there, statement) in said {
            // What one machine alone would contradict itself with is not said.
            let _ = records[usize::from(is_there)].sign(&[statement]);
        }
        for (signer, floor) in records.iter().zip(floors) {
            if let Some((epoch, view)) = floor {
                signer.forget_below(Epoch::new(epoch), View::new(view)).unwrap();
            }
        }
        let [own, other] = [&records[0], &records[1]].map(|signer| signer.record().export().unwrap());
        drop(records);
        let [file, again] = ["there.json", "again.json"].map(|name| folder.path().join(name));
        export(&there, &file);

        let contradict = own.data.statements.iter().any(|a| other.data.statements.iter().any(|b| is_punishable(a, b)));
        match import(&here, &file) {
            Err(InterchangeError::Contradiction { first, second }) => {
                prop_assert!(own.data.statements.contains(&first) && other.data.statements.contains(&second));
                prop_assert!(is_punishable(&first, &second), "{:?} {:?}", first, second);
                prop_assert_eq!(contents(&here), own);
                return Ok(());
            }
            result => prop_assert!(result.is_ok() && !contradict, "{:?}", result),
        }
        let merged = contents(&here);
        let union = &merged.data.statements;
        let had_forgotten = |statement: &Statement| {
            let floor = (own.data.floor.epoch, own.data.floor.view);
            statement.view().is_some_and(|view| (statement.epoch(), view) < floor)
        };
        for statement in own.data.statements.iter().chain(&other.data.statements) {
            prop_assert!(union.contains(statement) || had_forgotten(statement), "{:?} is forgotten", statement);
        }
        let is_from_one = |one: &Statement| own.data.statements.contains(one) || other.data.statements.contains(one);
        prop_assert!(union.iter().all(is_from_one));
        prop_assert_eq!(merged.data.floor, own.data.floor.max(other.data.floor));

        // Moved on, it is the same bytes.
        export(&here, &file);
        import(&moved, &file).unwrap();
        export(&moved, &again);
        prop_assert_eq!(fs::read(&file).unwrap(), fs::read(&again).unwrap());

        let signer = signer_on(vouched(&moved));
        let floor = (merged.data.floor.epoch, merged.data.floor.view);
        let mut bound = union.clone();
        for asked in asked {
            let is_below = asked.view().is_some_and(|view| (asked.epoch(), view) < floor);
            let is_legal = bound.contains(&asked) || !is_below && bound.iter().all(|known| may_follow(known, &asked));
            prop_assert_eq!(signer.sign(&[asked]).is_ok(), is_legal, "{:?} after {:?}", asked, bound);
            if is_legal {
                bound.push(asked);
            }
        }
    }
}
