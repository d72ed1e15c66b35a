//! What the machine can do at best: the costs that bound every figure of the node.

use std::{
    fs,
    hint::black_box,
    io::Write as _,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use alloy::signers::local::PrivateKeySigner;
use alloy_primitives::{Address, B256};
use anyhow::Context as _;
use baton_consensus::{Committee, CommitteeMember, SecretKey, Verifier, bls};
use baton_proto::{
    BlockDigest, Certificate, Domain, Epoch, L1ChainId, L2ChainId, MemberIndex, SignedStatement, Statement,
    Transaction, View, Weight,
};

use super::samples::Samples;
use crate::transactions::transfer;

/// How often each thing is done to find its median.
const SYNCS: usize = 300;
const RECOVERIES: usize = 4_000;
const SIGNATURES: u64 = 200;

/// Bytes of one synced write: what a vote, its index and RocksDB's framing come to.
const SYNC_BYTES: usize = 512;

/// Members that sign the certificate that is checked.
const MEMBERS: u8 = 4;

/// The machine, as the README names it.
#[derive(Clone, Debug)]
pub struct Machine {
    /// CPU model.
    pub model: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// Date of the run, ISO 8601.
    pub date: String,
    /// Others' load at the start: runnable processes over the last minute.
    pub load: String,
    /// Median of one small appended write that is synced to the disk that the nodes use.
    pub sync: Duration,
}

impl Machine {
    /// Looks at the machine, and measures the disk below `folder`.
    ///
    /// # Errors
    /// When the disk cannot be written.
    pub fn look(folder: &Path) -> anyhow::Result<Self> {
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        let date = Command::new("date").args(["-u", "+%F"]).output().context("cannot run date")?.stdout;
        let date = String::from_utf8_lossy(&date);
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Ok(Self {
            model: model.map_or("unknown CPU", |(_, name)| name.trim()).to_owned(),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            date: date.trim().to_owned(),
            load: load.split_whitespace().next().unwrap_or("?").to_owned(),
            sync: sync_cost(folder).context("the disk cannot be measured")?,
        })
    }
}

/// Returns the median of one appended write with `fdatasync`, as RocksDB's log does it.
fn sync_cost(folder: &Path) -> std::io::Result<Duration> {
    let path = folder.join("sync");
    let mut file = fs::File::create(&path)?;
    let bytes = [0x5a; SYNC_BYTES];
    let mut samples = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let start = Instant::now();
        file.write_all(&bytes)?;
        file.sync_data()?;
        samples.push(start.elapsed());
    }
    fs::remove_file(path)?;
    Ok(Samples::from_iter(samples).percentile(50))
}

/// Returns what one core needs to take in one transfer while all cores do nothing else: decode its bytes, hash them,
/// recover the sender. The median, so that what else runs on the machine does not count.
///
/// # Panics
/// Never: these transfers decode.
#[must_use]
pub fn recovery_cost() -> Duration {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let recover = || {
        let key = PrivateKeySigner::from_bytes(&B256::repeat_byte(0x11)).expect("a number below the group's order");
        let raw: Vec<Vec<u8>> = (0..RECOVERIES as u64).map(|nonce| transfer(&key, 1, nonce, 1)).collect();
        let each = raw.into_iter().map(|raw| {
            let start = Instant::now();
            black_box(Transaction::decode(raw.into()).expect("it was just signed"));
            start.elapsed()
        });
        each.collect::<Vec<_>>()
    };
    let times: Vec<Vec<Duration>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(recover)).collect();
        threads.into_iter().map(|thread| thread.join().expect("recovering does not panic")).collect()
    });
    times.into_iter().flatten().collect::<Samples>().percentile(50)
}

/// What BLS costs one thread.
#[derive(Clone, Copy, Debug)]
pub struct BlsCosts {
    /// Signing a statement.
    pub sign: Duration,
    /// Checking one member's signature.
    pub verify: Duration,
    /// Checking a certificate that four members signed.
    pub certificate: Duration,
}

/// Measures [`BlsCosts`]; medians.
///
/// # Panics
/// Never: what is signed here verifies.
#[must_use]
pub fn bls_costs() -> BlsCosts {
    let keys: Vec<SecretKey> = (1..=MEMBERS).map(|number| SecretKey::generate(&[number; 32])).collect();
    let members = keys.iter().zip(1..).map(|(key, number)| CommitteeMember {
        owner: Address::repeat_byte(number),
        fee_recipient: Address::ZERO,
        weight: Weight::new(1),
        key: key.public_key(),
    });
    let epoch = Epoch::new(2);
    let committee = Committee::new(epoch, members.collect()).expect("in address order, each with weight");
    let domain = Domain { l1_chain_id: L1ChainId::new(1), registry: Address::ZERO, l2_chain_id: L2ChainId::new(2) };
    let verifier = Verifier::new(domain, committee.into()).expect("these are keys");
    let (mut sign, mut verify, mut certificates) = (Vec::new(), Vec::new(), Vec::new());
    for view in 1..=SIGNATURES {
        let statement = Statement::Notarize { epoch, view: View::new(view), block: BlockDigest::new(B256::ZERO) };
        let mut signatures = Vec::new();
        for (key, index) in keys.iter().zip(0..) {
            let start = Instant::now();
            let signature = key.sign(&statement, &domain);
            sign.push(start.elapsed());
            let signed = SignedStatement { statement, signer: MemberIndex::new(index), signature };
            let start = Instant::now();
            black_box(verifier.verify(signed).expect("it was just signed"));
            verify.push(start.elapsed());
            signatures.push(signature);
        }
        let certificate = Certificate {
            statement,
            signers: (0..MEMBERS).map(MemberIndex::new).collect(),
            signature: bls::aggregate(&signatures).expect("these are signatures"),
        };
        let start = Instant::now();
        black_box(verifier.verify_certificate(certificate).expect("all signed"));
        certificates.push(start.elapsed());
    }
    let [sign, verify, certificate] =
        [sign, verify, certificates].map(|samples| Samples::from_iter(samples).percentile(50));
    BlsCosts { sign, verify, certificate }
}
