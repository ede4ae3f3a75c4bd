//! Kills the program between every pair of durable steps: nothing acknowledged is lost, nothing is
//! there twice. `tests/run --long` kills more often.

use crate::lake::{Scratch, Service, audit_record};

fn long() -> bool {
    std::env::var("PEERS_LONG").is_ok_and(|v| v == "1")
}

#[test]
fn a_kill_between_any_two_durable_steps_loses_and_doubles_nothing() {
    let rounds = if long() { 20 } else { 1 };
    for name in agentrail::store::FAILPOINTS {
        for round in 1..=rounds {
            let scratch = Scratch::new();
            scratch.ingest(&scratch.file("before.ndjson", audit_record(0) + "\n"));
            let text: String = (1..=20).map(|n| audit_record(n) + "\n").collect();
            let file = scratch.file("events.ndjson", text);
            let killed = scratch
                .command(&["ingest", file.to_str().unwrap()])
                .env("AGENTRAIL_FAILPOINT", format!("{name}:{round}"))
                .output()
                .unwrap();
            // A step that this ingest never reaches ends well; that is no kill, but no fault either.
            if round == 1 && !killed.status.success() {
                assert_eq!(killed.status.code(), None, "{name}: {}", String::from_utf8_lossy(&killed.stderr));
            }
            scratch.ingest(&file);
            let again = scratch.file("again.ndjson", std::fs::read(&file).unwrap());
            scratch.ingest(&again);
            assert_eq!(scratch.count("select count(*) from actions"), 21, "{name}:{round}");
            assert_eq!(scratch.count("select count(distinct event_id) from actions"), 21, "{name}:{round}");
        }
    }
}

#[test]
fn random_kills_of_the_service_lose_nothing_acknowledged() {
    let kills: u32 = if long() { 1000 } else { 6 };
    let scratch = Scratch::new();
    let (mut sent, mut acknowledged) = (0u32, Vec::new());
    for kill in 0..kills {
        let mut service = Service::start(&scratch, &[]);
        let address = service.address.clone();
        let first = sent;
        let sender = std::thread::spawn(move || {
            let (mut n, mut acknowledged) = (first, Vec::new());
            loop {
                let body = audit_record(n);
                n += 1;
                match crate::lake::request(&address, "POST", "/services/collector", &[], body.as_bytes()) {
                    Ok((200, _)) => acknowledged.push(n - 1),
                    _ => return (n, acknowledged),
                }
            }
        });
        std::thread::sleep(std::time::Duration::from_millis(150 + u64::from(kill * 97 % 400)));
        service.child.kill().unwrap();
        drop(service);
        let (n, mut done) = sender.join().unwrap();
        sent = n;
        acknowledged.append(&mut done);
    }
    assert!(!acknowledged.is_empty());
    let rows = scratch.sql("select event_id from actions");
    let ids: std::collections::BTreeSet<String> =
        rows.iter().map(|r| r["event_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), rows.len(), "an event is there twice");
    for n in acknowledged {
        let id = format!("a1000000-0000-4000-8000-{n:012x}");
        assert!(ids.contains(&id), "{id} was acknowledged and is not there");
    }
}
