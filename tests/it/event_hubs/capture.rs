//! Files of Event Hubs Capture, written by another library than ours reads them with (Python's fastavro).

use crate::lake::Scratch;

#[test]
fn a_file_of_capture_is_ingested_like_the_messages_in_it() {
    let scratch = Scratch::new();
    let plain = scratch.file("0/2026/03/05/14/00/00.avro", include_bytes!("capture_null.avro"));
    let packed = scratch.file("0/2026/03/05/14/05/00.avro", include_bytes!("capture_deflate.avro"));
    // Alone, an array, no body, gzip, and no text.
    let account = scratch.ingest(&plain);
    assert_eq!((account["events"].as_u64(), account["rejects"].as_u64()), (Some(4), Some(1)), "{account}");
    let account = scratch.ingest(&packed);
    assert_eq!(account["tables"]["events"]["known_already"], 4, "{account}");
    assert_eq!(scratch.ingest(&plain)["records"], 0, "a file taken before is not taken again");
    assert_eq!(scratch.count("select count(*) from actions"), 4);
    let rows = scratch.sql("select says, source from rejects");
    assert_eq!(rows.len(), 1);
    let (_, json) = rows[0]["says"].as_str().unwrap().split_once("; it came with ").unwrap();
    let about: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!((&about["sequence_number"], &about["offset"]), (&4.into(), &"224".into()));
    assert_eq!(about["application_properties"], serde_json::json!({"n": 7, "x": "/w==", "d": 1.5}));
    assert_eq!(about["annotations"]["x-opt-enqueued-time"], 1_772_719_200_004_i64);
}

#[test]
fn a_damaged_file_keeps_what_can_be_read() {
    let scratch = Scratch::new();
    let whole = include_bytes!("capture_null.avro");
    let cut = scratch.file("cut.avro", &whole[..whole.len() - 30]);
    let account = scratch.ingest(&cut);
    assert!(account["events"].as_u64() >= Some(1), "{account}");
    assert_eq!(account["rejects"], 1, "{account}");
    let says = scratch.sql("select says from rejects")[0]["says"].to_string();
    assert!(says.contains("cannot be read on"), "{says}");
    // Grown to its whole length it is taken again.
    std::fs::write(&cut, whole).unwrap();
    scratch.ingest(&cut);
    assert_eq!(scratch.count("select count(*) from actions"), 4);
}
