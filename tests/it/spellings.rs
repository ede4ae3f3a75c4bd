//! The same events in all four spellings, shuffled, twice, across a restart: each once.

use agentrail::simulate::{Plan, Spelling, World, export_csv, page};

use crate::lake::Scratch;

/// Every column of `actions` that is derived from the record.
const DERIVED: &str = "event_id, occurred, organization_id, organization, project_id, project, action, area, category, \
    actor_id, actor_name, actor_kind, actor_upn, actor_client_id, author_id, auth_mechanism, authorization_id, ip, \
    user_agent, correlation_id, activity_id, details, data";

#[test]
fn a_hundred_events_in_four_spellings_are_a_hundred_rows() {
    let world = World::build(&Plan::demo());
    let events: Vec<_> = world.events().iter().take(100).collect();
    assert_eq!(events.len(), 100);
    let spellings = [Spelling::Rest, Spelling::Export, Spelling::EventGrid, Spelling::LogAnalytics];

    let mut pictures = Vec::new();
    for spelling in spellings {
        let scratch = Scratch::new();
        let mut text = Vec::new();
        for event in &events {
            event.write(spelling, &mut text);
            text.push(b'\n');
        }
        scratch.ingest(&scratch.file("events.ndjson", &text));
        pictures.push(scratch.ok(&[
            "sql",
            "--format",
            "csv",
            &format!("select {DERIVED} from actions order by event_id"),
        ]));
    }
    assert!(pictures[0].lines().count() > 100);
    for (spelling, picture) in spellings.iter().zip(&pictures) {
        for (own, first) in picture.lines().zip(pictures[0].lines()) {
            assert_eq!(own, first, "{spelling:?}");
        }
    }

    // Shuffled with a fixed stride, all spellings mixed, given twice by two processes.
    let scratch = Scratch::new();
    let mut mixed: Vec<Vec<u8>> = Vec::new();
    for (i, event) in events.iter().enumerate() {
        for j in 0..4 {
            let mut one = Vec::new();
            event.write(spellings[(i + j) % 4], &mut one);
            mixed.push(one);
        }
    }
    let shuffled: Vec<u8> =
        (0..mixed.len()).flat_map(|i| [mixed[i * 163 % mixed.len()].as_slice(), b"\n"].concat()).collect();
    for name in ["first.ndjson", "second.ndjson"] {
        scratch.ingest(&scratch.file(name, &shuffled));
    }
    assert_eq!(scratch.count("select count(*) from actions"), 100);
    assert_eq!(scratch.count("select count(distinct event_id) from actions"), 100);
    assert_eq!(scratch.count("select count(*) from rejects"), 0);
}

#[test]
fn pages_and_the_csv_export_give_the_same_rows() {
    let world = World::build(&Plan::demo());
    let events = &world.events()[..50];
    let picture = |name: &str, bytes: &[u8]| {
        let scratch = Scratch::new();
        let account = scratch.ingest(&scratch.file(name, bytes));
        assert_eq!(
            (account["events"].as_u64(), account["rejects"].as_u64()),
            (Some(50), Some(0)),
            "{name}: {account}"
        );
        scratch.ok(&["sql", "--format", "csv", &format!("select {DERIVED} from actions order by event_id")])
    };
    assert_eq!(picture("page.json", &page(events)), picture("export.csv", &export_csv(events)));
}
