//! Committed rows to the destinations of the exports, each behind a durable cursor of its own.
//!
//! Invariants:
//! 1. The cursor moves only past what the destination confirmed, or what lies in `export_rejects`.
//! 2. One process at a time sends to a destination; what a crash leaves open is sent again, under the same key.
//! 3. Nothing here is waited for by anything else: a destination that is down holds up itself alone.

mod cursor;
mod deliver;
mod outgoing;
mod refused;

pub use cursor::{Cursor, Mark};
pub use deliver::Bounds;

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::prepare::now;
use super::stored::{session_within, text, time};
use crate::export::{Destination, Item, SendError};
use crate::model::{Ticks, Time};
use crate::query::{Limits, QueryError, Session};
use crate::store::{Lake, Lease, StoreError, Writer};
use deliver::{Account, MOST_ROUNDS, Stopped, Told, batch, deliver};
use futures::TryStreamExt as _;
use outgoing::{Kind, Outgoing, Portion, Sent, again, portion};

/// A shape: SQL over `outgoing` or `outgoing_findings`.
#[derive(Debug, Clone)]
pub struct Shape {
    pub name: String,
    pub sql: String,
}

/// What goes to one destination, and how.
#[derive(Debug, Clone)]
pub struct Order {
    /// Of letters, digits, `_` and `-`.
    pub name: String,
    /// `None` sends no events.
    pub events: Option<Shape>,
    pub findings: Option<Shape>,
    /// A predicate over `actions a`.
    pub filter: Option<String>,
    /// A predicate over `findings a`.
    pub finding_filter: Option<String>,
    /// How long an event may wait for a verdict that is still provisional.
    pub settle: Ticks,
    /// Whether what the lake had before goes out as well.
    pub from_the_beginning: bool,
    pub bounds: Bounds,
}

/// Why a pass ended early; the next one goes on where it was.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    #[error("read what is to be exported")]
    Query(#[from] QueryError),
    #[error("save where an export stands")]
    Store(#[from] StoreError),
}

/// Portions of one pass: the next one sees a newer version of the lake.
const PORTIONS: usize = 50;
/// Memory of the queries of one destination.
const MEMORY: usize = 512 << 20;

/// What a person asked of a destination, for whoever sends to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wish {
    /// Counts what was known since this moment, in microseconds, as not sent.
    Rewind(i64),
    /// Sends again what was refused.
    Replay,
}

fn partition(name: &str) -> String {
    format!("export.{name}")
}

/// Where wishes are left, the first to be done first: one of a kind does not take another's place. The last is
/// where an earlier version left them.
fn wishes(name: &str) -> [String; 3] {
    ["rewind", "replay", "wish"].map(|kind| format!("export.{name}.{kind}"))
}

/// Leaves a wish for whoever sends to a destination, in place of an earlier one of its kind.
pub async fn wish(lake: &Lake, name: &str, wish: Wish) -> Result<(), StoreError> {
    let [rewind, replay, _] = wishes(name);
    let place = if wish == Wish::Replay { replay } else { rewind };
    lake.save_position(&place, &serde_json::to_string(&wish).unwrap_or_default()).await
}

/// Where a destination stands; `None` before anything was sent to it.
pub fn stands(lake: &Lake, name: &str) -> Option<Cursor> {
    serde_json::from_str(&lake.position(&partition(name))?).ok()
}

/// Rows of events and findings that wait behind a cursor, and when the first of them was known.
pub async fn waiting(lake: &Lake, order: &Order, cursor: &Cursor) -> Result<(u64, Option<Time>), QueryError> {
    let session = own_session(lake)?;
    let mut all = (0, None);
    let tables = [
        ("events", "event_id", &cursor.events, order.events.is_some()),
        ("findings", "key", &cursor.findings, order.findings.is_some()),
    ];
    for (table, key, mark, _) in tables.iter().filter(|(.., is_sent)| *is_sent) {
        let sql = format!(
            "select count(*) as n, min(known) as known from lake.{table} t where {}",
            mark.beyond("t", key)
        );
        for batch in session.sql(&sql).await?.stream.try_collect::<Vec<_>>().await? {
            all.0 += super::stored::bigint(&batch, 0, "n").unwrap_or_default() as u64;
            all.1 = [all.1, time(&batch, 0, "known")].into_iter().flatten().min();
        }
    }
    Ok(all)
}

