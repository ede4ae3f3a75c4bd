//! The API as others read it: its document held against the server, and its Arrow in other people's readers.

use std::process::Command;

use agentrail::serve::Role;

use super::open::{Door, bounds, demo, user};
use crate::readers::{python, run};

/// Asks of the document and of the server what schemathesis can think of; what is refused must be as documented.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_as_its_document_says() {
    let Some(python) = python() else { return };
    let door = Door::with(demo(), bounds(), Some(vec![user("ada", Role::Admin, &[], &[])]), 100).await;
    let document = door.url("/api/openapi.json");
    let program = std::path::Path::new(&python).with_file_name("schemathesis");
    let tested = tokio::task::spawn_blocking(move || {
        Command::new(program)
            .args(["run", &document, "--header", "Authorization: Bearer bearer of ada", "--checks", "all"])
            // A text of any kind is a statement by the document, and most are none that can be run; and no test is timed.
            .args(["--exclude-checks", "positive_data_acceptance", "--phases", "examples,coverage,fuzzing"])
            .args(["--max-examples", "8", "--seed", "1", "--continue-on-failure", "--no-color"])
            .args([
                "--suppress-health-check",
                "all",
                "--generation-database",
                "none",
                "--request-timeout",
                "120",
                "--max-response-time",
                "120",
            ])
            .current_dir(std::env::temp_dir())
            .output()
            .unwrap()
    });
    let tested = tested.await.unwrap();
    let said = String::from_utf8_lossy(&tested.stdout);
    assert!(tested.status.success(), "{said}\n{}", String::from_utf8_lossy(&tested.stderr));
    // All operations but the one that the document itself is read by.
    assert!(said.contains("Selected: 8/8") && said.contains("Tested: 8"), "{said}");
}

const READ: &str = r#"
import io, json, sys, urllib.parse, urllib.request
import duckdb, polars, pyarrow.ipc

base, sql = sys.argv[1:3]
def get(form):
    query = urllib.parse.urlencode({"q": sql, "format": form})
    return urllib.request.urlopen(f"{base}/api/sql?{query}").read()

told = json.loads(get("json"))
arrow = get("arrow")
theirs = polars.read_ipc_stream(io.BytesIO(arrow))
arrived = pyarrow.ipc.open_stream(arrow).read_all()
asked = duckdb.execute("select count(*), count(distinct event_id), min(occurred)::varchar, sum(len(evidence)) from arrived")
count, ids, first, evidence = asked.fetchone()

names = [column["name"] for column in told["columns"]]
assert names == theirs.columns == arrived.column_names, (names, theirs.columns)
assert told["count"] == len(told["rows"]) == len(theirs) == count == ids, (told["count"], len(theirs), count, ids)
assert evidence == sum(len(row["evidence"]) for row in told["rows"]) == theirs["evidence"].list.len().sum()
assert {row["event_id"] for row in told["rows"]} == set(theirs["event_id"])
assert str(theirs.schema["occurred"]).startswith("Datetime(time_unit='us', time_zone='UTC'"), theirs.schema
assert theirs.schema["agent_id"] == polars.Int64 and theirs.schema["blind"] == polars.Boolean
for theirs_row, row in zip(theirs.iter_rows(named=True), told["rows"]):
    for name in ("agent_id", "grade", "blind", "missing"):
        assert theirs_row[name] == row[name], (name, theirs_row[name], row[name])
    assert theirs_row["occurred"].strftime("%Y-%m-%dT%H:%M:%S") == row["occurred"][:19], row
    assert [item["says"] for item in theirs_row["evidence"]] == [item["says"] for item in row["evidence"]]
with open(sys.argv[3], "wb") as file:
    file.write(get("csv"))
with open(sys.argv[4], "wb") as file:
    file.write(get("ndjson"))
csv = duckdb.execute("select count(*), count(distinct event_id), min(occurred)::varchar from read_csv(?)", [sys.argv[3]]).fetchone()
lines = duckdb.execute("select count(*), sum(len(evidence)), count(agent_id) from read_json(?, format = 'newline_delimited')", [sys.argv[4]]).fetchone()
assert csv[:2] == (count, ids) and csv[2][:19] == first[:19], (csv, first)
assert lines == (count, evidence, sum(row["agent_id"] is not None for row in told["rows"])), lines
print(count)
"#;

#[tokio::test(flavor = "multi_thread")]
async fn polars_and_duckdb_read_what_is_asked() {
    let Some(python) = python() else { return };
    let door = Door::open(demo(), bounds()).await;
    let sql = "select event_id, occurred, grade, agent_id, blind, missing, evidence from actions order by occurred, event_id";
    let base = door.url("");
    let files = ["rows.csv", "rows.ndjson"].map(|name| door.scratch.path(name).to_str().unwrap().to_owned());
    let read = tokio::task::spawn_blocking(move || run(&python, READ, &[&base, sql, &files[0], &files[1]]));
    let count = door.scratch.count("select count(*) from actions");
    assert_eq!(read.await.unwrap(), count.to_string());
}
