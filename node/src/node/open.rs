//! Opening what a node is made of, and refusing to start where something does not fit.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use alloy::signers::local::PrivateKeySigner;
use baton_consensus::{Recovered, SecretKey};
use baton_execution::{ChainExecutor, Executor as _, genesis::Genesis};
use baton_mempool::Pool;
use baton_proto::{BlsPublicKey, Certificate, Epoch, Evidence, Height, L2ChainId, View};
use tracing::{info, warn};

use super::{
    NodeOptions, account_config,
    genesis::{Start, StartError},
    halted,
    opener::Opener,
};
use crate::{
    admission::{Journal, JournalError, Senders, open_pool},
    config::{Config, PeerAddress, account_key},
    driver::{FinalAccounts, given_up_key, marked},
    durable_file,
    epoch::{EpochBook, EpochContext, EpochError},
    l1::{ChainFacts, FactsError, L1Client, L1Error, chain_facts},
    ledger::{ChainIdentity, Ledger, LedgerError, RocksLedger},
    p2p::{IdentityError, Keypair, NetworkConfig, Speaker, load_identity},
    signer::{KeyFileError, OwnKey, RecordOrigin, SignRecord, SignRecordError, Signer, keyfile, reason_to_condemn},
};

/// File in the data folder that keeps what L1 said about the chain, so that a restart works while L1 is down.
const FACTS_FILE: &str = "chain.json";

/// File in the data folder that keeps where members were found.
const PEERS_FILE: &str = "peers.txt";

/// Folder of the ledger in the data folder.
const LEDGER_DIR: &str = "ledger";

/// How long one question to L1 may take.
const L1_CALL_WITHIN: Duration = Duration::from_secs(10);

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum OpenError {
    #[error(
        "a stored certificate of view {view} holds this key's signature, but the sign record does not: the record is older than what was signed; restore the newest one, or import its export (baton keys import-record), or start once with --listen-for-sign-record"
    )]
    StaleSignRecord { view: View },
    #[error(
        "the ledger holds evidence against this node's own key ({why}): another process signed with it; it signs nothing here any more, so find and stop that process, make a new key (baton keys new) and register it"
    )]
    OwnKeyEquivocates { why: String },
    #[error("consensus key: {0}")]
    ConsensusKey(#[from] KeyFileError),
    #[error("account key: {0}")]
    AccountKey(#[from] account_key::AccountKeyError),
    #[error("p2p identity: {0}")]
    Identity(#[from] IdentityError),
    #[error("{}: {source}", path.display())]
    Folder { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    L1(#[from] L1Error),
    #[error(transparent)]
    Facts(#[from] FactsError),
    #[error("the configuration expects L2 chain {expected}, but registry says {got}")]
    OtherL2Chain { expected: L2ChainId, got: L2ChainId },
    #[error("the configuration names {got} as {what}, but the registry says {expected}")]
    OtherContract { what: &'static str, expected: alloy_primitives::Address, got: alloy_primitives::Address },
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the registry's committee cannot be used: {0}")]
    Epoch(#[from] EpochError),
    #[error(
        "the consensus key {} is not in the committee of epoch {epoch}, whose keys are {}; register it, or point consensus_key at the registered one",
        short(key), committee.iter().map(short).collect::<Vec<_>>().join(", ")
    )]
    NotInCommittee { key: Box<BlsPublicKey>, epoch: baton_proto::Epoch, committee: Vec<BlsPublicKey> },
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    SignRecord(#[from] SignRecordError),
    #[error(
        "`next_consensus_key` holds the same key as `consensus_key`: two records of one key would know half each of what it signed; make the key to change to with baton keys next"
    )]
    SameKeyTwice,
    #[error(
        "safety was seen broken on this chain ({0}); this node signs nothing and waits for its operator: compare the chain with L1 before starting it with a new data folder"
    )]
    Halted(String),
}

impl OpenError {
    /// Returns the exit code: 2 for what the operator must correct, 3 where starting could make this node sign against
    /// itself, else 1.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::SignRecord(_) | Self::StaleSignRecord { .. } | Self::OwnKeyEquivocates { .. } | Self::Halted(_) => 3,
            Self::ConsensusKey(_)
            | Self::AccountKey(_)
            | Self::Identity(_)
            | Self::OtherL2Chain { .. }
            | Self::OtherContract { .. }
            | Self::Start(_)
            | Self::SameKeyTwice
            | Self::NotInCommittee { .. } => 2,
            Self::Journal(error) if error.is_refusal() => 2,
            Self::Journal(_)
            | Self::Folder { .. }
            | Self::L1(_)
            | Self::Facts(_)
            | Self::Epoch(_)
            | Self::Ledger(_) => 1,
        }
    }
}

