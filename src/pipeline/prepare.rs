//! A batch of payloads to rows: decode, learn, decide.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::ledger::Ledger;
use super::revise::Unread;
use super::rows::{Refusal, RowSet, with_about};
use super::{Settings, Shared};
use crate::attribute::Engine;
use crate::decode::{Decoded, Delivery, decode, inflate};
use crate::model::{Body, Date, Event, Fact, Reason, RecordHash, Reject, Time};
use crate::source::clock::{Clock as _, System};
use crate::source::{Account, Payload};
use crate::store::{Rows, Writer};

/// Bytes from which on decoding is shared among threads.
const WORTH_A_THREAD: usize = 1 << 20;
/// Events from which on deciding is.
const WORTH_DECIDING: usize = 2000;
/// Records learnt or decided before others get their turn at what is known.
const TURN: usize = 4000;

/// As many payloads of a batch as may be in memory at once, ready to be committed, and the others.
pub(super) struct Part {
    pub batch: Vec<Payload>,
    pub prepared: Prepared,
    pub rest: Vec<Payload>,
}

/// Payloads ready to be committed.
pub(super) struct Prepared {
    pub writer: Writer,
    pub rows: Vec<Rows>,
    /// One per payload.
    pub accounts: Vec<Account>,
    pub ledger: Ledger,
}

/// Decodes, learns and decides. A small body can inflate to a large one, so what is in memory at
/// once is bounded by what the bodies hold, not by what was sent. Runs on a thread that may block.
pub(super) fn prepare(
    lane: usize,
    mut batch: Vec<Payload>,
    shared: &Shared,
    runtime: &tokio::runtime::Handle,
) -> Part {
    let settings = &shared.settings;
    let writers = shared.writers();
    let mut bodies: Vec<Result<Cow<'_, [u8]>, Box<Reject<'_>>>> = Vec::with_capacity(batch.len());
    let mut inflated = 0;
    for payload in &batch {
        if inflated > settings.max_bytes {
            break;
        }
        let body = inflate(&payload.bytes, &delivery(payload, settings));
        inflated += body.as_ref().map_or(payload.bytes.len(), |b| b.len());
        bodies.push(body);
    }
    let taken = bodies.len();
    let prepared = decide(writers[lane].clone(), &batch[..taken], &bodies, shared, runtime);
    drop(bodies);
    let rest = batch.split_off(taken);
    Part { batch, prepared, rest }
}

fn decide(
    writer: Writer,
    batch: &[Payload],
    bodies: &[Result<Cow<'_, [u8]>, Box<Reject<'_>>>],
    shared: &Shared,
    runtime: &tokio::runtime::Handle,
) -> Prepared {
    let settings = &shared.settings;
    let mut ledger = Ledger::default();
    let mut rows = RowSet::default();
    let mut decoded = decode_all(batch, bodies, settings);
    let now = now();
    let expired =
        |occurred: Time| settings.retention.is_some_and(|keep| occurred.date() < (now - keep).date());

    // In short turns, so that a small batch need not wait for a large one. A listing's records come
    // before the proof that it was heard, so no turn ends between a proof and what it speaks for.
    let mut facts: Vec<&mut Fact<'_>> = decoded
        .iter_mut()
        .flat_map(|d| &mut d.facts)
        .filter(|fact| !fact.occurred.is_some_and(expired))
        .collect();
    for some in facts.chunks_mut(TURN) {
        let mut attributor = shared.attributor_mut();
        let mut fresh = Vec::with_capacity(some.len());
        let mut gone = Vec::new();
        for (nth, fact) in some.iter().enumerate() {
            // An agent that is listed once a minute is kept when it changes, and once a day.
            fresh.push(!attributor.engine.repeats(fact));
            if fresh.last() == Some(&true) {
                attributor.engine.learn(fact);
            }
            if let Some((pool, ids, at)) = listed(fact) {
                let there = attributor.tell_who_is_there(&fact.organization, pool, &shared.lake);
                if let Err(error) = runtime.block_on(there) {
                    tracing::warn!(%error, "the agents of the lake could not be read: of some it is not told when they left");
                }
                let left = attributor.engine.gone(&fact.organization, pool, ids, at);
                gone.extend(left.into_iter().map(|gone| (nth, gone)));
            }
        }
        // One record names the organisation by its id, another by its name; tables want both.
        some.iter_mut().for_each(|fact| fact.organization = attributor.engine.label(&fact.organization));
        drop(attributor);
        some.iter().zip(fresh).filter(|(_, fresh)| *fresh).for_each(|(fact, _)| rows.fact(fact));
        gone.iter().for_each(|(list, (agent, seen))| rows.gone(some[*list], agent, *seen));
    }
    let kept: Vec<&Event<'_>> =
        decoded.iter().flat_map(|d| &d.events).filter(|e| !expired(e.occurred)).collect();
    let mut parts = Vec::new();
    if !kept.is_empty() {
        let days: BTreeSet<Date> = kept.iter().map(|e| e.occurred.date()).collect();
        // What others committed by now: the second look only asks for what came after this moment.
        let refreshed = runtime.block_on(shared.lake.refresh());
        let mut attributor = shared.attributor_mut();
        let told = runtime.block_on(attributor.bring(&days, &shared.lake));
        let failed = refreshed.err().map(|e| e.to_string()).or(told.err().map(|e| e.to_string()));
        if let Some(error) = failed {
            // Events are kept whatever is damaged; the verdicts name what is missing until then.
            tracing::warn!(error, "facts of the lake could not be read; verdicts are looked at again later");
            if let Err(error) = runtime.block_on(Unread::note(&shared.lake, &days)) {
                tracing::error!(%error, "and that could not be noted: run `agentrail reattribute` for those days");
            }
        }
        kept.iter().for_each(|event| attributor.engine.learn_event(event));
        drop(attributor);
        for some in kept.chunks(2 * TURN) {
            parts.extend(decide_all(some, &shared.attributor().engine, now));
        }
    }

    let mut accounts = Vec::with_capacity(batch.len());
    for (payload, decoded) in batch.iter().zip(&decoded) {
        let mut account = Account::default();
        let mut refuse = |raw, observed, id| {
            rows.refusal(&expiry(raw, observed, id, payload));
            account.rejects += 1;
            *ledger.reasons.entry(Reason::Expired.as_str()).or_default() += 1;
        };
        for event in decoded.events.iter().filter(|e| expired(e.occurred)) {
            refuse(&event.raw, event.observed, Some(event.id.as_ref()));
        }
        for fact in &decoded.facts {
            if fact.kind.starts_with("heard.") {
                ledger.heard += 1;
            } else if fact.occurred.is_some_and(expired) {
                refuse(&fact.raw, fact.observed, None);
            } else {
                account.facts += 1;
                *ledger.kinds.entry(fact.kind.clone()).or_default() += 1;
            }
        }
        for reject in &decoded.rejects {
            rows.reject(reject, payload);
            account.rejects += 1;
            *ledger.reasons.entry(reject.reason.as_str()).or_default() += 1;
        }
        account.events = decoded.events.iter().filter(|e| !expired(e.occurred)).count() as u64;
        ledger.took(payload.bytes.len(), &account);
        accounts.push(account);
    }
    Prepared { writer, rows: rows.finish(parts), accounts, ledger }
}

