//! What shares a commit: pure decisions, so that they can be tested without a clock.

use std::time::Duration;

/// When a batch is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// How long the first payload of a batch may wait for others.
    pub linger: Duration,
    /// Payload bytes at which a batch is closed whatever waits.
    pub max_bytes: usize,
    /// Payload bytes from which on a batch is prepared while the one before it is committed.
    pub overlap_from: usize,
}

/// What to do with a batch of which something is in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Commit what is there.
    Close,
    /// Take what is queued already, wait for nothing.
    Drain,
    /// Wait this long for more.
    Wait(Duration),
}

impl Plan {
    /// A push sender waits for its answer: commit at once when idle; what arrives meanwhile makes
    /// the next batch by itself.
    pub fn push(linger: Duration, max_bytes: usize) -> Plan {
        Plan { linger, max_bytes, overlap_from: 256 << 10 }
    }

    /// Nobody waits for a file: fill the batch, so that the lake gets few large files.
    pub fn bulk(max_bytes: usize) -> Plan {
        Plan { linger: Duration::from_millis(300), max_bytes, overlap_from: 0 }
    }

    /// Decides after `bytes` are in hand and the first of them has waited for `waited`.
    pub fn next(&self, bytes: usize, waited: Duration) -> Next {
        if bytes >= self.max_bytes {
            Next::Close
        } else if waited >= self.linger {
            Next::Drain
        } else {
            Next::Wait(self.linger - waited)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_batch_waits_for_nobody_and_a_full_one_closes() {
        let plan = Plan::push(Duration::ZERO, 100);
        assert_eq!(plan.next(1, Duration::ZERO), Next::Drain);
        assert_eq!(plan.next(100, Duration::ZERO), Next::Close);
    }

    #[test]
    fn a_lingering_batch_waits_for_the_rest_of_its_time() {
        let plan = Plan::push(Duration::from_millis(50), 100);
        assert_eq!(plan.next(1, Duration::from_millis(20)), Next::Wait(Duration::from_millis(30)));
        assert_eq!(plan.next(1, Duration::from_millis(50)), Next::Drain);
    }
}
