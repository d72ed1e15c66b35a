//! What every request passes: the bounds of a batch and of an answer.

use std::{future::Future, sync::Arc, time::Duration};

use jsonrpsee::{
    core::middleware::{Batch, BatchEntry, Extensions, Notification, RpcServiceT},
    server::{BatchResponseBuilder, MethodResponse},
    types::{ErrorObjectOwned, Id, Request, error::OVERSIZED_RESPONSE_CODE},
};
use tokio::time::Instant;

use super::{RpcError, error::LIMIT_EXCEEDED};

/// Longest that one batch may take; calls that have not started by then are answered with an error each.
const BATCH_TIME_MAX: Duration = Duration::from_secs(30);

/// The bounds.
#[derive(Debug)]
pub(super) struct Bounds {
    pub(super) batch_items_max: usize,
    pub(super) answer_bytes_max: usize,
}

/// Stands before the methods of one connection.
#[derive(Clone, Debug)]
pub(super) struct Gate<S> {
    inner: S,
    bounds: Arc<Bounds>,
}

impl<S> Gate<S> {
    pub(super) fn new(inner: S, bounds: Arc<Bounds>) -> Self {
        Self { inner, bounds }
    }
}

impl<S> Gate<S>
where
    S: RpcServiceT<MethodResponse = MethodResponse> + Send + Sync,
{
    async fn answer(&self, request: Request<'_>) -> MethodResponse {
        let id = request.id.clone().into_owned();
        let mut answer = self.inner.call(request).await;
        match answer.as_error_code() {
            Some(OVERSIZED_RESPONSE_CODE) => return refusal(id, RpcError::ResponseTooLarge),
            Some(LIMIT_EXCEEDED) => drop(answer.extensions_mut().insert(Overloaded)),
            _ => {}
        }
        answer
    }

    async fn answer_all(&self, batch: Batch<'_>) -> MethodResponse {
        if batch.len() > self.bounds.batch_items_max {
            return refusal(Id::Null, RpcError::BatchTooLarge);
        }
        let end = Instant::now() + BATCH_TIME_MAX;
        let mut answers = BatchResponseBuilder::new_with_limit(usize::MAX);
        let mut bytes = 0_usize;
        let mut notified = false;
        for entry in batch {
            let answer = match entry {
                Ok(BatchEntry::Call(request)) if bytes > self.bounds.answer_bytes_max => {
                    refusal(request.id, RpcError::ResponseTooLarge)
                }
                Ok(BatchEntry::Call(request)) if Instant::now() >= end => refusal(request.id, RpcError::TimedOut),
                Ok(BatchEntry::Call(mut request)) => {
                    request.extensions.insert(InBatch);
                    let id = request.id.clone().into_owned();
                    let answer = self.answer(request).await;
                    let length = answer.as_json().get().len();
                    if bytes.saturating_add(length) > self.bounds.answer_bytes_max {
                        bytes = usize::MAX;
                        refusal(id, RpcError::ResponseTooLarge)
                    } else {
                        bytes = bytes.saturating_add(length);
                        answer
                    }
                }
                Ok(BatchEntry::Notification(_)) => {
                    notified = true;
                    continue;
                }
                Err(error) => {
                    let (error, id) = error.into_parts();
                    MethodResponse::error(id, error)
                }
            };
            if let Err(too_large) = answers.append(answer) {
                return too_large;
            }
        }
        if answers.is_empty() && notified {
            unanswered()
        } else {
            // An empty batch becomes an invalid request here, as JSON-RPC 2.0 has it.
            MethodResponse::from_batch(answers.finish())
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
        async move { gate.answer(request).await }
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

fn unanswered() -> MethodResponse {
    let mut extensions = Extensions::new();
    extensions.insert(Unanswered);
    MethodResponse::notification().with_extensions(extensions)
}

fn refusal(id: Id<'_>, error: RpcError) -> MethodResponse {
    MethodResponse::error(id, ErrorObjectOwned::from(error))
}
