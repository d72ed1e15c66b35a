//! What a transaction offers for gas, and what its replacement must offer.

use serde::{Deserialize, Serialize};

/// The fees of an EIP-1559 transaction, in wei per gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fees {
    /// Most in all, base fee included.
    pub max_fee_wei: u128,
    /// To the block's proposer.
    pub priority_fee_wei: u128,
}

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
        Ok(Self { max_fee_wei, priority_fee_wei })
    }

    /// Returns the fees for another transaction at the same nonce: both at least 12 % higher, where clients ask for 10 %,
    /// and no lower than a fresh transaction's.
    ///
    /// # Errors
    /// [`AboveCeiling`]: then the old transaction has to wait.
    pub fn replacement(self, fresh: Self, ceiling_wei: u128) -> Result<Self, AboveCeiling> {
        // One wei more, so that fees below 10 wei rise too.
        let raise = |wei: u128| wei.saturating_add(wei / 100 * 12 + (wei % 100) * 12 / 100).saturating_add(1);
        let max_fee_wei = raise(self.max_fee_wei).max(fresh.max_fee_wei);
        let priority_fee_wei = raise(self.priority_fee_wei).max(fresh.priority_fee_wei).min(max_fee_wei);
        if max_fee_wei > ceiling_wei {
            return Err(AboveCeiling { needed_wei: max_fee_wei, ceiling_wei });
        }
        Ok(Self { max_fee_wei, priority_fee_wei })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GWEI: u128 = 1_000_000_000;

    #[test]
    fn fresh_fees_leave_room_for_a_doubled_base_fee() {
        let fees = Fees::fresh(10 * GWEI, GWEI, 500 * GWEI).unwrap();
        assert_eq!(fees, Fees { max_fee_wei: 21 * GWEI, priority_fee_wei: GWEI });
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
        let old = Fees { max_fee_wei: 21 * GWEI, priority_fee_wei: GWEI };
        let next = old.replacement(Fees { max_fee_wei: 5, priority_fee_wei: 5 }, 500 * GWEI).unwrap();
        assert!(next.max_fee_wei * 100 >= old.max_fee_wei * 112);
        assert!(next.priority_fee_wei * 100 >= old.priority_fee_wei * 112);
        let fresh = Fees { max_fee_wei: 90 * GWEI, priority_fee_wei: 3 * GWEI };
        assert_eq!(old.replacement(fresh, 500 * GWEI).unwrap(), fresh);
        assert!(Fees { max_fee_wei: 1, priority_fee_wei: 1 }.replacement(old, 500 * GWEI).unwrap().max_fee_wei > 1);
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
