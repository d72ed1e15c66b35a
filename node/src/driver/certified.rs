//! Which statements have a certificate here, so that no second one of the same statement is checked.

use std::{
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
};

use baton_proto::{Certificate, MemberIndex, Statement};
use lru::LruCache;

/// Statements that are remembered: all three of each view that certificates are taken of, and of many more while nothing
/// becomes final.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// Statements whose certificate was checked or added up here; the checks and the driver share them.
///
/// Every member sends the same certificate under a bitmap of its own, and the machine keeps the first. One that holds our
/// own bit where the first did not is worth a check all the same: it can show that another process signs with our key, or
/// that our sign record is stale.
#[derive(Debug)]
pub struct Certified {
    me: Option<MemberIndex>,
    /// With each, whether we are known to be among its signers.
    known: Mutex<LruCache<Statement, bool>>,
}

impl Certified {
    /// Knows none yet.
    #[must_use]
    pub fn new(me: Option<MemberIndex>) -> Self {
        Self { me, known: Mutex::new(LruCache::new(REMEMBERED)) }
    }

    /// Takes note of a valid certificate.
    pub(super) fn insert(&self, certificate: &Certificate) {
        let mut known = self.known();
        let holds_us = known.get(&certificate.statement).copied().unwrap_or_default() || self.holds_us(certificate);
        known.put(certificate.statement, holds_us);
    }

    /// Returns whether there is a certificate of `statement`.
    pub(super) fn contains(&self, statement: &Statement) -> bool {
        self.known().contains(statement)
    }

    /// Returns whether a certificate would tell nothing new if it were valid.
    pub(super) fn covers(&self, certificate: &Certificate) -> bool {
        let known = self.known().get(&certificate.statement).copied();
        known.is_some_and(|knows_us| knows_us || !self.holds_us(certificate))
    }

    fn holds_us(&self, certificate: &Certificate) -> bool {
        self.me.is_some_and(|me| certificate.signers.contains(me))
    }

    fn known(&self) -> MutexGuard<'_, LruCache<Statement, bool>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use baton_proto::{BlsSignature, Epoch, SignerSet, View};

    #[test]
    fn a_second_certificate_tells_nothing_new_unless_it_holds_us() {
        let statement = Statement::Nullify { epoch: Epoch::new(2), view: View::new(3) };
        let certificate = |bits| Certificate {
            statement,
            signers: SignerSet::from_bits(bits),
            signature: BlsSignature::new([0; 48]),
        };
        let certified = Certified::new(Some(MemberIndex::new(0)));
        assert!(!certified.covers(&certificate(0b1110)) && !certified.contains(&statement));
        certified.insert(&certificate(0b1110));
        assert!(certified.contains(&statement) && certified.covers(&certificate(0b0110)));
        assert!(!certified.covers(&certificate(0b0111)), "we may not know that we signed");
        certified.insert(&certificate(0b0111));
        certified.insert(&certificate(0b1110));
        assert!(certified.covers(&certificate(0b0111)));
        let follower = Certified::new(None);
        follower.insert(&certificate(0b1110));
        assert!(follower.covers(&certificate(0b1111)));
    }
}
