//! What happened, in words: a line for everything, a hash over all of them, and the last ones for whoever looks into a
//! failure.

use std::{
    collections::VecDeque,
    fmt::{self, Write as _},
    ops::AddAssign,
};

use baton_consensus::{Effect, Input, Outgoing};
use baton_proto::{BlockDigest, BlockHeader, Certificate, SignedStatement, Statement};

use crate::plan::Craft;

/// Lines that are kept for a report.
const LINES_MAX: usize = 120;

/// The story of one run.
#[derive(Default)]
pub(crate) struct Trace {
    /// A long quiet run has nothing to tell.
    on: bool,
    hash: u64,
    lines: VecDeque<String>,
}

impl Trace {
    pub(crate) fn new(on: bool) -> Self {
        Self { on, ..Self::default() }
    }

    pub(crate) fn note(&mut self, now_ms: u64, at: usize, what: fmt::Arguments<'_>) {
        if !self.on {
            return;
        }
        let mut line = if self.lines.len() < LINES_MAX { String::new() } else { self.lines.pop_front().unwrap() };
        line.clear();
        write!(line, "{now_ms:>7} ms  node {at}  {what}").expect("a string takes everything");
        // FNV-1a: enough to tell two runs apart.
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.lines.push_back(line);
    }

    /// Returns the hash of every line so far.
    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }

    /// Returns the last lines.
    pub(crate) fn last_lines(&self) -> String {
        self.lines.iter().map(|line| format!("  {line}\n")).collect()
    }
}

/// What runs were made of: a simulation in which nothing goes wrong proves nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) steps: u64,
    /// Blocks final while there were faults.
    pub(crate) blocks: u64,
    pub(crate) crashes: u64,
    /// Crashes in the middle of a turn.
    pub(crate) torn_turns: u64,
    /// Turns of more than one input; records synced early, because a certificate held our signature; and ledgers, because we
    /// were to finalize a block.
    pub(crate) shared_turns: u64,
    pub(crate) early_syncs: u64,
    pub(crate) early_bodies: u64,
    /// Crashes between the syncs of a turn, and between what it had to say.
    pub(crate) torn_syncs: u64,
    pub(crate) torn_words: u64,
    /// Disks lost, and records that settled after it.
    pub(crate) lost_disks: u64,
    pub(crate) settled: u64,
    /// Writes that a crash took along.
    pub(crate) lost_writes: u64,
    /// Times at which every node was down.
    pub(crate) blackouts: u64,
    /// Messages delivered again from the past.
    pub(crate) replays: u64,
    /// Deeds of liars, by [`Craft`].
    pub(crate) acts: [u64; Craft::ALL.len()],
    /// Messages refused for a wrong signature or signer.
    pub(crate) forgeries: u64,
    /// Votes that waited for others to be checked.
    pub(crate) waited: u64,
    /// Nodes that stopped because their record is not all that their key said.
    pub(crate) stopped: u64,
    /// Offences reported.
    pub(crate) convictions: u64,
    /// Runs in which liars of more than a third broke agreement, and were named for it.
    pub(crate) broken: u64,
    /// Contradicting certificates held by honest nodes: two notarizations, two finalizations, a finalization and a
    /// nullification.
    pub(crate) pairs: [u64; 3],
    /// Messages sent.
    pub(crate) messages: u64,
    /// Signatures and certificates checked.
    pub(crate) checked: u64,
    /// Ranges of final blocks taken from peers.
    pub(crate) ranges: u64,
    /// Machines that followed a machine because its epoch had ended, during faults and after.
    pub(crate) handovers: u64,
    pub(crate) handovers_healed: u64,
    /// Handover blocks proposed again.
    pub(crate) again: u64,
    /// Times that someone late was told from a ledger how an epoch ended.
    pub(crate) latecomers: u64,
    /// Machines of sequencers without a seat in their epoch.
    pub(crate) seatless: u64,
    /// Processes that started two epochs or more behind the latest one.
    pub(crate) walks: u64,
    /// Views from healing to the last block demanded, at worst.
    pub(crate) views_to_heal_max: u64,
    /// Those of them in which an honest member led after an honest member, at worst.
    pub(crate) good_views_max: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.steps += other.steps;
        self.blocks += other.blocks;
        self.crashes += other.crashes;
        self.torn_turns += other.torn_turns;
        self.shared_turns += other.shared_turns;
        self.early_syncs += other.early_syncs;
        self.early_bodies += other.early_bodies;
        self.torn_syncs += other.torn_syncs;
        self.torn_words += other.torn_words;
        self.lost_disks += other.lost_disks;
        self.settled += other.settled;
        self.lost_writes += other.lost_writes;
        self.blackouts += other.blackouts;
        self.replays += other.replays;
        self.acts.iter_mut().zip(other.acts).for_each(|(acts, more)| *acts += more);
        self.broken += other.broken;
        self.pairs.iter_mut().zip(other.pairs).for_each(|(pairs, more)| *pairs += more);
        self.messages += other.messages;
        self.checked += other.checked;
        self.forgeries += other.forgeries;
        self.waited += other.waited;
        self.stopped += other.stopped;
        self.convictions += other.convictions;
        self.ranges += other.ranges;
        self.handovers += other.handovers;
        self.handovers_healed += other.handovers_healed;
        self.again += other.again;
        self.latecomers += other.latecomers;
        self.seatless += other.seatless;
        self.walks += other.walks;
        self.views_to_heal_max = self.views_to_heal_max.max(other.views_to_heal_max);
        self.good_views_max = self.good_views_max.max(other.good_views_max);
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} steps, {} blocks during faults, {} crashes ({} within a turn, {} between its syncs, {} between its words, {} of all nodes, {} writes lost), {} disks lost, {} records settled after it, {} shared turns, {} records and {} ledgers synced early, {} replays, {} lies, \
             {} forgeries refused, {} votes waited, {} stopped by a stale record, {} offences reported, {} ranges, {} handovers ({} after healing, {} blocks proposed again, {} latecomers, {} machines without a seat, {} starts far behind), healed within {} views, {} of them good",
            self.steps,
            self.blocks,
            self.crashes,
            self.torn_turns,
            self.torn_syncs,
            self.torn_words,
            self.blackouts,
            self.lost_writes,
            self.lost_disks,
            self.settled,
            self.shared_turns,
            self.early_syncs,
            self.early_bodies,
            self.replays,
            self.acts.iter().sum::<u64>(),
            self.forgeries,
            self.waited,
            self.stopped,
            self.convictions,
            self.ranges,
            self.handovers,
            self.handovers_healed,
            self.again,
            self.latecomers,
            self.seatless,
            self.walks,
            self.views_to_heal_max,
            self.good_views_max
        )
    }
}

