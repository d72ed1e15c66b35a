//! Both sides of a peer proof: asking connected peers who they are, and saying who we are.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::{Duration, Instant},
};

use alloy_primitives::B256;
use baton_proto::BlsPublicKey;
use libp2p::{
    PeerId,
    request_response::{self, OutboundFailure, OutboundRequestId, ResponseChannel},
};
use tokio::task::{Id, JoinSet};
use tracing::{debug, error, info, warn};

use super::{
    Fault, NetworkEvent,
    backoff::{Timers, jittered},
    behaviour::MESH_PEERS_MAX,
    budget::Taken,
    claim::{self, Claim},
    members::{Proven, Standing},
    service::{Running, Service},
};

/// Most proofs that are checked at once: a check is a millisecond of pairing.
const CHECKS_MAX: usize = 2;

/// Most challenges that are answered at once; those above get no answer and are asked again.
const ANSWERS_MAX: usize = 64;

/// Pause before a peer that did not answer is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// Most proven members that gossip goes to in any case, whatever their score: a mesh's upper bound. All of a large
/// committee would copy every message to everybody.
const EXPLICIT_PEERS_MAX: usize = MESH_PEERS_MAX;

/// A claim that is to be checked.
struct Check {
    peer: PeerId,
    nonce: B256,
    claim: Claim,
}

/// Challenges of ours that are not decided yet, and answers of ours in work. Each peer has one challenge at a time.
pub(super) struct Proofs {
    asked: HashSet<PeerId>,
    open: HashMap<OutboundRequestId, (PeerId, B256)>,
    waiting: VecDeque<Check>,
    /// Claims of connected peers to keys that have no seat: they are checked when the key gets one.
    candidates: HashMap<PeerId, Vec<Check>>,
    checks: JoinSet<(PeerId, BlsPublicKey, bool)>,
    /// Whose claim each check is about, for a check that does not come to its end.
    checked: HashMap<Id, PeerId>,
    answers: JoinSet<(ResponseChannel<Vec<u8>>, Vec<u8>)>,
    again: Timers<PeerId>,
}

/// What became of a challenge, one way or the other.
#[expect(clippy::large_enum_variant, reason = "each is looked at where it is made, and none is kept")]
pub(super) enum ProofStep {
    /// A claim was checked.
    Checked { peer: PeerId, key: BlsPublicKey, holds: bool },
    /// A check failed on our side: its peer is asked again later.
    NotChecked,
    /// Our answer is ready.
    Answered { channel: ResponseChannel<Vec<u8>>, answer: Vec<u8> },
    /// A peer that did not answer is to be asked again.
    Again(PeerId),
}

impl Proofs {
    pub(super) fn new() -> Self {
        Self {
            asked: HashSet::new(),
            open: HashMap::new(),
            waiting: VecDeque::new(),
            candidates: HashMap::new(),
            checks: JoinSet::new(),
            checked: HashMap::new(),
            answers: JoinSet::new(),
            again: Timers::new(),
        }
    }

    /// Returns the next thing to do; waits while there is nothing. Nothing is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> ProofStep {
        loop {
            tokio::select! {
                Some(checked) = self.checks.join_next_with_id() => match checked {
                    Ok((id, (peer, key, holds))) => {
                        self.checked.remove(&id);
                        self.asked.remove(&peer);
                        return ProofStep::Checked { peer, key, holds };
                    }
                    Err(failure) => {
                        error!(%failure, "checking a peer's proof failed");
                        if let Some(peer) = self.checked.remove(&failure.id()) {
                            self.asked.remove(&peer);
                            self.again.after(jittered(ASK_AGAIN), peer);
                        }
                        return ProofStep::NotChecked;
                    }
                },
                Some(answered) = self.answers.join_next() => match answered {
                    Ok((channel, answer)) => return ProofStep::Answered { channel, answer },
                    Err(failure) => error!(%failure, "answering a challenge failed"),
                },
                peer = self.again.next() => return ProofStep::Again(peer),
            }
        }
    }

    /// Starts to check whether what `peer` claims `holds`, on a thread that may be busy with it.
    fn check(&mut self, peer: PeerId, key: BlsPublicKey, holds: impl FnOnce() -> bool + Send + 'static) {
        let check = self.checks.spawn_blocking(move || (peer, key, holds()));
        self.checked.insert(check.id(), peer);
    }
}

