//! Microsoft's client within bounds: a time-out around whatever may never end, and no panic let through.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use azure_core_amqp::AmqpTransport;
use azure_messaging_eventhubs::error::ErrorKind;
use azure_messaging_eventhubs::{
    ConsumerClient, EventHubsError, EventReceiver, OpenReceiverOptions, RetryOptions, StartLocation,
    StartPosition,
};
use futures::FutureExt as _;

use super::checkpoints::Mark;
use super::start::{Extent, From};
use super::{Access, Hub, HubsError};
use crate::model::Time;

/// Any one call takes less, or will not end: an outcome that comes too early is lost by the library, and
/// then it waits for ever.
const PATIENCE: Duration = Duration::from_secs(20);
/// A connection is let go of within this time.
const PARTING: Duration = Duration::from_secs(5);

/// As the SDK's processor has it: the newest reader of this level takes the link from the one before it,
/// and so a change of owners is felt at once.
const OWNER_LEVEL: i64 = 0;

/// One connection, thrown away after any fault.
pub(super) struct Client {
    client: Option<ConsumerClient>,
    host: String,
}

impl Client {
    /// Connects. `container` names this end to the service.
    pub async fn open(hub: &Hub, container: &str) -> Result<Client, HubsError> {
        // Whoever calls makes everything anew after a fault, so the library need not try for long.
        let retries = RetryOptions {
            max_retries: 3,
            max_total_elapsed: azure_core::time::Duration::seconds(15),
            ..Default::default()
        };
        let mut builder = ConsumerClient::builder()
            .with_application_id(container.to_owned())
            .with_consumer_group(hub.consumer_group.clone())
            .with_retry_options(retries)
            .with_transport(if hub.websocket { AmqpTransport::WebSocket } else { AmqpTransport::Tcp });
        if !hub.endpoint.is_empty() {
            builder = builder.with_custom_endpoint(hub.endpoint.clone());
        }
        let what = || format!("connect to the hub `{}`", hub.hub);
        let client = match &hub.access {
            Access::ConnectionString(text) => {
                hub.connection_string()?;
                let opened = builder.open_with_connection_string(text, Some(&hub.hub));
                within(&hub.namespace, what, opened).await?
            }
            Access::SignIn(sign_in) => {
                let credential = sign_in.token_credential()?;
                let opened = builder.open(&hub.namespace, hub.hub.clone(), Arc::clone(&credential));
                within(&hub.namespace, what, opened).await?
            }
        };
        Ok(Client { client: Some(client), host: hub.namespace.clone() })
    }

    fn client(&self) -> Result<&ConsumerClient, HubsError> {
        self.client.as_ref().ok_or(HubsError::Broken { says: "the connection was let go of".to_owned() })
    }

    /// The partitions of the hub, and when it was made.
    pub async fn partitions(&self) -> Result<(Vec<String>, Option<SystemTime>), HubsError> {
        let asked = self.client()?.get_eventhub_properties();
        let said = within(&self.host, || "ask the hub for its partitions".to_owned(), asked).await?;
        Ok((said.partition_ids, said.created_on))
    }

    /// What there is in a partition.
    pub async fn extent(&self, partition: &str) -> Result<Extent, HubsError> {
        let asked = self.client()?.get_partition_properties(partition);
        let what = || format!("ask the partition `{partition}` how far it goes");
        let said = within(&self.host, what, asked).await?;
        let last = match said.last_enqueued_sequence_number {
            ..0 => Mark::none(),
            sequence => Mark {
                sequence,
                offset: Some(said.last_enqueued_offset),
                enqueued: said.last_enqueued_time_utc.map(time),
            },
        };
        Ok(Extent { begin: said.beginning_sequence_number, last })
    }

