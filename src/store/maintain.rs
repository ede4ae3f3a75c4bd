//! What keeps a lake quick over years: compaction, checkpoints, vacuum, log clean-up.

use std::fmt;
use std::sync::Arc;

use deltalake::operations::vacuum::VacuumMode;
use deltalake::{DeltaTable, DeltaTableBuilder, DeltaTableError};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;

use super::compact::{expire, groups, merge, swap};
use super::few::Few;
use super::lake::{Lake, now_micros};
use super::place::Place;
use super::{StoreError, log};
use crate::model::{Date, Time};

/// What one pass did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Maintained {
    pub merged_files: usize,
    pub into_files: usize,
    pub checkpoints: usize,
    pub vacuumed_files: usize,
    /// Files of days beyond the retention.
    pub expired_files: usize,
}

impl fmt::Display for Maintained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} files merged into {}, {} checkpoints written, {} files vacuumed, {} files expired",
            self.merged_files, self.into_files, self.checkpoints, self.vacuumed_files, self.expired_files
        )
    }
}

/// Versions between two checkpoints.
const CHECKPOINT_EVERY: u64 = 100;
/// Checkpoints between two vacuums, which list all files.
const VACUUM_EVERY: u64 = 10;

/// The oldest day that is kept.
fn first_day(days: u32) -> Date {
    Time::from_unix_micros(now_micros()).date().plus_days(-i32::try_from(days).unwrap_or(i32::MAX / 2))
}

impl Lake {
    /// One pass over all tables. Ingestion goes on beside it.
    pub async fn maintain(&self) -> Result<Maintained, StoreError> {
        let mut done = Maintained::default();
        for name in self.names() {
            let inner = self.inner.clone();
            let keep = inner.settings.retention_days;
            let (merged, into, expired) = tokio::task::spawn_blocking(move || {
                let (mut merged, mut into) = (0, 0);
                let expired = match keep {
                    Some(days) => inner.with(name, |state| expire(state, first_day(days)))?,
                    None => 0,
                };
                // Merged files may in turn fill the next tier.
                loop {
                    let found = inner.with(name, |state| {
                        state.refresh()?;
                        Ok(groups(state))
                    })?;
                    let before = into;
                    for group in &found {
                        let Some(new) = merge(group)? else { continue };
                        if inner.with(name, |state| swap(state, group, &new))? {
                            merged += group.files.len();
                            into += 1;
                        }
                    }
                    if into == before {
                        return Ok::<_, StoreError>((merged, into, expired));
                    }
                }
            })
            .await??;
            done.merged_files += merged;
            done.into_files += into;
            done.expired_files += expired;
            self.checkpoint(name, &mut done).await?;
        }
        Ok(done)
    }

    async fn checkpoint(&self, name: &'static str, done: &mut Maintained) -> Result<(), StoreError> {
        let files = self.files(name);
        let place = self.inner.place.inside(name);
        let folder = place.clone();
        let last = tokio::task::spawn_blocking(move || log::last_checkpoint(&folder)).await??;
        if files.version < last.unwrap_or(0) + CHECKPOINT_EVERY {
            return Ok(());
        }
        let fail = |what| move |source| StoreError::Delta { what, table: name, source: Box::new(source) };
        let table = open_table(&place).await.map_err(fail("open the table"))?;
        deltalake::checkpoints::create_checkpoint(&table, None)
            .await
            .map_err(fail("write a checkpoint of"))?;
        deltalake::checkpoints::cleanup_metadata(&table, None).await.map_err(fail("clean up the log of"))?;
        done.checkpoints += 1;
        if (files.version / CHECKPOINT_EVERY).is_multiple_of(VACUUM_EVERY) {
            // What a reader of the last seven days may still need is kept. What a writer left that was
            // killed before it named its files is in no entry, and only the full form looks for it.
            let vacuum = table.vacuum().with_mode(VacuumMode::Full);
            let (_, vacuumed) = vacuum.await.map_err(fail("vacuum"))?;
            done.vacuumed_files += vacuumed.files_deleted.len();
        }
        Ok(())
    }
}

/// Opens a table that others commit to. A listing of its log may miss an entry that is named while
/// it is read, and find a later one; the next listing has both.
pub(super) async fn open_table(place: &Place) -> Result<DeltaTable, DeltaTableError> {
    let mut attempts = 5;
    loop {
        match builder(place)?.load().await {
            Err(_) if attempts > 1 => attempts -= 1,
            done => return done,
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

fn builder(place: &Place) -> Result<DeltaTableBuilder, DeltaTableError> {
    let (url, store): (_, Arc<dyn ObjectStore>) = match place {
        Place::Local(_) => (place.root(), Arc::new(LocalFileSystem::new())),
        // Ours is the one store there is, with its credentials; the scheme is one that delta-rs knows
        // without the crates it has for each cloud, and only the path of the URL counts.
        Place::Object(remote) => (format!("memory:///{}/", remote.prefix()), remote.store()),
    };
    let url = deltalake::ensure_table_uri(url)?;
    Ok(DeltaTableBuilder::from_url(url.clone())?.with_storage_backend(Arc::new(Few::new(store)), url))
}
