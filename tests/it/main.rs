//! One integration binary, so that DataFusion is linked once.

mod house;
mod walls;

#[cfg(feature = "io")]
mod agents;
#[cfg(feature = "io")]
mod collect;
#[cfg(feature = "io")]
mod collect_runs;
#[cfg(feature = "io")]
mod collect_unkind;
#[cfg(feature = "io")]
mod commands;
#[cfg(feature = "io")]
mod crash;
#[cfg(feature = "io")]
mod detections;
#[cfg(feature = "io")]
mod event_hubs;
#[cfg(feature = "io")]
mod export;
#[cfg(feature = "io")]
mod hard_cases;
#[cfg(feature = "io")]
mod hubs;
#[cfg(feature = "io")]
mod invariants;
#[cfg(feature = "io")]
mod lake;
#[cfg(feature = "io")]
mod organizations;
#[cfg(feature = "io")]
mod pruning;
#[cfg(feature = "io")]
mod readers;
#[cfg(feature = "io")]
mod reports;
#[cfg(feature = "io")]
mod revisions;
#[cfg(feature = "io")]
mod samples;
#[cfg(feature = "io")]
mod score;
#[cfg(feature = "io")]
mod serve;
#[cfg(feature = "io")]
mod spellings;
#[cfg(feature = "io")]
mod storage;
#[cfg(feature = "io")]
mod webhook;