    /// A reader of a partition; it attaches when it is asked for its first event.
    pub async fn receiver(
        &self,
        partition: &str,
        from: &From,
        prefetch: u32,
    ) -> Result<EventReceiver, HubsError> {
        let (location, inclusive) = match from {
            From::Earliest => (StartLocation::Earliest, false),
            From::After(sequence) => (StartLocation::SequenceNumber(*sequence), false),
            From::With(mark) => (StartLocation::SequenceNumber(mark.sequence), true),
            From::Time(time) => {
                let since = Duration::from_micros(time.unix_micros().max(0).unsigned_abs());
                (StartLocation::EnqueuedTime(SystemTime::UNIX_EPOCH + since), false)
            }
        };
        let options = OpenReceiverOptions {
            owner_level: Some(OWNER_LEVEL),
            prefetch: Some(prefetch),
            start_position: Some(StartPosition { location, inclusive }),
            receive_timeout: None,
        };
        let opened = self.client()?.open_receiver_on_partition(partition.to_owned(), Some(options));
        within(&self.host, || format!("read the partition `{partition}`"), opened).await
    }
}

impl Drop for Client {
    /// Says good-bye if that is heard soon; nobody waits for it.
    fn drop(&mut self) {
        if let Some(client) = self.client.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move {
                let closed = AssertUnwindSafe(client.close()).catch_unwind();
                let _ = tokio::time::timeout(PARTING, closed).await;
            });
        }
    }
}

/// What a call of the library gives, if it does so in time.
async fn within<T>(
    host: &str,
    what: impl Fn() -> String,
    call: impl Future<Output = Result<T, EventHubsError>>,
) -> Result<T, HubsError> {
    // Values of another type than it expects make the library panic.
    match tokio::time::timeout(PATIENCE, AssertUnwindSafe(call).catch_unwind()).await {
        Ok(Ok(Ok(done))) => Ok(done),
        Ok(Ok(Err(error))) => Err(fault(what(), error)),
        Ok(Err(_)) => Err(HubsError::Panicked { what: what() }),
        Err(_) => Err(HubsError::Late { what: what(), seconds: PATIENCE.as_secs(), host: host.to_owned() }),
    }
}

/// The next of a stream of events; waits as long as it takes, so the caller bounds it.
pub(super) async fn next<S, T>(stream: &mut S) -> Result<T, HubsError>
where
    S: futures::Stream<Item = Result<T, EventHubsError>> + Unpin,
{
    use futures::StreamExt as _;
    let what = || "read the partition".to_owned();
    match AssertUnwindSafe(stream.next()).catch_unwind().await {
        Ok(Some(Ok(event))) => Ok(event),
        Ok(Some(Err(error))) => Err(fault(what(), error)),
        Ok(None) => Err(HubsError::Broken { says: "the stream of events ended".to_owned() }),
        Err(_) => Err(HubsError::Panicked { what: what() }),
    }
}

/// An error of the library with its remedy.
fn fault(what: String, error: EventHubsError) -> HubsError {
    if matches!(error.kind, ErrorKind::ConsumerDisconnected(_)) {
        return HubsError::Stolen;
    }
    let chain = chain(&error);
    // Conditions are told apart by their names in the texts: the library hides them at various depths.
    let says = |words: &[&str]| words.iter().any(|word| chain.contains(word));
    if says(&["LinkStolen", "link:stolen"]) {
        return HubsError::Stolen;
    }
    let remedy = if says(&["UnauthorizedAccess", "unauthorized", "Unauthorized", " 401"]) {
        "; give the identity the role Azure Event Hubs Data Receiver on the hub, or correct the key"
    } else if says(&["NotFound", "not-found"]) {
        "; check the names of the hub and of the consumer group"
    } else if says(&["UnknownIssuer"]) {
        "; nobody whom this machine trusts signed the service's certificate: name a file with that of the authority in SSL_CERT_FILE"
    } else {
        ""
    };
    HubsError::Service { what, remedy, source: Box::new(error) }
}

/// An error with all that is behind it, as text.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(" {cause} {cause:?}"));
        next = cause.source();
    }
    text
}

/// A moment of the system's clock.
pub(super) fn time(at: SystemTime) -> Time {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Time::from_unix_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX / 100))
}
