//! Tasks and threads beside the loop: a panic in one of them is a bug, and ends the process for its manager to restart.

use tokio::task::JoinError;

/// Passes on the panic of a task that had one.
pub fn pass_on_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

/// Runs what blocks in a thread for that, and passes on its panic.
pub async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // A blocking task is cancelled only when the runtime goes down, and this with it.
            Err(_) => std::future::pending().await,
        },
    }
}
