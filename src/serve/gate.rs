//! What every door shares: a person asks within bounds, over one version of all tables, and it is written down.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use datafusion::arrow::array::{Array as _, ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::SchemaRef;
use futures::{FutureExt as _, Stream, StreamExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};

use super::directory::Directory;
use super::journal::{Entry, Journal};
use super::queue::{Line, Queue};
use super::users::Person;
use super::watch::Watch;
use crate::query::{Answer, Pinned, QueryError, Session, Share, Threads, stopped_by};
use crate::store::{Lake, StoreError, arrow_schema};

/// What one person may use at once.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Memory of all queries of a person; what sorts and groups spills beyond it.
    pub memory_bytes: usize,
    /// Disk to spill to.
    pub spill_bytes: u64,
    /// Threads of all queries of a person.
    pub threads: usize,
    pub timeout: Duration,
    /// Rows of one answer.
    pub rows: u64,
    /// Queries of a person at once; others wait for a moment.
    pub at_once: usize,
}

/// Queries of all that begin at once, for each thread that one person may use.
const PER_THREAD: usize = 2;
/// How long a query waits for those of the same person before it is refused.
const PATIENCE: Duration = Duration::from_secs(5);
/// A query that does not end when it is told to is left to itself after this.
const GRACE: Duration = Duration::from_millis(250);
/// Bytes of the rows that are handed to a door at once.
const PIECE: usize = 8 << 20;

/// Why a question was not answered, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("{0}")]
    Query(#[from] QueryError),
    #[error("read the lake: {0}")]
    Lake(#[from] StoreError),
    #[error("answer within {0:?}; ask for less, or raise statement_timeout up to what the operator allows")]
    TooLong(Duration),
    #[error("send more than {0} rows of one answer; add a limit, or group them")]
    TooMany(u64),
    #[error("ask: {0} queries of this person run already; wait for one to end")]
    Busy(usize),
    #[error("ask: the sign-in has ended; sign in again, or connect anew")]
    SignedOut,
    #[error("go on: the query was cancelled")]
    Cancelled,
    #[error("answer: the query ended before its last row; the log of the server says why")]
    Ended,
    #[error("start a thread for the query; are too many running on this machine?")]
    Threads(#[source] std::io::Error),
    #[error(
        "answer: the engine failed over this statement, and it was stopped; ask in another way, and report it: {0}"
    )]
    Broken(String),
}

impl Refusal {
    /// The SQLSTATE of PostgreSQL that says the same.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            Refusal::Query(QueryError::Memory(_)) => "53200",
            Refusal::Query(QueryError::Size(_)) => "54001",
            Refusal::Query(_) => "42601",
            Refusal::TooLong(_) | Refusal::Cancelled => "57014",
            Refusal::TooMany(_) => "54000",
            Refusal::Busy(_) => "53300",
            Refusal::SignedOut => "28000",
            Refusal::Lake(_) | Refusal::Threads(_) => "58030",
            Refusal::Ended | Refusal::Broken(_) => "XX000",
        }
    }

    /// The word of the log of queries.
    fn outcome(&self) -> &'static str {
        match self {
            Refusal::TooLong(_) => "too_long",
            Refusal::Busy(_)
            | Refusal::TooMany(_)
            | Refusal::SignedOut
            | Refusal::Query(QueryError::Size(_)) => "refused",
            Refusal::Cancelled => "cancelled",
            _ => "failed",
        }
    }
}

/// Who asks, through which door.
#[derive(Debug, Clone)]
pub struct Asker {
    pub person: Arc<Person>,
    pub door: &'static str,
    pub client: Option<String>,
    /// Shorter than the bound, where the client wants it so.
    pub timeout: Option<Duration>,
    pub cancel: CancellationToken,
}

impl Asker {
    pub fn new(person: Arc<Person>, door: &'static str, client: Option<String>) -> Asker {
        Asker { person, door, client, timeout: None, cancel: CancellationToken::new() }
    }
}

/// What the queries of one person share.
#[derive(Clone)]
struct Desk {
    share: Share,
    slots: Arc<Semaphore>,
    /// Of statements that are planned alone: a cursor that is open holds up none of them.
    plans: Arc<Semaphore>,
    /// Its part of the places of all.
    line: Line,
    threads: Arc<Threads>,
}

