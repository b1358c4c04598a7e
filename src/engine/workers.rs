//! Threads of their own for planning and running questions, so that no question can keep the server from answering others,
//! and with stacks that hold the deepest plan the limits on questions let through.

use crate::error::{Error, Result};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};

/// Bytes of each thread's stack; reserved, not used, until something recurses.
const STACK_BYTES: usize = 64 << 20;

/// How long threads may take to end once nobody asks any more.
const LAST_WORK: Duration = Duration::from_secs(60);

/// A pool of threads. Dropping it ends what still runs there, without waiting.
pub struct Workers {
    runtime: Option<Runtime>,
    handle: Handle,
    /// Questions that are planned at the same time.
    planning: Arc<Semaphore>,
}

impl Workers {
    pub fn start(threads: usize) -> Result<Workers> {
        let threads = threads.max(1);
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("question")
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()
            .map_err(|e| Error::internal(format!("cannot start threads for questions: {e}")))?;
        let handle = runtime.handle().clone();
        Ok(Workers { runtime: Some(runtime), handle, planning: Arc::new(Semaphore::new(threads)) })
    }

    /// Computes something that waits for nothing. It runs to its end even where the caller goes away.
    pub async fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let turn = self.planning.clone().acquire_owned().await.map_err(|_| Error::internal("no more turns"))?;
        let turn_and_work = move || {
            let _turn = turn;
            work()
        };
        self.handle.spawn_blocking(turn_and_work).await.unwrap_or_else(|e| Err(ended(&e)))
    }

    /// Runs a task. It is cancelled where the caller goes away.
    pub async fn run<T: Send + 'static>(&self, work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        // A set aborts its tasks when it is dropped.
        let mut tasks = JoinSet::new();
        tasks.spawn_on(work, &self.handle);
        match tasks.join_next().await {
            Some(joined) => joined.unwrap_or_else(|e| Err(ended(&e))),
            None => Err(Error::internal("a task vanished")),
        }
    }
}

/// A panic's message may quote data, so it is not told.
fn ended(e: &JoinError) -> Error {
    Error::internal(if e.is_panic() { "a task panicked" } else { "a task was cancelled" })
}

impl Drop for Workers {
    fn drop(&mut self) {
        // Threads that are detached while they end are a race in glibc (its bug 19951), which reads a large stack that is gone already. So
        // they are joined, by a thread that nobody waits for.
        if let Some(runtime) = self.runtime.take() {
            std::thread::spawn(move || runtime.shutdown_timeout(LAST_WORK));
        }
    }
}