impl Service {
    /// Asks `peer` who it is, unless it is being asked or has shown it.
    pub(super) fn challenge(&mut self, peer: PeerId, running: &mut Running) {
        if self.shared.observers.contains(&peer) {
            // Whatever it could prove, what it says is not read.
            self.shared.members.send_modify(|members| members.stranger(peer));
            return;
        }
        let has_shown = match self.shared.members.borrow().standing(&peer) {
            Some(Standing::Candidate) => running.proofs.candidates.contains_key(&peer),
            standing => standing.is_some(),
        };
        if has_shown || !self.swarm.is_connected(&peer) || !running.proofs.asked.insert(peer) {
            return;
        }
        let nonce = B256::from(rand::random::<[u8; claim::CHALLENGE_BYTES]>());
        let id = self.swarm.behaviour_mut().prove.send_request(&peer, nonce.to_vec());
        running.proofs.open.insert(id, (peer, nonce));
    }

    pub(super) fn on_prove(&mut self, event: request_response::Event<Vec<u8>, Vec<u8>>, running: &mut Running) {
        use request_response::{Event, Message};
        match event {
            Event::Message { peer, message: Message::Request { request, channel, .. }, .. } => {
                self.on_challenge(peer, &request, channel, running);
            }
            Event::Message { message: Message::Response { request_id, response }, .. } => {
                if let Some((peer, nonce)) = running.proofs.open.remove(&request_id) {
                    self.on_claim(peer, nonce, &response, running);
                }
            }
            Event::OutboundFailure { request_id, error, .. } => {
                if let Some((peer, _)) = running.proofs.open.remove(&request_id) {
                    running.proofs.asked.remove(&peer);
                    debug!(%peer, %error, "a challenge was not answered");
                    match error {
                        OutboundFailure::UnsupportedProtocols => self.is_stranger(peer),
                        OutboundFailure::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                            self.has_lied(peer);
                        }
                        OutboundFailure::DialFailure
                        | OutboundFailure::Timeout
                        | OutboundFailure::ConnectionClosed
                        | OutboundFailure::Io(_) => running.proofs.again.after(jittered(ASK_AGAIN), peer),
                    }
                }
            }
            Event::InboundFailure { peer, error, .. } => debug!(%peer, %error, "a peer's challenge failed"),
            Event::ResponseSent { .. } => {}
        }
    }

    pub(super) fn on_proof_step(&mut self, step: ProofStep, running: &mut Running) {
        match step {
            ProofStep::NotChecked => self.check_waiting(running),
            ProofStep::Checked { peer, key, holds } => {
                self.check_waiting(running);
                if !holds {
                    running.proofs.candidates.remove(&peer);
                    let member = self.seats.newest(&key).map(|(_, member)| member.get());
                    warn!(%peer, member, "a peer claims to be a member and its proof does not hold");
                    self.has_lied(peer);
                } else if self.swarm.is_connected(&peer) {
                    self.on_proven(peer, key);
                }
            }
            ProofStep::Answered { channel, answer } => {
                if self.swarm.behaviour_mut().prove.send_response(channel, answer).is_err() {
                    debug!("an answer to a challenge came too late");
                }
            }
            ProofStep::Again(peer) => self.challenge(peer, running),
        }
    }

    /// A challenge to us.
    fn on_challenge(
        &mut self,
        from: PeerId,
        challenge: &[u8],
        channel: ResponseChannel<Vec<u8>>,
        running: &mut Running,
    ) {
        let Ok(nonce) = B256::try_from(challenge) else {
            debug!(peer = %from, got = challenge.len(), "a challenge of the wrong length");
            self.shared.charge(from, Fault::InvalidRequest);
            return;
        };
        if self.speakers.is_empty() {
            // Its end of the stream may be closed already; so below.
            let _ = self.swarm.behaviour_mut().prove.send_response(channel, Claim::encode(&[]));
            return;
        }
        let taken = running.budget(from).prove.try_take(Instant::now());
        if self.within_budget(from, taken) != Taken::Within {
            return;
        }
        if running.proofs.answers.len() >= ANSWERS_MAX {
            debug!(peer = %from, "too many challenges at once");
            return;
        }
        let proof = claim::statement(self.swarm.local_peer_id(), &from, nonce);
        let speakers = self.speakers.clone();
        running.proofs.answers.spawn_blocking(move || {
            let claims = speakers.iter().map(|speaker| Claim { key: speaker.key, signature: (speaker.prove)(&proof) });
            (channel, Claim::encode(&claims.collect::<Vec<_>>()))
        });
    }

    /// An answer to a challenge of ours. Form first, then whether a key has a seat, then the signature.
    fn on_claim(&mut self, peer: PeerId, nonce: B256, answer: &[u8], running: &mut Running) {
        let claims = match Claim::decode(answer) {
            Ok(claims) => claims,
            Err(reason) => {
                warn!(%peer, %reason, "a peer's claim is none");
                running.proofs.asked.remove(&peer);
                self.has_lied(peer);
                return;
            }
        };
        running.proofs.candidates.remove(&peer);
        if claims.iter().any(|claim| self.seats.is_ours(&claim.key)) {
            warn!(%peer, "another node claims our own key; its messages are not read");
        } else if !claims.is_empty() {
            let (seated, others): (Vec<Claim>, Vec<Claim>) =
                claims.into_iter().partition(|claim| self.seats.has(&claim.key));
            let check = |claim| Check { peer, nonce, claim };
            // One key with a seat speaks for the peer; the one that it changes to waits for its own.
            if !seated.is_empty() && !others.is_empty() && self.swarm.is_connected(&peer) {
                running.proofs.candidates.insert(peer, others.into_iter().map(check).collect());
                running.proofs.waiting.extend(seated.into_iter().map(check));
            } else {
                running.proofs.waiting.extend(seated.into_iter().chain(others).map(check));
            }
            return self.check_waiting(running);
        }
        running.proofs.asked.remove(&peer);
        self.is_stranger(peer);
    }

    /// Starts checks as long as there are threads for them. As many wait as connected peers claim keys, at most.
    fn check_waiting(&mut self, running: &mut Running) {
        while running.proofs.checks.len() < CHECKS_MAX
            && let Some(Check { peer, nonce, claim }) = running.proofs.waiting.pop_front()
        {
            let Some((context, member)) = self.seats.newest(&claim.key) else {
                self.is_candidate(Check { peer, nonce, claim }, running);
                continue;
            };
            let proof = claim::statement(&peer, self.swarm.local_peer_id(), nonce);
            let holds = move || context.verifier.verify_peer(member, &proof, &claim.signature);
            running.proofs.check(peer, claim.key, holds);
        }
    }

    /// Keeps a claim to a key without a seat, unchecked: whoever joins a later committee has proven itself already, and a
    /// key that nobody ever registers costs us no pairing.
    fn is_candidate(&mut self, check: Check, running: &mut Running) {
        let peer = check.peer;
        running.proofs.asked.remove(&peer);
        if self.swarm.is_connected(&peer) {
            let is_coming = self.seats.is_coming(&check.claim.key);
            debug!(%peer, is_coming, "a peer claims a key that has no seat");
            running.proofs.candidates.entry(peer).or_default().push(check);
            self.shared.members.send_modify(|members| members.candidate(peer));
            // Who is about to join stays, though others who have entered its epoch told us of it too early.
            if !is_coming {
                self.on_not_found_yet(peer);
            }
        }
    }

    /// Checks the claims to keys that have a seat now.
    pub(super) fn check_candidates(&mut self, running: &mut Running) {
        let Proofs { candidates, asked, waiting, .. } = &mut running.proofs;
        candidates.retain(|peer, checks| {
            for check in checks.extract_if(.., |check| self.seats.has(&check.claim.key)) {
                asked.insert(*peer);
                waiting.push_back(check);
            }
            !checks.is_empty()
        });
        self.check_waiting(running);
    }

    /// From here on `peer` speaks for `key`, until it is gone.
    fn on_proven(&mut self, peer: PeerId, key: BlsPublicKey) {
        let mut change = Proven { is_first: false, displaced: None };
        self.shared.members.send_modify(|members| change = members.prove(peer, key));
        if let Some(displaced) = change.displaced {
            info!(peer = %displaced, "a peer speaks for its member no longer: newer ones do");
            self.silence(&displaced);
        }
        self.settle(peer);
        match self.seats.running_place(&key) {
            Some((epoch, member)) if change.is_first => {
                info!(%epoch, %member, %peer, "member connected");
                self.notice(NetworkEvent::MemberConnected { epoch, member });
            }
            Some((epoch, member)) => info!(%epoch, %member, %peer, "another peer speaks for a member"),
            None => info!(%peer, "connected to who was a member in an earlier epoch"),
        }
    }

    /// Gives `peer` a member's place among the connections, and in gossip.
    pub(super) fn welcome(&mut self, peer: PeerId) {
        self.swarm.behaviour_mut().limits.bypass_peer_id(&peer);
        if self.explicit.len() < EXPLICIT_PEERS_MAX && self.explicit.insert(peer) {
            self.swarm.behaviour_mut().gossip.add_explicit_peer(&peer);
        }
    }

    /// Ends what a peer had as a member's.
    pub(super) fn silence(&mut self, peer: &PeerId) {
        self.lanes.close(peer);
        if self.explicit.remove(peer) {
            self.swarm.behaviour_mut().gossip.remove_explicit_peer(peer);
        }
        let is_kept = self.reserved.contains(peer) || self.discovery.book.addresses(peer).is_some();
        if !is_kept {
            self.swarm.behaviour_mut().limits.remove_peer_id(peer);
        }
    }

    fn is_stranger(&mut self, peer: PeerId) {
        if self.swarm.is_connected(&peer) {
            self.shared.members.send_modify(|members| members.stranger(peer));
            self.on_not_found(peer);
        }
    }

    fn has_lied(&mut self, peer: PeerId) {
        self.is_stranger(peer);
        self.shared.charge(peer, Fault::InvalidProof);
    }

    /// Forgets a peer that is gone.
    pub(super) fn forget_standing(&mut self, peer: &PeerId, cause: &str, running: &mut Running) {
        running.proofs.candidates.remove(peer);
        let was = self.shared.members.borrow().standing(peer);
        if was.is_none() {
            return;
        }
        let mut gone = Vec::new();
        self.shared.members.send_modify(|members| gone = members.leave(peer));
        if matches!(was, Some(Standing::Speaker(_))) {
            self.silence(peer);
        }
        for (epoch, member) in gone.iter().filter_map(|key| self.seats.running_place(key)) {
            info!(%epoch, %member, %peer, %cause, "member disconnected");
            self.notice(NetworkEvent::MemberDisconnected { epoch, member });
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_peer_whose_check_failed_is_asked_again() {
        let (mut proofs, peer, key) = (Proofs::new(), PeerId::random(), BlsPublicKey::new([1; 256]));
        let next = async |proofs: &mut Proofs| timeout(LIMIT, proofs.next()).await.expect("in time");
        proofs.asked.insert(peer);
        proofs.check(peer, key, || panic!("a bug"));
        assert!(matches!(next(&mut proofs).await, ProofStep::NotChecked));
        assert!(matches!(next(&mut proofs).await, ProofStep::Again(again) if again == peer));
        // Nothing stands in the way of another challenge.
        assert!(proofs.asked.insert(peer));
        proofs.check(peer, key, || true);
        let step = next(&mut proofs).await;
        assert!(matches!(step, ProofStep::Checked { peer: p, key: k, holds: true } if (p, k) == (peer, key)));
        assert!(proofs.asked.is_empty() && proofs.checked.is_empty());
    }
}
