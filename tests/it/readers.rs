//! Someone else's readers open the lake: Python `deltalake` and DuckDB.

use std::process::Command;

use crate::lake::{Scratch, audit_record};

/// The interpreter that `tests/run` set up; without it these tests are skipped, in CI they fail.
pub fn python() -> Option<String> {
    let python = std::env::var("PEERS_PYTHON").ok().filter(|p| !p.is_empty());
    if python.is_none() {
        assert!(std::env::var("CI").is_err(), "CI allows no skip: run tests/run");
        println!("skipped: no Python peers; tests/run sets them up");
    }
    python
}

pub fn run(python: &str, script: &str, arguments: &[&str]) -> String {
    // Some of these libraries abort when the interpreter tears down their threads: leave before that.
    let script = format!("{script}\nimport os, sys\nsys.stdout.flush()\nos._exit(0)");
    let output = Command::new(python).arg("-c").arg(script).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn deltalake_and_duckdb_read_what_we_wrote() {
    let Some(python) = python() else { return };
    let scratch = Scratch::new();
    for part in 0..12u32 {
        let text: String = (part * 50..part * 50 + 60).map(|n| audit_record(n) + "\n").collect();
        scratch.ingest(&scratch.file(&format!("{part}.ndjson"), text));
    }
    let ours = scratch.count("select count(*) from actions");
    assert_eq!(ours, 610);
    let lake = scratch.lake();
    let events = lake.join("events");
    let theirs = run(
        &python,
        "import sys, deltalake\n\
         t = deltalake.DeltaTable(sys.argv[1])\n\
         d = t.to_pyarrow_table() if hasattr(t, 'to_pyarrow_table') else t.to_pyarrow_dataset().to_table()\n\
         ids = d.column('event_id').to_pylist()\n\
         print(len(ids), len(set(ids)), t.metadata().partition_columns)",
        &[events.to_str().unwrap()],
    );
    assert_eq!(theirs, "610 610 ['date']");
    let files = run(
        &python,
        "import sys, deltalake, duckdb\n\
         t = deltalake.DeltaTable(sys.argv[1])\n\
         uris = t.file_uris()\n\
         q = 'select count(*), count(distinct event_id), min(occurred)::varchar, count(*) filter (len(raw) > 0) from read_parquet(?, hive_partitioning=false)'\n\
         print(duckdb.execute(q, [uris]).fetchone())",
        &[events.to_str().unwrap()],
    );
    assert!(files.starts_with("(610, 610, '2026-03-05"), "{files}");
    // Every table is a Delta table, also one that holds nothing yet.
    for entry in std::fs::read_dir(&lake).unwrap() {
        let path = entry.unwrap().path();
        if path.join("_delta_log").is_dir() {
            run(
                &python,
                "import sys, deltalake\nprint(deltalake.DeltaTable(sys.argv[1]).version())",
                &[path.to_str().unwrap()],
            );
        }
    }
}