/// The verdicts on events and their rows.
fn decide_all(events: &[&Event<'_>], engine: &Engine, now: Time) -> Vec<RowSet> {
    in_parts(events, |events| {
        let mut rows = RowSet::default();
        events.iter().for_each(|event| rows.event(event, &engine.decide(event), now));
        rows
    })
}

/// Work on many events, several parts at a time: a verdict depends on what is known, not on another
/// verdict. What the parts gave is in their order.
pub(super) fn in_parts<T: Sync, R: Send>(all: &[T], part: impl Fn(&[T]) -> R + Sync) -> Vec<R> {
    let threads = threads();
    if all.len() < WORTH_DECIDING || threads < 2 {
        return vec![part(all)];
    }
    let part = &part;
    std::thread::scope(|scope| {
        let parts = all.chunks(all.len().div_ceil(threads));
        let workers: Vec<_> = parts.map(|some| scope.spawn(move || part(some))).collect();
        workers.into_iter().map(joined).collect()
    })
}

/// What a thread gave; its panic goes on in this one.
fn joined<T>(worker: std::thread::ScopedJoinHandle<'_, T>) -> T {
    worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Decodes the bodies, several at a time: no record knows of another.
fn decode_all<'b>(
    batch: &[Payload],
    bodies: &'b [Result<Cow<'_, [u8]>, Box<Reject<'_>>>],
    settings: &Settings,
) -> Vec<Decoded<'b>> {
    let one = |payload: &Payload, body: &'b Result<Cow<'_, [u8]>, Box<Reject<'_>>>| match body {
        Ok(body) => decode(body, &delivery(payload, settings)),
        Err(reject) => Decoded { rejects: vec![(**reject).clone()], ..Decoded::default() },
    };
    let work: Vec<_> = batch.iter().zip(bodies).collect();
    let threads = threads().min(work.len());
    let large = bodies.iter().flatten().map(|b| b.len()).sum::<usize>() > WORTH_A_THREAD;
    if threads < 2 || !large {
        return work.into_iter().map(|(payload, body)| one(payload, body)).collect();
    }
    let next = std::sync::atomic::AtomicUsize::new(0);
    let mut done: Vec<(usize, Decoded<'b>)> = std::thread::scope(|scope| {
        let worker = || {
            let mut own = Vec::new();
            loop {
                let i = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let Some((payload, body)) = work.get(i) else { return own };
                own.push((i, one(payload, body)));
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(joined).collect()
    });
    done.sort_unstable_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, decoded)| decoded).collect()
}

fn delivery<'a>(payload: &'a Payload, settings: &'a Settings) -> Delivery<'a> {
    Delivery {
        observed: payload.observed,
        url: payload.url.as_deref(),
        organization: settings.organization.as_deref(),
        limits: settings.limits,
    }
}

/// A record of a day that the lake no longer keeps.
fn expiry<'a>(raw: &'a [u8], observed: Time, event_id: Option<&'a str>, payload: &'a Payload) -> Refusal<'a> {
    Refusal {
        hash: RecordHash::of(raw),
        reason: Reason::Expired,
        says: with_about(
            "the record is older than `lake.retention_days`; raise it to take older input",
            payload,
        ),
        source: &payload.source,
        position: 0,
        observed,
        event_id,
        raw,
    }
}

/// The pool whose agents a fact lists, their ids, and as of when.
fn listed<'f>(fact: &'f Fact<'_>) -> Option<(i64, &'f [i64], Time)> {
    match &fact.body {
        Body::Heard(heard) if heard.source == "agents" => {
            Some((heard.pool_id?, heard.listed.as_deref()?, heard.until))
        }
        _ => None,
    }
}

/// The wall clock.
pub(super) fn now() -> Time {
    System.now()
}
