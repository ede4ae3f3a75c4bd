//! How the pipeline of a bench takes what it is given.

use std::time::Duration;

use agentrail::attribute::Tolerance;
use agentrail::decode::Limits;
use agentrail::pipeline::Settings;

pub fn settings() -> Settings {
    Settings {
        linger: Duration::ZERO,
        max_bytes: 64 << 20,
        limits: Limits::default(),
        tolerance: Tolerance::default(),
        retention: None,
        organization: None,
        max_jobs: 400_000,
        max_news: 200_000,
    }
}
