//! Questions for logs, of as many L1 blocks as an endpoint answers.

use std::sync::atomic::{AtomicU64, Ordering};

use super::error::L1Error;

/// Most L1 blocks of one question, and of the first: what public endpoints answer.
const BLOCKS_MAX: u64 = 2_000;

/// After an answer the next question is about this part more blocks: an endpoint's bound is met again, and costs a refusal, once in
/// some nine answers.
const GROWTH: u64 = 8;

/// Codes that say that an answer would be too large: of jsonrpsee's servers, of QuickNode, and of HTTP.
const TOO_MUCH_CODES: [i64; 3] = [-32_008, -32_614, 413];

/// How endpoints say that a question is about too many blocks, or has too many logs for an answer, in lower case. A code for it
/// there is not: -32005 also says that somebody asks too often.
const TOO_MUCH_WORDS: &[&str] = &[
    // Infura: "query returned more than 10000 results".
    "more than",
    // Alchemy: "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range".
    "size exceeded",
    "up to a",
    // QuickNode: "eth_getLogs is limited to a 10,000 range".
    "limited to",
    // Ankr: "block range is too wide"; others: "range is too large", "response is too big".
    "too wide",
    "too large",
    "too big",
    // Cloudflare: "Max range: 800".
    "max range",
    // geth and its like: "exceed maximum block range: 5000"; reth: "query exceeds max block range 100000", "query exceeds max
    // results 20000"; Besu: "Requested range exceeds maximum range limit".
    "exceed max",
    "exceeds max",
    "exceeded max",
    "exceeds the max",
    "exceeds the range",
    "range exceeds",
    "exceeds range",
    // Chainstack: "Block range limit exceeded".
    "range limit",
    // Avalanche: "requested too many blocks from 1 to 5000, maximum is set to 2048"; Nethermind: "Too many logs requested".
    "too many blocks",
    "too many logs",
    "too many results",
    // dRPC: "ranges over 10000 blocks are not supported on freetier".
    "ranges over",
    // "query timeout exceeded. Consider reducing your block range": it was about too much for the time that it may take.
    "query timeout",
];

/// How many L1 blocks the next question for logs is about: what was answered lately, and slowly more.
///
/// Endpoints bound the blocks, the logs or the bytes of an answer. Where one says so, half as many blocks are asked for, at once and
/// down to a single one: otherwise somebody who fills L1 blocks with events could keep everybody from reading them. For the same
/// reason an answer that does not come in time makes the next question one about half as many, and no more than that: mostly the
/// endpoint is away, and whoever asks waits for it as for anything else.
#[derive(Debug)]
pub(super) struct LogRange {
    blocks: AtomicU64,
}

impl Default for LogRange {
    fn default() -> Self {
        Self { blocks: AtomicU64::new(BLOCKS_MAX) }
    }
}

impl LogRange {
    /// Asks for the logs of the L1 blocks `from` to `last`, both included, or of the first of them. Returns the answer and the last
    /// block that it is about.
    ///
    /// # Errors
    /// What `ask` says of a single block, or what fewer blocks do not mend.
    pub(super) async fn first_logs<T, F: Future<Output = Result<T, L1Error>>>(
        &self,
        from: u64,
        last: u64,
        ask: impl Fn(u64, u64) -> F,
    ) -> Result<(T, u64), L1Error> {
        let all = last.saturating_sub(from).saturating_add(1);
        loop {
            let most = self.blocks.load(Ordering::Relaxed);
            let blocks = all.min(most);
            let to = from.saturating_add(blocks - 1);
            let error = match ask(from, to).await {
                Ok(logs) => {
                    if blocks == most {
                        self.set(most + most / GROWTH + 1);
                    }
                    return Ok((logs, to));
                }
                Err(error) => error,
            };
            let is_too_much = asks_too_much(&error);
            if is_too_much || matches!(error, L1Error::Timeout { .. }) {
                self.set(blocks / 2);
            }
            if !is_too_much || blocks == 1 {
                return Err(error);
            }
        }
    }

    fn set(&self, blocks: u64) {
        self.blocks.store(blocks.clamp(1, BLOCKS_MAX), Ordering::Relaxed);
    }
}

