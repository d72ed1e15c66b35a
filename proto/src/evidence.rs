//! Evidence: two statements of one key that an honest member never signs both.

use serde::{Deserialize, Serialize};

use crate::{Certificate, Epoch, MemberIndex, SignedStatement, SignerSet, Statement, View};

/// The offences of protocol section 7 that one signer's two statements prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Offence {
    /// S1: two different Notarize of one view. A leader that proposes twice commits it.
    DoubleNotarize,
    /// S2: two different Finalize of one view.
    DoubleFinalize,
    /// S3: Nullify and Finalize of one view.
    NullifyFinalize,
    /// S5: two blocks, or two states, attested for one height of one batch.
    ConflictingAttestations,
}

impl Offence {
    /// Returns the offence that one signer commits by signing both, if it is one; the order does not matter.
    ///
    /// Notarize then Nullify of one view is legal, and so is anything in different views or epochs. Two attestations may name
    /// different committees: a later one certifies what its own could not.
    #[must_use]
    pub fn of(first: &Statement, second: &Statement) -> Option<Self> {
        use Statement::{Attest, Finalize, Notarize, Nullify};
        if let (Attest(a), Attest(b)) = (first, second) {
            return a.conflicts_with(b).then_some(Self::ConflictingAttestations);
        }
        if first.epoch() != second.epoch() || first.view() != second.view() {
            return None;
        }
        match (first, second) {
            (Notarize { block: a, .. }, Notarize { block: b, .. }) if a != b => Some(Self::DoubleNotarize),
            (Finalize { block: a, .. }, Finalize { block: b, .. }) if a != b => Some(Self::DoubleFinalize),
            (Nullify { .. }, Finalize { .. }) | (Finalize { .. }, Nullify { .. }) => Some(Self::NullifyFinalize),
            _ => None,
        }
    }
}

/// Two signed statements of one member that together are an [`Offence`]. Anyone may submit it to the slasher.
///
/// Whose they are is said as a place in the committee of the first one's epoch: two attestations may be for two committees, and
/// both name the signer by its place in the first.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Evidence {
    first: SignedStatement,
    second: SignedStatement,
    offence: Offence,
}

impl Evidence {
    /// Pairs two statements, if one member claims both and they are an offence. Signatures are not checked here.
    #[must_use]
    pub fn new(first: SignedStatement, second: SignedStatement) -> Option<Self> {
        if first.signer != second.signer {
            return None;
        }
        let offence = Offence::of(&first.statement, &second.statement)?;
        Some(Self { first, second, offence })
    }

    /// Returns the statement that was seen first.
    #[must_use]
    pub const fn first(&self) -> &SignedStatement {
        &self.first
    }

    /// Returns the statement that was seen second.
    #[must_use]
    pub const fn second(&self) -> &SignedStatement {
        &self.second
    }

    /// Returns what the pair proves.
    #[must_use]
    pub const fn offence(&self) -> Offence {
        self.offence
    }

    /// Returns who signed both, by index in the committee of [`Self::epoch`].
    #[must_use]
    pub const fn signer(&self) -> MemberIndex {
        self.first.signer
    }

    /// Returns the epoch in which the signer has that index: that of both, unless they are attestations for two committees.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.first.statement.epoch()
    }

    /// Returns the view of both; 0 for attestations, which have none.
    #[must_use]
    pub fn view(&self) -> View {
        self.first.statement.view().unwrap_or_default()
    }

    /// Returns whether it is about something that `is_near` says of a view, or about a batch.
    #[must_use]
    pub fn concerns(&self, is_near: impl FnOnce(View) -> bool) -> bool {
        self.first.statement.view().is_none_or(is_near)
    }
}

/// Two certificates of one view that contradict each other (S4): whoever is in both loses the whole bond. Anyone may submit
/// it to `Slasher.submitCertificates`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Conflict {
    first: Certificate,
    second: Certificate,
}

impl Conflict {
    /// Pairs two certificates of votes that no honest member casts both. Signatures and quorums are not checked here.
    #[must_use]
    pub fn new(first: Certificate, second: Certificate) -> Option<Self> {
        let is_vote = first.statement.view().is_some();
        (is_vote && Offence::of(&first.statement, &second.statement).is_some()).then_some(Self { first, second })
    }

    /// Returns the first pair among `certificates` that contradicts itself in one view. Broken safety may show in two
    /// finalizations of different views instead, and then no two certificates are evidence.
    #[must_use]
    pub fn among(certificates: &[Certificate]) -> Option<Self> {
        let mut pairs = certificates
            .iter()
            .enumerate()
            .flat_map(|(n, first)| certificates.iter().take(n).map(move |second| (second, first)));
        pairs.find_map(|(first, second)| Self::new(first.clone(), second.clone()))
    }

    /// Returns both.
    #[must_use]
    pub const fn certificates(&self) -> [&Certificate; 2] {
        [&self.first, &self.second]
    }

    /// Returns the epoch of both.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.first.statement.epoch()
    }

    /// Returns who signed both.
    #[must_use]
    pub fn signers(&self) -> SignerSet {
        SignerSet::from_bits(self.first.signers.bits() & self.second.signers.bits())
    }
}