/// The first bytes of a key, enough to tell it from others.
fn short(key: &BlsPublicKey) -> String {
    alloy_primitives::hex::encode_prefixed(&key.as_bytes()[16..24])
}

/// What a node is made of, opened and checked.
pub struct Opened {
    /// The chain as L1 describes it.
    pub facts: Arc<ChainFacts>,
    /// The running epoch, and in time those after it.
    pub epochs: EpochBook,
    /// Opens those after it.
    pub(super) opener: Opener,
    /// Blocks, certificates and state.
    pub ledger: Arc<dyn Ledger>,
    /// What executes its blocks.
    pub execution: Arc<ChainExecutor>,
    /// What its state started from; none on a chain that only orders.
    pub genesis: Option<Arc<Genesis>>,
    /// Transactions that wait.
    pub pool: Arc<Mutex<Pool>>,
    /// Senders seen before.
    pub senders: Arc<Senders>,
    /// The way to L1.
    pub l1_client: L1Client,
    /// Pays for batches.
    pub poster_key: Option<PrivateKeySigner>,
    /// Pays for evidence.
    pub evidence_key: Option<PrivateKeySigner>,
    /// Who we are to peers, and who they are.
    pub network_config: NetworkConfig,
    /// What the consensus machine starts from.
    pub recovered: Recovered,
    /// Height of the final head.
    pub head: Height,
}

/// The keys of a node, each consensus key with the record that only one process may hold.
pub(super) struct Held {
    /// The key in use first, then the one that it is changed to; none of a follower.
    consensus: Vec<(SecretKey, SignRecord)>,
    identity: Keypair,
    poster_key: Option<PrivateKeySigner>,
    evidence_key: Option<PrivateKeySigner>,
}

/// Takes hold of the keys before anything else is touched: nobody else may be using them.
///
/// # Errors
/// [`OpenError`] for a key that cannot be read, and for a sign record that is missing, another's or in use.
pub(super) fn hold_keys(config: &Config, options: &NodeOptions) -> Result<Held, OpenError> {
    let files = config.consensus_keys();
    let keys: Vec<SecretKey> = files.iter().map(|(key, _)| keyfile::load(key)).collect::<Result<_, _>>()?;
    if keys.first().zip(keys.get(1)).is_some_and(|(key, next)| key.public_key() == next.public_key()) {
        return Err(OpenError::SameKeyTwice);
    }
    let identity = load_identity(&config.p2p.identity)?;
    let poster_key = config.poster_key.as_deref().map(account_key::load).transpose()?;
    let evidence_key = config.evidence_key.as_deref().map(account_key::load).transpose()?;
    let hold = |(key, (_, folder)): (SecretKey, (_, &Path))| {
        let record = hold_record(folder, &key.public_key(), options)?;
        Ok::<_, OpenError>((key, record))
    };
    let consensus = keys.into_iter().zip(files).map(hold).collect::<Result<_, _>>()?;
    Ok(Held { consensus, identity, poster_key, evidence_key })
}

