//! The bottom of every request: looks a method up in the table and runs it, or says why not.

use std::{future::Future, sync::Arc, time::Instant};

use jsonrpsee::{
    core::middleware::{Batch, Notification, RpcServiceT},
    server::{
        BoundedSubscriptions, ConnectionId, IdProvider, MethodCallback, MethodResponse, MethodSink, Methods,
        SubscriptionState,
    },
    types::{Id, Params, Request, SubscriptionId},
};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    RpcError,
    gate::{InBatch, Unanswered},
};
use crate::telemetry::metrics::RpcMetrics;

/// The methods as one connection may call them.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    pub(super) methods: Methods,
    pub(super) connection: ConnectionId,
    pub(super) answer_bytes_max: usize,
    pub(super) metrics: RpcMetrics,
    /// Where notifications go; only a WebSocket has it.
    pub(super) subscriber: Option<Subscriber>,
}

/// What a connection can subscribe with.
#[derive(Clone, Debug)]
pub(super) struct Subscriber {
    pub(super) sink: MethodSink,
    pub(super) slots: BoundedSubscriptions,
    /// What all connections share.
    pub(super) slots_of_all: Arc<Semaphore>,
    pub(super) slots_of_all_max: usize,
}

/// The subscription's place among those of all connections; its task holds it.
#[derive(Clone, Debug)]
pub(super) struct SlotOfAll(#[expect(dead_code, reason = "held, not read")] Arc<OwnedSemaphorePermit>);

/// Subscription ids as geth makes them: random and in hex.
#[derive(Clone, Copy, Debug)]
struct HexIds;

impl IdProvider for HexIds {
    fn next_id(&self) -> SubscriptionId<'static> {
        SubscriptionId::Str(format!("{:#x}", rand::random::<u128>()).into())
    }
}

impl Calls {
    /// Answers, and counts the call under the table's name for it.
    async fn answer(&self, request: Request<'_>) -> MethodResponse {
        let name = self.methods.method_with_name(&request.method).map_or("unknown", |(name, _)| name);
        let started = Instant::now();
        let answer = self.run(request).await;
        self.metrics.called(name, started.elapsed(), answer.is_error());
        answer
    }

    async fn run(&self, request: Request<'_>) -> MethodResponse {
        let Request { id, method, params, mut extensions, .. } = request;
        let params = Params::new(params.as_ref().map(|params| params.get()));
        let max = self.answer_bytes_max;
        let Some((_, callback)) = self.methods.method_with_name(&method) else {
            return RpcError::UnknownMethod(method.into_owned()).answer(id);
        };
        match callback {
            MethodCallback::Sync(callback) => callback(id, params, max, extensions),
            MethodCallback::Async(callback) => {
                callback(id.into_owned(), params.into_owned(), self.connection, max, extensions).await
            }
            MethodCallback::Subscription(callback) => {
                let Some(subscriber) = &self.subscriber else {
                    return RpcError::NotificationsNotSupported.answer(id);
                };
                if extensions.get::<InBatch>().is_some() {
                    return RpcError::SubscriptionInBatch.answer(id);
                }
                let Some(slot) = subscriber.slots.acquire() else {
                    return RpcError::TooManySubscriptions(subscriber.slots.max()).answer(id);
                };
                let Ok(slot_of_all) = Arc::clone(&subscriber.slots_of_all).try_acquire_owned() else {
                    return RpcError::TooManySubscriptionsOfAll(subscriber.slots_of_all_max).answer(id);
                };
                extensions.insert(SlotOfAll(Arc::new(slot_of_all)));
                let state =
                    SubscriptionState { conn_id: self.connection, id_provider: &HexIds, subscription_permit: slot };
                let mut answer = callback(id, params, subscriber.sink.clone(), state, extensions).await;
                if answer.is_subscription() {
                    // It went out ahead of the first notification, on their way.
                    answer.extensions_mut().insert(Unanswered);
                }
                answer
            }
            MethodCallback::Unsubscription(callback) => {
                if self.subscriber.is_none() {
                    return RpcError::NotificationsNotSupported.answer(id);
                }
                let answer = callback(id.clone(), params, self.connection, max, extensions);
                let result = serde_json::from_str::<Value>(answer.as_json().get());
                if result.is_ok_and(|answer| answer["result"] == Value::Bool(false)) {
                    return RpcError::SubscriptionNotFound.answer(id);
                }
                answer
            }
        }
    }
}

impl RpcServiceT for Calls {
    type MethodResponse = MethodResponse;
    type NotificationResponse = MethodResponse;
    type BatchResponse = MethodResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let calls = self.clone();
        async move { calls.answer(request).await }
    }

    /// Batches end at the gate, which asks for each call by itself.
    fn batch<'a>(&self, _: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        std::future::ready(RpcError::BatchTooLarge.answer(Id::Null))
    }

    fn notification<'a>(&self, _: Notification<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        std::future::ready(MethodResponse::notification())
    }
}
