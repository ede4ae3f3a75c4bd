//! Kafka: one record an item, in the partition of its organisation, so that the order within one is kept.
//!
//! What was not confirmed is produced again; consumers tell copies by the record's key.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use datafusion::arrow::temporal_conversions::timestamp_us_to_datetime;
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{Compression, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder, Credentials, SaslConfig};
use rskafka::record::Record;
use sha2::{Digest as _, Sha256};

use super::{Destination, Item, Outcome, SendError, SetupError, Transport, line};

/// A topic.
pub struct Kafka {
    brokers: Vec<String>,
    topic: String,
    transport: Transport,
    sign_in: Option<SaslConfig>,
    timeout: Duration,
    open: Option<Open>,
}

struct Open {
    client: Client,
    /// Numbers of the partitions.
    partitions: Vec<i32>,
    clients: HashMap<i32, Arc<PartitionClient>>,
}

/// Brokers take messages of 1 MB unless told otherwise; a batch is one.
const MOST_BYTES: usize = 900_000;

impl Kafka {
    /// `brokers` are `host:port`; `mechanism` is empty or one of SASL.
    pub fn new(
        brokers: Vec<String>,
        topic: String,
        transport: Transport,
        mechanism: &str,
        user: (String, String),
        timeout: Duration,
    ) -> Result<Kafka, SetupError> {
        let credentials = Credentials::new(user.0, user.1);
        let sign_in = match mechanism {
            "" => None,
            "PLAIN" => Some(SaslConfig::Plain(credentials)),
            "SCRAM-SHA-256" => Some(SaslConfig::ScramSha256(credentials)),
            "SCRAM-SHA-512" => Some(SaslConfig::ScramSha512(credentials)),
            other => {
                return Err(SetupError::Value {
                    setting: "mechanism",
                    value: other.to_owned(),
                    want: "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512",
                });
            }
        };
        if brokers.is_empty() {
            return Err(SetupError::Lacks("url"));
        }
        Ok(Kafka { brokers, topic, transport, sign_in, timeout, open: None })
    }

    fn fail(&self, what: &str, e: impl std::fmt::Display) -> SendError {
        SendError::later(format!("{what} `{}` of `{}`: {e}", self.topic, self.brokers.join(",")))
    }

    async fn connect(&self) -> Result<Open, SendError> {
        let mut client = ClientBuilder::new(self.brokers.clone()).client_id("agentrail");
        if let Transport::Tls(config) = &self.transport {
            client = client.tls_config(config.clone());
        }
        if let Some(sign_in) = &self.sign_in {
            client = client.sasl_config(sign_in.clone());
        }
        let client = client.build().await.map_err(|e| self.fail("reach the topic", e))?;
        let topics = client.list_topics().await.map_err(|e| self.fail("find the topic", e))?;
        let topic = topics.into_iter().find(|topic| topic.name == self.topic);
        let topic = topic.ok_or_else(|| self.fail("find the topic", "it is not there; create it"))?;
        let partitions: Vec<i32> = topic.partitions.into_iter().collect();
        match partitions.is_empty() {
            true => Err(self.fail("find the topic", "it has no partition")),
            false => Ok(Open { client, partitions, clients: HashMap::new() }),
        }
    }

    async fn partition(&mut self, number: i32) -> Result<Arc<PartitionClient>, SendError> {
        let known = self.open.as_ref().and_then(|open| open.clients.get(&number).cloned());
        if let Some(known) = known {
            return Ok(known);
        }
        let Some(open) = &self.open else { return Err(self.fail("reach the topic", "not connected")) };
        let asked =
            open.client.partition_client(self.topic.clone(), number, UnknownTopicHandling::Error).await;
        let client = Arc::new(asked.map_err(|e| self.fail("reach a partition of", e))?);
        if let Some(open) = &mut self.open {
            open.clients.insert(number, client.clone());
        }
        Ok(client)
    }

    async fn produce(&mut self, batch: &[Item]) -> Result<Outcome, SendError> {
        if self.open.is_none() {
            self.open = Some(self.connect().await?);
        }
        let partitions = self.open.as_ref().map(|open| open.partitions.clone()).unwrap_or_default();
        let mut parts: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
        for (at, item) in batch.iter().enumerate() {
            let organization = item.organization.as_deref().unwrap_or_default();
            let digest = Sha256::digest(organization.as_bytes());
            let number = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]) as usize;
            let Some(partition) = partitions.get(number % partitions.len().max(1)) else { continue };
            parts.entry(*partition).or_default().push(at);
        }
        let mut outcome = Outcome::default();
        for (number, items) in parts {
            let client = self.partition(number).await?;
            let records = items.iter().filter_map(|at| record(&batch[*at])).collect();
            match client.produce(records, Compression::NoCompression).await {
                Ok(_) => {}
                Err(Error::ServerError {
                    protocol_error: ProtocolError::MessageTooLarge | ProtocolError::RecordListTooLarge,
                    ..
                }) => match items.as_slice() {
                    [one] => outcome.refused.push((*one, "the broker says it is too large".to_owned())),
                    _ => {
                        return Err(SendError::TooLarge("the broker says the batch is too large".to_owned()));
                    }
                },
                Err(e) => return Err(self.fail("produce to", short(&e))),
            }
        }
        Ok(outcome)
    }
}

#[async_trait]
impl Destination for Kafka {
    async fn send(&mut self, batch: &[Item]) -> Result<Outcome, SendError> {
        let within = self.timeout;
        let sent = tokio::time::timeout(within, self.produce(batch)).await;
        let sent = sent.unwrap_or_else(|_| Err(self.fail("produce to", "it took too long")));
        if let Err(SendError::Later { .. }) = sent {
            // Whatever it was: leaders move, brokers go, and a new connection finds them.
            self.open = None;
        }
        sent
    }

    fn bounds(&self) -> (usize, usize) {
        (MOST_BYTES, usize::MAX)
    }
}

fn record(item: &Item) -> Option<Record> {
    let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    let headers = [header("schema", "agentrail/1"), header("updated", &item.updated.to_string())];
    let timestamp = timestamp_us_to_datetime(item.occurred.unix_micros())?.and_utc();
    Some(Record {
        key: Some(item.key.as_bytes().to_vec()),
        value: Some(line(&item.body)),
        headers: headers.into_iter().collect(),
        timestamp,
    })
}

/// An error without the request that it repeats whole.
fn short(error: &Error) -> String {
    match error {
        Error::ServerError { protocol_error, error_message, .. } => {
            let says = error_message.as_deref().unwrap_or_default();
            format!("the broker says {protocol_error} {says}").trim_end().to_owned()
        }
        other => other.to_string(),
    }
}
