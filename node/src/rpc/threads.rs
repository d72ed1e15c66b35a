//! Threads for calls that block: a few at a time, and a bounded queue before them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::Semaphore, time::timeout};

use super::RpcError;

/// Threads for one kind of calls. No kind ever waits for another.
#[derive(Debug)]
pub(super) struct Threads {
    running: Arc<Semaphore>,
    waiting: Semaphore,
    bounds: ThreadBounds,
}

/// How many, and how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct ThreadBounds {
    /// Most calls that run at one time.
    pub(super) running_max: usize,
    /// Most calls that wait for their turn; more are refused.
    pub(super) waiting_max: usize,
    /// Longest that a call waits for its turn.
    pub(super) wait_max: Duration,
    /// Longest that a call runs, if it asks its [`Deadline`].
    pub(super) run_max: Duration,
}

/// Until when a call may run: its time, or until nobody waits for its answer any more.
#[derive(Debug)]
pub(super) struct Deadline {
    end: Instant,
    allowed: Duration,
    abandoned: Arc<AtomicBool>,
}

/// Tells the thread when the call that it works for is dropped.
struct Caller(Arc<AtomicBool>);

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Deadline {
    /// Returns whether the call has to end.
    pub(super) fn is_over(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed) || Instant::now() >= self.end
    }

    /// Fails once the call has to end.
    pub(super) fn check(&self) -> Result<(), RpcError> {
        if self.is_over() { Err(self.passed()) } else { Ok(()) }
    }

    /// Says that the time is over.
    pub(super) const fn passed(&self) -> RpcError {
        RpcError::RanTooLong(self.allowed)
    }
}

impl Threads {
    pub(super) fn new(bounds: ThreadBounds) -> Self {
        Self {
            running: Arc::new(Semaphore::new(bounds.running_max)),
            waiting: Semaphore::new(bounds.waiting_max),
            bounds,
        }
    }

    /// Runs `work` when its turn comes.
    ///
    /// # Errors
    /// [`RpcError::TooManyCalls`] and [`RpcError::WaitedTooLong`] if its turn does not come, or what `work` fails with.
    pub(super) async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Deadline) -> Result<R, RpcError> + Send + 'static,
    ) -> Result<R, RpcError> {
        let ThreadBounds { waiting_max, wait_max, run_max, .. } = self.bounds;
        let internal = |error: &dyn std::fmt::Display| RpcError::Internal(error.to_string());
        let Ok(waiting) = self.waiting.try_acquire() else { return Err(RpcError::TooManyCalls(waiting_max)) };
        let permit = timeout(wait_max, Arc::clone(&self.running).acquire_owned()).await;
        let permit = permit.map_err(|_| RpcError::WaitedTooLong(wait_max))?.map_err(|error| internal(&error))?;
        drop(waiting);
        let abandoned = Arc::new(AtomicBool::new(false));
        let caller = Caller(Arc::clone(&abandoned));
        let work = move || {
            // Held by the thread, not by the call: a client that hangs up does not make room for one thread more.
            let _permit = permit;
            work(&Deadline { end: Instant::now() + run_max, allowed: run_max, abandoned })
        };
        let done = tokio::task::spawn_blocking(work).await.map_err(|error| internal(&error))?;
        drop(caller);
        done
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin, sync::mpsc, task::Poll};

    use super::*;

    /// Longer than any test takes.
    const LONG: Duration = Duration::from_secs(60);

    const BOUNDS: ThreadBounds = ThreadBounds { running_max: 1, waiting_max: 1, wait_max: LONG, run_max: LONG };

    /// Lets a future go as far as it can.
    async fn poll_once<F: Future + Unpin>(future: &mut F) {
        poll_fn(|context| {
            assert!(pin!(&mut *future).poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
    }

    #[tokio::test]
    async fn more_calls_than_may_run_and_wait_are_refused() {
        let threads = Threads::new(BOUNDS);
        let (release, released) = mpsc::channel::<()>();
        let mut first = Box::pin(threads.run(move |_| Ok(released.recv().is_ok())));
        poll_once(&mut first).await;
        let mut second = Box::pin(threads.run(|_| Ok(2)));
        poll_once(&mut second).await;
        let third = threads.run(|_| Ok(3)).await;
        assert!(matches!(third, Err(RpcError::TooManyCalls(1))), "{third:?}");
        release.send(()).unwrap();
        assert!(first.await.unwrap());
        assert_eq!(second.await.unwrap(), 2);
    }

    #[tokio::test]
    async fn who_waits_too_long_is_told_so() {
        let threads = Threads::new(ThreadBounds { wait_max: Duration::ZERO, ..BOUNDS });
        let (release, released) = mpsc::channel::<()>();
        let mut first = Box::pin(threads.run(move |_| Ok(released.recv().is_ok())));
        poll_once(&mut first).await;
        let second = threads.run(|_| Ok(2)).await;
        assert!(matches!(second, Err(RpcError::WaitedTooLong(_))), "{second:?}");
        release.send(()).unwrap();
        assert!(first.await.unwrap());
    }

    #[tokio::test]
    async fn a_call_is_over_when_its_time_is_or_when_its_client_left() {
        let short = Threads::new(ThreadBounds { run_max: Duration::ZERO, ..BOUNDS });
        let result = short.run(|deadline| deadline.check()).await;
        assert!(matches!(result, Err(RpcError::RanTooLong(Duration::ZERO))), "{result:?}");

        let threads = Threads::new(BOUNDS);
        assert!(threads.run(|deadline| deadline.check()).await.is_ok());
        let (tell, told) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let mut call = Box::pin(threads.run(move |deadline| {
            let _ = released.recv();
            tell.send(deadline.is_over()).unwrap();
            Ok(())
        }));
        poll_once(&mut call).await;
        drop(call);
        release.send(()).unwrap();
        assert!(told.recv().unwrap(), "the thread knows that nobody waits");
    }
}
