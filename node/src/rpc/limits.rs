//! Bounds of the server that no operator needs to set.

use std::{num::NonZero, thread::available_parallelism, time::Duration};

use super::threads::ThreadBounds;

/// How much, how many and how long; tests narrow them.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    /// Longest that a connection may be idle or take to send a request's head: longer than client libraries keep a
    /// connection that they do not use, so that they close first and never send into a closing one.
    pub(super) idle_max: Duration,
    /// Longest from being accepted to the first request's head.
    pub(super) first_request_max: Duration,
    /// Longest from a request's head to its answer, so that a client that sends its body byte by byte cannot stay for ever.
    pub(super) request_max: Duration,
    /// Longest that one batch may take; calls that have not begun by then are answered with an error each.
    pub(super) batch_time_max: Duration,
    /// Longest from a large answer over HTTP until it is read.
    pub(super) read_max: Duration,
    /// Pause between two pings to a WebSocket.
    pub(super) ping_every: Duration,
    /// Longest that a WebSocket's client may be silent, pongs included: four pings.
    pub(super) silence_max: Duration,
    /// Longest that one message may take to be written to a WebSocket.
    pub(super) write_max: Duration,
    /// Calls that look something up. Each may hold one block and its answer: 8 of 25 MiB. Of those that wait, more are refused,
    /// and client libraries try again a little later.
    pub(super) reads: ThreadBounds,
    /// Calls that compute: on threads of their own, at most half of the machine's, so that what looks something up, and
    /// consensus, never waits for them.
    pub(super) heavy: ThreadBounds,
    /// Room for answers that their clients have yet to read, of all connections, in answers of the largest size: 400 MiB.
    pub(super) unread_max: usize,
    /// How much of it one connection may take, so that no single one can take all.
    pub(super) unread_of_one_max: usize,
    /// Most subscriptions of all connections together: a task each, and what waits for its socket.
    pub(super) subscriptions_max: usize,
    /// Most filters of all clients together that were asked for changes within [`Self::filter_life`].
    pub(super) filters_max: usize,
    /// Longest that a filter is kept which nobody asks for changes.
    pub(super) filter_life: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            idle_max: Duration::from_secs(120),
            first_request_max: Duration::from_secs(30),
            request_max: Duration::from_secs(60),
            batch_time_max: Duration::from_secs(30),
            read_max: Duration::from_secs(60),
            ping_every: Duration::from_secs(30),
            silence_max: Duration::from_secs(120),
            write_max: Duration::from_secs(30),
            reads: ThreadBounds {
                running_max: 8,
                waiting_max: 2_048,
                wait_max: Duration::from_secs(60),
                run_max: Duration::from_secs(60),
            },
            heavy: ThreadBounds {
                running_max: (available_parallelism().map_or(1, NonZero::get) / 2).clamp(1, 16),
                waiting_max: 256,
                wait_max: Duration::from_secs(10),
                run_max: Duration::from_secs(5),
            },
            unread_max: 16,
            unread_of_one_max: 4,
            subscriptions_max: 4_096,
            filters_max: 1_024,
            filter_life: Duration::from_secs(300),
        }
    }
}
