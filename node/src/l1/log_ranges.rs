//! Questions for logs, of as many L1 blocks as an endpoint answers.

use super::error::L1Error;

/// L1 blocks asked for in one question at first: what public endpoints answer.
const LOG_RANGE: u64 = 2_000;

/// Asks for the logs of the L1 blocks `from` to `last`, both included, or of the first of them. Returns the answer and the last
/// block that it is about.
///
/// Endpoints bound the blocks, the logs or the bytes of an answer, and each says so in words of its own. So whatever may be such
/// a refusal has half as many blocks asked for, down to a single one: otherwise somebody who fills L1 blocks with events could
/// keep everybody from reading them.
///
/// # Errors
/// What `ask` says of a single block, or what fewer blocks do not mend.
pub(super) async fn first_logs<T, F: Future<Output = Result<T, L1Error>>>(
    from: u64,
    last: u64,
    ask: impl Fn(u64, u64) -> F,
) -> Result<(T, u64), L1Error> {
    let mut blocks = last.saturating_sub(from).saturating_add(1).min(LOG_RANGE);
    loop {
        let to = from.saturating_add(blocks - 1);
        match ask(from, to).await {
            Ok(logs) => return Ok((logs, to)),
            Err(error) if blocks > 1 && may_ask_too_much(&error) => blocks /= 2,
            Err(error) => return Err(error),
        }
    }
}

/// Returns whether fewer blocks can have an answer where more have none.
const fn may_ask_too_much(error: &L1Error) -> bool {
    match error {
        L1Error::Refused { .. }
        | L1Error::Timeout { .. }
        | L1Error::Unreachable { .. }
        | L1Error::Unreadable { .. } => true,
        L1Error::EndpointCount { .. }
        | L1Error::BadUrl(_)
        | L1Error::WrongChain { .. }
        | L1Error::Reverted { .. }
        | L1Error::Missing { .. }
        | L1Error::Disagree { .. }
        | L1Error::NotStored { .. }
        | L1Error::NoBeacon
        | L1Error::Binding(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// What comes of a question to an endpoint that answers for at most `most` blocks, and how many each question was for.
    async fn asked(from: u64, last: u64, most: u64, error: L1Error) -> (Result<((u64, u64), u64), L1Error>, Vec<u64>) {
        let sizes = RefCell::new(Vec::new());
        let answer = first_logs(from, last, |from, to| {
            sizes.borrow_mut().push(to - from + 1);
            std::future::ready(if to - from < most { Ok((from, to)) } else { Err(error.clone()) })
        })
        .await;
        (answer, sizes.into_inner())
    }

    fn too_many() -> L1Error {
        let (endpoint, message) = ("http://l1".to_owned(), "query returned more than 10000 results".to_owned());
        L1Error::Refused { endpoint, method: "eth_getLogs", code: -32_005, message }
    }

    #[tokio::test]
    async fn a_refused_range_is_halved_down_to_a_single_block() {
        assert_eq!(asked(7, 10_000, 5_000, too_many()).await, (Ok(((7, 2_006), 2_006)), vec![2_000]));
        assert_eq!(asked(7, 106, 30, too_many()).await, (Ok(((7, 31), 31)), vec![100, 50, 25]));
        assert_eq!(asked(7, 9, 1, too_many()).await, (Ok(((7, 7), 7)), vec![3, 1]));
        assert_eq!(asked(7, 7, 1, too_many()).await, (Ok(((7, 7), 7)), vec![1]));
        assert_eq!(asked(7, 10, 0, too_many()).await, (Err(too_many()), vec![4, 2, 1]));
        // What no smaller question mends is not asked again.
        let missing = L1Error::Missing { what: "it".into() };
        assert_eq!(asked(7, 10, 0, missing.clone()).await, (Err(missing), vec![4]));
    }
}
