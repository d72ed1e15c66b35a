//! A peer that hears every broadcast and records who signed what.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context as _;
use baton_consensus::Verifier;
use baton_node::{
    epoch::{EpochBook, EpochContext},
    l1::ChainFacts,
    p2p::{Keypair, Multiaddr, Network, NetworkConfig, NetworkEvent, PeerId},
};
use baton_proto::{Evidence, MemberIndex, SignedStatement, View, wire::ConsensusMessage};

use crate::{devnet::Devnet, reserved::Reserved};

/// Statements by signer and view; all of one view, so that pairs can be judged.
type Record = BTreeMap<(MemberIndex, View), Vec<SignedStatement>>;

/// Where a witness will be, before the network that it watches exists.
pub struct Seat {
    identity: Keypair,
    address: Multiaddr,
    _reserved: Reserved,
}

impl Default for Seat {
    fn default() -> Self {
        Self::new()
    }
}

impl Seat {
    /// Picks an identity and a free port.
    ///
    /// # Panics
    /// When this host has no free port.
    #[must_use]
    pub fn new() -> Self {
        let reserved = Reserved::new().expect("a free port");
        let port = reserved.address().port();
        let address = format!("/ip4/127.0.0.1/tcp/{port}").parse().expect("a multiaddr");
        Self { identity: Keypair::generate_ed25519(), address, _reserved: reserved }
    }

    /// Returns what `--observer` takes.
    #[must_use]
    pub fn argument(&self) -> String {
        format!("{}/p2p/{}", self.address, PeerId::from(self.identity.public()))
    }

    /// Takes the seat in a running devnet.
    ///
    /// # Errors
    /// When the devnet's files cannot be read or the network does not start.
    pub async fn watch(self, devnet: &Devnet) -> anyhow::Result<Witness> {
        let facts = facts(&devnet.info.nodes[0].data_dir)?;
        let epoch = Arc::new(EpochContext::new(facts.domain, &facts.first, facts.genesis.clone(), None)?);
        let verifier = Arc::clone(&epoch.verifier);
        let network = NetworkConfig {
            identity: self.identity,
            listen: vec![self.address],
            announce: vec![],
            book: None,
            epochs: EpochBook::new(epoch),
            spec: facts.spec,
            speakers: vec![],
            // The nodes dial us; we dial nobody.
            peers: vec![],
            observers: vec![],
        };
        let (network, mut events) = Network::start(network, Arc::new(|_: &_| None)).await?;
        let record: Arc<Mutex<Record>> = Arc::default();
        let heard = Arc::clone(&record);
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                if let NetworkEvent::Consensus { message, .. } = event {
                    let mut record = heard.lock().unwrap_or_else(PoisonError::into_inner);
                    for signed in statements(message) {
                        note(&mut record, signed);
                    }
                }
            }
        });
        Ok(Witness { network, verifier, record })
    }
}

/// A witness at work.
pub struct Witness {
    network: Network,
    verifier: Arc<Verifier>,
    record: Arc<Mutex<Record>>,
}

impl Witness {
    /// Returns how many statements of `member` for views above `view` were heard.
    #[must_use]
    pub fn heard_from(&self, member: MemberIndex, view: View) -> usize {
        let record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        record
            .range((member, view)..)
            .filter(|((who, at), _)| *who == member && *at > view)
            .map(|(_, all)| all.len())
            .sum()
    }

    /// Returns the highest view that anybody spoke of.
    #[must_use]
    pub fn highest_view(&self) -> View {
        let record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        record.keys().map(|(_, view)| *view).max().unwrap_or_default()
    }

    /// Returns every punishable pair among the statements heard whose signatures are both valid.
    #[must_use]
    pub fn punishable(&self) -> Vec<Evidence> {
        let record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        for said in record.values() {
            for (index, first) in said.iter().enumerate() {
                for second in &said[index + 1..] {
                    let Some(evidence) = Evidence::new(first.clone(), second.clone()) else { continue };
                    if [first, second].into_iter().all(|signed| self.verifier.verify(signed.clone()).is_ok()) {
                        found.push(evidence);
                    }
                }
            }
        }
        found
    }

    /// Leaves.
    pub async fn leave(self) {
        self.network.shutdown().await;
    }
}

fn note(record: &mut Record, signed: SignedStatement) {
    let Some(view) = signed.statement.view() else { return };
    let said = record.entry((signed.signer, view)).or_default();
    if !said.contains(&signed) {
        said.push(signed);
    }
}

/// Everything that somebody signed in a message. A leader's Notarize that a vote carries counts like one of its own.
fn statements(message: ConsensusMessage) -> Vec<SignedStatement> {
    match message {
        ConsensusMessage::Proposal { notarize, .. } | ConsensusMessage::CompactProposal { notarize, .. } => {
            vec![notarize]
        }
        ConsensusMessage::Vote { vote, .. } => vec![vote],
        ConsensusMessage::Evidence(evidence) => vec![evidence.first().clone(), evidence.second().clone()],
        ConsensusMessage::Attestation(_)
        | ConsensusMessage::Certificate(_)
        | ConsensusMessage::CertificateRequest { .. }
        | ConsensusMessage::BatchProposal { .. } => vec![],
    }
}

/// Reads what a node keeps about its chain.
///
/// # Errors
/// When the node has not stored it.
pub fn facts(data_dir: &Path) -> anyhow::Result<ChainFacts> {
    let path = data_dir.join("chain.json");
    let bytes = std::fs::read(&path).with_context(|| format!("{}", path.display()))?;
    Ok(ChainFacts::from_json(&bytes)?)
}
