//! The demo's hub: audit events as Event Grid puts them into Event Hubs, read as `run` reads them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::app::{Failure, event_hubs, pipeline_settings};
use crate::pipeline::Pipeline;
use crate::settings::{Hub, Settings};
use crate::simulate::hubs::{Hubs, Options};
use crate::simulate::{SimEvent, Spelling};
use crate::source::event_hubs::Lanes;
use crate::source::event_hubs::status::Status;
use crate::store::Lake;

const HUB: &str = "audit";
const PARTITIONS: u16 = 4;
/// Longer than it takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Publishes events into a hub of this process and takes them into the lake from there.
pub(super) async fn read(lake: &Arc<Lake>, settings: &Settings, events: &[SimEvent]) -> Result<(), Failure> {
    let fail = |e| Failure::of("start the hub of the demo", e);
    let hubs = Hubs::start(Options::default()).await.map_err(fail)?;
    hubs.create(HUB, PARTITIONS, &[]).map_err(fail)?;
    for (n, event) in events.iter().enumerate() {
        let mut body = b"[".to_vec();
        event.write(Spelling::EventGrid, &mut body);
        body.push(b']');
        hubs.publish(HUB, &(n % usize::from(PARTITIONS)).to_string(), body).map_err(fail)?;
    }
    let mut settings = settings.clone();
    settings.event_hubs.every = 1;
    settings.event_hubs.hubs = vec![Hub {
        hub: HUB.to_owned(),
        connection_string: hubs.connection_string(),
        endpoint: hubs.endpoint(),
        ..Hub::default()
    }];
    let held = |lake: &Lake| lake.files("events").files.iter().map(|file| file.rows).sum::<u64>();
    let wanted = held(lake) + events.len() as u64;
    let pipeline = Pipeline::start(lake.clone(), pipeline_settings(&settings));
    let lanes = Lanes { push: pipeline.push.clone(), bulk: pipeline.bulk.clone() };
    let ((stop, stopped), mut sources) = (watch::channel(false), JoinSet::new());
    event_hubs::start(&settings, &lanes, &Status::default(), &stopped, &mut sources)?;
    drop(lanes);
    let stored = async {
        while held(lake) < wanted {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, stored).await.is_ok();
    let _ = stop.send(true);
    while let Some(ended) = sources.join_next().await {
        ended.map_err(|e| Failure::of("read the hub of the demo", e))??;
    }
    pipeline.finish().await;
    match in_time {
        true => Ok(()),
        false => Err(Failure::says(format!(
            "read the {} events of the demo's hub within {} s; run it with AGENTRAIL_LOG=debug to see what is slow",
            events.len(),
            PATIENCE.as_secs()
        ))),
    }
}
