//! What may not be signed beside what was signed before (protocol sections 5 to 7).

use baton_proto::{Attestation, Offence, Statement};

/// Returns whether a key that has signed `recorded` may not sign `asked` any more.
///
/// Whatever is slashable is forbidden in either order. Notarize then Nullify is legal; Notarize after Nullify is not
/// slashable, but a view that was given up may not be voted for. The same statement again is never forbidden.
pub(super) fn forbids(recorded: &Statement, asked: &Statement) -> bool {
    if recorded == asked {
        return false;
    }
    match (recorded, asked) {
        (Statement::Nullify { .. }, Statement::Notarize { .. }) => {
            recorded.epoch() == asked.epoch() && recorded.view() == asked.view()
        }
        _ => contradict(recorded, asked),
    }
}

/// Returns whether no honest key signs both, in whatever order.
pub(super) fn contradict(a: &Statement, b: &Statement) -> bool {
    match (a, b) {
        (Statement::Attest(a), Statement::Attest(b)) => attestations_conflict(a, b),
        _ => Offence::of(a, b).is_some(),
    }
}

/// S5, and more strictly one state root per block whatever the batch. Committee epoch and header hash do not matter: the
/// same blocks may be attested again by a later committee or in another encoding. Nor does another last height: when a
/// poster fails, the next one may close the batch elsewhere.
fn attestations_conflict(a: &Attestation, b: &Attestation) -> bool {
    let is_same_block = a.last_height == b.last_height && a.last_digest == b.last_digest;
    a.conflicts_with(b) || (is_same_block && a.state_root != b.state_root)
}
