//! Settles epochs: hands L1 the table of duties that an epoch's last batch commits to, so that rewards are paid and who was
//! away is jailed.
//!
//! ```text
//!   next epoch, closed by a final L1 block ─▶ count ─▶ our turn? ─▶ simulate ─▶ send
//!        ▲                                      │                      │
//!        │                                      │                      ╰ refused: somebody was faster, or later again, and rarer
//!        ╰── settled, by whomever ◀─────────────╰ not what was attested, or refused too often: left to others; nobody settled it
//!                                                 within its time: passed over, so that it holds up nothing
//! ```
//! Every node can, since every node has the chain that the table is counted from, and its account for evidence pays. They do
//! one after the other, by rank, each some L1 blocks later while nobody has. Who comes too late finds that out when it
//! simulates, or pays for a transaction that does nothing. Evidence goes first, and waits for one settlement on its way at most.
//!
//! Nothing is stored: what is settled next stands on L1, and the table is counted anew from the final chain, after a restart
//! as before it. After a long outage epochs are settled in their order, one after the other, each with the first of its
//! members that is there. No pause stops this: the contracts know none, and a settlement moves no token.

use std::{sync::Arc, time::Duration};

use alloy_primitives::{Address, keccak256};
use alloy_sol_types::SolCall;
use baton_proto::{Epoch, L1BlockNumber};
use tokio::task::spawn_blocking;
use tracing::{debug, error, info, warn};

use super::{
    bindings::{BatchInbox, Liveness, RevertReason, settlement},
    client::{At, L1Client},
    facts::ChainFacts,
    forgotten::Forgotten,
    reporter::turn,
    sender::{Call, SendError},
};
use crate::{
    duties::count,
    epoch::EpochBook,
    ledger::{Ledger, last_batch_of_epoch},
};

/// L1 blocks of a turn: one that takes the transaction, and one in which the others see that.
const TURN_BLOCKS: u64 = 2;

/// How often L1 may refuse to settle an epoch before it is left to others.
const REFUSALS_MAX: u32 = 6;

/// After a refusal the next attempt waits twice as long as the last one did, up to so many doublings of a turn: two hours.
const DOUBLINGS_MAX: u32 = 8;

/// How often L1 is asked whether what a closed epoch rests on is final: it is.
const POLL: Duration = Duration::from_secs(1);

/// What this node can do for an epoch.
enum Work {
    /// It lacks something of it still.
    Lacking,
    /// It has the table that was attested. The call settles the epoch.
    Settle(Call),
    /// Its own table is another one.
    Elsewhere,
}

/// The epoch that L1 settles next, and how far this node is with it.
struct Case {
    epoch: Epoch,
    /// The L1 block that closed it.
    closed_at: u64,
    /// Newest L1 block when this process first saw it to be next, with its close final.
    since: L1BlockNumber,
    /// How many turns are left to others first.
    rank: u64,
    work: Work,
    refusals: u32,
    /// No attempt before this L1 block.
    not_before: u64,
    /// What was said last of why it waits.
    said: String,
}

impl Case {
    const fn new(epoch: Epoch, closed_at: u64, since: L1BlockNumber) -> Self {
        Self { epoch, closed_at, since, rank: 0, work: Work::Lacking, refusals: 0, not_before: 0, said: String::new() }
    }

    /// Returns what to send to `liveness` at L1 block `head`; an epoch may be passed over `evidence_blocks` after its close.
    fn due(&self, head: L1BlockNumber, liveness: Address, evidence_blocks: u64) -> Option<Call> {
        let turn = self.since.get().saturating_add(self.rank.saturating_mul(TURN_BLOCKS));
        if head.get() < turn.max(self.not_before) {
            return None;
        }
        match &self.work {
            Work::Lacking => None,
            Work::Settle(call) if self.refusals < REFUSALS_MAX => Some(call.clone()),
            Work::Settle(_) | Work::Elsewhere => {
                let last = self.closed_at.saturating_add(evidence_blocks);
                let pass_over = || Call::plain(liveness, Liveness::passOverCall {}.abi_encode().into());
                (head.get() > last).then(pass_over)
            }
        }
    }

