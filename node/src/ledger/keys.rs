//! The keys of every family. Numbers are big-endian, so that keys sort as what they name.
//!
//! | family | key | value |
//! | --- | --- | --- |
//! | blocks | `f` height | digest of the final block |
//! | | `b` height digest | block, final or not |
//! | | `d` digest | height |
//! | | `u` height digest | epoch view: the block is not final |
//! | certificates | `v` epoch view rank digest | certificate; rank 0 finalization, 1 notarization, 2 nullification |
//! | | `d` digest | epoch view: the finalization of that block |
//! | | `h` height | epoch view digest: the finalization of that final block |
//! | tx_index | hash | height, index, outcome |
//! | receipts | `o` height | roots, fees, bloom, outcomes; see the records module |
//! | | `r` height | receipts, where there are any |
//! | state | `a` address | account |
//! | | `s` address slot | value, where it is not zero |
//! | | `h` | the block that this is the state after, and what the next one needs of it |
//! | code | keccak256 | code |
//! | trie_nodes | account path | RLP of the node there |
//! | undo | height | what was there before that block, of the last ones |
//! | batches | `r` index | record without data |
//! | | `d` index | data |
//! | | `a` index key | what the member with that key attested, see the attested module |
//! | post_intents | address nonce | intent |
//! | evidence | epoch view member offence | record |
//! | votes | epoch view member kind | what the member said there, see the votes module |
//! | l1_view | name | as given |
//! | meta | `schema`, `identity`, `head` | |

use alloy_primitives::{Address, B256, U256};
use baton_proto::{
    BatchIndex, BlockDigest, BlsPublicKey, Certificate, Epoch, Evidence, Height, MemberIndex, Offence, StatementKind,
    View,
};

pub(super) const HEAD: &[u8] = b"head";
pub(super) const IDENTITY: &[u8] = b"identity";

/// In the family of the state.
pub(super) const STATE_HEAD: &[u8] = b"h";

/// Above every key of a family: keys start with a letter or are shorter than this.
pub(super) const END: &[u8] = &[0xff; 64];

pub(super) fn final_digest(height: Height) -> Vec<u8> {
    join(b'f', &[&be(height.get())])
}

pub(super) fn body(height: Height, digest: BlockDigest) -> Vec<u8> {
    join(b'b', &[&be(height.get()), digest.get().as_slice()])
}

pub(super) fn height_of(digest: BlockDigest) -> Vec<u8> {
    join(b'd', &[digest.get().as_slice()])
}

pub(super) fn unfinal(height: Height, digest: BlockDigest) -> Vec<u8> {
    join(b'u', &[&be(height.get()), digest.get().as_slice()])
}

/// The first key of unfinalized blocks at `height`.
pub(super) fn unfinal_from(height: Height) -> Vec<u8> {
    join(b'u', &[&be(height.get())])
}

/// Above the last key of unfinalized blocks.
pub(super) fn unfinal_end() -> Vec<u8> {
    vec![b'u' + 1]
}

pub(super) fn certificate(certificate: &Certificate) -> Vec<u8> {
    let statement = &certificate.statement;
    let rank = match statement.kind() {
        StatementKind::Finalize => 0,
        StatementKind::Notarize => 1,
        StatementKind::Nullify => 2,
        StatementKind::Attest => 3,
    };
    let digest = statement.block().unwrap_or_default().get();
    let mut key = view(statement.epoch(), statement.view().unwrap_or_default());
    key.push(rank);
    key.extend_from_slice(digest.as_slice());
    key
}

/// The first key of certificates of a view.
pub(super) fn view(epoch: Epoch, view: View) -> Vec<u8> {
    join(b'v', &[&be(epoch.get()), &be(view.get())])
}

/// Above the last key of certificates of `epoch`.
pub(super) fn epoch_end(epoch: Epoch) -> Vec<u8> {
    join(b'v', &[&be(epoch.get()), &[0xff; 9]])
}

/// Above the last key of certificates of a view: ranks are below 0xff.
pub(super) fn view_end(epoch: Epoch, of: View) -> Vec<u8> {
    let mut key = view(epoch, of);
    key.push(0xff);
    key
}

pub(super) fn finalization(epoch: Epoch, of: View, digest: BlockDigest) -> Vec<u8> {
    let mut key = view(epoch, of);
    key.push(0);
    key.extend_from_slice(digest.get().as_slice());
    key
}

