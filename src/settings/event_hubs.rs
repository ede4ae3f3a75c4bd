//! The section `[event_hubs]`: what all hubs have in common, and the list of them.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What all hubs have in common.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventHubs {
    pub hubs: Vec<Hub>,
    pub credential: String,
    pub tenant_id: String,
    pub client_id: String,
    pub client_secret: String,
    pub start: String,
    pub prefetch: u32,
    pub in_flight: usize,
    pub in_flight_bytes: usize,
    pub every: u64,
    pub expiry: u64,
    pub checkpoints: String,
    pub checkpoint_account: String,
    pub checkpoint_key: String,
    pub checkpoint_endpoint: String,
}

/// One hub as one consumer group reads it; what it leaves out is as in the section.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hub {
    /// `contoso`, or the whole host.
    pub namespace: String,
    pub hub: String,
    pub consumer_group: String,
    pub connection_string: String,
    pub credential: Option<String>,
    pub tenant_id: Option<String>,
    pub client_id: Option<String>,
    pub client_secret: Option<String>,
    pub endpoint: String,
    pub transport: String,
    pub start: Option<String>,
    /// By partition.
    pub starts: BTreeMap<String, String>,
    pub prefetch: Option<u32>,
}