    /// Puts the next attempt off, for longer each time.
    fn put_off(&mut self, head: L1BlockNumber) {
        self.refusals = self.refusals.saturating_add(1);
        self.not_before = head.get().saturating_add(TURN_BLOCKS << self.refusals.min(DOUBLINGS_MAX));
    }
}

/// Knows what this node would settle next, and when.
pub(super) struct Settler {
    client: L1Client,
    facts: Arc<ChainFacts>,
    ledger: Arc<dyn Ledger>,
    book: EpochBook,
    forgotten: Forgotten,
    case: Option<Case>,
    /// The L1 block at which L1 was asked last.
    looked_at: Option<L1BlockNumber>,
}

impl Settler {
    pub(super) fn new(client: L1Client, facts: Arc<ChainFacts>, ledger: Arc<dyn Ledger>, book: EpochBook) -> Self {
        let forgotten = Forgotten::new(client.clone(), Arc::clone(&facts), Arc::clone(&ledger), POLL);
        Self { client, facts, ledger, book, forgotten, case: None, looked_at: None }
    }

    /// Returns the call that this node has to make at L1 block `head`, if it is its turn.
    pub(super) async fn due(
        &mut self,
        head: L1BlockNumber,
        finalized: L1BlockNumber,
    ) -> Result<Option<Call>, SendError> {
        if self.looked_at != Some(head) {
            self.look(head, finalized).await?;
            self.looked_at = Some(head);
        }
        let (liveness, evidence_blocks) = (self.facts.liveness, self.facts.spec.evidence_blocks);
        Ok(self.case.as_ref().and_then(|case| case.due(head, liveness, evidence_blocks)))
    }

    /// Takes note of why the call did not get to L1.
    ///
    /// # Errors
    /// The same error where it is not about this call.
    pub(super) fn not_sent(&mut self, error: SendError, head: L1BlockNumber) -> Result<(), SendError> {
        let Some(case) = &mut self.case else { return Err(error) };
        match error {
            SendError::Refused(reason) if is_settled_by_another(&reason) => {
                debug!(epoch = %case.epoch, "somebody else settled the epoch");
                case.not_before = head.get().saturating_add(1);
            }
            SendError::Refused(reason) => {
                case.put_off(head);
                warn!(epoch = %case.epoch, %reason, refusals = case.refusals, "L1 does not settle the epoch now");
                // Whatever was wrong with it, it is counted anew.
                case.work = Work::Lacking;
            }
            SendError::KeepsFailing(times) => {
                error!(epoch = %case.epoch, times, "L1 keeps refusing what its simulation accepts; the epoch is left to others");
                case.put_off(head);
                case.refusals = case.refusals.max(REFUSALS_MAX);
            }
            error @ (SendError::Ledger(_) | SendError::Sign(_) | SendError::Panicked(_)) => return Err(error),
            error @ (SendError::L1(_) | SendError::AboveCeiling(_) | SendError::TooManyUnfinal(_)) => {
                let what = error.to_string();
                if case.said != what {
                    warn!(epoch = %case.epoch, error = what, "the epoch waits to be settled");
                    case.said = what;
                }
            }
        }
        Ok(())
    }

    /// Asks L1 which epoch is next.
    async fn look(&mut self, head: L1BlockNumber, finalized: L1BlockNumber) -> Result<(), SendError> {
        let next = self.client.call(self.facts.liveness, &Liveness::nextCall {}, At::Latest).await?;
        let (epoch, closed_at) = (Epoch::new(next.epoch), next.closedAt);
        if closed_at == 0 || closed_at > finalized.get() {
            self.case = None;
            return Ok(());
        }
        let mut case = match self.case.take() {
            Some(case) if (case.epoch, case.closed_at) == (epoch, closed_at) => case,
            _ => Case::new(epoch, closed_at, head),
        };
        let prepared = match case.work {
            Work::Lacking => self.prepare(&mut case).await,
            Work::Settle(_) | Work::Elsewhere => Ok(()),
        };
        self.case = Some(case);
        prepared
    }

