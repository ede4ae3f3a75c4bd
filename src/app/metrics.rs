//! What `/metrics` of `run` says of the process: what it took in, and how far behind its hubs it is.

use std::sync::Arc;

use crate::pipeline::{Ledger, Pipeline};
use crate::serve::http::{Metric, MoreMetrics, Sample};
use crate::source::clock::{Clock as _, System};
use crate::source::event_hubs::status::{Partition, Status};

/// The metrics of a pipeline and of the hubs it reads.
pub(super) fn of(pipeline: &Pipeline, status: &Status) -> MoreMetrics {
    let (account, status) = (pipeline.account(), status.clone());
    MoreMetrics(Some(Arc::new(move || {
        let mut all = ingested(&account());
        all.extend(hubs(&status));
        all
    })))
}

fn ingested(ledger: &Ledger) -> Vec<Metric> {
    let alone = |value: u64| vec![(Vec::new(), value as f64)];
    let counter = |name, says, samples| Metric { name, says, kind: "counter", samples };
    let records = [("event", ledger.events), ("fact", ledger.facts), ("reject", ledger.rejects)];
    let rows = ledger.tables.iter().flat_map(|(table, rows)| {
        [("added", rows.added), ("known_already", rows.known_already)].map(|(became, count)| {
            (vec![("table", (*table).to_owned()), ("became", became.to_owned())], count as f64)
        })
    });
    vec![
        counter("agentrail_payloads_total", "Payloads taken in.", alone(ledger.payloads)),
        counter("agentrail_ingested_bytes_total", "Bytes of them.", alone(ledger.bytes)),
        counter(
            "agentrail_records_total",
            "Records taken in, by what they turned out to be.",
            records.map(|(is, count)| (vec![("is", is.to_owned())], count as f64)).into(),
        ),
        counter(
            "agentrail_rejects_total",
            "Records that could not be understood, by reason.",
            ledger
                .reasons
                .iter()
                .map(|(reason, count)| (vec![("reason", (*reason).to_owned())], *count as f64))
                .collect(),
        ),
        counter(
            "agentrail_rows_total",
            "Rows that commits had, by whether their key was there already.",
            rows.collect(),
        ),
        counter("agentrail_commits_total", "Commits to the lake.", alone(ledger.commits)),
    ]
}

fn hubs(status: &Status) -> Vec<Metric> {
    let hubs = status.snapshot(System.now());
    let each = |value: &dyn Fn(&Partition) -> Option<f64>| -> Vec<Sample> {
        let all =
            hubs.iter().flat_map(|(hub, state)| state.partitions.iter().map(move |(id, one)| (hub, id, one)));
        all.filter_map(|(hub, id, one)| {
            Some((vec![("hub", hub.clone()), ("partition", id.clone())], value(one)?))
        })
        .collect()
    };
    let metric = |name, says, kind, samples| Metric { name, says, kind, samples };
    let faulty = hubs
        .iter()
        .map(|(hub, state)| (vec![("hub", hub.clone())], f64::from(u8::from(state.fault.is_some()))));
    vec![
        metric(
            "agentrail_hub_lag_events",
            "Events of a partition that are enqueued and not committed.",
            "gauge",
            each(&|one| Some(one.lag? as f64)),
        ),
        metric(
            "agentrail_hub_lag_seconds",
            "Age of the last committed event of a partition, while there is a lag.",
            "gauge",
            each(&|one| Some(one.lag_seconds? as f64)),
        ),
        metric(
            "agentrail_hub_owned",
            "Whether this process reads a partition.",
            "gauge",
            each(&|one| Some(f64::from(u8::from(one.owned)))),
        ),
        metric(
            "agentrail_hub_events_total",
            "Events of a partition that were handed on.",
            "counter",
            each(&|one| Some(one.events as f64)),
        ),
        metric(
            "agentrail_hub_reconnects_total",
            "Connections to a partition that were made anew after a fault.",
            "counter",
            each(&|one| Some(one.reconnects as f64)),
        ),
        metric("agentrail_hub_faulty", "Whether a hub cannot be read as a whole.", "gauge", faulty.collect()),
    ]
}
