//! Asks the hub again and again which partitions it has and how far they go.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::board::Board;
use super::connect::Client;
use super::status::Status;
use super::{Hub, HubsError};

/// Between two questions: what is silent must be noticed within a minute.
const EVERY: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// Runs until it is dropped. Has a connection of its own, so that a question that is never answered holds
/// up no reader.
pub(super) async fn run(
    hub: Arc<Hub>,
    owner: String,
    board: Arc<Board>,
    partitions: watch::Sender<Vec<String>>,
    status: Status,
) {
    let mut pause = FIRST_PAUSE;
    let name = hub.name();
    let mut client = None;
    loop {
        let asked = match client.take() {
            Some(client) => Ok(client),
            None => Client::open(&hub, &format!("{owner}-watch")).await,
        };
        let asked = match asked {
            Ok(own) => ask(&own, &name, &board, &partitions, &status).await.map(|()| own),
            Err(error) => Err(error),
        };
        let wait = match asked {
            Ok(own) => {
                client = Some(own);
                pause = FIRST_PAUSE;
                status.hub(&name, |hub| hub.fault = None);
                EVERY
            }
            Err(error) => {
                board.mute();
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, hub = name, "the hub could not be asked; the next try follows");
                status.hub(&name, |hub| hub.fault = Some(error.to_string()));
                pause = (pause * 2).min(EVERY);
                pause
            }
        };
        tokio::time::sleep(wait).await;
    }
}

async fn ask(
    client: &Client,
    name: &str,
    board: &Board,
    partitions: &watch::Sender<Vec<String>>,
    status: &Status,
) -> Result<(), HubsError> {
    let (found, created) = client.partitions().await?;
    board.created(created);
    status.hub(name, |hub| hub.count = found.len());
    partitions.send_if_modified(|known| {
        let news = *known != found;
        *known = found;
        news
    });
    for partition in board.owned() {
        let asked = Instant::now();
        let extent = client.extent(&partition).await?;
        status.partition(name, &partition, |p| p.last = Some(extent.last.sequence));
        board.heard(&partition, asked, extent);
    }
    Ok(())
}
