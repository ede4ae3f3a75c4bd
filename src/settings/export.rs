//! The section `[export]`: where records go, and in which shape.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

/// What all destinations have in common, and the list of them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Export {
    pub every: u64,
    pub destinations: Vec<Destination>,
}

/// One destination. Which members a kind needs, it says itself.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Destination {
    pub name: String,
    /// splunk, sentinel, elastic, syslog, otlp, webhook, kafka or file.
    pub kind: String,
    /// Address, `host:port`, brokers with commas, or folder.
    pub url: String,
    /// `events`, `findings`.
    pub what: Vec<String>,
    /// A shape of ours, or the path of a file of one's own.
    pub shape: String,
    pub finding_shape: String,
    /// Conditions in SQL, over `actions a` and `findings a`.
    pub filter: String,
    pub finding_filter: String,
    /// Seconds.
    pub settle: u64,
    /// `beginning` or `now`.
    pub start: String,
    pub items: usize,
    pub bytes: usize,
    /// Seconds.
    pub timeout: u64,
    pub gzip: bool,
    pub authorities: PathBuf,
    pub headers: BTreeMap<String, String>,
    pub token: String,
    pub user: String,
    pub password: String,
    /// Splunk: seconds to wait for the indexer; 0 takes the collector's word.
    pub acknowledge: u64,
    pub channel: String,
    pub index: String,
    pub sourcetype: String,
    pub source: String,
    pub host: String,
    pub rule: String,
    pub stream: String,
    pub credential: String,
    pub tenant_id: String,
    pub client_id: String,
    pub client_secret: String,
    /// Scope of the token, where the service is not Azure's own.
    pub scope: String,
    /// `tcp`, `tls` or `udp`.
    pub transport: String,
    /// `cef`, `leef` or `json`.
    pub body: String,
    pub facility: u8,
    pub confirm: bool,
    /// Webhook: a list in place of lines.
    pub list: bool,
    /// Webhook: what bodies are signed with.
    pub secret: String,
    pub topic: String,
    pub mechanism: String,
    /// `ndjson` or `parquet`.
    pub form: String,
    pub region: String,
    pub account_id: String,
}

impl Default for Destination {
    fn default() -> Destination {
        let empty = String::new;
        Destination {
            name: empty(),
            kind: empty(),
            url: empty(),
            what: vec!["events".to_owned(), "findings".to_owned()],
            shape: empty(),
            finding_shape: empty(),
            filter: empty(),
            finding_filter: empty(),
            settle: 0,
            start: "beginning".to_owned(),
            items: 500,
            bytes: 1 << 20,
            timeout: 30,
            gzip: true,
            authorities: PathBuf::new(),
            headers: BTreeMap::new(),
            token: empty(),
            user: empty(),
            password: empty(),
            acknowledge: 0,
            channel: empty(),
            index: empty(),
            sourcetype: empty(),
            source: empty(),
            host: empty(),
            rule: empty(),
            stream: empty(),
            credential: "managed_identity".to_owned(),
            tenant_id: empty(),
            client_id: empty(),
            client_secret: empty(),
            scope: empty(),
            transport: "tcp".to_owned(),
            body: "cef".to_owned(),
            facility: 13,
            confirm: true,
            list: false,
            secret: empty(),
            topic: empty(),
            mechanism: empty(),
            form: "ndjson".to_owned(),
            region: empty(),
            account_id: empty(),
        }
    }
}
