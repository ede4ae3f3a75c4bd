//! agentrail: which agent did this, as whom, and how sure are we?
//!
//! # The flow
//!
//! ```text
//! source --> decode --> attribute --> store ==== Delta versions ====> query --> people, export
//! bytes +    events,    verdicts      rows, by     the only           SQL,
//! position   facts,                   key, in one  hand-over          trace
//!            rejects                  commit
//! ```
//!
//! One payload's way: a [`source`] hands bytes to the [`pipeline`], which calls [`decode`] (nothing
//! fails, nothing is dropped), lets [`attribute`] decide each event with the facts it knows, and
//! gives the rows to [`store`], which commits each key once. Only then is the sender answered.
//! Readers see committed versions alone, through [`query`].
//!
//! # The map, in reading order
//!
//! Imports go strictly downward and never sideways; `tests/it/house.rs` proves it.
//!
//! | layer | module | what it is |
//! |---|---|---|
//! | L0 | `model` | What was reported, about whom, and when. |
//! | L1 | `decode` | Bytes to events, facts and rejects; nothing fails, nothing is dropped. |
//! | L1 | `attribute` | Which agent acted, decided over time: timelines, occupancy, rules, evidence. |
//! | L1 | `schema` | The tables, read from schemas/. |
//! | L1 | `objects` | Object stores by their URLs: Azure Blob Storage and ADLS, or S3; how they are reached, and what helps if not. |
//! | L2 | `source` | Where bytes come from: files, webhooks, Event Hubs, the REST API; each payload answered once it is durable. |
//! | L2 | `store` | Rows, by key, in one commit: Delta tables on the local disk or in an object store. |
//! | L2 | `query` | The SQL session over pinned files: views, functions, the catalogue of queries/. |
//! | L2 | `export` | Where records go: one adapter per kind of receiver, each of which says what was taken. |
//! | L3 | `pipeline` | Payloads to attributed rows in one commit, and only then the acknowledgement. |
//! | L3 | `serve` | The doors for people and tools: PostgreSQL's protocol, Flight SQL, HTTP, and a page to investigate in. |
//! | L3 | `simulate` | A small simulated organisation whose truth is known, in the spellings Azure DevOps uses. |
//! | L4 | `settings` | One configuration: defaults, then a TOML file, then the environment. |
//! | L4 | `cli` | The command line: what may be asked, and how to say it. |
//! | L5 | `app` | Puts the parts together: settings to lake, sources, pipeline, session, and what each command prints. |
//!
//! The first four are the core: values in, values out, with no async, clock, file, network, log or
//! Arrow. The feature `io` (on by default) holds everything else but `simulate`.

pub mod model;

pub mod decode;

pub mod attribute;

pub mod schema;

#[cfg(feature = "io")]
pub mod objects;

#[cfg(feature = "io")]
pub mod source;

#[cfg(feature = "io")]
pub mod store;

#[cfg(feature = "io")]
pub mod query;

#[cfg(feature = "io")]
pub mod export;

#[cfg(feature = "io")]
pub mod pipeline;

#[cfg(feature = "io")]
pub mod serve;

pub mod simulate;

#[cfg(feature = "io")]
pub mod settings;

#[cfg(feature = "io")]
pub mod cli;

#[cfg(feature = "io")]
pub mod app;
