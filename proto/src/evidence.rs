//! Evidence: two statements of one key that an honest member never signs both.

use serde::{Deserialize, Serialize};

use crate::{Epoch, MemberIndex, SignedStatement, Statement, View};

/// The offences of protocol section 7 that one signer's two votes prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Offence {
    /// S1: two different Notarize of one view. A leader that proposes twice commits it.
    DoubleNotarize,
    /// S2: two different Finalize of one view.
    DoubleFinalize,
    /// S3: Nullify and Finalize of one view.
    NullifyFinalize,
}

impl Offence {
    /// Returns the offence that one signer commits by signing both, if it is one; the order does not matter.
    ///
    /// Notarize then Nullify of one view is legal, and so is anything in different views.
    #[must_use]
    pub fn of(first: &Statement, second: &Statement) -> Option<Self> {
        use Statement::{Finalize, Notarize, Nullify};
        if first.epoch() != second.epoch() || first.view().is_none() || first.view() != second.view() {
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

/// Two signed statements of one member that together are an [`Offence`]. Anyone may submit it to `Slasher.submit`.
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

    /// Returns the epoch of both.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.first.statement.epoch()
    }

    /// Returns the view of both.
    #[must_use]
    pub fn view(&self) -> View {
        self.first.statement.view().unwrap_or_default()
    }
}
