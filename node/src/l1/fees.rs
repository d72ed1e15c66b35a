//! What a transaction offers for gas, and what its replacement must offer.

use serde::{Deserialize, Serialize};

/// The fees of a transaction, in wei per gas and per blob gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fees {
    /// Most in all, base fee included.
    pub max_fee_wei: u128,
    /// To the block's proposer.
    pub priority_fee_wei: u128,
    /// Most for a unit of blob gas; 0 for a transaction without blobs.
    pub blob_fee_wei: u128,
}

/// By how much a replacement must pay more, in percent: clients ask for 10, and for 100 of a transaction with blobs.
const RAISE_PERCENT: u128 = 12;
const RAISE_PERCENT_BLOBS: u128 = 100;

/// The next fees would pass what the operator allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the transaction needs {needed_wei} wei per gas, the ceiling is {ceiling_wei}")]
pub struct AboveCeiling {
    /// What L1 or its replacement rule asks for.
    pub needed_wei: u128,
    /// What the operator allows.
    pub ceiling_wei: u128,
}

impl Fees {
    /// Returns fees that stay sufficient while the base fee doubles, as it can within six L1 blocks, or as much of that
    /// as the ceiling allows.
    ///
    /// # Errors
    /// [`AboveCeiling`] when even the next block costs more.
    pub fn fresh(base_fee_wei: u128, priority_fee_wei: u128, ceiling_wei: u128) -> Result<Self, AboveCeiling> {
        let needed_wei = base_fee_wei.saturating_add(priority_fee_wei);
        if needed_wei > ceiling_wei {
            return Err(AboveCeiling { needed_wei, ceiling_wei });
        }
        let max_fee_wei = needed_wei.saturating_add(base_fee_wei).min(ceiling_wei);
        Ok(Self { max_fee_wei, priority_fee_wei, blob_fee_wei: 0 })
    }

    /// Returns these fees for a transaction with blobs, whose base fee may double before it is mined, or as much of that as
    /// the ceiling allows.
    ///
    /// # Errors
    /// [`AboveCeiling`] when even the next block's blobs cost more.
    pub fn with_blobs(self, blob_base_fee_wei: u128, ceiling_wei: u128) -> Result<Self, AboveCeiling> {
        // A fee of nothing would say that there are no blobs.
        let needed_wei = blob_base_fee_wei.max(1);
        if needed_wei > ceiling_wei {
            return Err(AboveCeiling { needed_wei, ceiling_wei });
        }
        Ok(Self { blob_fee_wei: needed_wei.saturating_mul(2).min(ceiling_wei), ..self })
    }

