//! What every request passes: the bounds of a batch, of an answer, and of all answers that wait to be read.

use std::{future::Future, sync::Arc, time::Duration};

use futures::future::join_all;
use jsonrpsee::{
    core::middleware::{Batch, BatchEntry, Extensions, Notification, RpcServiceT},
    server::{BatchResponseBuilder, MethodResponse},
    types::{Id, Request, error::OVERSIZED_RESPONSE_CODE},
};
use tokio::time::Instant;

use super::{
    RpcError,
    error::LIMIT_EXCEEDED,
    methods::SEND_RAW,
    unread::{Room, Taken, Unread},
};

/// Submissions of one batch, one after the other in it, that are made together: they wait for the same disk, and share its
/// sync as those of different users do.
const SUBMISSIONS_AT_ONCE: usize = 256;

/// The bounds.
#[derive(Debug)]
pub(super) struct Bounds {
    pub(super) batch_items_max: usize,
    pub(super) answer_bytes_max: usize,
    pub(super) batch_time_max: Duration,
}

/// Stands before the methods of one connection.
#[derive(Clone, Debug)]
pub(super) struct Gate<S> {
    inner: S,
    bounds: Arc<Bounds>,
    room: Room,
}

impl<S> Gate<S> {
    pub(super) fn new(inner: S, bounds: Arc<Bounds>, room: Room) -> Self {
        Self { inner, bounds, room }
    }
}

impl<S> Gate<S>
where
    S: RpcServiceT<MethodResponse = MethodResponse> + Send + Sync,
{
    async fn answer(&self, request: Request<'_>) -> MethodResponse {
        let id = request.id.clone().into_owned();
        let answer = self.inner.call(request).await;
        match answer.as_error_code() {
            Some(OVERSIZED_RESPONSE_CODE) => RpcError::ResponseTooLarge.answer(id),
            Some(LIMIT_EXCEEDED) => overloaded(answer),
            _ => answer,
        }
    }

    /// Answers, and takes room for the answer.
    async fn answer_one(&self, request: Request<'_>) -> MethodResponse {
        let id = request.id.clone().into_owned();
        let mut answer = self.answer(request).await;
        let mut taken = Taken::default();
        match self.room.grow(&mut taken, answer.as_json().get().len()) {
            Ok(()) => drop(answer.extensions_mut().insert(Unread::new(taken))),
            Err(error) => return overloaded(error.answer(id)),
        }
        answer
    }

    async fn answer_all(&self, batch: Batch<'_>) -> MethodResponse {
        if batch.len() > self.bounds.batch_items_max {
            return RpcError::BatchTooLarge.answer(Id::Null);
        }
        let end = Instant::now() + self.bounds.batch_time_max;
        let mut answers = BatchResponseBuilder::new_with_limit(usize::MAX);
        let mut bytes = 0_usize;
        let mut taken = Taken::default();
        let mut notified = false;
        let mut entries = batch.into_iter().peekable();
        while let Some(entry) = entries.next() {
            let first = match entry {
                Ok(BatchEntry::Call(request)) => request,
                Ok(BatchEntry::Notification(_)) => {
                    notified = true;
                    continue;
                }
                Err(error) => {
                    let (error, id) = error.into_parts();
                    if let Err(too_large) = answers.append(MethodResponse::error(id, error)) {
                        return too_large;
                    }
                    continue;
                }
            };
            let mut run = vec![first];
            while run.len() < SUBMISSIONS_AT_ONCE
                && run.first().is_some_and(is_submission)
                && let Some(Ok(BatchEntry::Call(next))) =
                    entries.next_if(|next| matches!(next, Ok(BatchEntry::Call(next)) if is_submission(next)))
            {
                run.push(next);
            }
            let ids: Vec<Id<'_>> = run.iter().map(|request| request.id.clone()).collect();
            let answered: Vec<MethodResponse> = if bytes > self.bounds.answer_bytes_max {
                run.into_iter().map(|request| RpcError::ResponseTooLarge.answer(request.id)).collect()
            } else if Instant::now() >= end {
                run.into_iter().map(|request| RpcError::TimedOut.answer(request.id)).collect()
            } else {
                // In order: each is begun before the next.
                join_all(run.into_iter().map(|mut request| {
                    request.extensions.insert(InBatch);
                    self.answer(request)
                }))
                .await
            };
            for (id, answer) in ids.into_iter().zip(answered) {
                let with_it = bytes.saturating_add(answer.as_json().get().len());
                let answer = if with_it > self.bounds.answer_bytes_max {
                    bytes = usize::MAX;
                    RpcError::ResponseTooLarge.answer(id)
                } else if let Err(error) = self.room.grow(&mut taken, with_it) {
                    overloaded(error.answer(id))
                } else {
                    bytes = with_it;
                    answer
                };
                if let Err(too_large) = answers.append(answer) {
                    return too_large;
                }
            }
        }
        if answers.is_empty() && notified {
            unanswered()
        } else {
            // An empty batch becomes an invalid request here, as JSON-RPC 2.0 has it.
            let mut answer = MethodResponse::from_batch(answers.finish());
            answer.extensions_mut().insert(Unread::new(taken));
            answer
        }
    }
}

impl<S> RpcServiceT for Gate<S>
where
    S: RpcServiceT<MethodResponse = MethodResponse> + Clone + Send + Sync + 'static,
{
    type MethodResponse = MethodResponse;
    type NotificationResponse = MethodResponse;
    type BatchResponse = MethodResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let gate = self.clone();
        async move { gate.answer_one(request).await }
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let gate = self.clone();
        async move { gate.answer_all(batch).await }
    }

    /// A notification asks for no answer, and no method here is worth calling without one.
    fn notification<'a>(&self, _: Notification<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        std::future::ready(unanswered())
    }
}

