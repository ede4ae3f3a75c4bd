//! A batch of payloads to rows: decode, learn, decide.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use super::ledger::Ledger;
use super::paging::Paging;
use super::rows::{Refusal, RowSet};
use super::{Settings, Shared};
use crate::attribute::Engine;
use crate::decode::{Decoded, Delivery, decode, inflate};
use crate::model::{Date, Reason, RecordHash, Reject, Time};
use crate::source::{Account, Payload};
use crate::store::Rows;

/// As many payloads of a batch as may be in memory at once, ready to be committed, and the others.
pub(super) struct Part {
    pub batch: Vec<Payload>,
    pub prepared: Prepared,
    pub rest: Vec<Payload>,
}

/// Payloads ready to be committed.
pub(super) struct Prepared {
    pub rows: Vec<Rows>,
    /// One per payload.
    pub accounts: Vec<Account>,
    pub ledger: Ledger,
}

/// The engine, with what of the lake it has been told.
pub(super) struct Attributor {
    pub engine: Engine,
    pub paging: Paging,
}

impl Attributor {
    pub fn new(settings: &Settings, lake: &crate::store::Lake) -> Attributor {
        Attributor { engine: Engine::new(settings.tolerance), paging: Paging::new(settings.tolerance, lake) }
    }
}

/// Decodes, learns and decides. A small body can inflate to a large one, so what is in memory at
/// once is bounded by what the bodies hold, not by what was sent. Runs on a thread that may block.
pub(super) fn prepare(mut batch: Vec<Payload>, shared: &Shared, runtime: &tokio::runtime::Handle) -> Part {
    let settings = &shared.settings;
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
    let prepared = decide(&batch[..taken], &bodies, shared, runtime);
    drop(bodies);
    let rest = batch.split_off(taken);
    Part { batch, prepared, rest }
}

fn decide(
    batch: &[Payload],
    bodies: &[Result<Cow<'_, [u8]>, Box<Reject<'_>>>],
    shared: &Shared,
    runtime: &tokio::runtime::Handle,
) -> Prepared {
    let settings = &shared.settings;
    let mut ledger = Ledger::default();
    let mut rows = RowSet::default();
    let decoded: Vec<Decoded<'_>> = batch
        .iter()
        .zip(bodies)
        .map(|(payload, body)| match body {
            Ok(body) => decode(body, &delivery(payload, settings)),
            Err(reject) => Decoded { rejects: vec![(**reject).clone()], ..Decoded::default() },
        })
        .collect();
    let now = now();
    let expired =
        |occurred: Time| settings.retention.is_some_and(|keep| occurred.date() < (now - keep).date());

    let mut guard = shared.attributor();
    let attributor = &mut *guard;
    for fact in decoded.iter().flat_map(|d| &d.facts).filter(|f| !f.occurred.is_some_and(expired)) {
        attributor.engine.learn(fact);
        rows.fact(fact);
    }
    let days: BTreeSet<Date> = decoded.iter().flat_map(|d| &d.events).map(|e| e.occurred.date()).collect();
    if !days.is_empty() {
        attributor.paging.bring(
            &days,
            &mut attributor.engine,
            &shared.lake,
            settings.organization.as_deref(),
            runtime,
        );
    }
    let mut accounts = Vec::with_capacity(batch.len());
    for (payload, decoded) in batch.iter().zip(&decoded) {
        let mut account = Account::default();
        for event in &decoded.events {
            if expired(event.occurred) {
                rows.refusal(&expiry(&event.raw, event.observed, Some(&event.id), payload));
                account.rejects += 1;
                *ledger.reasons.entry(Reason::Expired.as_str()).or_default() += 1;
                continue;
            }
            let verdict = attributor.engine.decide(event);
            rows.event(event, &verdict, now);
            account.events += 1;
        }
        for fact in &decoded.facts {
            if fact.kind.starts_with("heard.") {
                ledger.heard += 1;
            } else if fact.occurred.is_some_and(expired) {
                rows.refusal(&expiry(&fact.raw, fact.observed, None, payload));
                account.rejects += 1;
                *ledger.reasons.entry(Reason::Expired.as_str()).or_default() += 1;
            } else {
                account.facts += 1;
                *ledger.kinds.entry(fact.kind.clone()).or_default() += 1;
            }
        }
        for reject in &decoded.rejects {
            rows.reject(reject, &payload.source);
            account.rejects += 1;
            *ledger.reasons.entry(reject.reason.as_str()).or_default() += 1;
        }
        ledger.took(payload.bytes.len(), &account);
        accounts.push(account);
    }
    drop(guard);
    Prepared { rows: rows.finish(), accounts, ledger }
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
        says: "the record is older than `lake.retention_days`; raise it to take older input",
        source: &payload.source,
        position: 0,
        observed,
        event_id,
        raw,
    }
}

/// The wall clock.
pub(super) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time((since.as_nanos() / 100) as i64)
}
