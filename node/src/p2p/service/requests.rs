//! Questions: ours and their answers, and what peers ask, within what each may ask.

use std::{io, sync::Arc, time::Instant};

use baton_proto::{
    limits::RANGE_ANSWER_BYTES_MAX,
    wire::{SyncRequest, SyncResponse},
};
use libp2p::{
    PeerId,
    request_response::{self, OutboundFailure, ResponseChannel},
};
use tokio::{sync::oneshot, task::spawn_blocking, time::timeout};
use tracing::{debug, error};

use super::{Running, Service};
use crate::p2p::{Fault, NetworkEvent, RequestError, behaviour::SYNC_TIMEOUT, budget::Taken};

/// Most requests of peers that are answered at once; those above are told that we are busy.
const ANSWERS_MAX: usize = 64;

impl Service {
    pub(super) fn on_sync(&mut self, event: request_response::Event<Vec<u8>, Vec<u8>>, running: &mut Running) {
        use request_response::{Event, Message};
        match event {
            Event::Message { peer, message: Message::Request { request, channel, .. }, .. } => {
                self.on_request(peer, &request, channel, running);
            }
            Event::Message { message: Message::Response { request_id, response }, .. } => {
                if let Some(answer) = running.requests.remove(&request_id) {
                    let _ = answer.send(Ok(response));
                }
            }
            Event::OutboundFailure { peer, request_id, error, .. } => {
                debug!(%peer, %error, "request failed");
                if let Some(answer) = running.requests.remove(&request_id) {
                    let _ = answer.send(Err(request_error(error)));
                }
            }
            Event::InboundFailure { peer, error, .. } => debug!(%peer, %error, "peer's request failed"),
            Event::ResponseSent { .. } => self.shared.stats.requests_answered.add(1),
        }
    }

    fn on_request(&mut self, from: PeerId, request: &[u8], channel: ResponseChannel<Vec<u8>>, running: &mut Running) {
        let request = match SyncRequest::decode(request) {
            Ok(request) => request,
            Err(reason) => {
                debug!(peer = %from, %reason, "request refused");
                self.shared.charge(from, Fault::InvalidRequest);
                return;
            }
        };
        let taken = running.budget(from).sync.try_take(Instant::now());
        if self.within_budget(from, taken) != Taken::Within || running.answers.len() >= ANSWERS_MAX {
            self.respond(channel, SyncResponse::Unavailable.encode());
            return;
        }
        let is_member = self.is_member(&from);
        // Only who votes needs parts of a proposal, and old blocks are dear to take apart.
        if !is_member && matches!(request, SyncRequest::Transactions { .. }) {
            self.respond(channel, SyncResponse::Unavailable.encode());
            return;
        }
        let request = match request {
            SyncRequest::Take(transactions) => {
                let is_no_stranger = self.is_no_stranger(&from);
                if !running.try_take_transactions(from, is_no_stranger, transactions.len()) {
                    self.shared.stats.requests_over_budget.add(1);
                    self.respond(channel, SyncResponse::Unavailable.encode());
                    return;
                }
                let taking = self.forwarded.clone().take(from, is_no_stranger, transactions);
                running.answers.spawn(async move { (channel, taking.await.encode()) });
                return;
            }
            request => request,
        };
        let place = if is_member { None } else { Arc::clone(&running.strangers_answered).try_acquire_owned().ok() };
        if !is_member && place.is_none() {
            self.respond(channel, SyncResponse::Unavailable.encode());
            return;
        }
        let (respond, response) = oneshot::channel();
        self.notice(NetworkEvent::SyncRequest { from, request, respond });
        running.answers.spawn(async move {
            let _place = place;
            let response = match timeout(SYNC_TIMEOUT, response).await {
                Ok(Ok(response)) => response,
                // Dropped or too late.
                Ok(Err(_)) | Err(_) => SyncResponse::Unavailable,
            };
            let encoded = spawn_blocking(move || response.encode()).await;
            (channel, encoded.unwrap_or_else(|_| SyncResponse::Unavailable.encode()))
        });
    }

    pub(super) fn on_answered(
        &mut self,
        answered: Result<(ResponseChannel<Vec<u8>>, Vec<u8>), tokio::task::JoinError>,
    ) {
        match answered {
            Ok((channel, response)) if response.len() <= RANGE_ANSWER_BYTES_MAX => self.respond(channel, response),
            Ok((channel, response)) => {
                error!(got = response.len(), max = RANGE_ANSWER_BYTES_MAX, "our answer is too large to send");
                self.respond(channel, SyncResponse::Unavailable.encode());
            }
            Err(failure) => error!(%failure, "answering a request failed"),
        }
    }

    fn respond(&mut self, channel: ResponseChannel<Vec<u8>>, response: Vec<u8>) {
        if self.swarm.behaviour_mut().sync.send_response(channel, response).is_err() {
            debug!("an answer came too late");
        }
    }
}

fn request_error(failure: OutboundFailure) -> RequestError {
    match failure {
        OutboundFailure::DialFailure => RequestError::NotConnected,
        OutboundFailure::Timeout => RequestError::Timeout,
        OutboundFailure::ConnectionClosed => RequestError::Disconnected("closed".into()),
        OutboundFailure::UnsupportedProtocols => RequestError::Unsupported,
        OutboundFailure::Io(error) if error.kind() == io::ErrorKind::InvalidData => RequestError::WrongLength,
        OutboundFailure::Io(error) => RequestError::Disconnected(error.to_string()),
    }
}
