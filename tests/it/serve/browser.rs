//! The pages in a real browser: a walk by keyboard, at the width of a phone and of a desk, light and dark.

use std::path::PathBuf;
use std::process::Command;

use agentrail::serve::Role;
use serde_json::json;

use super::http_hostile::hostile;
use super::open::{Door, bounds, demo, user};

/// The folder of the script, and the browser.
fn browser() -> Option<(PathBuf, String)> {
    let peer = |name| std::env::var(name).ok().filter(|peer| !peer.is_empty());
    let both = Option::zip(peer("PEERS_BROWSER"), peer("PEERS_CHROMIUM"));
    if both.is_none() {
        assert!(std::env::var("CI").is_err(), "CI allows no skip: run tests/run");
        println!("skipped: no browser; tests/run sets it up");
    }
    both.map(|(folder, program)| (folder.into(), program))
}

/// Walks; what the script found wrong is what it fails with.
async fn walk(folder: PathBuf, asked: serde_json::Value) -> String {
    let walked = tokio::task::spawn_blocking(move || {
        Command::new("node").arg(folder.join("walk.mjs")).arg(asked.to_string()).output().unwrap()
    });
    let walked = walked.await.unwrap();
    let said = String::from_utf8_lossy(&walked.stdout).into_owned();
    assert!(walked.status.success(), "{said}\n{}", String::from_utf8_lossy(&walked.stderr));
    said
}

fn out(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/browser").join(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_by_keyboard_leads_from_the_search_to_everything() {
    let Some((folder, program)) = browser() else { return };
    let door = Door::open(hostile(), bounds()).await;
    // What the demo is about: an agent that was replaced by another machine.
    let event = "select event_id, agent_name from actions where agent_name = 'linux-build-04' and machine = 'kali' \
        and grade = 'sole' and action = 'Library.VariableGroupModified' order by occurred limit 1";
    let event = door.scratch.sql(event).remove(0);
    let said = walk(
        folder,
        json!({
            "base": door.url(""),
            "out": out("walk"),
            "browser": program,
            "event": event["event_id"],
            "agent": event["agent_name"],
            "hostile": [
                format!("/trace/a1000000-0000-4000-8000-{:012x}", 900),
                "/sql?q=select%20*%20from%20actions%20where%20actor_name%20like%20'%25alert(%25'",
            ],
        }),
    )
    .await;
    for seen in ["looked at identity", "looked at pool", "downloaded rows.csv", "read without scripts"] {
        assert!(said.contains(seen), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_sign_in_and_out_in_a_browser() {
    let Some((folder, program)) = browser() else { return };
    let users = vec![user("ada", Role::Analyst, &[], &[])];
    let door = Door::with(demo(), bounds(), Some(users), 100).await;
    let said = walk(
        folder,
        json!({
            "base": door.url(""),
            "out": out("sign"),
            "browser": program,
            "name": "ada",
            "password": "password of ada",
            "next": "/reports",
        }),
    )
    .await;
    assert!(said.contains("signed in and out"), "{said}");
}