fn hold_record(folder: &Path, key: &BlsPublicKey, options: &NodeOptions) -> Result<SignRecord, SignRecordError> {
    let vouches = options.accept_missing_sign_record;
    match SignRecord::open(folder, key) {
        Err(error) if error.is_missing() && vouches => {
            warn!(folder = %folder.display(),
                "starting with an empty sign record because the operator said so: if this key has signed elsewhere in this epoch, its bond is at risk");
            SignRecord::create_by_override(folder, key)
        }
        Err(error) if error.is_missing() && options.listen_for_sign_record => {
            warn!(folder = %folder.display(), "no sign record was found, so an empty one is made that listens");
            SignRecord::create_listening(folder, key, RecordOrigin::Listening)
        }
        Ok(mut record) if options.listen_for_sign_record => {
            warn!(folder = %folder.display(), "the operator doubts the sign record, so it listens");
            record.listen()?;
            Ok(record)
        }
        Ok(mut record) if vouches && record.origin() != RecordOrigin::KeysNew => {
            warn!(folder = %folder.display(), origin = ?record.origin(),
                "trusting a sign record that may lack statements because the operator said so: if this key has signed elsewhere in this epoch, its bond is at risk");
            record.vouch()?;
            Ok(record)
        }
        record => record,
    }
}

/// Opens everything else that `config` names.
///
/// # Errors
/// [`OpenError`] says what does not fit, with both values, and the exit code it stands for.
pub(super) async fn open(config: &Config, held: Held) -> Result<(Opened, Journal), OpenError> {
    let Held { consensus, identity, poster_key, evidence_key } = held;
    std::fs::create_dir_all(&config.data_dir)
        .map_err(|source| OpenError::Folder { path: config.data_dir.clone(), source })?;
    let urls: Vec<String> = config.l1.rpc.iter().map(|url| url.expose().to_string()).collect();
    let mut l1_client = L1Client::new(&urls, config.l1.chain_id, L1_CALL_WITHIN)?;
    if !config.l1.beacon.is_empty() {
        let beacon: Vec<String> = config.l1.beacon.iter().map(|url| url.expose().to_string()).collect();
        l1_client = l1_client.with_beacon(&beacon)?;
    }
    let facts = Arc::new(facts(config, &l1_client).await?);
    let start = Start::read(config.genesis.as_deref(), &facts.spec)?;

    let chain = ChainIdentity { domain: facts.domain, inbox: facts.inbox, slasher: facts.slasher };
    let ledger: Arc<dyn Ledger> = Arc::new(RocksLedger::open(&config.data_dir.join(LEDGER_DIR), &chain)?);
    ledger.init_genesis_with(&facts.genesis, &start.changes(&facts.genesis)?)?;
    let head = ledger.head()?.height;
    let own = |(key, record)| OwnKey::new(key, record, facts.domain).map(Arc::new);
    let keys: Vec<Arc<OwnKey>> = consensus.into_iter().map(own).collect::<Result<_, _>>()?;
    for key in &keys {
        check_given_up(ledger.as_ref(), &key.public_key())?;
    }
    let opener = Opener {
        facts: Arc::clone(&facts),
        client: l1_client.clone(),
        ledger: Arc::clone(&ledger),
        keys,
        poll: Duration::from_millis(config.l1.poll_interval_ms),
    };
    if let Some(why) = marked(ledger.as_ref())? {
        if let Some(key) = evidence_key
            && let Err(error) = halted::report(&opener, key, account_config(config)).await
        {
            warn!(error, "not all evidence could be taken to L1");
        }
        return Err(OpenError::Halted(why));
    }
    let epochs = opener.book().await?;
    let epoch = epochs.running();
    opener.check_seat(&epochs).await?;
    for seat in epochs.changes().borrow().iter().filter_map(|epoch| Some((epoch.epoch, epoch.signer.as_ref()?))) {
        check_evidence(ledger.as_ref(), seat)?;
    }
    let network_config = network_config(config, identity, epochs.clone(), &opener.keys, &facts);
    let recovered = recovered(ledger.as_ref(), &epoch, true)?;
    info!(%head, certificates = recovered.certificates.len(), statements = recovered.statements.len(), "state opened");

    let senders = Arc::new(Senders::new());
    let (chain, bounds) = (facts.spec.l2_chain_id, config.pool.of(&facts.spec));
    let (mut pool, journal) = tokio::task::block_in_place(|| {
        open_pool(&config.data_dir, chain, bounds, &FinalAccounts::new(ledger.as_ref()), &senders)
    })?;

    let state = ledger.state()?.head().map_err(StartError::State)?;
    pool.set_base_fee(state.map_or(0, |head| start.execution.next_base_fee(&head)));

    let Start { execution, genesis } = start;
    let opened = Opened {
        execution,
        genesis,
        pool: Arc::new(Mutex::new(pool)),
        senders,
        facts,
        epochs,
        opener,
        ledger,
        l1_client,
        poster_key,
        evidence_key,
        network_config,
        recovered,
        head,
    };
    Ok((opened, journal))
}

