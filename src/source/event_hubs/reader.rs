//! One partition, for as long as it is ours: connected, read on, and connected anew after any fault.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use azure_messaging_eventhubs::models::ReceivedEventData;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;

use super::board::Board;
use super::checkpoints::{Checkpoints, Group, Mark};
use super::connect::{self, Client};
use super::keeper::{Item, Keeper};
use super::message::{self, Came, Place};
use super::start::{From, Step, decide, step};
use super::status::Status;
use super::{Hub, HubsError, Lanes, Sharing};
use crate::model::{Ticks, Time};
use crate::source::clock::{Clock as _, System};
use crate::source::{Payload, jitter};

/// What a reader is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Read,
    /// Finish what is under way, save how far that is, and end.
    Release,
    /// Another has the partition: end, and save nothing.
    Leave,
}

/// Why a reader ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Told,
    /// Somebody took the link; the ownerships tell who that was.
    Stolen,
}

/// All that a reader needs.
#[derive(Clone)]
pub(super) struct Reader {
    pub hub: Arc<Hub>,
    /// The hub's name in logs and in the status.
    pub name: String,
    pub group: Group,
    pub sharing: Sharing,
    /// What this process is called in ownerships and by the service.
    pub owner: String,
    pub partition: String,
    pub store: Checkpoints,
    pub lanes: Lanes,
    pub board: Arc<Board>,
    pub status: Status,
}

/// An event enqueued longer ago is part of a backlog: nobody waits for it.
const BACKLOG: Ticks = Ticks::seconds(60);
/// Between two looks at what the hub says of itself while nothing comes.
const LOOK_EVERY: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A connection that held so long had nothing to do with the faults before it.
const HELD: Duration = Duration::from_secs(60);

impl Reader {
    /// Reads on from `reached`, the checkpoint, until told to end or another reader takes the partition.
    pub async fn run(
        self,
        reached: Option<Mark>,
        mut order: watch::Receiver<Order>,
    ) -> Result<Ended, HubsError> {
        let is_ours = Arc::new(AtomicBool::new(true));
        let mut reading = Reading::new(&self, reached, &is_ours);
        let mut pause = FIRST_PAUSE;
        let ended = loop {
            let (began, handed) = (Instant::now(), reading.handed);
            let fault = tokio::select! {
                biased;
                order = told(&mut order) => {
                    is_ours.store(order == Order::Release, Ordering::Release);
                    break Ended::Told;
                }
                fault = reading.connection() => fault,
            };
            let says = match fault {
                Fault::Error(HubsError::Stolen) => {
                    is_ours.store(false, Ordering::Release);
                    self.fault("another reader took the partition");
                    break Ended::Stolen;
                }
                Fault::Error(HubsError::Pipeline) => return Err(HubsError::Pipeline),
                Fault::Error(error) => chain(&error),
                Fault::NewLife(says) => {
                    tracing::warn!(
                        partition = reading.source,
                        says,
                        "the hub was deleted and made again: it is read from its beginning"
                    );
                    reading = match reading.next_life(&is_ours).await {
                        Ok(reading) => reading,
                        Err(error) => return Err(error),
                    };
                    continue;
                }
            };
            if reading.handed > handed || began.elapsed() > HELD {
                pause = FIRST_PAUSE;
            }
            tracing::warn!(
                partition = reading.source,
                error = says,
                seconds = pause.as_secs_f32(),
                "a partition is connected to anew"
            );
            self.fault(&says);
            self.status.partition(&self.name, &self.partition, |p| p.reconnects += 1);
            tokio::select! {
                biased;
                order = told(&mut order) => {
                    is_ours.store(order == Order::Release, Ordering::Release);
                    break Ended::Told;
                }
                () = tokio::time::sleep(pause + jitter(pause)) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        };
        reading.end().await?;
        Ok(ended)
    }

    fn fault(&self, says: &str) {
        self.status.partition(&self.name, &self.partition, |p| p.fault = Some(says.to_owned()));
    }
}

/// Ends with an order to end, also when nobody gives orders any more.
async fn told(order: &mut watch::Receiver<Order>) -> Order {
    match order.wait_for(|order| *order != Order::Read).await {
        Ok(order) => *order,
        Err(_) => Order::Leave,
    }
}

/// Why a connection is given up.
enum Fault {
    Error(HubsError),
    /// The hub is not the one that was read before.
    NewLife(String),
}

impl std::convert::From<HubsError> for Fault {
    fn from(error: HubsError) -> Fault {
        Fault::Error(error)
    }
}

/// Reading within one life of the hub, over any number of connections.
struct Reading<'r> {
    reader: &'r Reader,
    source: String,
    place: Arc<Place>,
    /// The last event handed on, or the checkpoint.
    reached: Option<Mark>,
    /// When that was.
    reached_at: Instant,
    handed: u64,
    inbox: mpsc::Sender<Item>,
    keeper: JoinHandle<Result<(), HubsError>>,
    room: Arc<Semaphore>,
    /// An event before which others lack: asked for again, and if they lack still, they do not exist.
    gap: Option<i64>,
}

