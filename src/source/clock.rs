//! What time it is, and how to wait for another: a value, so that a test lives through days in seconds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::BoxFuture;

use crate::model::{Ticks, Time};

/// What the collectors live by.
pub trait Clock: Send + Sync {
    fn now(&self) -> Time;

    /// Ends when so much time has passed.
    fn sleep(&self, wait: Ticks) -> BoxFuture<'_, ()>;
}

/// The system's own.
#[derive(Debug, Clone, Copy)]
pub struct System;

impl Clock for System {
    fn now(&self) -> Time {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Time((since.as_nanos() / 100) as i64)
    }

    fn sleep(&self, wait: Ticks) -> BoxFuture<'_, ()> {
        let wait = Duration::from_nanos(wait.0.max(0).unsigned_abs().saturating_mul(100));
        Box::pin(tokio::time::sleep(wait))
    }
}
