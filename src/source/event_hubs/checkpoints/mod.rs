//! How far each partition was read, and who owns it: small objects that are only replaced by condition.
//!
//! Names and metadata are those of Microsoft's SDKs, so that their processors and lag monitors read them:
//!
//! ```text
//! {namespace}/{hub}/{group}/ownership/{partition}    ownerid
//! {namespace}/{hub}/{group}/checkpoint/{partition}   offset, sequencenumber
//! ```
//!
//! The first three are in lower case, as in .NET, Python and JavaScript; the Rust SDK alone keeps the
//! letters as they are. All that is said is in the metadata, the objects are empty.

mod blobs;
#[cfg(test)]
mod contract;
mod folder;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use azure_core::error::ErrorKind;
use azure_core::http::Etag;
use azure_messaging_eventhubs::CheckpointStore;
use azure_messaging_eventhubs::models::{Checkpoint, Ownership};

use crate::model::Time;

pub use blobs::{Account, Blobs};
pub use folder::Folder;

type Result<T> = azure_core::Result<T>;

/// An object as it stands.
#[derive(Debug, Clone)]
pub struct Object {
    /// Its name below the prefix that was listed.
    pub name: String,
    pub etag: String,
    pub modified: SystemTime,
    pub metadata: BTreeMap<String, String>,
}

/// What must be so for an object to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Whatever is there.
    Any,
    /// There is none.
    Absent,
    /// It is the one of this ETag.
    Is(String),
}

/// Where the objects are.
///
/// Why not `object_store` throughout? Its local form knows neither conditions on ETags nor metadata.
#[async_trait::async_trait]
pub trait Objects: Send + Sync {
    /// All objects whose names begin so, with their metadata.
    async fn list(&self, prefix: &str) -> Result<Vec<Object>>;

    /// Writes an empty object with this metadata; `None`: it is not as the condition wants it.
    async fn put(
        &self,
        name: &str,
        metadata: &BTreeMap<String, String>,
        condition: &Condition,
    ) -> Result<Option<Written>>;
}

/// An object that was just written.
#[derive(Debug, Clone)]
pub struct Written {
    pub etag: String,
    pub modified: SystemTime,
}

/// A place in a partition: that of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// -1: before the first.
    pub sequence: i64,
    pub offset: Option<String>,
    /// When the service took the event; with the offset it tells a hub from another one of its name.
    pub enqueued: Option<Time>,
}

impl Mark {
    /// Before the first event.
    pub fn none() -> Mark {
        Mark { sequence: -1, offset: Some("-1".to_owned()), enqueued: None }
    }

    /// Whether another event stands under the same number.
    pub fn is_other(&self, event: &Mark) -> bool {
        let differ = |a: Option<&str>, b: Option<&str>| a.zip(b).is_some_and(|(a, b)| a != b);
        let times = self.enqueued.zip(event.enqueued).is_some_and(|(a, b)| a != b);
        self.sequence == event.sequence && (times || differ(self.offset.as_deref(), event.offset.as_deref()))
    }
}

/// The partitions of one hub as one group reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub namespace: String,
    pub hub: String,
    pub consumer_group: String,
}

impl Group {
    fn prefix(&self, kind: &str) -> String {
        let Group { namespace, hub, consumer_group } = self;
        format!("{}/{kind}/", format!("{namespace}/{hub}/{consumer_group}").to_lowercase())
    }
}

/// Checkpoints and ownerships; also what the SDK calls a checkpoint store.
#[derive(Clone)]
pub struct Checkpoints(Arc<dyn Objects>);

const OWNER: &str = "ownerid";
const OFFSET: &str = "offset";
const SEQUENCE: &str = "sequencenumber";
/// Ours alone; other SDKs pass over it. Milliseconds since 1970.
const ENQUEUED: &str = "enqueuedtime";

impl Checkpoints {
    pub fn new(objects: impl Objects + 'static) -> Checkpoints {
        Checkpoints(Arc::new(objects))
    }

    /// How far each partition was read. What cannot be understood is as if it were not there.
    pub async fn marks(&self, group: &Group) -> Result<BTreeMap<String, Mark>> {
        let found = self.0.list(&group.prefix("checkpoint")).await?;
        let mark = |object: &Object| {
            let sequence = object.metadata.get(SEQUENCE)?.parse().ok()?;
            let millis = object.metadata.get(ENQUEUED).and_then(|text| text.parse().ok());
            let offset = object.metadata.get(OFFSET).filter(|text| !text.is_empty()).cloned();
            Some(Mark { sequence, offset, enqueued: millis.map(Time::from_unix_millis) })
        };
        Ok(found.iter().filter_map(|object| Some((object.name.clone(), mark(object)?))).collect())
    }

    /// Says how far a partition was read.
    pub async fn save(&self, group: &Group, partition: &str, mark: &Mark) -> Result<()> {
        let mut metadata = BTreeMap::from([(SEQUENCE.to_owned(), mark.sequence.to_string())]);
        metadata.insert(OFFSET.to_owned(), mark.offset.clone().unwrap_or_default());
        if let Some(enqueued) = mark.enqueued {
            metadata.insert(ENQUEUED.to_owned(), (enqueued.unix_micros() / 1000).to_string());
        }
        let name = format!("{}{partition}", group.prefix("checkpoint"));
        self.0.put(&name, &metadata, &Condition::Any).await.map(drop)
    }