fn own_session(lake: &Lake) -> Result<Session, QueryError> {
    session_within(lake, &[], Limits { memory_bytes: MEMORY, threads: 1 })
}

/// Whether shapes and filters of an order are understood.
pub async fn check(lake: &Lake, order: &Order) -> Result<(), QueryError> {
    let session = own_session(lake)?;
    for kind in [Kind::Events, Kind::Findings] {
        outgoing::plan(&session, order, kind).await?;
    }
    Ok(())
}

/// Sends to one destination.
pub struct Relay {
    lake: Arc<Lake>,
    order: Order,
    destination: Box<dyn Destination>,
    writer: Writer,
    lease: Lease,
    cursor: Cursor,
}

impl Relay {
    /// `None` while another process sends to it.
    pub async fn take(
        lake: Arc<Lake>,
        mut order: Order,
        destination: Box<dyn Destination>,
    ) -> Result<Option<Relay>, RelayError> {
        let Some(lease) = lake.lease(&partition(&order.name))? else { return Ok(None) };
        let (bytes, items) = destination.bounds();
        order.bounds = Bounds { items: order.bounds.items.min(items), bytes: order.bounds.bytes.min(bytes) };
        let saved = stands(&lake, &order.name);
        let is_new = saved.is_none();
        let mut relay = Relay {
            cursor: saved.unwrap_or_default(),
            writer: Writer::new(),
            lake,
            order,
            destination,
            lease,
        };
        if is_new && !relay.order.from_the_beginning {
            relay.lake.refresh().await?;
            relay.cursor.events = relay.newest("events").await?;
            relay.cursor.revisions = relay.newest("revisions").await?;
            relay.cursor.findings = relay.newest("findings").await?;
            relay.cursor.begun = relay.cursor.events.clone();
            relay.save().await?;
        } else if relay.newest("events").await?.known < relay.cursor.events.known {
            tracing::warn!(
                destination = relay.order.name,
                "the lake is older than what was exported from it; was it restored? `agentrail export rewind` sends again from a moment on"
            );
        }
        Ok(Some(relay))
    }

    pub fn is_alone(&self) -> bool {
        self.lease.is_held()
    }

    /// Notes that a pass failed before anything could be sent.
    pub async fn failed(&mut self, says: &str) {
        if !self.is_alone() {
            return;
        }
        Noted { lake: &self.lake, name: &self.order.name, cursor: &mut self.cursor }
            .told(Told::Failed(&SendError::later(says)))
            .await;
    }

    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// The last row of a table.
    async fn newest(&self, table: &str) -> Result<Mark, RelayError> {
        let session = own_session(&self.lake)?;
        let sql = format!("select max(known) as known from lake.{table}");
        let batches: Vec<_> =
            session.sql(&sql).await?.stream.try_collect().await.map_err(QueryError::from)?;
        let newest = batches.first().filter(|b| b.num_rows() > 0).and_then(|b| time(b, 0, "known"));
        Ok(newest.map_or_else(Mark::default, |known| Mark::behind(known.unix_micros())))
    }

    async fn save(&self) -> Result<(), RelayError> {
        let text = serde_json::to_string(&self.cursor).unwrap_or_default();
        Ok(self.lake.save_position(&partition(&self.order.name), &text).await?)
    }