/// The one way from people to the tables.
pub struct Gate {
    lake: Arc<Lake>,
    bounds: Bounds,
    directory: Directory,
    desks: Mutex<HashMap<String, Desk>>,
    journal: Journal,
    queue: Queue,
    watch: Watch,
}

impl Gate {
    /// Must be called inside a runtime, which writes the log of queries.
    pub fn start(lake: Arc<Lake>, bounds: Bounds, directory: Directory) -> std::io::Result<Arc<Gate>> {
        let journal = Journal::start(lake.clone());
        let watch = Watch::start(bounds.memory_bytes);
        let queue = Queue::new(PER_THREAD * bounds.threads);
        let desks = Mutex::default();
        Ok(Arc::new(Gate { lake, bounds, directory, desks, journal, queue, watch }))
    }

    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    pub fn lake(&self) -> &Arc<Lake> {
        &self.lake
    }

    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Waits until every query that has ended is written down.
    pub async fn written(&self) {
        self.journal.written().await;
    }

    /// How many queries ended, by door and outcome, and how long they took together.
    pub fn counts(&self) -> BTreeMap<(&'static str, &'static str), (u64, Duration)> {
        self.journal.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn desk(&self, person: &Person) -> Result<Desk, Refusal> {
        if person.is_over(Instant::now()) {
            return Err(Refusal::SignedOut);
        }
        let mut desks = self.desks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(desk) = desks.get(&person.key) {
            return Ok(desk.clone());
        }
        let share = Share::new(self.bounds.memory_bytes, self.bounds.spill_bytes)?;
        let room = || Arc::new(Semaphore::new(self.bounds.at_once.max(1)));
        let threads = Threads::start("query", self.bounds.threads).map_err(Refusal::Threads)?;
        let desk = Desk {
            share: share.heeding(self.watch.shortage()),
            slots: room(),
            plans: room(),
            line: self.queue.line(),
            threads: Arc::new(threads),
        };
        desks.insert(person.key.clone(), desk.clone());
        Ok(desk)
    }

    /// A session of a person over the newest version of all tables.
    pub async fn session(&self, person: &Person) -> Result<Session, Refusal> {
        self.lake.refresh().await?;
        let pinned = |files: crate::schema::FileSet| Pinned {
            schema: arrow_schema(files.table),
            files,
            store: self.lake.store(),
        };
        let tables = self.lake.pin().into_iter().map(pinned).collect();
        Ok(Session::scoped(tables, &self.desk(person)?.share, self.bounds.threads, &person.scope)?)
    }

    /// How long a question may take.
    fn limit(&self, asker: &Asker) -> Duration {
        asker.timeout.map_or(self.bounds.timeout, |own| own.min(self.bounds.timeout))
    }

    async fn slot(&self, slots: Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Refusal> {
        match tokio::time::timeout(PATIENCE, slots.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Refusal::Busy(self.bounds.at_once)),
        }
    }

    /// Asks what `ask` asks of a session; `text` is what the log of queries says of it.
    pub async fn ask<F, Fut>(self: &Arc<Gate>, asker: &Asker, text: &str, ask: F) -> Result<Reply, Refusal>
    where
        F: FnOnce(Session) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Answer, QueryError>> + Send,
    {
        let mut entry = self.journal.entry(asker, text).await;
        let entered = async {
            let desk = self.desk(&asker.person)?;
            Ok((self.slot(desk.slots).await?, desk.line, desk.threads))
        };
        let (permit, line, threads) = match entered.await {
            Ok(entered) => entered,
            Err(refusal) => return Err(entry.ended(refusal)),
        };
        let limit = self.limit(asker);
        let deadline = Instant::now() + limit;
        let cancel = asker.cancel.child_token();
        let (send, parts) = mpsc::channel(2);
        let (gate, person, cancelled, most) =
            (self.clone(), asker.person.clone(), cancel.clone(), self.bounds.rows);
        let running = self.watch.enter();
        let work = async move {
            let mut count = 0;
            let answered = async {
                let _place = gate.queue.enter(&line).await;
                let session = gate.session(&person).await?;
                let Answer { schema, mut stream } = ask(session).await?;
                if send.send(Ok(Part::Columns(schema))).await.is_err() {
                    return Err(Refusal::Cancelled);
                }
                while let Some(batch) = stream.next().await {
                    let batch = batch.map_err(QueryError::from)?;
                    count += batch.num_rows() as u64;
                    if count > most {
                        return Err(Refusal::TooMany(most));
                    }
                    for piece in pieces(&batch) {
                        if send.send(Ok(Part::Rows(piece))).await.is_err() {
                            return Err(Refusal::Cancelled);
                        }
                    }
                }
                Ok(())
            };
            let ended = tokio::select! {
                ended = unbroken(answered) => ended,
                () = running.shortage() => Err(short()),
                () = cancelled.cancelled() => Err(Refusal::Cancelled),
                () = tokio::time::sleep_until(deadline.into()) => Err(Refusal::TooLong(limit)),
            };
            // A join that is stopped fails over it.
            let ended = match ended {
                Err(Refusal::Query(_)) if Instant::now() > deadline => Err(Refusal::TooLong(limit)),
                Err(Refusal::Query(_)) if cancelled.is_cancelled() => Err(Refusal::Cancelled),
                ended => ended,
            };
            entry.rows = count;
            let last = match ended {
                Ok(()) => {
                    entry.done();
                    Ok(Part::End)
                }
                Err(refusal) => Err(entry.ended(refusal)),
            };
            drop((entry, permit, running));
            let _ = send.send(last).await;
        };
        threads.handle().spawn(stopped_by(cancel.clone(), None, work));
        let mut reply = Reply {
            schema: SchemaRef::new(datafusion::arrow::datatypes::Schema::empty()),
            parts,
            late: Box::pin(tokio::time::sleep_until((deadline + GRACE).into())),
            limit,
            cancelled: Box::pin(cancel.clone().cancelled_owned()),
            ended: false,
            _work: cancel.drop_guard(),
        };
        match std::future::poll_fn(|cx| reply.poll_part(cx)).await {
            Ok(Part::Columns(schema)) => {
                reply.schema = schema;
                Ok(reply)
            }
            Ok(_) => Err(Refusal::Ended),
            Err(refusal) => Err(refusal),
        }
    }

    /// Works out a value with a session, within the same bounds.
    pub async fn work<T, F, Fut>(self: &Arc<Gate>, asker: &Asker, text: &str, work: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: FnOnce(Session) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, QueryError>> + Send,
    {
        let mut entry = self.journal.entry(asker, text).await;
        let worked = async {
            let desk = self.desk(&asker.person)?;
            self.value(asker, (desk.slots, Some(desk.line)), &desk.threads, work).await
        };
        match worked.await {
            Ok(value) => {
                entry.done();
                Ok(value)
            }
            Err(refusal) => Err(entry.ended(refusal)),
        }
    }

    /// Plans what is asked later: within the same bounds, and written down where it is refused.
    pub async fn plan<T, F, Fut>(self: &Arc<Gate>, asker: &Asker, text: &str, plan: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: FnOnce(Session) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, QueryError>> + Send,
    {
        let planned = async {
            let desk = self.desk(&asker.person)?;
            self.value(asker, (desk.plans, None), &desk.threads, plan).await
        };
        match planned.await {
            Ok(value) => Ok(value),
            Err(refusal) => Err(self.journal.entry(asker, text).await.ended(refusal)),
        }
    }

    /// A value in one of these slots; in the line of all, or past it.
    async fn value<T, F, Fut>(
        self: &Arc<Gate>,
        asker: &Asker,
        (slots, line): (Arc<Semaphore>, Option<Line>),
        threads: &Threads,
        work: F,
    ) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: FnOnce(Session) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, QueryError>> + Send,
    {
        let permit = self.slot(slots).await?;
        let running = self.watch.enter();
        let limit = self.limit(asker);
        let (gate, person) = (self.clone(), asker.person.clone());
        // Dropped with whoever waits for it, it ends; until then its place is taken.
        let stop = asker.cancel.child_token();
        let _stops = stop.clone().drop_guard();
        let mut task = tokio::task::JoinSet::new();
        let work = async move {
            let _place = match &line {
                Some(line) => Some(gate.queue.enter(line).await),
                None => None,
            };
            Ok(work(gate.session(&person).await?).await?)
        };
        task.spawn_on(stopped_by(stop, Some(Arc::new(permit)), unbroken(work)), threads.handle());
        tokio::select! {
            Some(ended) = task.join_next() => ended.unwrap_or(Err(Refusal::Ended)),
            () = running.shortage() => Err(short()),
            () = asker.cancel.cancelled() => Err(Refusal::Cancelled),
            () = tokio::time::sleep(limit) => Err(Refusal::TooLong(limit)),
        }
    }
}

fn short() -> Refusal {
    QueryError::Memory("the queries of all took too much memory, and were stopped".to_owned()).into()
}

/// What came of work, also where the engine panicked: a fault of its own is no end of anything but the query.
async fn unbroken<T>(work: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
    match std::panic::AssertUnwindSafe(work).catch_unwind().await {
        Ok(ended) => ended,
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let says = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            tracing::error!(says, "the engine failed over a statement");
            Err(Refusal::Broken(says))
        }
    }
}

/// The rows of a batch, so many at a time as a door can write without holding up others.
fn pieces(batch: &RecordBatch) -> impl Iterator<Item = RecordBatch> {
    let bytes = |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or_default();
    let bytes: usize = batch.columns().iter().map(bytes).sum();
    let count = batch.num_rows();
    // Values of many columns can be one and the same in memory, but are written one by one.
    let rows = (count * PIECE).checked_div(bytes).unwrap_or(count).clamp(1, count.max(1));
    (0..count).step_by(rows).map(move |from| batch.slice(from, rows.min(count - from)))
}

/// What comes of a query: its columns, its rows, and that it ended well.
enum Part {
    Columns(SchemaRef),
    Rows(RecordBatch),
    End,
}

/// Rows as they come. Dropped before its end, the query stops.
pub struct Reply {
    pub schema: SchemaRef,
    parts: mpsc::Receiver<Result<Part, Refusal>>,
    /// When a query that does not end by itself is given up.
    late: Pin<Box<tokio::time::Sleep>>,
    limit: Duration,
    cancelled: Pin<Box<WaitForCancellationFutureOwned>>,
    ended: bool,
    _work: DropGuard,
}

impl Reply {
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Part, Refusal>> {
        if let Poll::Ready(part) = self.parts.poll_recv(cx) {
            return Poll::Ready(part.unwrap_or(Err(Refusal::Ended)));
        }
        // Work that does not heed its end is not waited for.
        if self.cancelled.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(Refusal::Cancelled));
        }
        self.late.as_mut().poll(cx).map(|()| Err(Refusal::TooLong(self.limit)))
    }
}