pub(super) fn finalization_of(digest: BlockDigest) -> Vec<u8> {
    join(b'd', &[digest.get().as_slice()])
}

pub(super) fn finalization_at(height: Height) -> Vec<u8> {
    join(b'h', &[&be(height.get())])
}

/// Above the last key of finalizations by height.
pub(super) fn finalization_at_end() -> Vec<u8> {
    vec![b'h' + 1]
}

pub(super) fn results(height: Height) -> Vec<u8> {
    join(b'o', &[&be(height.get())])
}

pub(super) fn receipts(height: Height) -> Vec<u8> {
    join(b'r', &[&be(height.get())])
}

pub(super) fn account(address: Address) -> Vec<u8> {
    join(b'a', &[address.as_slice()])
}

pub(super) fn slot(address: Address, slot: U256) -> Vec<u8> {
    join(b's', &[address.as_slice(), &slot.to_be_bytes::<32>()])
}

pub(super) fn undo(height: Height) -> Vec<u8> {
    be(height.get()).to_vec()
}

pub(super) fn batch(index: BatchIndex) -> Vec<u8> {
    join(b'r', &[&be(index.get())])
}

/// Below the first and above the last key of batch records.
pub(super) fn batches() -> (Vec<u8>, Vec<u8>) {
    (vec![b'r'], vec![b'r' + 1])
}

pub(super) fn batch_data(index: BatchIndex) -> Vec<u8> {
    join(b'd', &[&be(index.get())])
}

pub(super) fn attested(index: BatchIndex, key: &BlsPublicKey) -> Vec<u8> {
    join(b'a', &[&be(index.get()), key.as_bytes()])
}

/// Before the first key of what was attested of batch `index`.
pub(super) fn attested_from(index: BatchIndex) -> Vec<u8> {
    join(b'a', &[&be(index.get())])
}

/// Beside the keys of facts, which are text.
pub(super) fn forced_cursor() -> Vec<u8> {
    vec![0]
}

pub(super) fn forced_entry(position: u64) -> Vec<u8> {
    join(0, &[&be(position)])
}

pub(super) fn intent(account: Address, nonce: u64) -> Vec<u8> {
    [account.as_slice(), &be(nonce)].concat()
}

pub(super) fn evidence(evidence: &Evidence) -> Vec<u8> {
    let offence = match evidence.offence() {
        Offence::DoubleNotarize => 1,
        Offence::DoubleFinalize => 2,
        Offence::NullifyFinalize => 3,
        Offence::ConflictingAttestations => 5,
    };
    [be(evidence.epoch().get()).as_slice(), &be(evidence.view().get()), &[evidence.signer().get(), offence]].concat()
}

/// The first key of votes from `view` of `epoch` on.
pub(super) fn votes(epoch: Epoch, view: View) -> Vec<u8> {
    [be(epoch.get()), be(view.get())].concat()
}

/// Above the last key of votes of a view: members are below 0xff.
pub(super) fn votes_end(epoch: Epoch, view: View) -> Vec<u8> {
    let mut key = votes(epoch, view);
    key.push(0xff);
    key
}

/// Before the first key of what `signer` said in a view; that of the next member is above the last.
pub(super) fn votes_by(epoch: Epoch, view: View, signer: u8) -> Vec<u8> {
    let mut key = votes(epoch, view);
    key.push(signer);
    key
}

/// What `signer` said of one kind in one view.
pub(super) fn place(epoch: Epoch, view: View, signer: MemberIndex, kind: StatementKind) -> Vec<u8> {
    let mut key = votes(epoch, view);
    key.extend([signer.get(), kind.code()]);
    key
}

/// Reads the height that follows a key's first byte.
pub(super) fn height_in(key: &[u8]) -> Option<Height> {
    Some(Height::new(u64::from_be_bytes(key.get(1..9)?.try_into().ok()?)))
}

/// Reads the digest at the end of a key or value that has `before` bytes in front of it.
pub(super) fn digest_after(bytes: &[u8], before: usize) -> Option<BlockDigest> {
    B256::try_from(bytes.get(before..)?).ok().map(BlockDigest::new)
}

pub(super) const fn be(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

fn join(prefix: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![prefix];
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}
