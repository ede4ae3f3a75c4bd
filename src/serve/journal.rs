//! The log of queries: who asked what, through which door, and how it ended.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot};

use super::gate::Asker;
use crate::model::Time;
use crate::schema;
use crate::store::{Builder, Lake, RowKey, Writer};

/// A statement is cut at so many bytes.
const MOST_TEXT: usize = 64 << 10;
/// So many queries may end before those before them are written; the next ones wait.
const WAITING: usize = 10_000;
const EVERY: Duration = Duration::from_millis(500);

/// One query while it runs; it is written down when this is dropped.
pub(super) struct Entry {
    key: String,
    occurred: Time,
    since: Instant,
    asker: Asker,
    query: String,
    pub outcome: &'static str,
    pub says: Option<String>,
    pub rows: u64,
    slot: Option<mpsc::OwnedPermit<Message>>,
    counts: Counts,
}

/// How many queries came through a door and ended in some way, and how long they took together.
pub(super) type Counts = Arc<Mutex<BTreeMap<(&'static str, &'static str), (u64, Duration)>>>;

enum Message {
    Ended(Box<Record>),
    Written(oneshot::Sender<()>),
}

struct Record {
    key: String,
    occurred: Time,
    asker: Asker,
    query: String,
    outcome: &'static str,
    says: Option<String>,
    rows: u64,
    took: Duration,
}

impl Entry {
    pub fn done(&mut self) {
        self.outcome = "done";
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry((self.asker.door, self.outcome)).or_default();
        *count = (count.0 + 1, count.1 + self.since.elapsed());
        drop(counts);
        if let Some(slot) = self.slot.take() {
            slot.send(Message::Ended(Box::new(Record {
                key: std::mem::take(&mut self.key),
                occurred: self.occurred,
                asker: self.asker.clone(),
                query: std::mem::take(&mut self.query),
                outcome: self.outcome,
                says: self.says.take(),
                rows: self.rows,
                took: self.since.elapsed(),
            })));
        }
    }
}

/// Writes queries down as they end.
pub(super) struct Journal {
    send: mpsc::Sender<Message>,
    process: String,
    number: AtomicU64,
    pub counts: Counts,
}

impl Journal {
    pub fn start(lake: Arc<Lake>) -> Journal {
        let (send, mut ended) = mpsc::channel(WAITING);
        tokio::spawn(async move {
            let writer = Writer::new();
            let mut waiting = Vec::new();
            let mut asked = Vec::new();
            while ended.recv_many(&mut waiting, WAITING).await > 0 {
                let mut records = Vec::new();
                for message in waiting.drain(..) {
                    match message {
                        Message::Ended(record) => records.push(record),
                        Message::Written(told) => asked.push(told),
                    }
                }
                while let Some(error) = write(&lake, &writer, &records).await {
                    tracing::error!(error, "the log of queries could not be written; trying again");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                match asked.is_empty() {
                    true => tokio::time::sleep(EVERY).await,
                    false => asked.drain(..).for_each(|told| _ = told.send(())),
                }
            }
        });
        let process = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let process = format!("{:x}-{:x}", process.as_nanos(), std::process::id());
        Journal { send, process, number: AtomicU64::new(0), counts: Counts::default() }
    }

    /// Opens the entry of a query, which waits while too many are not written: none runs unrecorded.
    pub async fn entry(&self, asker: &Asker, query: &str) -> Entry {
        let cut = query.floor_char_boundary(MOST_TEXT);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Entry {
            key: format!("{}-{}", self.process, self.number.fetch_add(1, Ordering::Relaxed)),
            occurred: Time::from_unix_micros(now.as_micros() as i64),
            since: Instant::now(),
            asker: asker.clone(),
            query: query[..cut].to_owned(),
            outcome: "left",
            says: None,
            rows: 0,
            slot: self.send.clone().reserve_owned().await.ok(),
            counts: self.counts.clone(),
        }
    }

    pub async fn written(&self) {
        let (told, written) = oneshot::channel();
        if self.send.send(Message::Written(told)).await.is_ok() {
            let _ = written.await;
        }
    }
}

/// Commits these records; the error if that failed.
async fn write(lake: &Lake, writer: &Writer, records: &[Box<Record>]) -> Option<String> {
    let mut rows = Builder::new(schema::table("queries_log")?);
    for record in records {
        rows.text(Some(&record.key));
        rows.time(Some(record.occurred));
        rows.text(Some(&record.asker.person.key));
        rows.text(Some(record.asker.person.role.name()));
        rows.text(Some(record.asker.door));
        rows.text(record.asker.client.as_deref());
        rows.text(Some(&record.query));
        rows.text(Some(record.outcome));
        rows.text(record.says.as_deref());
        rows.int(Some(record.rows as i64));
        rows.int(Some(record.took.as_micros() as i64));
        rows.end_row(RowKey::new(&record.key), Some(record.occurred.date()));
    }
    let rows = rows.finish()?;
    lake.commit(writer, vec![rows]).await.err().map(|e| e.to_string())
}
