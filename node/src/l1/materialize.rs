//! Storing a committee on L1, before a certificate of it is checked there.
//!
//! What `materialize` costs grows with the members whose keys no stored committee had: 10 million gas for 128 of them. A transaction
//! that takes a third of an L1 block and more waits long for one that has room, and L1 takes none above its cap. So where it would
//! cost too much keys go first, 64 of them in a transaction, until the rest fits into one.
//!
//! Whoever needs the committee does this: the poster whose turn it is, or who reports certificates. Each step is what is missing as
//! L1 has it, so that after a restart, a reorg or another's step nothing is paid for twice.

use alloy_primitives::Address;
use alloy_sol_types::SolCall;
use baton_proto::Epoch;

use super::{
    bindings::SequencerRegistry,
    client::{At, L1Client},
    error::L1Error,
    sender::Call,
};

/// Most gas of a transaction that stores a committee while it can be divided: half of what EIP-7825 allows one.
pub(super) const STEP_GAS_MAX: u64 = 1 << 23;

/// Keys that are stored together. Source: `CHUNK_KEYS` in `contracts/src/Certificates.sol`.
const CHUNK_KEYS: usize = 64;

/// Gas of storing a key of 256 bytes as code, at 200 a byte (yellow paper, G_codedeposit), besides what it costs to read it, which
/// is a tenth of that.
const KEY_DEPOSIT_GAS: u64 = 256 * 200;

/// Returns what `from` has to send next to the registry so that certificates of `epoch` can be checked; `None` if they can.
///
/// # Errors
/// [`L1Error::Reverted`] with the registry's reason, as for an epoch that is not fixed yet.
pub(super) async fn next_step(
    client: &L1Client,
    from: Address,
    registry: Address,
    epoch: Epoch,
) -> Result<Option<Call>, L1Error> {
    let epoch = epoch.get();
    if client.call(registry, &SequencerRegistry::isMaterializedCall { epoch }, At::Latest).await? {
        return Ok(None);
    }
    let whole = Call::plain(registry, SequencerRegistry::materializeCall { epoch }.abi_encode().into());
    match client.estimate_gas(from, &whole).await {
        Ok(gas) if gas <= STEP_GAS_MAX => return Ok(Some(whole)),
        // Beyond what L1 or the endpoint allows a transaction, which each says in its own way.
        Ok(_) | Err(L1Error::Refused { .. } | L1Error::Reverted { .. }) => {}
        Err(error) => return Err(error),
    }
    let members = client.call(registry, &SequencerRegistry::ownersCall { epoch }, At::Latest).await?.len();
    let keys = |chunk: usize| {
        let data = SequencerRegistry::materializeKeysCall { epoch, chunk: chunk.try_into().unwrap_or_default() };
        Call::plain(registry, data.abi_encode().into())
    };
    let chunks = members.div_ceil(CHUNK_KEYS);
    // What it costs to find out that there is nothing to do.
    let idle = client.estimate_gas(from, &keys(chunks)).await?;
    for chunk in 0..chunks {
        let count = members.saturating_sub(chunk * CHUNK_KEYS).min(CHUNK_KEYS) as u64;
        let call = keys(chunk);
        if client.estimate_gas(from, &call).await? >= idle.saturating_add(count * KEY_DEPOSIT_GAS) {
            return Ok(Some(call));
        }
    }
    Ok(Some(whole))
}
