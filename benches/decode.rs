//! Decode and attribute, one core: events a second over NDJSON of about 1.1 KB an event.
//!
//! `cargo bench --bench decode --no-default-features` needs only the core. Prints one line a form.

use std::time::Instant;

use agentrail::attribute::{Engine, Tolerance};
use agentrail::decode::{Delivery, Limits, decode};
use agentrail::model::Time;
use agentrail::simulate::{Plan, Spelling, World};

/// Timed passes; the best one counts, as the machine has other things to do.
const PASSES: usize = 7;

fn main() {
    // Without this flag `cargo test` only builds the bench.
    if !std::env::args().any(|a| a == "--bench") {
        return;
    }
    let world = World::build(&Plan { runs: 1200, agents: 40, ..Plan::quiet() });
    let delivery = Delivery {
        observed: Time::parse("2026-03-07T00:00:00Z").unwrap_or_default(),
        url: None,
        organization: None,
        limits: Limits::default(),
    };
    let mut engine = Engine::new(Tolerance::default());
    let captures = world.captures().join("\n");
    decode(captures.as_bytes(), &delivery).facts.iter().for_each(|f| engine.learn(f));
    for spelling in [Spelling::EventGrid, Spelling::Rest, Spelling::Export] {
        let mut body = Vec::new();
        for event in world.events() {
            event.write(spelling, &mut body);
            body.push(b'\n');
        }
        let count = world.events().len() as f64;
        let best = |work: &mut dyn FnMut() -> usize| {
            (0..PASSES)
                .map(|_| {
                    let start = Instant::now();
                    assert_eq!(work() as f64, count);
                    start.elapsed().as_secs_f64()
                })
                .fold(f64::MAX, f64::min)
        };
        let parse = best(&mut || {
            let text = std::str::from_utf8(&body).unwrap_or_default();
            text.lines().filter(|l| serde_json::from_str::<serde_json::Value>(l).is_ok()).count()
        });
        let decoded = best(&mut || decode(&body, &delivery).events.len());
        let both = best(&mut || {
            let decoded = decode(&body, &delivery);
            decoded.events.iter().for_each(|e| engine.learn_event(e));
            decoded.events.iter().map(|e| engine.decide(e)).filter(|v| v.missing.len() < 99).count()
        });
        println!(
            "{spelling:?}: {:.0} bytes an event; decode {:.0}/s, with attribution {:.0}/s ({:.1}x and {:.1}x serde_json::Value alone)",
            body.len() as f64 / count,
            count / decoded,
            count / both,
            parse / decoded,
            parse / both
        );
    }
}
