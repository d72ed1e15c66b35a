//! The one in the middle, of what several endpoints say a transaction has to offer.

/// Returns the one in the middle; `None` of none. Of two that is the higher: an offer of nothing would keep a transaction out of L1
/// for good, and how much too high one can be the operator has bounded.
pub(super) fn median(mut values: Vec<u128>) -> Option<u128> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_endpoint_of_three_says_what_it_likes() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![7]), Some(7));
        assert_eq!(median(vec![0, 3]), Some(3));
        assert_eq!(median(vec![u128::MAX, 3, 2]), Some(3));
        assert_eq!(median(vec![0, 3, 2]), Some(2));
        assert_eq!(median(vec![9, u128::MAX, 3, 2]), Some(9));
    }
}