/// Reads the chain's facts from L1, or from the file of an earlier run while L1 is down, and checks them against the
/// configuration.
async fn facts(config: &Config, client: &L1Client) -> Result<ChainFacts, OpenError> {
    let path = config.data_dir.join(FACTS_FILE);
    let stored = match std::fs::read(&path) {
        Ok(bytes) => Some(ChainFacts::from_json(&bytes)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(source) => return Err(OpenError::Folder { path, source }),
    };
    let is_new = stored.is_none();
    let poll = Duration::from_millis(config.l1.poll_interval_ms);
    let facts = chain_facts(client, config.l1.registry, stored, poll).await?;
    if let Some(expected) = config.l2_chain_id.filter(|expected| *expected != facts.spec.l2_chain_id) {
        return Err(OpenError::OtherL2Chain { expected, got: facts.spec.l2_chain_id });
    }
    for (what, got, expected) in
        [("l1.inbox", config.l1.inbox, facts.inbox), ("l1.slasher", config.l1.slasher, facts.slasher)]
    {
        if got != expected {
            return Err(OpenError::OtherContract { what, expected, got });
        }
    }
    if is_new {
        durable_file::write(&path, &facts.to_json()?).map_err(|source| OpenError::Folder { path, source })?;
    }
    Ok(facts)
}

fn network_config(
    config: &Config,
    identity: Keypair,
    epochs: EpochBook,
    keys: &[Arc<OwnKey>],
    facts: &ChainFacts,
) -> NetworkConfig {
    let speaker = |own: &Arc<OwnKey>| {
        let own = Arc::clone(own);
        Speaker { key: own.public_key(), prove: Arc::new(move |proof| own.prove_peer(proof)) }
    };
    let addresses = |peers: &[PeerAddress]| peers.iter().map(|peer| (peer.peer_id, peer.address.clone())).collect();
    NetworkConfig {
        identity,
        listen: config.p2p.listen.clone(),
        announce: config.p2p.announce.clone(),
        book: Some(config.data_dir.join(PEERS_FILE)),
        epochs,
        spec: facts.spec.clone(),
        speakers: keys.iter().map(speaker).collect(),
        peers: addresses(&config.p2p.peers),
        observers: addresses(&config.p2p.observers),
    }
}

/// Refuses a key that the ledger holds evidence against in the epoch of that seat: whoever found it may have had no disk left to
/// say so in the sign record, or it was found here while another key was in use.
fn check_evidence(ledger: &dyn Ledger, (epoch, signer): (Epoch, &Arc<Signer>)) -> Result<(), OpenError> {
    let is_ours = |evidence: &Evidence| evidence.epoch() == epoch && evidence.signer() == signer.me();
    match ledger.evidence()?.iter().find(|record| is_ours(&record.evidence)) {
        None => Ok(()),
        Some(record) => {
            let why = reason_to_condemn(&record.evidence);
            signer.condemn(&why)?;
            Err(OpenError::OwnKeyEquivocates { why })
        }
    }
}

/// Refuses a key that was given up here, in whichever epoch it signed against itself.
fn check_given_up(ledger: &dyn Ledger, key: &BlsPublicKey) -> Result<(), OpenError> {
    match ledger.l1_fact(&given_up_key(key))? {
        None => Ok(()),
        Some(why) => Err(OpenError::OwnKeyEquivocates { why: String::from_utf8_lossy(&why).into_owned() }),
    }
}

/// Refuses a record that lacks what a stored certificate shows this key to have signed above the final view: it was
/// restored from an old copy while the chain data was not. Whoever listens signs nothing in this epoch anyway, and a record
/// that the operator vouches for takes it up if nothing was signed since the start (`listens_first`).
fn check_record(
    signer: &Signer,
    certificate: &Certificate,
    final_view: View,
    listens_first: bool,
) -> Result<(), OpenError> {
    let statement = &certificate.statement;
    let shown = statement.view().filter(|view| *view > final_view && certificate.signers.contains(signer.me()));
    let Some(view) = shown.filter(|_| !signer.listens_in(statement.epoch())) else { return Ok(()) };
    if signer.accounts_for(statement)? {
        return Ok(());
    }
    if listens_first && signer.take_up(statement)? {
        warn!(?statement, "a stored certificate shows what the sign record lacked: it is taken up");
        return Ok(());
    }
    Err(OpenError::StaleSignRecord { view })
}

/// Gathers what the machine continues from. Stored certificates are verified again: a damaged one is left out, because a
/// peer has it too. `listens_first` says that nothing was signed since the start.
pub(super) fn recovered(
    ledger: &dyn Ledger,
    epoch: &EpochContext,
    listens_first: bool,
) -> Result<Recovered, OpenError> {
    let head_height = ledger.head()?.height;
    let head = ledger.header(head_height)?.ok_or(LedgerError::NoGenesis)?;
    let mut certificates = Vec::new();
    // The root's view is one of the epoch before.
    let from = if head == epoch.root { View::ZERO } else { head.view };
    for certificate in ledger.certificates(epoch.epoch)? {
        match epoch.verifier.verify_certificate(certificate) {
            Ok(certificate) => {
                if let Some(signer) = &epoch.signer {
                    check_record(signer, &certificate, from, listens_first)?;
                }
                certificates.push(certificate);
            }
            Err(error) => warn!(%error, "a stored certificate does not verify and is left out"),
        }
    }
    let recorded = epoch.signer.as_ref().map(|signer| signer.recorded(epoch.epoch, from)).transpose()?;
    let headers = ledger.unfinal_headers()?.into_iter().filter(|header| header.epoch == epoch.epoch).collect();
    Ok(Recovered { statements: recorded.unwrap_or_default(), certificates, headers, head })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::keys,
        config::NodeKeys,
        driver::testing::World,
        ledger::{EvidenceOnL1, EvidenceRecord, MemoryLedger},
    };
    use alloy_primitives::{Address, B256};
    use baton_proto::{BlockDigest, MemberIndex, Statement};

    fn options(accept: bool, listen: bool) -> NodeOptions {
        NodeOptions { accept_missing_sign_record: accept, listen_for_sign_record: listen, ..NodeOptions::default() }
    }

    #[test]
    fn a_missing_record_is_refused_made_to_listen_or_vouched_for_as_the_operator_says() {
        let folder = tempfile::tempdir().unwrap();
        let [path, complete] = ["record", "complete"].map(|name| folder.path().join(name));
        let key = SecretKey::generate(&[7; 32]).public_key();
        let hold = |options: &NodeOptions| hold_record(&path, &key, options);
        assert!(hold(&options(false, false)).err().unwrap().is_missing());
        assert_eq!(hold(&options(false, true)).unwrap().origin(), RecordOrigin::Listening);
        // It remembers what it is.
        assert_eq!(hold(&options(false, false)).unwrap().origin(), RecordOrigin::Listening);
        assert_eq!(hold(&options(true, false)).unwrap().origin(), RecordOrigin::Override);
        assert_eq!(hold(&options(false, false)).unwrap().origin(), RecordOrigin::Override);
        // Doubts come later as well, and the operator's word is no vow.
        assert_eq!(hold(&options(false, true)).unwrap().origin(), RecordOrigin::Listening);
        drop(SignRecord::create(&complete, &key).unwrap());
        for (said, origin) in
            [(options(true, false), RecordOrigin::KeysNew), (options(false, true), RecordOrigin::Listening)]
        {
            assert_eq!(hold_record(&complete, &key, &said).unwrap().origin(), origin);
        }
    }

    #[test]
    fn both_keys_of_a_sequencer_that_changes_its_key_are_held_each_with_its_record() {
        let folder = tempfile::tempdir().unwrap();
        let [dir, next, twice] = ["keys", "next", "twice"].map(|name| folder.path().join(name));
        let in_use = keys::create(&dir).unwrap();
        let next_key = keys::create_next(&next).unwrap();
        assert!(keys::create_next(&next).is_err_and(|error| error.exit_code() == 2));
        keys::create_next(&twice).unwrap();
        std::fs::copy(&in_use.files.consensus, twice.join("consensus.key")).unwrap();
        let config = |next: &Path| {
            let address = alloy_primitives::Address::ZERO;
            let text = format!(
                "data_dir = {:?}\nconsensus_key = {:?}\nnext_consensus_key = {:?}\n[p2p]\nidentity = {:?}\n\
                 [l1]\nrpc = [\"http://127.0.0.1:9\"]\nchain_id = 1\nregistry = \"{address}\"\n\
                 inbox = \"{address}\"\nslasher = \"{address}\"\n",
                folder.path().join("data"),
                in_use.files.consensus,
                next.join("consensus.key"),
                in_use.files.identity
            );
            let file = folder.path().join("node.toml");
            std::fs::write(&file, text).unwrap();
            Config::load(Some(&file), NodeKeys::default()).unwrap()
        };
        let held = hold_keys(&config(&next), &NodeOptions::default()).unwrap();
        let both = [in_use.consensus.public_key(), next_key.public_key()];
        assert_eq!(held.consensus.iter().map(|(key, _)| key.public_key()).collect::<Vec<_>>(), both);
        for ((_, record), key) in config(&next).consensus_keys().iter().zip(both) {
            let error = SignRecord::open(record, &key).err().unwrap();
            assert!(matches!(error, SignRecordError::Locked { .. }), "{error}");
        }
        drop(held);
        let error = hold_keys(&config(&twice), &NodeOptions::default()).err().unwrap();
        assert!(matches!(error, OpenError::SameKeyTwice), "{error}");
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn a_record_that_lacks_what_a_stored_certificate_holds_is_stale() {
        let (folder, world) = (tempfile::tempdir().unwrap(), World::new(&[1, 1, 1, 1]));
        let (epoch, me) = (world.committee.epoch(), MemberIndex::new(1));
        let certificate = |view| world.certify(&[0, 1, 2], Statement::Nullify { epoch, view: View::new(view) });
        let without_us = world.certify(&[0, 2, 3], Statement::Nullify { epoch, view: View::new(9) });
        let signer = |path: &str, origin: Option<RecordOrigin>| {
            let (path, key) = (folder.path().join(path), world.key(1));
            let record = match origin {
                None => SignRecord::create(&path, &key.public_key()),
                Some(origin) => SignRecord::create_listening(&path, &key.public_key(), origin),
            };
            OwnKey::new(key, record.unwrap(), world.domain).unwrap().seated(me)
        };
        let complete = signer("complete", None);
        let check = |signer: &Signer, view| check_record(signer, &certificate(view), View::new(5), true);
        let error = check(&complete, 6).unwrap_err();
        assert!(matches!(error, OpenError::StaleSignRecord { view } if view == View::new(6)), "{error}");
        assert_eq!(error.exit_code(), 3);
        check(&complete, 5).unwrap();
        check_record(&complete, &without_us, View::new(5), true).unwrap();
        complete.sign(&[certificate(6).statement]).unwrap();
        check(&complete, 6).unwrap();
        complete.forget_below(epoch, View::new(8)).unwrap();
        check(&complete, 7).unwrap();
        assert!(check(&complete, 8).is_err());
        check(&signer("listening", Some(RecordOrigin::Listening)), 6).unwrap();
    }

    #[test]
    fn a_key_that_the_ledger_holds_evidence_against_is_given_up() {
        let (folder, world) = (tempfile::tempdir().unwrap(), World::new(&[1, 1, 1, 1]));
        let (epoch, inbox, slasher) = (world.committee.epoch(), Address::repeat_byte(1), Address::repeat_byte(2));
        let ledger = MemoryLedger::new(&ChainIdentity { domain: world.domain, inbox, slasher }).unwrap();
        let (path, key) = (folder.path().join("record"), world.key(1));
        let record = SignRecord::create(&path, &key.public_key()).unwrap();
        let signer = Arc::new(OwnKey::new(key, record, world.domain).unwrap().seated(MemberIndex::new(1)));
        let found = |signer: u8| {
            let view = View::new(9);
            let [first, second] = [1, 2].map(|block| {
                let block = BlockDigest::new(B256::repeat_byte(block));
                world.sign(signer, Statement::Notarize { epoch, view, block })
            });
            let evidence = Evidence::new(first, second).unwrap();
            ledger.put_evidence(&EvidenceRecord { evidence, l1: EvidenceOnL1::Open }).unwrap();
        };
        found(2);
        check_evidence(&ledger, (epoch, &signer)).unwrap();
        found(1);
        check_evidence(&ledger, (epoch.next().unwrap(), &signer)).unwrap();
        let error = check_evidence(&ledger, (epoch, &signer)).unwrap_err();
        assert!(matches!(error, OpenError::OwnKeyEquivocates { .. }), "{error}");
        assert_eq!(error.exit_code(), 3);
        assert!(signer.sign(&[Statement::Nullify { epoch, view: View::new(10) }]).is_err());
        drop(signer);
        let key = world.key(1);
        let record = SignRecord::open(&path, &key.public_key()).unwrap();
        let error = OwnKey::new(key, record, world.domain).err().unwrap();
        assert!(matches!(error, SignRecordError::Condemned { .. }), "{error}");
    }

    #[test]
    fn a_key_that_was_given_up_stays_so_in_every_epoch() {
        let world = World::new(&[1]);
        let (inbox, slasher) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let ledger = MemoryLedger::new(&ChainIdentity { domain: world.domain, inbox, slasher }).unwrap();
        let [own, other] = [0, 1].map(|fill| SecretKey::generate(&[fill; 32]).public_key());
        ledger.put_l1_fact(&given_up_key(&own), b"two blocks").unwrap();
        check_given_up(&ledger, &other).unwrap();
        let error = check_given_up(&ledger, &own).unwrap_err();
        assert!(matches!(&error, OpenError::OwnKeyEquivocates { why } if why == "two blocks"), "{error}");
    }

    #[test]
    fn a_vouched_record_takes_up_what_a_stored_certificate_holds_if_nothing_was_signed_yet() {
        let (folder, world) = (tempfile::tempdir().unwrap(), World::new(&[1, 1, 1, 1]));
        let (epoch, me) = (world.committee.epoch(), MemberIndex::new(1));
        let signer = |options: &NodeOptions| {
            let key = world.key(1);
            let record = hold_record(&folder.path().join("record"), &key.public_key(), options).unwrap();
            OwnKey::new(key, record, world.domain).unwrap().seated(me)
        };
        let view = View::new(6);
        let finalize = |block| Statement::Finalize { epoch, view, block: BlockDigest::new(B256::repeat_byte(block)) };
        let check = |signer: &Signer, statement, listens_first| {
            check_record(signer, &world.certify(&[0, 1, 2], statement), View::new(5), listens_first)
        };
        let is_stale = |checked| matches!(checked, Err(OpenError::StaleSignRecord { view: of }) if of == view);
        let vouched = signer(&options(true, false));
        assert!(is_stale(check(&vouched, finalize(1), false)), "an epoch in which this process may have signed");
        check(&vouched, finalize(1), true).unwrap();
        assert!(is_stale(check(&vouched, Statement::Nullify { epoch, view }, true)), "both cost the bond");
        // What was taken up stays, but the operator's word is for one start.
        drop(vouched);
        let later = signer(&options(false, false));
        check(&later, finalize(1), false).unwrap();
        let notarize = Statement::Notarize { epoch, view, block: finalize(1).block().unwrap() };
        assert!(is_stale(check(&later, notarize, true)));
        drop(later);
        let vouched = signer(&options(true, false));
        check(&vouched, notarize, true).unwrap();
        assert_eq!(vouched.recorded(epoch, View::ZERO).unwrap(), [notarize, finalize(1)]);
    }
}
