//! The parts of a running node, and why the first of them ended.

use std::{fmt::Display, time::Duration};

use tokio::{
    task::{JoinError, JoinHandle},
    time::timeout,
};

use super::NodeError;
use crate::driver::DriverError;

/// A part of the node that runs until it is told to stop.
pub(super) struct Part {
    pub(super) what: &'static str,
    pub(super) task: JoinHandle<Result<(), NodeError>>,
}

/// Starts `task` as the part that is called `what`.
pub(super) fn part<E: Display + Send + 'static>(
    what: &'static str,
    task: impl Future<Output = Result<(), E>> + Send + 'static,
) -> Part {
    let task = tokio::spawn(async move { task.await.map_err(|why| NodeError::Ended { what, why: why.to_string() }) });
    Part { what, task }
}

/// Waits until the node is `told` to stop, or has to: its driver or one of the parts ended, which none does on its own.
///
/// A part that the driver feeds ends with it, and may be seen to end first; but why the driver ended is what counts, and
/// decides the exit code. So the driver gets `last_word_within` to say it.
///
/// # Errors
/// Why the driver ended, if it did in time; else how the part ended.
pub(super) async fn first_reason(
    told: impl Future<Output = ()>,
    driver: &mut JoinHandle<Result<(), DriverError>>,
    parts: &mut [Part],
    last_word_within: Duration,
) -> Result<(), NodeError> {
    tokio::select! {
        () = told => Ok(()),
        ended = &mut *driver => Err(driver_ended(ended)),
        failed = first_end(parts) => match timeout(last_word_within, driver).await {
            Ok(ended) => Err(driver_ended(ended)),
            Err(_) => Err(failed),
        },
    }
}

fn driver_ended(ended: Result<Result<(), DriverError>, JoinError>) -> NodeError {
    match ended {
        Ok(Ok(())) => NodeError::Ended { what: "the driver", why: "without being told to".into() },
        Ok(Err(error)) => error.into(),
        Err(panic) => NodeError::Ended { what: "the driver", why: panic.to_string() },
    }
}

/// Waits until one of the parts ends, which none does unless told to.
async fn first_end(parts: &mut [Part]) -> NodeError {
    let tasks = parts.iter_mut().map(|part| {
        let what = part.what;
        Box::pin(async move {
            match (&mut part.task).await {
                Ok(Ok(())) => NodeError::Ended { what, why: "without being told to".into() },
                Ok(Err(error)) => error,
                Err(panic) => NodeError::Ended { what, why: panic.to_string() },
            }
        })
    });
    futures::future::select_all(tasks).await.0
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use baton_proto::View;
    use tokio::task::yield_now;

    use super::*;

    /// Longer than any test takes: what must not be waited for never ends within it.
    const LONG: Duration = Duration::from_secs(60);

    /// Shorter than anything: the last word of a driver that has none.
    const SHORT: Duration = Duration::from_millis(1);

    /// Turns of the runtime after which all else has happened that can.
    const TURNS: usize = 100;

    fn runs_on() -> JoinHandle<Result<(), DriverError>> {
        tokio::spawn(pending())
    }

    /// A driver that refuses to go on, some turns from now.
    fn refuses_after(turns: usize) -> JoinHandle<Result<(), DriverError>> {
        tokio::spawn(async move {
            for _ in 0..turns {
                yield_now().await;
            }
            Err(DriverError::OwnKeyEquivocates { view: View::new(7) })
        })
    }

    fn healthy() -> Part {
        part("a healthy part", pending::<Result<(), String>>())
    }

    fn ended_with(why: &'static str) -> Part {
        part("routing", async move { Err(why) })
    }

    async fn panics() -> Result<(), String> {
        panic!("a bug")
    }

    #[track_caller]
    fn is_the_drivers(reason: &Result<(), NodeError>) {
        assert!(matches!(reason, Err(NodeError::Driver(DriverError::OwnKeyEquivocates { .. }))), "{reason:?}");
        assert_eq!(reason.as_ref().unwrap_err().exit_code(), 3);
    }

    #[tokio::test]
    async fn a_part_that_ends_with_the_driver_does_not_hide_why_the_driver_ended() {
        let (mut driver, mut parts) = (refuses_after(TURNS), [healthy(), ended_with("nobody listens")]);
        is_the_drivers(&first_reason(pending(), &mut driver, &mut parts, LONG).await);
        // Both have ended before anybody looks: whichever is seen first, it is the driver's reason.
        for _ in 0..20 {
            let (mut driver, mut parts) = (refuses_after(0), [healthy(), ended_with("nobody listens")]);
            while !(driver.is_finished() && parts[1].task.is_finished()) {
                yield_now().await;
            }
            is_the_drivers(&first_reason(pending(), &mut driver, &mut parts, LONG).await);
        }
    }

    #[tokio::test]
    async fn a_part_that_ends_alone_is_reported_as_itself() {
        let report = async |ended: Part| {
            let reason = first_reason(pending(), &mut runs_on(), &mut [healthy(), ended], SHORT).await;
            let error = reason.unwrap_err();
            assert_eq!(error.exit_code(), 1);
            error.to_string()
        };
        assert_eq!(report(ended_with("no memory")).await, "routing ended: no memory");
        let quiet = part("routing", async { Ok::<(), String>(()) });
        assert_eq!(report(quiet).await, "routing ended: without being told to");
        let panicked = report(part("routing", panics())).await;
        assert!(panicked.starts_with("routing ended: ") && panicked.contains("a bug"), "{panicked}");
    }

    #[tokio::test]
    async fn a_driver_that_ends_alone_needs_no_part_to_end() {
        is_the_drivers(&first_reason(pending(), &mut refuses_after(TURNS), &mut [healthy()], LONG).await);
        let mut quiet = tokio::spawn(async { Ok(()) });
        let reason = first_reason(pending(), &mut quiet, &mut [healthy()], LONG).await;
        assert_eq!(reason.unwrap_err().to_string(), "the driver ended: without being told to");
    }

    #[tokio::test]
    async fn stopping_when_told_to_is_no_error() {
        let reason = first_reason(async {}, &mut runs_on(), &mut [healthy()], LONG).await;
        assert!(reason.is_ok(), "{reason:?}");
    }
}
