//! The command line as a stranger uses it: what it prints, how it ends.

use agentrail::simulate::{Plan, World, export_csv};

use crate::lake::{Scratch, audit_record};

fn says(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_file_goes_in_and_comes_out_through_sql_and_trace() {
    let scratch = Scratch::new();
    let records: Vec<String> = (0..25).map(audit_record).collect();
    let file = scratch.file("events.json", format!("[{}]", records.join(",")));
    let account = scratch.ingest(&file);
    assert_eq!((account["records"].as_u64(), account["events"].as_u64()), (Some(25), Some(25)));
    assert_eq!(account["tables"]["events"]["added"], 25);

    let rows = scratch.sql("select event_id, actor_name, category, organization, occurred from actions order by occurred limit 1");
    assert_eq!(rows[0]["event_id"], "a1000000-0000-4000-8000-000000000000");
    assert_eq!(rows[0]["actor_name"], "Ada");
    assert_eq!(rows[0]["category"], "create");
    assert_eq!(rows[0]["organization"], "contoso");

    let trace = scratch.ok(&["trace", "A1000000-0000-4000-8000-000000000003", "--format", "json"]);
    let trace: serde_json::Value = serde_json::from_str(&trace).unwrap();
    assert_eq!(trace["actions"].as_array().unwrap().len(), 1);
    let text = scratch.ok(&["trace", "a1000000-0000-4000-8000-000000000003"]);
    assert!(text.contains("Git.RepositoryCreated") && text.contains("Ada"), "{text}");
}

#[test]
fn the_same_file_again_adds_nothing() {
    let scratch = Scratch::new();
    let file = scratch.file("events.ndjson", (0..10).map(|n| audit_record(n) + "\n").collect::<String>());
    scratch.ingest(&file);
    let copy = scratch.file("copy.ndjson", std::fs::read(&file).unwrap());
    let account = scratch.ingest(&copy);
    assert_eq!(account["tables"]["events"]["known_already"], 10);
    // The first file again: it is remembered, not even read.
    assert_eq!(scratch.ingest(&file)["records"], 0);
    assert_eq!(scratch.count("select count(*) from actions"), 10);
}

#[test]
fn a_growing_file_goes_on_where_it_was() {
    let scratch = Scratch::new();
    let line = |n| audit_record(n) + "\n";
    let file = scratch.file("grows.ndjson", (0..5).map(line).collect::<String>());
    assert_eq!(scratch.ingest(&file)["records"], 5);
    std::fs::write(&file, (0..8).map(line).collect::<String>()).unwrap();
    assert_eq!(scratch.ingest(&file)["records"], 3);
    assert_eq!(scratch.count("select count(*) from actions"), 8);
}

#[test]
fn standard_input_and_gzip_are_taken() {
    use std::io::Write as _;
    let scratch = Scratch::new();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(audit_record(1).as_bytes()).unwrap();
    let bytes = gzip.finish().unwrap();
    let file = scratch.file("one.json.gz", &bytes);
    assert_eq!(scratch.ingest(&file)["events"], 1);

    let mut child = scratch
        .command(&["ingest", "--format", "json", "-"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(audit_record(2).as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let account: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(account["events"], 1);
    assert_eq!(scratch.count("select count(*) from actions"), 2);
}

#[test]
fn broken_input_is_data_and_its_neighbours_survive() {
    let scratch = Scratch::new();
    let text = format!("{}\n{{\"id\": broken\n{}\n", audit_record(1), audit_record(2));
    let account = scratch.ingest(&scratch.file("mixed.ndjson", text));
    assert_eq!((account["events"].as_u64(), account["rejects"].as_u64()), (Some(2), Some(1)));
    let rows = scratch.sql("select reason, position from rejects");
    assert_eq!(rows[0]["reason"], "syntax");
    assert_eq!(rows[0]["position"].as_u64(), Some(audit_record(1).len() as u64 + 1));
}

#[test]
fn one_id_with_two_contents_is_kept_twice_and_found() {
    let scratch = Scratch::new();
    scratch.ingest(&scratch.file("a.json", audit_record(7)));
    let other = audit_record(7).replace("Git.RepositoryCreated", "Git.RepositoryDeleted");
    let account = scratch.ingest(&scratch.file("b.json", other));
    assert_eq!(account["conflicts"], 1);
    assert_eq!(scratch.sql("select reason from rejects")[0]["reason"], "id_conflict");
    assert_eq!(scratch.sql("select detection from findings")[0]["detection"], "id_conflict");
    assert_eq!(scratch.sql("select action from actions")[0]["action"], "Git.RepositoryCreated");
}

#[test]
fn what_goes_wrong_is_said_with_its_remedy() {
    let scratch = Scratch::new();
    let missing = scratch.run(&["sql", "select 1"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(says(&missing).starts_with("error: failed to open the lake"), "{}", says(&missing));
    assert!(says(&missing).contains("agentrail ingest"));

    let nothing = scratch.run(&["ingest", "not-there.json"]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(says(&nothing).contains("not-there.json"), "{}", says(&nothing));

    scratch.ingest(&scratch.file("a.json", audit_record(1)));
    let column = scratch.run(&["sql", "select agent_nam from actions"]);
    assert_eq!(column.status.code(), Some(1));
    assert!(says(&column).contains("agent_name"), "{}", says(&column));
    for statement in [
        "insert into lake.events select * from lake.events",
        "create table x as select 1",
        "copy (select 1) to '/tmp/x'",
        "set datafusion.execution.batch_size = 1",
    ] {
        assert_eq!(scratch.run(&["sql", statement]).status.code(), Some(1), "{statement}");
    }
    assert_eq!(scratch.run(&["trace", "ffffffff-0000-4000-8000-000000000000"]).status.code(), Some(3));
    assert_eq!(scratch.run(&["no-such-command"]).status.code(), Some(2));
    let report = scratch.run(&["report", "no_such_report"]);
    assert_eq!(report.status.code(), Some(1));
}

#[test]
fn check_is_honest_and_offline() {
    let scratch = Scratch::new();
    assert!(scratch.ok(&["check"]).contains("not there yet"));
    scratch.ingest(&scratch.file("a.json", audit_record(1)));
    assert!(scratch.ok(&["check"]).contains("all views stand"));
    let date = scratch.lake().join("events/date=2026-03-05");
    let file = std::fs::read_dir(date).unwrap().next().unwrap().unwrap().path();
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[1..]).unwrap();
    let torn = scratch.run(&["check"]);
    assert_eq!(torn.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&torn.stdout).contains("restore them"), "{torn:?}");
    std::fs::write(&file, bytes).unwrap();
    let config = scratch.file("agentrail.toml", "[webhook]\nlisten = \"0.0.0.0:8088\"\n");
    let open = scratch.run(&["check", "--config", config.to_str().unwrap()]);
    assert_eq!(open.status.code(), Some(4));
    let config = scratch.file("agentrail.toml", "[webhook]\nlisten_on = \"x\"\n");
    let unknown = scratch.run(&["check", "--config", config.to_str().unwrap()]);
    assert_eq!(unknown.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&unknown.stdout).contains("did you mean"), "{unknown:?}");
    let doors = "[webhook]\nenabled = false\n[serve]\nhttp = \"127.0.0.1:8080\"\nflight = \"127.0.0.1:8080\"\nrows = 0\n";
    let config = scratch.file("agentrail.toml", doors);
    let doors = scratch.run(&["check", "--config", config.to_str().unwrap()]);
    let told = String::from_utf8_lossy(&doors.stdout);
    assert!(
        told.contains("the flight door has `127.0.0.1:8080` already") && told.contains("`rows = 0`"),
        "{told}"
    );
    assert!(scratch.ok(&["check", "--defaults"]).contains("retention_days = 0"));
}

#[test]
fn the_demo_answers_and_so_does_every_command_of_the_readme() {
    let scratch = Scratch::new();
    let lake = scratch.lake();
    let text = scratch.ok(&["demo", "--keep", lake.to_str().unwrap()]);
    assert!(text.contains("machine    kali") && text.contains("the agent was replaced"), "{text}");
    let told = ["agent", "evidence", "identity", "agentrail trace", "from four partitions of Event Hubs"];
    for word in told.iter().chain(&["agentrail detect agent_replaced", "has another key"]) {
        assert!(text.contains(*word), "no `{word}` in\n{text}");
    }
    scratch.file("exports/a.json", audit_record(1));
    scratch.file("recorded/deep/b.ndjson.gz", audit_record(2));
    let destination = "[[export.destinations]]\nname = \"soc\"\nkind = \"file\"\nurl = \"out\"\n";
    scratch.file("agentrail.toml", destination);
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let blocks = readme.split("```sh\n").skip(1).filter_map(|b| b.split("```").next());
    let lines: Vec<&str> = blocks.flat_map(str::lines).filter(|l| l.starts_with("agentrail ")).collect();
    assert!(lines.len() >= 9, "{lines:?}");
    for line in lines {
        let words = words(line);
        // Services run until they are stopped; their own tests do that.
        if words.first().is_none_or(|w| w != "run" && w != "serve") {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            assert!(!scratch.ok(&words).is_empty() || words == ["sql"], "{line}");
        }
    }
}

#[test]
fn a_lake_may_be_named_by_a_path_that_turns() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path("beside")).unwrap();
    let record = scratch.file("one.json", audit_record(1));
    let lake = scratch.path("beside/../own");
    let lake = lake.to_str().unwrap();
    scratch.ok(&["--lake", lake, "ingest", record.to_str().unwrap()]);
    // Again, where the folder is there already.
    scratch.ok(&["--lake", lake, "ingest", record.to_str().unwrap()]);
    let rows = scratch.ok(&["--lake", lake, "sql", "select count(*) as n from actions", "--format", "csv"]);
    assert_eq!(rows, "n\n1\n");
}

/// The arguments of a line as a shell would pass them: quotes hold words together, `#` ends it.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in line.trim_start_matches("agentrail").chars().chain([' ']) {
        match (quote, c) {
            (None, '#') => break,
            (None, '"' | '\'') => quote = Some(c),
            (Some(q), _) if q == c => quote = None,
            (None, ' ') if word.is_empty() => {}
            (None, ' ') => words.push(std::mem::take(&mut word)),
            _ => word.push(c),
        }
    }
    words
}