impl<'r> Reading<'r> {
    fn new(reader: &'r Reader, reached: Option<Mark>, is_ours: &Arc<AtomicBool>) -> Reading<'r> {
        let Reader { hub, name, partition, sharing, .. } = reader;
        let source = format!("{name}/{partition}");
        let keeper = Keeper {
            store: reader.store.clone(),
            group: reader.group.clone(),
            partition: partition.clone(),
            source: source.clone(),
            name: name.clone(),
            status: reader.status.clone(),
            is_ours: is_ours.clone(),
        };
        let (inbox, items) = mpsc::channel(sharing.in_flight.max(1));
        let place = Place {
            namespace: hub.namespace.clone(),
            hub: hub.hub.clone(),
            consumer_group: hub.consumer_group.clone(),
            partition: partition.clone(),
        };
        Reading {
            reader,
            source,
            place: Arc::new(place),
            reached,
            reached_at: Instant::now(),
            handed: 0,
            inbox,
            keeper: tokio::spawn(keeper.run(items)),
            room: Arc::new(Semaphore::new(bytes(sharing) as usize)),
            gap: None,
        }
    }

    /// Waits until all that was handed on is committed.
    async fn end(self) -> Result<(), HubsError> {
        drop(self.inbox);
        self.keeper
            .await
            .unwrap_or_else(|_| Err(HubsError::Broken { says: "its keeper ended early".to_owned() }))
    }

    /// Finishes with the hub that was, and begins with the one that is.
    async fn next_life(self, is_ours: &Arc<AtomicBool>) -> Result<Reading<'r>, HubsError> {
        let reader = self.reader;
        // What was read of the hub that is gone can be had nowhere else: it is committed first.
        self.end().await?;
        let beginning = Mark::none();
        let save = reader.store.save(&reader.group, &reader.partition, &beginning);
        if let Err(error) = save.await {
            // Found out again by whoever comes next, from the same signs.
            tracing::warn!(%error, "the new beginning could not be saved; it is with the next checkpoint");
        }
        Ok(Reading::new(reader, Some(Mark::none()), is_ours))
    }

    /// Reads over one connection, until it must be given up.
    async fn connection(&mut self) -> Fault {
        match self.read().await {
            Ok(never) => match never {},
            Err(fault) => fault,
        }
    }

