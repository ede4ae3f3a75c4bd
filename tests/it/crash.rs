//! Kills the program between every pair of durable steps: nothing acknowledged is lost, nothing is
//! there twice. `tests/run --long` kills more often.

use crate::lake::{Scratch, Service, audit_record};

fn long() -> bool {
    std::env::var("PEERS_LONG").is_ok_and(|v| v == "1")
}

#[test]
fn a_kill_between_any_two_durable_steps_loses_and_doubles_nothing() {
    let wanted = if long() { 20 } else { 1 };
    // Seven files of one day: the next commit makes them worth merging, so a kill finds that too.
    let base = Scratch::new();
    for n in 0..7 {
        base.ingest(&base.file("before.ndjson", audit_record(n) + "\n"));
        std::fs::remove_file(base.path("before.ndjson")).unwrap();
    }
    // So many rows are written beside other commits and named in a turn; few are written in one.
    let texts = [27, 2107].map(|until| (7..until).map(|n| audit_record(n) + "\n").collect::<String>());
    for name in agentrail::store::FAILPOINTS {
        let (mut kills, mut pass) = (0, 1);
        while kills < wanted {
            let scratch = Scratch::new();
            copy(&base.lake(), &scratch.lake());
            let (text, rows) =
                [(&texts[0], 27), (&texts[1], 2107)][(kills + usize::from(name.starts_with('e'))) % 2];
            let file = scratch.file("events.ndjson", text);
            let run = scratch
                .command(&["ingest", file.to_str().unwrap()])
                .env("AGENTRAIL_FAILPOINT", format!("{name}:{pass}"))
                .output()
                .unwrap();
            if run.status.success() {
                // An ingest passes this point fewer times: begin again at the first.
                assert!(pass > 1, "{name} is never passed");
                pass = 1;
                continue;
            }
            assert_eq!(run.status.code(), None, "{name}: {}", String::from_utf8_lossy(&run.stderr));
            (kills, pass) = (kills + 1, pass + 1);
            scratch.ingest(&file);
            let again = scratch.file("again.ndjson", text);
            scratch.ingest(&again);
            assert_eq!(scratch.count("select count(*) from actions"), rows, "{name}:{pass}");
            assert_eq!(scratch.count("select count(distinct event_id) from actions"), rows, "{name}:{pass}");
        }
        println!("{name}: {kills} kills");
    }
}

/// Copies a folder with all below it.
fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn random_kills_of_the_service_lose_nothing_acknowledged() {
    let kills: u32 = if long() { 1000 } else { 6 };
    let scratch = Scratch::new();
    let (mut sent, mut acknowledged) = (0u32, Vec::new());
    for kill in 0..10 * kills {
        // A busy machine may kill some before they acknowledged anything.
        if kill >= kills && !acknowledged.is_empty() {
            break;
        }
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
