//! What most endpoints say: where one that lies or lags must decide nothing.

use std::{cmp::Reverse, future::Future, time::Duration};

use alloy::{
    eips::{BlockId, BlockNumberOrTag},
    network::{Ethereum, TransactionBuilder},
    providers::{Provider, RootProvider},
    rpc::types::{Filter, Log, TransactionRequest},
    transports::TransportError,
};
use alloy_primitives::{Address, Bytes, LogData};
use alloy_sol_types::SolCall;
use baton_proto::L1BlockNumber;
use futures::{StreamExt as _, stream::FuturesUnordered};

use super::{At, L1Block, L1Client, block_from_rpc, decoded};
use crate::l1::L1Error;

/// How long the others are waited for once a majority has answered.
const STRAGGLER_PATIENCE: Duration = Duration::from_secs(1);

impl L1Client {
    /// Returns the number of the newest block that a majority of all configured endpoints have reached.
    ///
    /// Of three endpoints one that lags holds up nobody, and one that runs ahead leads nobody to a block that is not there. Of two
    /// the slower one sets the pace: neither alone is believed, as with what is final. Which block stands there is not agreed on
    /// yet. Source: protocol section 2.
    ///
    /// # Errors
    /// The first endpoint's error when no majority answers.
    pub async fn agreed_head(&self) -> Result<L1BlockNumber, L1Error> {
        let tag = BlockNumberOrTag::Latest;
        let (numbers, errors) = self
            .gather("eth_getBlockByNumber", |provider| async move {
                let block = provider.get_block_by_number(tag).await?;
                Ok(block.map(|block| L1BlockNumber::new(block.header.number)))
            })
            .await;
        let missing = || L1Error::Missing { what: "newest block".into() };
        reached_by(numbers, self.majority()).ok_or_else(|| telling(errors, self.majority()).unwrap_or_else(missing))
    }

    /// Returns the newest block that a majority of all configured endpoints call final and agree on.
    ///
    /// With one endpoint that is what it says. With several, one that lies or lags cannot bring a block into
    /// consensus. Source: protocol section 2.
    ///
    /// # Errors
    /// The first endpoint's error when no majority answers; [`L1Error::Disagree`] when they answer differently.
    pub async fn agreed_final(&self) -> Result<L1Block, L1Error> {
        let majority = self.majority();
        let tag = BlockNumberOrTag::Finalized;
        let (blocks, errors) = self
            .gather("eth_getBlockByNumber", |provider| async move {
                Ok(provider.get_block_by_number(tag).await?.as_ref().map(block_from_rpc))
            })
            .await;
        let numbers = blocks.iter().map(|block| block.origin.number).collect();
        let Some(number) = reached_by(numbers, majority) else {
            let missing = || L1Error::Missing { what: "finalized block".into() };
            return Err(telling(errors, majority).unwrap_or_else(missing));
        };
        match blocks.as_slice() {
            [alone] if majority == 1 => Ok(*alone),
            _ => self.agreed_block(number).await,
        }
    }

    /// Returns the block at `number`, which is not above one that is final, as a majority of all configured endpoints have it:
    /// a block below a final one is final, but an endpoint may lie about that too.
    ///
    /// # Errors
    /// The first endpoint's error when no majority answers; [`L1Error::Disagree`] when they answer differently.
    pub async fn agreed_block(&self, number: L1BlockNumber) -> Result<L1Block, L1Error> {
        let tag = BlockNumberOrTag::Number(number.get());
        self.agreed("eth_getBlockByNumber", None, &format!("final block {number}"), |provider| async move {
            provider.get_block_by_number(tag).await.map(|block| block.as_ref().map(block_from_rpc))
        })
        .await
    }

    /// Calls a view function at a block that a majority of all configured endpoints have, and returns what a majority of them say.
    ///
    /// # Errors
    /// As [`Self::call`] and [`Self::agreed_block`].
    pub async fn agreed_call<C: SolCall>(&self, to: Address, call: &C, at: At) -> Result<C::Return, L1Error> {
        let request = TransactionRequest::default().with_to(to).with_input(call.abi_encode());
        let data = self.agreed("eth_call", Some(to), C::SIGNATURE, |provider| {
            let request = request.clone();
            async move { provider.call(request).block(BlockId::Number(at.tag())).await.map(Some) }
        });
        decoded::<C>(to, &data.await?)
    }

    /// Simulates a call from nobody on the newest state, and returns what a majority of all configured endpoints say.
    ///
    /// # Errors
    /// [`L1Error::Reverted`] with a named reason when most of them refuse it; otherwise as [`Self::agreed_block`].
    pub async fn agreed_simulation(&self, to: Address, data: &Bytes) -> Result<(), L1Error> {
        let request = TransactionRequest::default().with_to(to).with_input(data.clone());
        let answer = self.agreed("eth_call", Some(to), "a simulation", |provider| {
            let request = request.clone();
            async move { provider.call(request).block(BlockId::Number(BlockNumberOrTag::Latest)).await.map(Some) }
        });
        answer.await.map(|_| ())
    }

