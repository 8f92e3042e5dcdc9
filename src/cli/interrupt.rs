//! Ctrl-C: stops the work at hand, and nothing else.
//!
//! The work runs in a task of its own, on a worker's large stack; the caller waits for it and for the signal. On the
//! signal the task is dropped, and with it the query's stream, its reservations and its temporary files.

use std::future::Future;
use std::time::Duration;

use datafusion::common::runtime::SpawnedTask;

use super::error::Failure;

/// How long a dropped query may take to let go of what it holds.
const PATIENCE: Duration = Duration::from_millis(700);

/// How work ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome<T> {
    /// By itself.
    Finished(T),
    /// By the user.
    Interrupted,
}

/// Runs `work` until it ends or the user presses Ctrl-C.
///
/// # Errors
/// The work panicked: a defect, but not one that should take the session with it.
pub(crate) async fn until_interrupted<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<Outcome<T>, Failure> {
    let (stopped, has_stopped) = tokio::sync::oneshot::channel::<()>();
    let task = SpawnedTask::spawn(async move {
        // Dropped with the work, which tells the other end that nothing is held any more.
        let _held = stopped;
        work.await
    });
    let mut joined = Box::pin(task.join());
    tokio::select! {
        outcome = &mut joined => match outcome {
            Ok(value) => Ok(Outcome::Finished(value)),
            Err(error) if error.is_panic() => Err(Failure::new("the query failed inside the engine (see above)")),
            Err(_) => Ok(Outcome::Interrupted),
        },
        signal = tokio::signal::ctrl_c() => {
            drop(joined);
            // An unfinished result is no reason to wait for ever, so the outcome of the wait does not matter.
            let _ = tokio::time::timeout(PATIENCE, has_stopped).await;
            match signal {
                Ok(()) => Ok(Outcome::Interrupted),
                Err(error) => Err(Failure::new(format!("cannot wait for Ctrl-C: {error}"))),
            }
        }
    }
}