    /// Sends what is there. Returns whether something was sent, and whether more is there already.
    pub async fn pass(&mut self, stopped: &mut watch::Receiver<bool>) -> Result<(bool, bool), RelayError> {
        self.lake.refresh().await?;
        self.wished(stopped).await?;
        let session = own_session(&self.lake)?;
        let sent = Sent { begun: self.cursor.begun.clone(), until: self.cursor.events.clone() };
        let mut did = false;
        for kind in [Kind::Events, Kind::Updates, Kind::Findings] {
            let mut portions = 0;
            loop {
                if *stopped.borrow() || !self.is_alone() {
                    return Ok((did, false));
                }
                let from = self.mark(kind).clone();
                let Portion { items, end, more } =
                    portion(&session, &self.order, kind, &from, &sent, now()).await?;
                did |= !items.is_empty();
                if self.send(kind, items, true, stopped).await?.is_err() {
                    return Ok((did, false));
                }
                if *self.mark(kind) != end {
                    *self.mark(kind) = end;
                    self.save().await?;
                }
                if !more {
                    break;
                }
                portions += 1;
                if portions == PORTIONS {
                    // Updates of what was just sent come with a newer version, in their turn.
                    return Ok((did, true));
                }
            }
        }
        Ok((did, false))
    }

    fn mark(&mut self, kind: Kind) -> &mut Mark {
        match kind {
            Kind::Events => &mut self.cursor.events,
            Kind::Updates => &mut self.cursor.revisions,
            Kind::Findings => &mut self.cursor.findings,
        }
    }

    /// Sends items, batch after batch; what is refused lies in `export_rejects` before the cursor moves.
    async fn send(
        &mut self,
        kind: Kind,
        items: Vec<Outgoing>,
        moves: bool,
        stopped: &mut watch::Receiver<bool>,
    ) -> Result<Result<(), Stopped>, RelayError> {
        let mut rest = items.as_slice();
        while !rest.is_empty() {
            let (own, next) = rest.split_at(batch(rest.iter().map(|out| &out.item), self.order.bounds));
            rest = next;
            let bodies: Vec<Item> = own.iter().map(|out| out.item.clone()).collect();
            let mut account = Noted { lake: &self.lake, name: &self.order.name, cursor: &mut self.cursor };
            // What is sent again was refused before, each for itself.
            let rounds = if moves { MOST_ROUNDS } else { 0 };
            let sent = deliver(self.destination.as_mut(), bodies, rounds, stopped, &mut account).await;
            let refused = match sent {
                Ok(refused) => refused,
                Err(stopped) => return Ok(Err(stopped)),
            };
            self.cursor.refused += refused.len() as u64;
            if kind == Kind::Updates {
                self.cursor.updates += (own.len() - refused.len()) as u64;
            }
            self.keep(kind, own, &refused, !moves).await?;
            if let (true, Some(last)) = (moves, own.last()) {
                let mark = self.mark(kind);
                if *mark < last.mark {
                    mark.clone_from(&last.mark);
                }
                self.save().await?;
            }
        }
        Ok(Ok(()))
    }

    /// Writes down what was refused; of a replay also what was taken.
    async fn keep(
        &self,
        kind: Kind,
        items: &[Outgoing],
        refused: &[(usize, String)],
        replayed: bool,
    ) -> Result<(), RelayError> {
        let reason = |at: usize| refused.iter().find(|(n, _)| *n == at).map(|(_, reason)| reason.as_str());
        let rows = items.iter().enumerate().map(|(at, out)| (out, reason(at)));
        let rows = rows.filter(|(_, reason)| reason.is_some() || replayed);
        let rows = rows.flat_map(|(out, reason)| {
            // A newer verdict goes out in place of those that were refused, which are answered by it.
            let answers = out.answers.iter().map(move |key| (out, key.as_str(), None));
            std::iter::once((out, out.item.key.as_str(), reason)).chain(answers)
        });
        if let Some(rows) = refused::rows(&self.order.name, kind, now(), rows) {
            self.lake.commit(&self.writer, vec![rows]).await?;
        }
        if !refused.is_empty() {
            tracing::warn!(
                destination = self.order.name,
                items = refused.len(),
                reason = refused[0].1,
                "a destination refused items; they are in export_rejects"
            );
        }
        Ok(())
    }

