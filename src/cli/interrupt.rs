//! Ctrl-C: stops the work at hand, and nothing else.
//!
//! ```text
//!   caller ──► task on a worker's large stack ──► outcome ───────────────┐
//!          └─► thread that waits for the signal ──► the task is dropped ─┴──► caller
//! ```
//!
//! On the signal the task is dropped, and with it the query's stream, its reservations and its temporary files. The
//! signal is waited for outside the runtime of the work: workers that are all inside one long computation (a cross join)
//! look at no signals.

use std::future::Future;
use std::io;
use std::time::Duration;

use datafusion::common::runtime::SpawnedTask;
use tokio::sync::oneshot;

use super::error::Failure;
use super::progress::clear_current;

/// How long a dropped query may take to let go of what it holds. The user waits that long for the next prompt at most.
const PATIENCE: Duration = Duration::from_millis(500);

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
    let cannot_wait = |error: io::Error| Failure::new(format!("cannot wait for Ctrl-C: {error}"));
    let Watch { pressed, waited, _ended } = Watch::begin().map_err(cannot_wait)?;
    let (stopped, has_stopped) = oneshot::channel::<()>();
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
        signal = pressed => {
            drop(joined);
            match signal {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(cannot_wait(error)),
                Err(_) => return Err(Failure::new("cannot wait for Ctrl-C")),
            }
            // An unfinished result is no reason to wait for ever, so the outcome of either wait does not matter.
            tokio::select! {
                _ = has_stopped => {}
                _ = waited => {}
            }
            clear_current();
            Ok(Outcome::Interrupted)
        }
    }
}

/// Exit codes of a program that a signal ended: 128 and its number.
#[cfg(unix)]
const TERMINATED: i32 = 143;
#[cfg(unix)]
const HUNG_UP: i32 = 129;

/// Ends the program when another asks for it or the terminal goes away, and takes along what is half written.
///
/// # Errors
/// The signals cannot be waited for.
#[cfg(unix)]
pub(crate) fn end_when_asked() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Before the thread begins: from here on no file is begun without being taken along.
    let (mut terminate, mut hang_up) = {
        let _inside = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?)
    };
    std::thread::Builder::new().name("end".to_owned()).spawn(move || {
        let code = runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => TERMINATED,
                _ = hang_up.recv() => {
                    // The prompt sees that its terminal has gone, and completes the files that are whole.
                    tokio::time::sleep(PATIENCE).await;
                    HUNG_UP
                }
            }
        });
        super::output::remove_pending();
        std::process::exit(code);
    })?;
    Ok(())
}

#[cfg(not(unix))]
pub(crate) fn end_when_asked() -> io::Result<()> {
    Ok(())
}

/// A thread that waits for one Ctrl-C, or for the work to end.
struct Watch {
    /// Ctrl-C was pressed, or cannot be waited for.
    pressed: oneshot::Receiver<io::Result<()>>,
    /// The patience after it has run out.
    waited: oneshot::Receiver<()>,
    /// Dropped by who no longer wants to know.
    _ended: oneshot::Sender<()>,
}

impl Watch {
    fn begin() -> io::Result<Self> {
        let (press, pressed) = oneshot::channel();
        let (wait, waited) = oneshot::channel();
        let (_ended, has_ended) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("ctrl-c".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    signal = tokio::signal::ctrl_c() => {
                        // Whoever has gone does not need to be told.
                        let _ = press.send(signal);
                        tokio::time::sleep(PATIENCE).await;
                        drop(wait);
                    }
                    _ = has_ended => {}
                }
            });
        })?;
        Ok(Self { pressed, waited, _ended })
    }
}