    /// Asks every endpoint at once.
    fn ask_all<'a, T: 'a, F: Future<Output = Result<T, TransportError>> + 'a>(
        &'a self,
        method: &'static str,
        to: Option<Address>,
        call: impl Fn(RootProvider<Ethereum>) -> F + Clone + 'a,
    ) -> FuturesUnordered<impl Future<Output = Result<T, L1Error>> + 'a> {
        self.endpoints.iter().map(|endpoint| self.ask_one(endpoint, method, to, call.clone())).collect()
    }

    fn majority(&self) -> usize {
        self.endpoints.len() / 2 + 1
    }

    /// Asks every endpoint and returns what they say and how they fail. `None` is no answer.
    ///
    /// One that hangs is not waited for long once a majority have answered; one that is only slower may know more.
    pub(super) async fn gather<T, F: Future<Output = Result<Option<T>, TransportError>>>(
        &self,
        method: &'static str,
        call: impl Fn(RootProvider<Ethereum>) -> F + Clone,
    ) -> (Vec<T>, Vec<L1Error>) {
        let (mut said, mut errors) = (Vec::with_capacity(self.endpoints.len()), Vec::new());
        let mut answers = self.ask_all(method, None, call);
        while let Some(answer) = {
            let patience = if said.len() < self.majority() { Duration::MAX } else { STRAGGLER_PATIENCE };
            tokio::time::timeout(patience, answers.next()).await.ok().flatten()
        } {
            match answer {
                Ok(Some(value)) => said.push(value),
                Ok(None) => {}
                Err(error) => errors.push(error),
            }
        }
        (said, errors)
    }

    /// Asks every endpoint and returns what a majority of all say, as soon as they have. `None` is no answer.
    async fn agreed<T: PartialEq, F: Future<Output = Result<Option<T>, TransportError>>>(
        &self,
        method: &'static str,
        to: Option<Address>,
        what: &str,
        call: impl Fn(RootProvider<Ethereum>) -> F + Clone,
    ) -> Result<T, L1Error> {
        let majority = self.endpoints.len() / 2 + 1;
        let (mut said, mut errors): (Vec<T>, Vec<L1Error>) = (vec![], vec![]);
        let mut answers = self.ask_all(method, to, call);
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(Some(value)) if said.iter().filter(|other| **other == value).count() + 1 >= majority => {
                    return Ok(value);
                }
                Ok(Some(value)) => said.push(value),
                Ok(None) => {}
                Err(error) => errors.push(error),
            }
        }
        let disagree = || L1Error::Disagree { what: what.to_owned() };
        if said.len() >= majority {
            return Err(disagree());
        }
        let missing = || if said.is_empty() { L1Error::Missing { what: what.to_owned() } } else { disagree() };
        Err(telling(errors, majority).unwrap_or_else(missing))
    }

    /// Returns the logs of final blocks that match, each as the block that has it and its content, as a majority of all
    /// configured endpoints have them.
    ///
    /// # Errors
    /// As [`Self::agreed_block`].
    pub async fn agreed_logs(&self, filter: &Filter) -> Result<Vec<(L1BlockNumber, LogData)>, L1Error> {
        // Endpoints differ in what else they say of a log.
        let content = |log: Log| Some((L1BlockNumber::new(log.block_number?), log.inner.data));
        self.agreed("eth_getLogs", None, "logs of final blocks", |provider| {
            let filter = filter.clone();
            async move {
                let logs = provider.get_logs(&filter).await?;
                Ok(logs.into_iter().map(content).collect::<Option<Vec<_>>>())
            }
        })
        .await
    }
}

/// Returns the highest of `numbers` that so many of them have reached.
fn reached_by(mut numbers: Vec<L1BlockNumber>, majority: usize) -> Option<L1BlockNumber> {
    numbers.sort_unstable_by_key(|number| Reverse(*number));
    numbers.get(majority.checked_sub(1)?).copied()
}

/// Returns the error that says why there is no majority: one that asking again does not mend only if a majority says so, for
/// one endpoint alone may lie.
fn telling(errors: Vec<L1Error>, majority: usize) -> Option<L1Error> {
    let is_for_good = errors.iter().filter(|error| !error.is_retryable()).count() >= majority;
    errors.into_iter().find(|error| error.is_retryable() != is_for_good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_three_neither_holds_the_others_up_nor_leads_them_on() {
        let reached = |numbers: &[u64]| {
            let numbers: Vec<L1BlockNumber> = numbers.iter().copied().map(L1BlockNumber::new).collect();
            // Those that answer, of three.
            reached_by(numbers, 2).map(L1BlockNumber::get)
        };
        assert_eq!(reached(&[7, 100, 101]), Some(100));
        assert_eq!(reached(&[u64::MAX, 100, 101]), Some(101));
        assert_eq!(reached(&[101, 100]), Some(100));
        assert_eq!(reached(&[101]), None);
        assert_eq!(reached_by(vec![L1BlockNumber::new(3)], 1), Some(L1BlockNumber::new(3)));
    }
}