    /// Returns the fees for another transaction of the same kind at the same nonce: all at least 12 % higher, where clients ask
    /// for 10 %, or twice as high with blobs, as they ask there; and no lower than a fresh transaction's.
    ///
    /// # Errors
    /// [`AboveCeiling`]: then the old transaction has to wait.
    pub fn replacement(self, fresh: Self, ceiling_wei: u128) -> Result<Self, AboveCeiling> {
        // One wei more, so that fees below 10 wei rise too.
        let percent = if self.blob_fee_wei == 0 { RAISE_PERCENT } else { RAISE_PERCENT_BLOBS };
        let raise = |wei: u128| {
            let more = (wei / 100).saturating_mul(percent).saturating_add((wei % 100) * percent / 100);
            wei.saturating_add(more).saturating_add(1)
        };
        let max_fee_wei = raise(self.max_fee_wei).max(fresh.max_fee_wei);
        let priority_fee_wei = raise(self.priority_fee_wei).max(fresh.priority_fee_wei).min(max_fee_wei);
        let blob_fee_wei = if self.blob_fee_wei == 0 { 0 } else { raise(self.blob_fee_wei).max(fresh.blob_fee_wei) };
        let needed_wei = max_fee_wei.max(blob_fee_wei);
        if needed_wei > ceiling_wei {
            return Err(AboveCeiling { needed_wei, ceiling_wei });
        }
        Ok(Self { max_fee_wei, priority_fee_wei, blob_fee_wei })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GWEI: u128 = 1_000_000_000;

    #[test]
    fn fresh_fees_leave_room_for_a_doubled_base_fee() {
        let fees = Fees::fresh(10 * GWEI, GWEI, 500 * GWEI).unwrap();
        assert_eq!(fees, without_blobs(21 * GWEI, GWEI));
    }

    #[test]
    fn the_ceiling_shortens_the_room_and_then_stops_the_transaction() {
        assert_eq!(Fees::fresh(10 * GWEI, GWEI, 15 * GWEI).unwrap().max_fee_wei, 15 * GWEI);
        assert_eq!(
            Fees::fresh(10 * GWEI, GWEI, 10 * GWEI),
            Err(AboveCeiling { needed_wei: 11 * GWEI, ceiling_wei: 10 * GWEI })
        );
    }

    #[test]
    fn a_replacement_pays_twelve_percent_more_on_both_and_never_less_than_fresh() {
        let old = without_blobs(21 * GWEI, GWEI);
        let next = old.replacement(without_blobs(5, 5), 500 * GWEI).unwrap();
        assert!(next.max_fee_wei * 100 >= old.max_fee_wei * 112);
        assert!(next.priority_fee_wei * 100 >= old.priority_fee_wei * 112);
        let fresh = without_blobs(90 * GWEI, 3 * GWEI);
        assert_eq!(old.replacement(fresh, 500 * GWEI).unwrap(), fresh);
        assert!(without_blobs(1, 1).replacement(old, 500 * GWEI).unwrap().max_fee_wei > 1);
    }

    #[test]
    fn blobs_leave_room_for_a_doubled_blob_fee_within_the_ceiling() {
        let fees = without_blobs(21 * GWEI, GWEI);
        assert_eq!(fees.with_blobs(3 * GWEI, 500 * GWEI), Ok(Fees { blob_fee_wei: 6 * GWEI, ..fees }));
        assert_eq!(fees.with_blobs(300 * GWEI, 500 * GWEI), Ok(Fees { blob_fee_wei: 500 * GWEI, ..fees }));
        assert_eq!(fees.with_blobs(0, 500 * GWEI), Ok(Fees { blob_fee_wei: 2, ..fees }));
        let above = AboveCeiling { needed_wei: 501 * GWEI, ceiling_wei: 500 * GWEI };
        assert_eq!(fees.with_blobs(501 * GWEI, 500 * GWEI), Err(above));
    }

    /// What go-ethereum's pool of blob transactions asks for, on each of the three.
    #[test]
    fn a_replacement_with_blobs_pays_twice_as_much_on_all_three() {
        let old = Fees { max_fee_wei: 21 * GWEI + 1, priority_fee_wei: GWEI, blob_fee_wei: 3 };
        let next = old.replacement(old, 500 * GWEI).unwrap();
        assert!(next.max_fee_wei >= 2 * old.max_fee_wei);
        assert!(next.priority_fee_wei >= 2 * old.priority_fee_wei);
        assert!(next.blob_fee_wei >= 2 * old.blob_fee_wei);
        let fresh = Fees { blob_fee_wei: 90 * GWEI, ..old };
        assert_eq!(old.replacement(fresh, 500 * GWEI).unwrap().blob_fee_wei, 90 * GWEI);
        // The ceiling holds for each of them.
        assert!(old.replacement(old, 42 * GWEI).is_err());
        let dear = Fees { blob_fee_wei: 300 * GWEI, ..old };
        assert_eq!(dear.replacement(old, 500 * GWEI).unwrap_err().needed_wei, 600 * GWEI + 1);
    }

    fn without_blobs(max_fee_wei: u128, priority_fee_wei: u128) -> Fees {
        Fees { max_fee_wei, priority_fee_wei, blob_fee_wei: 0 }
    }

    #[test]
    fn replacements_stop_at_the_ceiling() {
        let mut fees = Fees::fresh(10 * GWEI, GWEI, 100 * GWEI).unwrap();
        let mut bumps = 0;
        let error = loop {
            match fees.replacement(fees, 100 * GWEI) {
                Ok(next) => fees = next,
                Err(error) => break error,
            }
            bumps += 1;
        };
        assert!(fees.max_fee_wei <= 100 * GWEI && error.needed_wei > 100 * GWEI);
        assert!(bumps >= 10);
    }
}
