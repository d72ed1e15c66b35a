//! Why a node is not ready, and what it may not do meanwhile.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// Something a sequencer does for the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Duty {
    /// Propose a block.
    Propose,
    /// Sign a vote.
    Vote,
    /// Name an L1 origin newer than the parent's.
    NewOrigin,
    /// Sign a batch.
    Attest,
    /// Post a batch.
    Post,
}

/// One reason why the node is not ready, and the duties that it forbids.
///
/// What a reason forbids is enforced where the duty is: a machine without ancestry proposes and votes nothing, a watcher
/// that does not see L1 settles no newer origin and lets nothing be attested, a failed write ends the process. This says so
/// to the operator and to load balancers. A reason may forbid nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotReady {
    /// What is wrong, for programs.
    pub code: NotReadyCode,
    /// What is wrong, for people.
    pub message: String,
    /// What the node does not do until then.
    pub forbids: Vec<Duty>,
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NotReadyCode {
    /// The node has not finished starting.
    Starting,
    /// Final blocks are missing.
    Syncing,
    /// Less than a quorum of weight is connected.
    BelowQuorum,
    /// L1 has not been heard of for too long.
    L1Stale,
    /// The sign record may lack statements, so nothing is signed in this epoch.
    Listening,
    /// Safety was seen broken; only the operator can go on.
    Halted,
}

/// Everything that a sequencer does.
const ALL: [Duty; 5] = [Duty::Propose, Duty::Vote, Duty::NewOrigin, Duty::Attest, Duty::Post];

impl NotReady {
    /// A node starts like this.
    #[must_use]
    pub fn starting() -> Self {
        Self::new(NotReadyCode::Starting, "starting".into(), &ALL)
    }

    /// Final blocks up to `target` are being fetched.
    #[must_use]
    pub fn syncing(current: u64, target: u64) -> Self {
        Self::new(NotReadyCode::Syncing, format!("catching up: height {current} of {target}"), &ALL)
    }

    /// Only `seen` of `total` weight can be heard. The chain stops and goes on by itself, so nothing is forbidden.
    #[must_use]
    pub fn below_quorum(seen: u64, total: u64) -> Self {
        Self::new(NotReadyCode::BelowQuorum, format!("{seen} of {total} weight seen, less than a quorum"), &[])
    }

    /// The newest L1 head is `age` old, or none was ever seen. It never forbids voting: the running epoch's committee is
    /// known (protocol section 2).
    #[must_use]
    pub fn l1_stale(age: Option<Duration>, why: &str) -> Self {
        let age = age.map_or("no l1 head seen".to_owned(), |age| format!("newest l1 head is {} s old", age.as_secs()));
        let message = if why.is_empty() { age } else { format!("{age}: {why}") };
        Self::new(NotReadyCode::L1Stale, message, &[Duty::NewOrigin, Duty::Attest, Duty::Post])
    }

    /// What this key signed in `epoch` is not known for certain (protocol section 6).
    #[must_use]
    pub fn listening(epoch: u64) -> Self {
        let message = format!("the sign record may lack statements: nothing is signed in epoch {epoch}");
        Self::new(NotReadyCode::Listening, message, &[Duty::Propose, Duty::Vote, Duty::NewOrigin, Duty::Attest])
    }

    /// Safety was seen broken (protocol section 5).
    #[must_use]
    pub fn halted(why: &dyn fmt::Display) -> Self {
        Self::new(NotReadyCode::Halted, format!("safety was seen broken: {why}"), &ALL)
    }

    fn new(code: NotReadyCode, message: String, forbids: &[Duty]) -> Self {
        Self { code, message, forbids: forbids.to_vec() }
    }
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_l1_forbids_origins_and_batches_but_never_votes() {
        let reason = NotReady::l1_stale(Some(Duration::from_millis(95_400)), "connection refused");
        assert_eq!(reason.to_string(), "newest l1 head is 95 s old: connection refused");
        assert!(reason.forbids.contains(&Duty::NewOrigin) && reason.forbids.contains(&Duty::Attest));
        assert!(!reason.forbids.contains(&Duty::Vote) && !reason.forbids.contains(&Duty::Propose));
        assert_eq!(NotReady::l1_stale(None, "").to_string(), "no l1 head seen");
    }

    #[test]
    fn reasons_survive_json() {
        for reason in
            [NotReady::starting(), NotReady::syncing(3, 9), NotReady::below_quorum(60, 100), NotReady::listening(2)]
        {
            let json = serde_json::to_string(&reason).unwrap();
            assert_eq!(serde_json::from_str::<NotReady>(&json).unwrap(), reason, "{json}");
        }
    }
}
