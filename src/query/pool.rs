//! Memory of queries, of which sorts and groups leave a part to what cannot be set aside on disk.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation, human_readable_size,
};

/// First come, first served, as the engine's own, but for what can spill. A sort that has all of the memory
/// leaves none to another for its first rows, nor to the merge of what both set aside, and the query fails
/// though it could have gone on from disk.
#[derive(Debug)]
pub(super) struct Pool {
    size: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Taken {
    all: usize,
    /// Of it by what can spill, and by how many that is.
    spillable: usize,
    spillers: usize,
}

impl Pool {
    pub fn new(size: usize) -> Pool {
        Pool { size, taken: Mutex::default() }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What all that can spill may have together; beyond it each may have its part of as much.
    fn most_spillable(&self) -> usize {
        self.size / 5 * 3
    }
}

impl MemoryPool for Pool {
    fn name(&self) -> &str {
        "pool"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.taken().spillers += usize::from(consumer.can_spill());
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        let mut taken = self.taken();
        taken.spillers = taken.spillers.saturating_sub(usize::from(consumer.can_spill()));
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        let mut taken = self.taken();
        taken.all += additional;
        if reservation.consumer().can_spill() {
            taken.spillable += additional;
        }
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        let mut taken = self.taken();
        taken.all = taken.all.saturating_sub(shrink);
        if reservation.consumer().can_spill() {
            taken.spillable = taken.spillable.saturating_sub(shrink);
        }
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let mut taken = self.taken();
        let can_spill = reservation.consumer().can_spill();
        let most = self.most_spillable();
        let is_within = !can_spill
            || taken.spillable + additional <= most
            || reservation.size() + additional <= most / taken.spillers.max(1);
        if !is_within || taken.all + additional > self.size {
            return Err(DataFusionError::ResourcesExhausted(format!(
                "{} wants {} more than its {}, and {} of {} are taken",
                reservation.consumer().name(),
                human_readable_size(additional),
                human_readable_size(reservation.size()),
                human_readable_size(taken.all),
                human_readable_size(self.size),
            )));
        }
        taken.all += additional;
        if can_spill {
            taken.spillable += additional;
        }
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.taken().all
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.size)
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", human_readable_size(self.reserved()), human_readable_size(self.size))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_can_spill_leaves_a_part_to_what_cannot_and_to_each_other() {
        let pool: Arc<dyn MemoryPool> = Arc::new(Pool::new(1000));
        let spills = |name: &str| MemoryConsumer::new(name).with_can_spill(true).register(&pool);
        let (first, second) = (spills("first"), spills("second"));
        first.try_grow(600).unwrap();
        let says = first.try_grow(1).unwrap_err().to_string();
        assert!(
            says.contains("first wants 1.0 B more than its 600.0 B, and 600.0 B of 1000.0 B are taken"),
            "{says}"
        );
        // The second begins all the same, up to its part.
        second.try_grow(300).unwrap();
        assert!(second.try_grow(1).is_err());
        let merge = MemoryConsumer::new("merge").register(&pool);
        merge.try_grow(100).unwrap();
        assert!(merge.try_grow(1).is_err());
        first.shrink(200);
        merge.try_grow(200).unwrap();
        assert_eq!(pool.reserved(), 1000);
        drop((first, second, merge));
        assert_eq!(pool.reserved(), 0);
    }

    #[test]
    fn what_cannot_spill_may_have_all() {
        let pool: Arc<dyn MemoryPool> = Arc::new(Pool::new(1000));
        let own = MemoryConsumer::new("join").register(&pool);
        own.try_grow(1000).unwrap();
        assert!(own.try_grow(1).is_err());
    }
}