#[test]
fn old_input_is_refused_at_the_door() {
    let scratch = Scratch::new();
    let account = |name: &str, record: &str| -> serde_json::Value {
        let file = scratch.file(name, record);
        let mut ingest = scratch.command(&["ingest", "--format", "json", file.to_str().unwrap()]);
        let output = ingest.env("AGENTRAIL_LAKE__RETENTION_DAYS", "400").output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let event = account("old.json", &audit_record(1).replace("2026-03-05", "2020-03-05"));
    assert_eq!((event["events"].as_u64(), event["reasons"]["expired"].as_u64()), (Some(0), Some(1)));
    let job = r#"{"requestId":1,"planId":"p","planType":"Build","finishTime":"2020-03-05T14:00:00Z","result":"succeeded"}"#;
    let job = account("old-job.json", job);
    assert_eq!((job["facts"].as_u64(), job["reasons"]["expired"].as_u64()), (Some(0), Some(1)));
    assert_eq!(scratch.count("select count(*) from jobs"), 0);
}

#[test]
fn a_record_cut_by_its_writer_is_whole_once_the_rest_comes() {
    let scratch = Scratch::new();
    let text = (0..4).map(|n| audit_record(n) + "\n").collect::<String>();
    let file = scratch.file("cut.ndjson", &text[..text.len() / 2 + 100]);
    scratch.ingest(&file);
    std::fs::write(&file, &text).unwrap();
    scratch.ingest(&file);
    assert_eq!(scratch.count("select count(*) from actions"), 4);
    // The first half was told and kept, and is not said to be an event.
    assert_eq!(scratch.count("select count(*) from rejects"), 1);
}

#[test]
fn rows_appended_to_a_csv_export_lie_under_its_header() {
    let world = World::build(&Plan::demo());
    let export = export_csv(world.events());
    let events = world.events().len() as i64;
    let rows: Vec<usize> =
        export.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at).collect();
    // After a whole row, and within one.
    for (cut, halves) in [(rows[rows.len() / 2] + 1, 0), (rows[rows.len() / 2] + 100, 1)] {
        let scratch = Scratch::new();
        let file = scratch.file("export.csv", &export[..cut]);
        scratch.ingest(&file);
        std::fs::write(&file, &export).unwrap();
        scratch.ingest(&file);
        assert_eq!(scratch.count("select count(*) from actions"), events, "cut at {cut}");
        assert_eq!(scratch.count("select count(*) from rejects"), halves, "cut at {cut}");
    }
    // A byte order mark, and chunks smaller than the file: each has the header.
    let scratch = Scratch::new();
    let marked = scratch.file("marked.csv", [b"\xef\xbb\xbf".as_slice(), &export].concat());
    let done = scratch
        .command(&["ingest", marked.to_str().unwrap()])
        .env("AGENTRAIL_FILES__CHUNK", "8192")
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", says(&done));
    assert_eq!(scratch.count("select count(*) from actions"), events);
}

