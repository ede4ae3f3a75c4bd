//! S3 as moto has it: conditional puts, several lakes open at once, another reader.

use std::process::Command;

use serde_json::json;

use super::{Remote, records, serve};
use crate::lake::Scratch;
use crate::readers::{python, run};

#[test]
fn a_lake_on_s3_keeps_every_key_once() {
    let Some(python) = python() else { return };
    let (_server, port) = serve(|port| {
        let mut command = Command::new(&python);
        command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
        command
    });
    let endpoint = format!("http://127.0.0.1:{port}");
    run(
        &python,
        "import sys, boto3\n\
         boto3.client('s3', endpoint_url=sys.argv[1], aws_access_key_id='id', aws_secret_access_key='key',\n\
                      region_name='us-east-1').create_bucket(Bucket='lakes')",
        &[&endpoint],
    );
    let lake = Remote {
        scratch: Scratch::new(),
        url: "s3://lakes/some/where".to_owned(),
        environment: vec![
            ("AGENTRAIL_STORAGE__ENDPOINT", endpoint.clone()),
            ("AGENTRAIL_STORAGE__REGION", "us-east-1".to_owned()),
            ("AGENTRAIL_STORAGE__ACCESS_KEY_ID", "id".to_owned()),
            ("AGENTRAIL_STORAGE__SECRET_ACCESS_KEY", "env:THE_KEY".to_owned()),
            ("THE_KEY", "key".to_owned()),
        ],
        options: json!({
            "access_key_id": "id", "secret_access_key": "key", "endpoint": endpoint, "region": "us-east-1",
            "allow_http": "true",
        }),
    };
    // moto looks and then writes, so two at the same moment could both be told that they were first, as
    // S3 never says; one after the other, and killed in between, is what it can show.
    let mut rows = 0;
    for (n, failpoint) in [None, Some("entry_linked:1"), Some("parquet_synced:1")].into_iter().enumerate() {
        let from = n as u32 * 100;
        let file = lake.scratch.file(&format!("{n}.ndjson"), records(from..from + 130));
        if failpoint.is_some() {
            assert!(!lake.start(&[&file], failpoint).wait().unwrap().success());
        }
        let account = lake.ingest(&[&file]);
        assert_eq!(account["events"], 130);
        rows = i64::from(from) + 130;
    }
    assert_eq!(lake.count("select count(*) from actions"), rows);
    // What lies in a bucket is ingested as well, by the same credential.
    run(
        &python,
        "import sys, boto3\n\
         s3 = boto3.client('s3', endpoint_url=sys.argv[1], aws_access_key_id='id', aws_secret_access_key='key',\n\
                           region_name='us-east-1')\n\
         [s3.put_object(Bucket='lakes', Key=f'in/{name}.ndjson', Body=sys.argv[2]) for name in ('a b', 'c')]",
        &[&endpoint, &records(1000..1010)],
    );
    let account = |again: &str| -> serde_json::Value {
        serde_json::from_str(&lake.ok(&["ingest", "--format", "json", again])).unwrap()
    };
    let read = account("s3://lakes/in/**/*.ndjson");
    assert_eq!((&read["records"], &read["tables"]["events"]["added"]), (&20.into(), &10.into()), "{read}");
    assert_eq!(account("s3://lakes/in")["records"], 0);
    rows += 10;
    lake.ok(&["maintain"]);
    assert!(lake.ok(&["check"]).contains("all are there"));
    assert_eq!(lake.counted_by_deltalake(&python), format!("{rows} {rows}"));
}
