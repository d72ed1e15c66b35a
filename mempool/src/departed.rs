//! What became of transactions that left the pool before their turn came.

use std::collections::BTreeMap;

use alloy_primitives::TxHash;

/// Transactions that left early and are remembered; the oldest are forgotten. As many as a pool holds by default.
const DEPARTED_MAX: usize = 10_000;

/// Why a transaction that was here is not any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Another one of its account and nonce paid more.
    Replaced {
        /// That one.
        by: TxHash,
    },
    /// The pool was full, and this was worth least.
    Evicted,
    /// It waited for its whole lifetime, or had no place any more once one that did had left.
    Expired,
    /// After a block its account could not pay for it any more, or for so many of those before it that it had no place left.
    Unfunded,
}

/// The last [`DEPARTED_MAX`] of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Departed {
    fates: BTreeMap<TxHash, (u64, Fate)>,
    order: BTreeMap<u64, TxHash>,
    count: u64,
}

impl Departed {
    pub(crate) fn note(&mut self, hash: TxHash, fate: Fate) {
        self.forget(&hash);
        self.fates.insert(hash, (self.count, fate));
        self.order.insert(self.count, hash);
        self.count = self.count.saturating_add(1);
        while self.order.len() > DEPARTED_MAX
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.fates.remove(&oldest);
        }
    }

    /// It is back.
    pub(crate) fn forget(&mut self, hash: &TxHash) {
        if let Some((at, _)) = self.fates.remove(hash) {
            self.order.remove(&at);
        }
    }

    pub(crate) fn fate(&self, hash: &TxHash) -> Option<Fate> {
        self.fates.get(hash).map(|(_, fate)| *fate)
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::U256;

    use super::*;

    #[test]
    fn the_oldest_are_forgotten_and_one_that_is_noted_again_is_new() {
        let mut departed = Departed::default();
        let hash = |number: usize| TxHash::from(U256::from(number));
        for number in 0..DEPARTED_MAX {
            departed.note(hash(number), Fate::Expired);
        }
        departed.note(hash(0), Fate::Replaced { by: hash(7) });
        departed.forget(&hash(5));
        departed.note(hash(DEPARTED_MAX), Fate::Expired);
        assert_eq!(departed.fate(&hash(1)), Some(Fate::Expired), "there was room");
        departed.note(hash(DEPARTED_MAX + 1), Fate::Expired);
        assert_eq!((departed.fate(&hash(1)), departed.fate(&hash(5))), (None, None));
        assert_eq!(departed.fate(&hash(0)), Some(Fate::Replaced { by: hash(7) }));
        assert_eq!((departed.fates.len(), departed.order.len()), (DEPARTED_MAX, DEPARTED_MAX));
    }
}
