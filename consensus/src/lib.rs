//! Simplex consensus weighted by stake, as a deterministic machine: inputs in, effects out.
//!
//! [`Machine`] runs one epoch at one node. It does no I/O, reads no clock but is told the time, draws no random numbers
//! and iterates over nothing that is ordered by a hash, so the same inputs give the same effects everywhere: what the
//! tests play is what the node runs. [`Input`] lists everything that can happen to it, [`Effect`] everything it may ask
//! for. Signatures are checked outside, by [`Verifier`], and the machine takes only [`Verified`] statements.
//!
//! # One view
//!
//! Time is cut into *views*. Each has one leader, named by the [`Schedule`]; a member's turns follow its stake. A view ends
//! in one of two certificates, each a statement signed by more than two thirds of the weight ([`Committee::is_quorum`]):
//!
//! ```text
//!                    leader                everyone                     everyone
//!  enter v ──▶ build, Notarize(v,b) ──▶ validate, Notarize(v,b) ──▶ notarization(v,b) ─┬─▶ certified: enter v+1
//!     │            one hop                   one hop                                   └─▶ Finalize(v,b) ──▶ finalization(v,b)
//!     │                                                                                       one hop            │
//!     │ no block, no quorum in time, invalid block,                                                  b and all its ancestors
//!     │ leader gave up, leader long silent                                                                  are final
//!     └──────────────▶ Nullify(v) ──▶ nullification(v) ──▶ enter v+1
//! ```
//!
//! One hop to propose, two to move on, three to final, and a new leader every view. A leader that fails costs one timeout and
//! one exchange of votes; there is nothing to carry over and no special protocol to change leaders.
//!
//! # The end of an epoch
//!
//! A block whose L1 origin lies in a later epoch than the machine's is a *handover block*, the last of its epoch: the next
//! epoch's committee goes on from it, so there must be one, and nothing of this epoch after it. If it is notarized and not
//! final, nobody can build past it; the leaders of later views propose the same block again until it is final.
//!
//! What consensus agrees on is therefore a *vertex*, a view and a block: (v, b). The parent of a block proposed in its own view
//! is the vertex of its parent block. The handover block h proposed again in view v is the vertex (v, h); its parent is (u, h),
//! an earlier view in which h is notarized:
//!
//! ```text
//!  (t, b) ◀── (u, h) ◀─── every view between nullified ─── (v, h) ──▶ finalization (v, h): the epoch ends
//!   block     handover,                                     the same header, signed by the leader of v; its view,
//!             notarized                                     proposer, parent and height stay those of h
//! ```
//!
//! Once h is final the machine asks for [`Effect::EpochEnded`] and signs nothing more. It still serves and repeats the
//! finalization, with which the others end the epoch too.
//!
//! # The rules
//!
//! Every input is first recorded, then every conclusion is drawn in one order (`machine/rules.rs`, `settle`): certify,
//! finalize, enter, vote, give up, propose, ask for what is missing. The rules bear the numbers of protocol section 5.
//!
//! | rule | | where |
//! | --- | --- | --- |
//! | R1 | Enter v on a certified notarization or a nullification of v−1, or a finalization at or above it. Never go back. | `rules.rs`: `next_view`, `enter` |
//! | R2 | The leader builds on the highest certified or final block such that it holds a nullification of every view between. Not before entry + MIN_BLOCK_MS; at once after that if there is work; else at entry + IDLE_BLOCK_MS. Its Notarize is its proposal signature. On a handover block it proposes that block again, and that is work. | `rules.rs`: `propose`, `best_parent`; `handover.rs`: `propose_again`, `hasten` |
//! | R3 | Notarize the first header from the leader, once its parent is certified or final, the views between are nullified by certificates in hand, and the body is valid and stored. What is missing is fetched; for the lack of it one neither votes nor gives up early. The vote carries the leader's own, so two honest members who voted apart hold the leader's pair as soon as their votes meet. On a handover block only that block itself, whose body a quorum has judged: it must be notarized in an earlier view, and the views between nullified. | `rules.rs`: `vote`, `descent`; `handover.rs`: `descent_again`; `signing.rs`: `message` |
//! | R4 | A quorum of Notarize is a notarization: kept, spread once, certified when the body is stored and the parent is certified or final. Its view is that of the header, or a later one of a handover block. | `counting.rs`: `count`, `hold`; `rules.rs`: `certify`; `handover.rs`: `can_stand` |
//! | R5 | Certified: enter the next view, and Finalize unless we nullified the view or its leader was seen to equivocate. | `rules.rs`: `certify` |
//! | R6 | Nullify when t_L passes without a header, t_A without a certified notarization, when the block is invalid or its place in the chain illegal, when the leader nullified, or at once when the leader was silent for `inactive_views` views while a quorum spoke (at most a few in a row between two finalizations). Never after Finalize. | `rules.rs`: `give_up`, `is_inactive` |
//! | R7 | A quorum of Nullify: kept, spread once, enter the next view. A notarization of the same view is still certified: the network may have split over it, and both halves must be able to follow either. | `counting.rs`: `hold` |
//! | R8 | A quorum of Finalize: kept, spread once; the block and its ancestors are final as soon as their bodies are here. A final handover block ends the epoch: no statement and no view after it. | `rules.rs`: `finalize`; `handover.rs`: `end` |
//! | R9 | Every t_R say again: own votes of this view, the way into it, recent Finalize votes, the highest finalization; after the end of the epoch that alone. | `healing.rs`: `retry`, `repeats` |
//! | R10 | Answer what others ask about a view with the best that is held. | `healing.rs`: `serve` |
//! | R11 | Votes count in a window from [`RETENTION_VIEWS`] below the final view (and, while nothing becomes final, 1,024 below the current one) to [`AHEAD_VIEWS`] above the current one; certificates above the final view always. One vote of each (signer, view, kind) is kept, and a different second one makes [`Evidence`](baton_proto::Evidence). | `machine.rs`: `check_window`; `tally.rs` |
//! | R12 | After a restart: one past the highest certificate; recorded statements bind, and are said again, the identical ones. | `machine.rs`: `with_scheme`; `signing.rs`: `remember`, `repeat` |
//!
//! t_L runs 3Δ from the moment at which the leader should propose: the view is MIN_BLOCK_MS old and we know of work for it, or
//! it is IDLE_BLOCK_MS old. t_A is one Δ longer, t_R is 5Δ. All three double again and again while nothing becomes final, up
//! to 30 s, so that some view is long enough whatever the real delay of the network is.
//!
//! Δ is configured, and then observed (`machine/delay.rs`): each finalization shows what one hop to a quorum takes.
//! Half as much again is the new Δ, at once if that is more, by and by if it is less; at least half of what is
//! configured, at most eight times. So a network that is slower than anybody thought climbs the doublings once and not
//! again in every view, and a dead leader in a quick one is given up sooner. Where somebody proves to be late by the
//! shorter Δ, the configured one returns, and stays for longer each time.
//!
//! # What is durable when
//!
//! | before | this is on disk |
//! | --- | --- |
//! | a statement of ours leaves | the statement, whole, in the sign record ([`Effect::Sign`] answered by [`Input::Signed`]) |
//! | a Notarize leaves | also the block's body ([`Effect::Validate`] or [`Effect::Build`]) |
//! | our Finalize is recorded | the block's body and the notarization that called for it, with all that was stored before them: we are bound to the block for good, and nobody else may have them ([`Effect`]) |
//! | anything that follows from a certificate leaves | the certificate ([`Effect::Persist`]) |
//! | the next epoch begins | the handover block as final head, with its certificate ([`Effect::Finalized`] before [`Effect::EpochEnded`]) |
//!
//! So a crash at any point loses nothing that others may rely on, and what comes after it repeats what came before it. The
//! votes of others are not kept across a restart: they are sent again.
//!
//! # Why it is safe
//!
//! Let less than a third of the weight be Byzantine. Any two quorums share an honest member. Everything that is signed passes
//! one gate (`machine/signing.rs`), which holds every honest member to:
//!
//! - **I1** at most one Notarize in a view; **I2** at most one Finalize, for a notarization held; **I3** never both Nullify and
//!   Finalize; **I4** Notarize only with a certified parent and every view between nullified; **I5** durable before sent;
//!   **I6** the current and the final view never fall.
//!
//! Suppose b is finalized in view v, and b′ in a view v′ ≥ v is finalized too but is neither b nor descends from it. If
//! v′ = v, some honest member finalized twice in one view, against I2. Otherwise follow parents from the vertex (v′,
//! b′) down to the lowest vertex in a view at or above v. If that is in view v itself, its block has a notarization,
//! and so has b, and it is not b; an honest member notarized both, against I1. If it is above v, its own parent lies
//! below v, so by I4 an honest voter held a nullification of v; its quorum shares an honest member with that of b's
//! finalization, who said both Nullify(v) and Finalize(v), against I3. All that the argument uses happens within one
//! view: whoever breaks safety leaves two signatures of one view that L1 can judge.
//!
//! Proposing a handover block again changes nothing in this. I1 to I3 speak of views and digests, whatever view the
//! header names. A vertex (v, h) has a parent like any other, a notarized vertex of a lower view with every view
//! between nullified: the vote does not name it, and voters may have held different ones, but each honest voter held
//! one, and the argument follows any of them. It stands on h itself, so following parents still leads to the same block
//! or down its ancestors. And since honest members notarize nothing but h on a vertex of h, everything final above a
//! final h is h: an epoch has one last block, and finalizations of it in several views do not contradict each other.
//!
//! `tests/model/` does not argue, it visits every state that these rules allow four members, handover included, takes each
//! rule away to see what breaks, and holds this machine against the model. Two things it found to be unneeded for agreement,
//! penalties and progress: "no Notarize after Nullify", which makes giving up final, and the second half of I2's "at most
//! one", which follows from I1.
//!
//! # When safety is seen broken
//!
//! Two certificates of one view that no honest quorum allows together (S4), or a finalization of a block that the final chain
//! leaves out, prove that a third of the weight lied. The machine compares every certificate with what it holds of that view,
//! and every finalization with its final chain, for [`RETENTION_VIEWS`] below the final view; late ones too, those that come
//! with a range, and at the start those on the disk, so a crash between the second certificate and the driver's mark of the
//! halt changes nothing. What a restart, a jump, time or the end of an epoch made it forget, the driver compares with the
//! ledger, and tells it ([`Input::SafetyBroken`]; `node/src/driver/contradiction.rs`). It then signs nothing more
//! ([`Effect::SafetyBroken`]), sends all of the contradiction to everybody, and again to whoever connects or asks, because
//! each half may be all that somebody else has, and goes on comparing votes: each conflicting pair names one more of the
//! guilty (`machine/broken.rs`).
//!
//! # Why it is live
//!
//! Once messages arrive within Δ and a quorum is honest and up: when the first honest member enters v, all do within a hop,
//! since it spread what let it in, and repeats it until it moves on. An honest leader then knows a certified parent and every
//! nullification that somebody needs, or gets them by asking; all honest members notarize its block, hold the notarization
//! before t_A, and finalize it. Where that block can be nothing but the handover block again, it has been built already, and
//! the first such view ends the epoch. A faulty leader's view ends by timeout: nobody who finalized can be missing from the
//! nullification's quorum unless a notarization exists, and that is spread and lets everybody in. A member without a block's
//! ancestors follows certificates meanwhile, fetches, and votes again when it can prove what it votes for. Below a quorum the
//! chain stops, [`Machine::seen_weight`] says how much weight is there, and it goes on by itself.
//!
//! # Where this differs from the paper and its usual form
//!
//! Weights instead of heads; attributable multi-signatures with a bitmap instead of threshold signatures, because a penalty
//! needs a name; headers name their parent's digest, so one finalization proves the whole ancestry; a vote carries the
//! leader's own; and leaders that stayed silent for long are skipped.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects, clippy::indexing_slicing))]

#[cfg(test)]
extern crate self as baton_consensus;
#[cfg(test)]
#[path = "../tests/common/mod.rs"]
mod testing;

pub mod bls;
mod chain;
mod committee;
mod duties;
mod effect;
mod heard_out;
mod held;
mod input;
mod machine;
mod rejected;
mod schedule;
mod scheme;
mod tally;
mod verified;
mod view;
mod wait;

pub use bls::{MinSig, SecretKey, aggregate, to_eip2537, verify_possession};
pub use committee::{Committee, CommitteeError, CommitteeMember};
pub use duties::DutyTable;
pub use effect::{Effect, Outgoing};
pub use heard_out::HeardOut;
pub use held::{Held, HeldVotes};
pub use input::{Config, Input, Recovered, Timer, Verdict};
pub use machine::{AHEAD_VIEWS, Machine, RETENTION_VIEWS, Remembered};
pub use rejected::Rejected;
pub use schedule::Schedule;
pub use scheme::{Claim, Scheme};
pub use verified::{KeyError, Together, Verified, Verifier, VerifyError};
pub use wait::{OriginSeen, Wait};
