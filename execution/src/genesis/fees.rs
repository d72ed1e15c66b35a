//! How the base fee moves from block to block (EIP-1559).

/// Parameters of the base fee. Blocks come many times faster than Ethereum's, so a chain wants a larger denominator than
/// Ethereum's 8: with 250, ten full blocks a second raise it by at most a fifth in that second with an elasticity of 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeRule {
    /// Wei per gas in the genesis block.
    pub initial: u64,
    /// Wei per gas below which it never falls.
    pub least: u64,
    /// The gas limit divided by this is the gas at which the base fee stays as it is.
    pub elasticity: u64,
    /// A block of no gas lowers the base fee by one part in this.
    pub denominator: u64,
}

impl FeeRule {
    /// Returns the base fee after a block with `base_fee` that used `gas_used` of `gas_limit`.
    ///
    /// Source: EIP-1559, with a floor, and stopping at the largest `u64` where the EIP has no end.
    #[must_use]
    pub fn next(&self, base_fee: u64, gas_used: u64, gas_limit: u64) -> u64 {
        let target = gas_limit.checked_div(self.elasticity).unwrap_or_default();
        if target == 0 || self.denominator == 0 {
            return base_fee.max(self.least);
        }
        // In 128 bits: two factors of 64 each, and a divisor that can only make it smaller.
        let share =
            |gas: u64| u128::from(base_fee) * u128::from(gas) / u128::from(target) / u128::from(self.denominator);
        let next = match gas_used.checked_sub(target) {
            Some(0) => u128::from(base_fee),
            Some(above) => u128::from(base_fee) + share(above).max(1),
            None => u128::from(base_fee).saturating_sub(share(target - gas_used)),
        };
        u64::try_from(next).unwrap_or(u64::MAX).max(self.least)
    }
}