/// Returns whether an endpoint says that fewer blocks would have an answer.
fn asks_too_much(error: &L1Error) -> bool {
    let L1Error::Refused { code, message, .. } = error else { return false };
    let message = message.to_lowercase();
    TOO_MUCH_CODES.contains(code) || TOO_MUCH_WORDS.iter().any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// What comes of a question to an endpoint that answers for at most `most` blocks, and how many each question was for.
    async fn asked(
        range: &LogRange,
        (from, last): (u64, u64),
        most: u64,
        error: &L1Error,
    ) -> (Result<((u64, u64), u64), L1Error>, Vec<u64>) {
        let sizes = RefCell::new(Vec::new());
        let answer = range
            .first_logs(from, last, |from, to| {
                sizes.borrow_mut().push(to - from + 1);
                std::future::ready(if to - from < most { Ok((from, to)) } else { Err(error.clone()) })
            })
            .await;
        (answer, sizes.into_inner())
    }

    fn refused(code: i64, message: &str) -> L1Error {
        let (endpoint, message) = ("http://l1".to_owned(), message.to_owned());
        L1Error::Refused { endpoint, method: "eth_getLogs", code, message }
    }

    fn too_many() -> L1Error {
        refused(-32_005, "query returned more than 10000 results")
    }

    #[tokio::test]
    async fn a_range_that_is_too_much_is_halved_down_to_a_single_block() {
        let asked = async |span, most| asked(&LogRange::default(), span, most, &too_many()).await;
        assert_eq!(asked((7, 10_000), 5_000).await, (Ok(((7, 2_006), 2_006)), vec![2_000]));
        assert_eq!(asked((7, 106), 30).await, (Ok(((7, 31), 31)), vec![100, 50, 25]));
        assert_eq!(asked((7, 9), 1).await, (Ok(((7, 7), 7)), vec![3, 1]));
        assert_eq!(asked((7, 7), 1).await, (Ok(((7, 7), 7)), vec![1]));
        assert_eq!(asked((7, 10), 0).await, (Err(too_many()), vec![4, 2, 1]));
    }

    #[tokio::test]
    async fn what_no_smaller_question_mends_is_asked_once() {
        let (endpoint, method) = ("http://l1".to_owned(), "eth_getLogs");
        for error in [
            L1Error::Missing { what: "it".into() },
            L1Error::Unreachable { endpoint, method, message: "connection failed".into() },
            refused(-32_005, "daily request count exceeded, request rate limited"),
            refused(-32_601, "the method eth_getLogs does not exist/is not available"),
            refused(-32_000, "header not found"),
        ] {
            let range = LogRange::default();
            assert_eq!(asked(&range, (7, 10_000), 0, &error).await, (Err(error.clone()), vec![2_000]));
            assert_eq!(asked(&range, (7, 10_000), 2_000, &error).await.1, [2_000], "{error}");
        }
    }

    #[tokio::test]
    async fn what_worked_is_remembered_and_grows_slowly() {
        let range = LogRange::default();
        let ask = async |most| asked(&range, (1, 100_000), most, &too_many()).await.1;
        assert_eq!(ask(300).await, [2_000, 1_000, 500, 250]);
        assert_eq!(ask(300).await, [282]);
        assert_eq!(ask(300).await, [318, 159]);
        // A question about fewer blocks shows nothing of more.
        assert_eq!(asked(&range, (1, 10), 300, &too_many()).await.1, [10]);
        assert_eq!(ask(300).await, [179]);
        let mut last = 179;
        for _ in 0..40 {
            let sizes = ask(u64::MAX).await;
            assert!(sizes[0] > last || sizes == [BLOCKS_MAX], "{last}, then {sizes:?}");
            last = sizes[0];
        }
        assert_eq!(last, BLOCKS_MAX);
        // From a single block as well.
        assert!(asked(&range, (1, 100_000), 0, &too_many()).await.0.is_err());
        assert_eq!((ask(u64::MAX).await, ask(u64::MAX).await), (vec![1], vec![2]));
    }

    #[tokio::test]
    async fn an_answer_that_takes_too_long_halves_the_next_question_alone() {
        let range = LogRange::default();
        let late = L1Error::Timeout { endpoint: "http://l1".into(), method: "eth_getLogs", timeout_ms: 10_000 };
        for blocks in [2_000, 1_000, 500] {
            assert_eq!(asked(&range, (7, 10_000), 300, &late).await, (Err(late.clone()), vec![blocks]));
        }
        assert_eq!(asked(&range, (7, 10_000), 300, &late).await, (Ok(((7, 256), 256)), vec![250]));
    }

    #[test]
    fn endpoints_have_many_words_for_too_much() {
        for said in [
            "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range",
            "eth_getLogs is limited to a 10,000 range",
            "block range is too wide",
            "Max range: 800",
            "exceed maximum block range: 5000",
            "query exceeds max block range 100000",
            "query exceeds max results 20000, retry with the range 1-2",
            "Requested range exceeds maximum range limit",
            "Block range limit exceeded.",
            "requested too many blocks from 1 to 5000, maximum is set to 2048",
            "Too many logs requested. Max logs per response is 20000.",
            "ranges over 10000 blocks are not supported on freetier",
            "query timeout exceeded",
            "response is too big",
        ] {
            assert!(asks_too_much(&refused(-32_000, said)), "{said}");
        }
        for code in TOO_MUCH_CODES {
            assert!(asks_too_much(&refused(code, "no")));
        }
        for said in ["too many requests", "limit exceeded", "request rate limited", "invalid params", "unauthorized"] {
            assert!(!asks_too_much(&refused(-32_005, said)), "{said}");
        }
    }
}