    /// Who owns which partition, by partition.
    pub async fn owners(&self, group: &Group) -> Result<Vec<Owner>> {
        let found = self.0.list(&group.prefix("ownership")).await?;
        let owner = |object: Object| Owner {
            owner: object.metadata.get(OWNER).cloned().unwrap_or_default(),
            age: SystemTime::now().duration_since(object.modified).unwrap_or_default(),
            partition: object.name,
            etag: object.etag,
        };
        Ok(found.into_iter().map(owner).collect())
    }

    /// Makes `owner` the owner of a partition, nobody with an empty name; `None`: another was faster.
    /// `etag` is that of the ownership there is.
    pub async fn claim(
        &self,
        group: &Group,
        partition: &str,
        owner: &str,
        etag: Option<&str>,
    ) -> Result<Option<Written>> {
        let name = format!("{}{partition}", group.prefix("ownership"));
        let metadata = BTreeMap::from([(OWNER.to_owned(), owner.to_owned())]);
        let condition = etag.map_or(Condition::Absent, |etag| Condition::Is(etag.to_owned()));
        self.0.put(&name, &metadata, &condition).await
    }
}

/// An ownership.
#[derive(Debug, Clone)]
pub struct Owner {
    pub partition: String,
    /// Empty once released.
    pub owner: String,
    /// Since it was renewed last.
    pub age: Duration,
    pub etag: String,
}

#[async_trait::async_trait]
impl CheckpointStore for Checkpoints {
    /// Lost races are left out, they are no error: whoever lost looks again in the next round.
    async fn claim_ownership(&self, ownerships: &[Ownership]) -> Result<Vec<Ownership>> {
        let mut claimed = Vec::new();
        for wanted in ownerships {
            let group = group(
                &wanted.fully_qualified_namespace,
                &wanted.event_hub_name,
                &wanted.consumer_group,
                &wanted.partition_id,
            )?;
            let etag = wanted.etag.as_ref().map(ToString::to_string);
            let owner = wanted.owner_id.as_deref().unwrap_or_default();
            if let Some(written) = self.claim(&group, &wanted.partition_id, owner, etag.as_deref()).await? {
                claimed.push(Ownership {
                    etag: Some(Etag::from(written.etag)),
                    last_modified_time: Some(written.modified.into()),
                    ..wanted.clone()
                });
            }
        }
        Ok(claimed)
    }

    async fn list_checkpoints(
        &self,
        namespace: &str,
        event_hub_name: &str,
        consumer_group: &str,
    ) -> Result<Vec<Checkpoint>> {
        let marks = self.marks(&group(namespace, event_hub_name, consumer_group, "0")?).await?;
        let checkpoint = |(partition_id, mark): (String, Mark)| Checkpoint {
            fully_qualified_namespace: namespace.to_owned(),
            event_hub_name: event_hub_name.to_owned(),
            consumer_group: consumer_group.to_owned(),
            partition_id,
            offset: mark.offset,
            sequence_number: Some(mark.sequence),
        };
        Ok(marks.into_iter().map(checkpoint).collect())
    }

    async fn list_ownerships(
        &self,
        namespace: &str,
        event_hub_name: &str,
        consumer_group: &str,
    ) -> Result<Vec<Ownership>> {
        let owners = self.owners(&group(namespace, event_hub_name, consumer_group, "0")?).await?;
        let ownership = |own: Owner| Ownership {
            fully_qualified_namespace: namespace.to_owned(),
            event_hub_name: event_hub_name.to_owned(),
            consumer_group: consumer_group.to_owned(),
            partition_id: own.partition,
            owner_id: Some(own.owner).filter(|owner| !owner.is_empty()),
            etag: Some(Etag::from(own.etag)),
            last_modified_time: Some((SystemTime::now() - own.age).into()),
        };
        Ok(owners.into_iter().map(ownership).collect())
    }

    async fn update_checkpoint(&self, checkpoint: Checkpoint) -> Result<()> {
        let group = group(
            &checkpoint.fully_qualified_namespace,
            &checkpoint.event_hub_name,
            &checkpoint.consumer_group,
            &checkpoint.partition_id,
        )?;
        let Some(sequence) = checkpoint.sequence_number else {
            return Err(other("save a checkpoint: it has no sequence number"));
        };
        let mark = Mark { sequence, offset: checkpoint.offset, enqueued: None };
        self.save(&group, &checkpoint.partition_id, &mark).await
    }
}

fn group(namespace: &str, hub: &str, consumer_group: &str, partition: &str) -> Result<Group> {
    if [namespace, hub, consumer_group, partition].iter().any(|part| part.is_empty() || part.contains('/')) {
        return Err(other("name a checkpoint: namespace, hub, group and partition are needed, without `/`"));
    }
    Ok(Group {
        namespace: namespace.to_owned(),
        hub: hub.to_owned(),
        consumer_group: consumer_group.to_owned(),
    })
}

fn other(says: &'static str) -> azure_core::Error {
    azure_core::Error::with_message(ErrorKind::Other, says)
}
