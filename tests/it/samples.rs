//! Every real payload of the samples folder goes in, when the folder is there.

use std::path::{Path, PathBuf};

use crate::lake::Scratch;

fn folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/samples");
    folder.is_dir().then_some(folder)
}

#[test]
fn every_sample_is_accounted_for() {
    let Some(folder) = folder() else {
        println!("skipped: no folder of samples beside this checkout");
        return;
    };
    let scratch = Scratch::new();
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "json" || e == "ndjson"))
        .collect();
    names.sort();
    let (mut events, mut facts) = (0, 0);
    for path in &names {
        let account = scratch.ingest(path);
        let count = |key: &str| account[key].as_u64().unwrap();
        assert!(count("records") > 0, "{}: {account}", path.display());
        assert_eq!(
            count("records"),
            count("events") + count("facts") + count("rejects"),
            "{}",
            path.display()
        );
        assert_eq!(count("rejects"), 0, "{}: {account}", path.display());
        events += count("events");
        facts += count("facts");
    }
    // Two of a REST page, three of Event Grid about Git, one about a release, one Log Analytics row.
    assert_eq!(events, 7);
    assert!(facts > 60, "{facts}");
    // Two of the files deliver the same event.
    assert_eq!(scratch.count("select count(*) from actions"), 6);
    assert_eq!(scratch.count("select count(*) from lake.signins"), 23);
    for (table, least) in [
        ("jobs", 4),
        ("agents", 3),
        ("pools", 4),
        ("identities", 10),
        ("runs", 2),
        ("grants", 2),
        ("holdings", 1),
    ] {
        let n = scratch.count(&format!("select count(*) from lake.{table}"));
        assert!(n >= least, "{table}: {n}");
    }
    let rows = scratch
        .sql("select event_id, occurred, actor_name, ip from actions where action = 'AuditLog.AccessLog'");
    assert_eq!(rows[0]["event_id"], "86fbe369-3f5d-4f52-9ab0-3be7db271948");
    assert_eq!(rows[0]["actor_name"], "Norman Paulk");
    assert_eq!(rows[0]["ip"], "167.220.148.131");
}