#[test]
fn gzip_on_standard_input_may_be_larger_than_a_chunk() {
    use std::io::Write as _;
    let scratch = Scratch::new();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    (0..500).for_each(|n| writeln!(gzip, "{}", audit_record(n)).unwrap());
    let file = scratch.file("in.gz", gzip.finish().unwrap());
    let done = scratch
        .command(&["ingest", "-"])
        .env("AGENTRAIL_FILES__CHUNK", "8192")
        .stdin(std::fs::File::open(file).unwrap())
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", says(&done));
    assert_eq!(scratch.count("select count(*) from actions"), 500);
}

#[test]
fn a_file_written_anew_at_the_same_size_is_read_anew() {
    let scratch = Scratch::new();
    let file = scratch.file("snapshot.json", audit_record(1));
    scratch.ingest(&file);
    std::thread::sleep(std::time::Duration::from_millis(20));
    std::fs::write(&file, audit_record(2)).unwrap();
    scratch.ingest(&file);
    assert_eq!(scratch.count("select count(*) from actions"), 2);
    // What is remembered is not read, unless it is asked for; a row is kept once all the same.
    let again = scratch.ok(&["ingest", "--again", "--format", "json", file.to_str().unwrap()]);
    let again: serde_json::Value = serde_json::from_str(&again).unwrap();
    assert_eq!((again["records"].as_u64(), scratch.count("select count(*) from actions")), (Some(1), 2));
}