    async fn read(&mut self) -> Result<Infallible, Fault> {
        let reader = self.reader;
        let (hub, partition) = (&reader.hub, reader.partition.as_str());
        let client = Client::open(hub, &format!("{}-{partition}", reader.owner)).await?;
        let asked = Instant::now();
        let extent = client.extent(partition).await?;
        let life = reader.board.life();
        let start = hub.starts.get(partition).unwrap_or(&hub.start);
        let decision = decide(self.reached.as_ref(), start, &extent);
        if decision.is_new_life {
            return Err(Fault::NewLife(format!(
                "the checkpoint is at {}, the last event there is at {}",
                self.reached.as_ref().map_or(-1, |mark| mark.sequence),
                extent.last.sequence
            )));
        }
        if let Some(mark) = decision.save {
            // Before anything is read: what is enqueued from now on must not be passed over after a crash.
            let saved = reader.store.save(&reader.group, partition, &mark).await;
            let failed =
                |source| HubsError::Checkpoints { what: "save where to start", source: Box::new(source) };
            saved.map_err(failed)?;
            self.reached = Some(mark);
        }
        if let From::After(sequence) = &decision.from
            && *sequence > extent.last.sequence
        {
            let (asked, last) = (sequence + 1, extent.last.sequence);
            let says =
                format!("`start` is {asked}, and the last event there is at {last}; lower it, or wait");
            return Err(HubsError::Broken { says }.into());
        }
        // Up to here nothing is to come, so nothing lacks.
        let floor = match &decision.from {
            From::Earliest => -1,
            From::After(sequence) => *sequence,
            From::With(mark) => mark.sequence,
            From::Time(at) if extent.last.enqueued.is_some_and(|last| last < *at) => extent.last.sequence,
            From::Time(_) => -1,
        };
        reader.status.partition(&reader.name, partition, |p| p.last = Some(extent.last.sequence));
        reader.board.heard(partition, asked, extent);
        let receiver = client.receiver(partition, &decision.from, hub.prefetch).await?;
        let mut events = receiver.stream_events();
        let (mut heard, mut came) = (Instant::now(), false);
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            let event = tokio::select! {
                event = connect::next(&mut events) => event?,
                _ = look.tick() => {
                    let reached = self.reached.as_ref().map_or(-1, |mark| mark.sequence);
                    if life.zip(reader.board.life()).is_some_and(|(then, now)| then != now) {
                        return Err(Fault::NewLife("it says that it was made at another time".to_owned()));
                    }
                    if let Some(last) = reader.board.ends_before(partition, self.reached_at, reached) {
                        return Err(Fault::NewLife(format!("{reached} was read, the last event there is at {last}")));
                    }
                    if let Some(says) = reader.board.objects(partition, heard, reached.max(floor)) {
                        return Err(HubsError::Broken { says }.into());
                    }
                    continue;
                }
            };
            self.take(event, came).await?;
            // Waiting for room is no silence of the hub.
            (heard, came) = (Instant::now(), true);
        }
    }

    /// Hands an event on, unless it was before. `came` says that it is not the first of its connection.
    async fn take(&mut self, event: ReceivedEventData, came: bool) -> Result<(), Fault> {
        let Some(mark) = message::mark(&event) else { return Ok(self.hand_on(event, None).await?) };
        let reached = self.reached.as_ref().map_or(-1, |mark| mark.sequence);
        let broken = |says: String| Err(HubsError::Broken { says }.into());
        match step(self.reached.as_ref(), &mark) {
            Step::Next => {}
            // The library attaches by itself after some faults, and begins where it once began.
            Step::FarBack if came => {
                return broken(format!("it began again at {} after {reached}", mark.sequence));
            }
            Step::Again | Step::FarBack => {
                let reader = self.reader;
                reader.status.partition(&reader.name, &reader.partition, |p| p.repeated += 1);
                return Ok(());
            }
            Step::Other => {
                return Err(Fault::NewLife(format!(
                    "under the number {reached} there is another event than was read"
                )));
            }
            Step::Gap if reached >= 0 && self.gap != Some(mark.sequence) => {
                self.gap = Some(mark.sequence);
                return broken(format!(
                    "{} came after {reached}; what is between is asked for again",
                    mark.sequence
                ));
            }
            Step::Gap if reached >= 0 => {
                tracing::warn!(
                    partition = self.source,
                    after = reached,
                    before = mark.sequence,
                    "events are gone from the hub that were not read: its retention is too short, or it compacts"
                );
            }
            Step::Gap => {}
        }
        self.hand_on(event, Some(mark)).await?;
        Ok(())
    }

    async fn hand_on(&mut self, event: ReceivedEventData, mark: Option<Mark>) -> Result<(), HubsError> {
        let reader = self.reader;
        let bytes = message::body(event.raw_amqp_message());
        let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX).clamp(1, self::bytes(&reader.sharing));
        let room = self.room.clone().acquire_many_owned(size).await.map_err(|_| HubsError::Pipeline)?;
        // Its place with the keeper first: nothing is handed on that nobody watches over.
        let slot = self.inbox.reserve().await.map_err(|_| HubsError::Pipeline)?;
        let now: Time = System.now();
        let is_old = mark.as_ref().and_then(|m| m.enqueued).is_some_and(|at| at + BACKLOG < now);
        let lane = if is_old { &reader.lanes.bulk } else { &reader.lanes.push };
        let about = Arc::new(Came { from: self.place.clone(), event });
        let (mut payload, outcome) = Payload::new(bytes.clone(), &self.source);
        payload.about = Some(about.clone());
        lane.send(payload).await.map_err(|_| HubsError::Pipeline)?;
        reader.status.partition(&reader.name, &reader.partition, |p| {
            p.events += 1;
            p.bytes += bytes.len() as u64;
            p.read = mark.as_ref().map(|mark| mark.sequence).or(p.read);
        });
        slot.send(Item { mark: mark.clone(), bytes, about, lane: lane.clone(), outcome, room });
        self.handed += 1;
        if mark.is_some() {
            (self.reached, self.reached_at) = (mark, Instant::now());
        }
        Ok(())
    }
}

/// Bytes of a partition that may be under way.
fn bytes(sharing: &Sharing) -> u32 {
    u32::try_from(sharing.in_flight_bytes).unwrap_or(u32::MAX >> 3).clamp(1, u32::MAX >> 3)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let says = cause.to_string();
        // The library repeats its causes in its own texts.
        if !text.contains(&says) {
            text.push_str(": ");
            text.push_str(&says);
        }
        next = cause.source();
    }
    text
}