    /// Counts the duties, if this node has all of the epoch. An epoch has thousands of blocks: nothing is counted before L1 is seen
    /// to have the same last batch, and never where others' messages wait meanwhile.
    async fn prepare(&mut self, case: &mut Case) -> Result<(), SendError> {
        let epoch = case.epoch;
        let context = match self.book.of(epoch) {
            Some(known) => Some(known),
            None => self.forgotten.open(epoch).await?,
        };
        let Some(context) = context else { return Ok(()) };
        let ledger = Arc::clone(&self.ledger);
        let Some(last) = spawn_blocking(move || last_batch_of_epoch(&*ledger, epoch)).await?? else { return Ok(()) };
        let question = BatchInbox::lastBatchOfCall { epoch: epoch.get() };
        let on_l1 = self.client.call(self.facts.inbox, &question, At::Latest).await?;
        if last.hash().get()[..20] != on_l1.lastBatch[..] {
            debug!(%epoch, last = %last.index, "the last batch of the epoch is not recorded yet");
            return Ok(());
        }
        let (ledger, counted, end) = (Arc::clone(&self.ledger), Arc::clone(&context), last.last_height);
        let Some(table) = spawn_blocking(move || count(&*ledger, &counted, end)).await?? else { return Ok(()) };
        let me = self.book.own_place(&context.committee);
        case.rank = turn(&keccak256(epoch.get().to_be_bytes()), context.committee.len(), me);
        if table.root() == last.duties_root {
            info!(%epoch, rank = case.rank, "the epoch can be settled");
            case.work = Work::Settle(Call::plain(self.facts.liveness, settlement(&last, table.rows())));
        } else {
            error!(%epoch, attested = %last.duties_root, counted = %table.root(), "the attested duties are not those of this chain");
            case.work = Work::Elsewhere;
        }
        Ok(())
    }
}

/// Whether the contract waits for a later epoch by now.
fn is_settled_by_another(reason: &RevertReason) -> bool {
    use Liveness::LivenessErrors as E;
    matches!(reason, RevertReason::Liveness(error) if matches!(**error, E::Liveness__NotTheNextEpoch(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVIDENCE_BLOCKS: u64 = 100_000;

    /// The first L1 block from `head` on at which something is due, and what.
    fn due_from(case: &Case, head: u64) -> (u64, Call) {
        let due = |head| case.due(L1BlockNumber::new(head), Address::ZERO, EVIDENCE_BLOCKS);
        (head..).find_map(|head| due(head).map(|call| (head, call))).expect("in the end it is passed over")
    }

    #[test]
    fn it_waits_for_its_turn_tries_less_and_less_often_and_passes_over_in_the_end() {
        let settle = Call::plain(Address::ZERO, vec![1].into());
        let mut case = Case::new(Epoch::new(2), 40, L1BlockNumber::new(50));
        assert!(case.due(L1BlockNumber::new(u64::MAX), Address::ZERO, EVIDENCE_BLOCKS).is_none(), "it lacks something");
        (case.work, case.rank) = (Work::Settle(settle.clone()), 3);
        let mut head = 50 + 3 * TURN_BLOCKS;
        assert_eq!(due_from(&case, 0), (head, settle.clone()));
        let mut waited = 0;
        for _ in 1..REFUSALS_MAX {
            case.put_off(L1BlockNumber::new(head));
            let (next, call) = due_from(&case, head);
            assert!(call == settle && next - head > waited, "{waited} blocks, then {}", next - head);
            (waited, head) = (next - head, next);
        }
        // Whoever waits for others waits for as long as somebody can settle it.
        for refusals in [REFUSALS_MAX, u32::MAX] {
            case.refusals = refusals - 1;
            case.put_off(L1BlockNumber::new(head));
            let (next, call) = due_from(&case, head);
            assert_eq!((next, &call.data[..]), (40 + EVIDENCE_BLOCKS + 1, &Liveness::passOverCall {}.abi_encode()[..]));
        }
        case.put_off(L1BlockNumber::new(2 * EVIDENCE_BLOCKS));
        assert_eq!(due_from(&case, 0).0, 2 * EVIDENCE_BLOCKS + (TURN_BLOCKS << DOUBLINGS_MAX));
        case = Case { work: Work::Elsewhere, ..Case::new(Epoch::new(2), 40, L1BlockNumber::new(50)) };
        assert_eq!(due_from(&case, 0).0, 40 + EVIDENCE_BLOCKS + 1);
    }
}