/// Marks what is to have an empty answer. HTTP needs some answer, but JSON-RPC allows no object in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unanswered;

/// Marks what HTTP answers with status 429.
#[derive(Clone, Copy, Debug)]
pub(super) struct Overloaded;

/// Marks a call that is one of a batch: its answer travels with the others.
#[derive(Clone, Copy, Debug)]
pub(super) struct InBatch;

fn is_submission(request: &Request<'_>) -> bool {
    request.method == SEND_RAW
}

fn overloaded(mut answer: MethodResponse) -> MethodResponse {
    answer.extensions_mut().insert(Overloaded);
    answer
}

fn unanswered() -> MethodResponse {
    let mut extensions = Extensions::new();
    extensions.insert(Unanswered);
    MethodResponse::notification().with_extensions(extensions)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use jsonrpsee::server::ResponsePayload;
    use serde_json::Value;
    use tokio::sync::Barrier;

    use super::*;
    use crate::rpc::limits::Limits;

    /// Answers submissions only once as many wait as a run has, and notes the order in which they came.
    #[derive(Clone)]
    struct Together {
        barrier: Arc<Barrier>,
        came: Arc<Mutex<Vec<u64>>>,
    }

    impl RpcServiceT for Together {
        type MethodResponse = MethodResponse;
        type NotificationResponse = MethodResponse;
        type BatchResponse = MethodResponse;

        fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
            let this = self.clone();
            async move {
                let Id::Number(id) = request.id else { panic!("the test numbers its calls") };
                this.came.lock().unwrap().push(id);
                if is_submission(&request) {
                    this.barrier.wait().await;
                }
                MethodResponse::response(request.id, ResponsePayload::success(id), usize::MAX)
            }
        }

        fn batch<'a>(&self, _: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
            std::future::ready(unanswered())
        }

        fn notification<'a>(&self, _: Notification<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
            std::future::ready(unanswered())
        }
    }

    /// Limit of every wait; a test that is well takes a fraction of it.
    const LIMIT: Duration = Duration::from_secs(60);

    fn gate<S>(inner: S, batch_time_max: Duration) -> Gate<S> {
        let bounds = Bounds { batch_items_max: 10, answer_bytes_max: 10_000, batch_time_max };
        let room = Room::new(&Limits::default(), bounds.answer_bytes_max, Default::default());
        Gate::new(inner, Arc::new(bounds), room)
    }

    /// Calls of these methods, numbered from 0.
    fn batch<'a>(methods: &[&'a str]) -> Batch<'a> {
        let call =
            |(method, id): (&&'a str, u64)| Ok(BatchEntry::Call(Request::borrowed(method, None, Id::Number(id))));
        Batch::from(methods.iter().zip(0..).map(call).collect())
    }

    #[tokio::test]
    async fn submissions_that_follow_each_other_in_a_batch_wait_together_and_all_else_in_turn() {
        let methods = [SEND_RAW, SEND_RAW, SEND_RAW, "eth_chainId", SEND_RAW, SEND_RAW, SEND_RAW];
        let inner = Together { barrier: Arc::new(Barrier::new(3)), came: Arc::default() };
        let gate = gate(inner.clone(), LIMIT);
        let answer = tokio::time::timeout(LIMIT, gate.answer_all(batch(&methods)))
            .await
            .expect("they wait for each other in vain");
        assert_eq!(*inner.came.lock().unwrap(), [0, 1, 2, 3, 4, 5, 6]);
        let answers: Vec<Value> = serde_json::from_str(answer.as_json().get()).unwrap();
        let results: Vec<_> = answers.iter().map(|answer| answer["result"].as_u64().unwrap()).collect();
        assert_eq!(results, [0, 1, 2, 3, 4, 5, 6]);
    }

    /// Answers at once, but takes its time over `slow`.
    #[derive(Clone)]
    struct Slow(Duration);

    impl RpcServiceT for Slow {
        type MethodResponse = MethodResponse;
        type NotificationResponse = MethodResponse;
        type BatchResponse = MethodResponse;

        fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
            let takes = if request.method == "slow" { self.0 } else { Duration::ZERO };
            async move {
                tokio::time::sleep(takes).await;
                MethodResponse::response(request.id, ResponsePayload::success(true), usize::MAX)
            }
        }

        fn batch<'a>(&self, _: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
            std::future::ready(unanswered())
        }

        fn notification<'a>(&self, _: Notification<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
            std::future::ready(unanswered())
        }
    }

    #[tokio::test]
    async fn calls_of_a_batch_that_have_not_begun_in_time_are_answered_with_an_error_each() {
        let batch_time_max = Duration::from_secs(2);
        let methods = ["eth_chainId", "slow", "eth_chainId", SEND_RAW, SEND_RAW];
        let answer = gate(Slow(batch_time_max), batch_time_max).answer_all(batch(&methods)).await;
        let answers: Vec<Value> = serde_json::from_str(answer.as_json().get()).unwrap();
        let ids: Vec<_> = answers.iter().map(|answer| answer["id"].as_u64().unwrap()).collect();
        assert_eq!(ids, [0, 1, 2, 3, 4]);
        // What has begun is answered, however long it takes.
        assert!(answers[..2].iter().all(|answer| answer["result"] == true), "{answers:?}");
        assert!(answers[2..].iter().all(|answer| answer["error"]["code"] == -32_002), "{answers:?}");
    }
}
