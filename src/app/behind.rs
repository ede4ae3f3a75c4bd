//! Threads for work that nobody waits for.

use tokio::runtime::{Builder, Handle, Runtime};

use super::{BLOCKING, Failure};

/// By how much it gives way to ingestion (`nice`): as much as the questions of people, which it would hold up.
const NICE: i32 = 15;

/// Threads that give way to ingestion; dropped, they end with what they are at.
pub(super) struct Threads(Option<Runtime>);

impl Threads {
    /// `name` is that of each thread, `of` says what they do.
    pub fn start(name: &str, of: &str, count: usize) -> Result<Threads, Failure> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(count.max(1))
            .max_blocking_threads(BLOCKING)
            .thread_name(name)
            .on_thread_start(|| {
                // On Linux this is the priority of the thread alone.
                let _ = rustix::process::setpriority_process(None, NICE);
            })
            .enable_all()
            .build()
            .map_err(|e| Failure::of(format!("start the threads of the {of}"), e))?;
        Ok(Threads(Some(runtime)))
    }

    pub fn handle(&self) -> &Handle {
        self.0.as_ref().map(Runtime::handle).unwrap_or_else(|| unreachable!("taken when it is dropped alone"))
    }
}

impl Drop for Threads {
    /// A runtime that ends of itself waits, which nothing asynchronous may.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