pub(crate) fn short(block: BlockDigest) -> String {
    alloy_primitives::hex::encode(&block.get()[..3])
}

pub(crate) fn statement(statement: &Statement) -> String {
    let (epoch, view) = (statement.epoch(), statement.view().unwrap_or_default());
    match statement.block() {
        Some(block) => format!("{:?} epoch {epoch} view {view} block {}", statement.kind(), short(block)),
        None => format!("{:?} epoch {epoch} view {view}", statement.kind()),
    }
}

fn certificate(held: &Certificate) -> String {
    format!("certificate {} of {:b}", statement(&held.statement), held.signers.bits())
}

fn header(header: &BlockHeader) -> String {
    format!("block {} height {} epoch {} view {}", short(header.digest()), header.height, header.epoch, header.view)
}

fn vote(vote: &SignedStatement) -> String {
    format!("vote {} by {}", statement(&vote.statement), vote.signer)
}

pub(crate) fn input(input: &Input) -> String {
    match input {
        Input::Proposal { header: proposed, .. } => format!("hears proposal {}", header(proposed)),
        Input::Vote { vote: heard, .. } => format!("hears {}", vote(heard)),
        Input::Certificate(heard) => format!("hears {}", certificate(heard)),
        Input::Validated { block, verdict } => format!("validated {}: {verdict:?}", short(*block)),
        Input::Fetched { header: fetched } => format!("fetched {}", header(fetched)),
        Input::Synced { header: head, .. } => format!("synced {}", header(head)),
        Input::Built { header: built, .. } => format!("built {}", header(built)),
        Input::Signed(signed) => format!("signed {}", statement(&signed.statement)),
        Input::SignRefused(refused) => format!("record refused {}", statement(refused)),
        Input::CertificateWanted { view, from } => format!("is asked by {from} about view {view}"),
        Input::SafetyBroken(held) => {
            let held: Vec<String> = held.iter().map(|held| certificate(held)).collect();
            format!("finds that safety is broken by {}", held.join(" and "))
        }
        Input::Started | Input::NotBuilt { .. } | Input::TimerFired(_) | Input::WorkArrived | Input::Connected(_) => {
            format!("{input:?}")
        }
    }
}

fn outgoing(message: &Outgoing) -> String {
    match message {
        Outgoing::Proposal { header: proposed, .. } => format!("proposal {}", header(proposed)),
        Outgoing::Vote { vote: said, .. } => vote(said),
        Outgoing::Certificate(held) => certificate(held),
        Outgoing::CertificateRequest { view } => format!("request for view {view}"),
    }
}

pub(crate) fn effect(effect: &Effect) -> String {
    match effect {
        Effect::Sign(asked) => format!("-> sign {}", statement(asked)),
        Effect::Persist(held) => format!("-> persist {}", certificate(held)),
        Effect::Broadcast(message) => format!("-> broadcast {}", outgoing(message)),
        Effect::Send(to, message) => format!("-> send {to} {}", outgoing(message)),
        Effect::Build { view, parent, .. } => format!("-> build view {view} on {}", header(parent)),
        Effect::Validate { header: proposed, .. } => format!("-> validate {}", header(proposed)),
        Effect::Fetch { block, from, .. } => format!("-> fetch {} from {from:?}", short(*block)),
        Effect::Finalized { chain, .. } => {
            format!("-> final {:?}", chain.iter().map(|header| short(header.digest())).collect::<Vec<_>>())
        }
        Effect::Behind { certificate: held } => format!("-> behind {}", certificate(held)),
        Effect::EpochEnded { last, next_epoch } => format!("-> epoch ends, {next_epoch} follows {}", header(last)),
        Effect::SetTimer { timer, after_ms } => format!("-> timer {timer:?} in {after_ms} ms"),
        Effect::Report(evidence) => {
            format!("-> report {} {:?} view {}", evidence.signer(), evidence.offence(), evidence.view())
        }
        Effect::SafetyBroken(held) => {
            format!("-> safety broken {:?}", held.iter().map(certificate).collect::<Vec<_>>())
        }
        Effect::Entered { view, leader } => format!("-> entered view {view} of {leader}"),
    }
}