    /// Does what was asked for meanwhile.
    async fn wished(&mut self, stopped: &mut watch::Receiver<bool>) -> Result<(), RelayError> {
        for name in wishes(&self.order.name) {
            let Some(wish) = self.lake.position(&name).filter(|text| !text.is_empty()) else { continue };
            match serde_json::from_str(&wish) {
                Ok(Wish::Rewind(micros)) => {
                    self.cursor.rewind(Time::from_unix_micros(micros));
                    self.save().await?;
                }
                Ok(Wish::Replay) => {
                    if self.replay(stopped).await?.is_err() {
                        return Ok(());
                    }
                }
                Err(_) => {}
            }
            // What was wished for meanwhile is still to be done.
            if self.lake.position(&name).as_ref() == Some(&wish) {
                self.lake.save_position(&name, "").await?;
            }
        }
        Ok(())
    }

    /// Sends again what was refused, as it is now.
    async fn replay(
        &mut self,
        stopped: &mut watch::Receiver<bool>,
    ) -> Result<Result<(), Stopped>, RelayError> {
        let session = own_session(&self.lake)?;
        let sql = format!(
            "select kind, item, event_id, occurred from export_rejects where destination = {} order by occurred",
            crate::query::quoted(&self.order.name)
        );
        let batches: Vec<_> =
            session.sql(&sql).await?.stream.try_collect().await.map_err(QueryError::from)?;
        for kind in [Kind::Events, Kind::Findings] {
            let rows = batches.iter().flat_map(|b| (0..b.num_rows()).map(move |row| (b, row)));
            let own = rows.filter(|(b, row)| text(b, *row, "kind").as_deref() == Some(kind.name()));
            let found = own.filter_map(|(b, row)| Some((text(b, row, "item")?, time(b, row, "occurred")?)));
            let found: Vec<(String, Time)> = found.collect();
            for part in found.chunks(outgoing::PORTION) {
                let ids: Vec<String> = part.iter().map(|(key, _)| about(key).to_owned()).collect();
                let times = || part.iter().map(|(.., at)| *at);
                let (Some(first), Some(last)) = (times().min(), times().max()) else { continue };
                let mut items = again(&session, &self.order, kind, &ids, (first, last)).await?;
                for out in &mut items {
                    let refused =
                        part.iter().map(|(key, _)| key).filter(|key| about(key) == about(&out.item.key));
                    // What was refused as an update had been sent before.
                    out.item.updated |= refused.clone().any(|key| !key.ends_with(":0"));
                    out.answers = refused.filter(|key| **key != out.item.key).cloned().collect();
                }
                let sent = self.send(kind, items, false, stopped).await?;
                self.save().await?;
                if let Err(stop) = sent {
                    return Ok(Err(stop));
                }
            }
        }
        Ok(Ok(()))
    }
}

/// What an item is about: its key without the revision.
fn about(key: &str) -> &str {
    key.rsplit_once(':').map_or(key, |(id, _)| id)
}

/// What becomes of a batch, noted where `status` finds it.
struct Noted<'r> {
    lake: &'r Lake,
    name: &'r str,
    cursor: &'r mut Cursor,
}

#[async_trait]
impl Account for Noted<'_> {
    async fn told(&mut self, told: Told<'_>) {
        let says = match told {
            Told::Taken(count) => {
                self.cursor.sent += count as u64;
                return self.cursor.went_well(now());
            }
            Told::Failed(error) => error.to_string(),
        };
        if self.cursor.fault.as_ref() == Some(&says) {
            return;
        }
        tracing::warn!(
            destination = self.name,
            error = says,
            "a destination took nothing; it is tried again"
        );
        self.cursor.went_wrong(says, now());
        let text = serde_json::to_string(&self.cursor).unwrap_or_default();
        if let Err(error) = self.lake.save_position(&partition(self.name), &text).await {
            tracing::warn!(%error, "the state of an export could not be saved");
        }
    }
}