#[test]
fn a_folder_that_is_no_lake_is_left_alone() {
    let scratch = Scratch::new();
    let mine = scratch.file("mine/letter.txt", "dear");
    let folder = mine.parent().unwrap().to_str().unwrap();
    let demo = scratch.run(&["demo", "--keep", folder]);
    assert!(!demo.status.success() && says(&demo).contains("empty"), "{}", says(&demo));
    for lake in [folder, mine.to_str().unwrap()] {
        let check = scratch.run(&["--lake", lake, "check"]);
        let printed = String::from_utf8_lossy(&check.stdout);
        assert!(!check.status.success() && printed.contains("name another folder"), "{printed}");
    }
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1);
}

#[test]
fn a_table_holds_nothing_that_a_terminal_obeys_and_links_to_files_are_read() {
    let scratch = Scratch::new();
    let file = scratch.file("elsewhere/event.json", audit_record(1).replace("web was", r"\u001b[2Jweb was"));
    let folder = scratch.path("links");
    std::fs::create_dir(&folder).unwrap();
    std::os::unix::fs::symlink(&file, folder.join("event.json")).unwrap();
    scratch.ingest(&folder);
    let table = scratch.ok(&["sql", "select details from actions"]);
    assert!(table.contains("[2Jweb was created") && !table.contains('\u{1b}'), "{table}");
    let rows = scratch.sql("select details from actions");
    assert_eq!(rows[0]["details"], "\u{1b}[2Jweb was created", "a program gets what was recorded");
}
