//! Threads for work that gives way to ingestion: what people ask, and what nobody waits for.

use tokio::runtime::{Builder, Handle, Runtime};

/// Threads for what waits for a disk. A checkpoint asks for each entry of a log at once, and each thread keeps
/// some ten MiB of what it has freed for itself, as long as it gets anything to do. Few wait for others of
/// them: the two lanes that prepare, and a checkpoint.
pub const BLOCKING: usize = 16;
/// By how much they give way (`nice`): all alike, so that none of them is held up by the others.
const NICE: i32 = 15;
/// The engine walks down the tree of a statement; what is not used of this costs nothing.
const STACK: usize = 32 << 20;

/// Threads of their own: what holds them and does not heed its end holds up nobody else. Dropped, they end with
/// what they are at.
pub struct Threads(Option<Runtime>);

impl Threads {
    /// `name` is that of each thread.
    ///
    /// # Errors
    /// When the machine gives no thread.
    pub fn start(name: &str, count: usize) -> std::io::Result<Threads> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(count.max(1))
            .max_blocking_threads(BLOCKING)
            .thread_name(name)
            .thread_stack_size(STACK)
            .on_thread_start(|| {
                // On Linux this is the priority of the thread alone.
                let _ = rustix::process::setpriority_process(None, NICE);
            })
            .enable_all()
            .build()?;
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