impl Stream for Reply {
    type Item = Result<RecordBatch, Refusal>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let part = std::task::ready!(self.poll_part(cx));
        self.ended = !matches!(part, Ok(Part::Rows(_)));
        Poll::Ready(match part {
            Ok(Part::Rows(rows)) => Some(Ok(rows)),
            Ok(Part::Columns(_) | Part::End) => None,
            Err(refusal) => Some(Err(refusal)),
        })
    }
}

impl Entry {
    /// Writes down why it ended, and hands that on.
    fn ended(&mut self, refusal: Refusal) -> Refusal {
        self.outcome = refusal.outcome();
        self.says = Some(refusal.to_string());
        refusal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_handed_on_in_pieces_of_a_size() {
        use std::sync::Arc;

        use datafusion::arrow::array::StringArray;

        let of = |count: usize, bytes: usize| {
            let text: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(bytes); count]));
            RecordBatch::try_from_iter((0..4).map(|n| (format!("c{n}"), text.clone()))).unwrap()
        };
        let rows = |batch: &RecordBatch| pieces(batch).map(|piece| piece.num_rows()).collect::<Vec<_>>();
        assert_eq!(rows(&of(100, 10)), [100]);
        assert_eq!(rows(&of(0, 0)), [0; 0]);
        // One text of 4 MiB in memory, four times as much as it is written.
        let large = of(4, 1 << 20);
        assert!(rows(&large).len() > 2 && rows(&large).iter().sum::<usize>() == 4);
        assert_eq!(rows(&large.slice(3, 1)), [1]);
    }

    #[tokio::test]
    async fn a_fault_of_the_engine_is_a_refusal() {
        let broken = unbroken(async {
            let none: Option<u8> = None;
            none.map(|_| ()).ok_or(()).expect("a row");
            Ok(())
        });
        let refusal = broken.await.unwrap_err();
        assert_eq!(refusal.sqlstate(), "XX000");
        assert!(refusal.to_string().contains("the engine failed") && refusal.to_string().contains("a row"));
        assert_eq!(unbroken(async { Ok(7) }).await.unwrap(), 7);
    }
}
