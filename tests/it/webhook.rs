//! The webhook with other people's clients: acknowledged means durable and visible.

use crate::lake::{Scratch, Service, audit_record, request};

#[test]
fn an_acknowledged_event_is_there_and_survives_a_kill() {
    let scratch = Scratch::new();
    let mut service = Service::start(&scratch, &[("AGENTRAIL_WEBHOOK__HEC_TOKENS", "secret")]);
    for n in 0..20 {
        let body = format!("{{\"event\":{}}}", audit_record(n));
        let (status, answer) = service.request(
            "POST",
            "/services/collector/event",
            &[("Authorization", "Splunk secret")],
            body.as_bytes(),
        );
        assert_eq!((status, answer.as_str()), (200, r#"{"text":"Success","code":0}"#));
        if n == 10 {
            // Visible to another process while the service runs.
            assert_eq!(scratch.count("select count(*) from actions"), 11);
        }
    }
    service.child.kill().unwrap();
    drop(service);
    assert_eq!(scratch.count("select count(*) from actions"), 20);
}

#[test]
fn a_stop_signal_drains_and_ends_well() {
    let scratch = Scratch::new();
    let service = Service::start(&scratch, &[]);
    let (status, _) = service.request("POST", "/eventgrid", &[], format!("[{}]", audit_record(1)).as_bytes());
    assert_eq!(status, 200);
    assert!(service.stop().success());
    assert_eq!(scratch.count("select count(*) from actions"), 1);
}

#[test]
fn wrong_tokens_and_wrong_bodies_are_answered_as_documented() {
    let scratch = Scratch::new();
    let service = Service::start(
        &scratch,
        &[
            ("AGENTRAIL_WEBHOOK__HEC_TOKENS", "secret"),
            ("AGENTRAIL_WEBHOOK__EVENT_GRID_KEYS", "key"),
            ("AGENTRAIL_WEBHOOK__HOOK_CREDENTIALS", "ada:pass"),
            ("AGENTRAIL_WEBHOOK__MAX_BODY", "2000"),
            ("AGENTRAIL_DECODE__MAX_INFLATED", "100000"),
        ],
    );
    let record = audit_record(1);
    let hec =
        |headers: &[(&str, &str)], body: &[u8]| service.request("POST", "/services/collector", headers, body);
    assert_eq!(hec(&[], record.as_bytes()).0, 401);
    assert_eq!(hec(&[("Authorization", "Splunk wrong")], record.as_bytes()).0, 403);
    assert_eq!(hec(&[("Authorization", "Splunk secret")], b"").0, 400);
    assert_eq!(hec(&[("Authorization", "Splunk secret")], &[b'x'; 3000]).0, 413);
    for path in ["/services/collector/health", "/services/collector/health/1.0"] {
        assert_eq!(service.request("GET", path, &[], b"").0, 200);
    }
    let (status, answer) = service.request("POST", "/services/collector/ack", &[], b"{\"acks\":[0]}");
    assert_eq!((status, answer.as_str()), (400, r#"{"text":"ACK is disabled","code":14}"#));
    assert_eq!(service.request("POST", "/eventgrid", &[], record.as_bytes()).0, 401);
    assert_eq!(service.request("POST", "/eventgrid?code=key", &[], record.as_bytes()).0, 200);
    assert_eq!(service.request("POST", "/hooks", &[("Authorization", "Basic YWRhOndyb25n")], b"{}").0, 401);
    let (status, _) = service.request(
        "POST",
        "/hooks",
        &[("Authorization", "Basic YWRhOnBhc3M=")],
        br#"{"id":"a0","eventType":"agentqueue.created","publisherId":"d","resource":{"queueId":1,"queueName":"q"}}"#,
    );
    assert_eq!(status, 200);
    // Bad input is data: kept whole, and acknowledged.
    assert_eq!(hec(&[("Authorization", "Splunk secret")], b"{\"event\": nonsense").0, 200);
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut bomb, &vec![b' '; 1 << 20]).unwrap();
    let bomb = bomb.finish().unwrap();
    assert_eq!(hec(&[("Authorization", "Splunk secret")], &bomb).0, 200);
    assert_eq!(scratch.count("select count(*) from rejects where reason = 'limit'"), 1);
    assert_eq!(scratch.count("select count(*) from rejects where reason = 'syntax'"), 1);
    assert_eq!(scratch.count("select count(*) from facts where kind = 'hook.agentqueue.created'"), 1);
    assert_eq!(service.request("GET", "/nothing", &[], b"").0, 404);
}

#[test]
fn event_grid_shakes_hands_both_ways() {
    let scratch = Scratch::new();
    let service = Service::start(&scratch, &[]);
    let body = r#"[{"id":"2d1781af","topic":"/t","subject":"","data":{"validationCode":"512d38b6","validationUrl":"https://example.com/validate"},"eventType":"Microsoft.EventGrid.SubscriptionValidationEvent","eventTime":"2026-01-25T22:12:19.4556811Z","metadataVersion":"1","dataVersion":"1"}]"#;
    let (status, answer) = service.request(
        "POST",
        "/eventgrid",
        &[("aeg-event-type", "SubscriptionValidation")],
        body.as_bytes(),
    );
    assert_eq!(status, 200);
    assert!(answer.contains(r#""validationResponse":"512d38b6""#), "{answer}");
    let (status, _) =
        service.request("OPTIONS", "/eventgrid", &[("WebHook-Request-Origin", "eventgrid.azure.net")], b"");
    assert_eq!(status, 200);
}

#[test]
fn a_bulk_ingest_beside_the_service_loses_and_doubles_nothing() {
    let scratch = Scratch::new();
    let service = Service::start(&scratch, &[("AGENTRAIL_COMMIT__MAINTAIN_EVERY", "1")]);
    let file = scratch.file("bulk.ndjson", (0..3000).map(|n| audit_record(n) + "\n").collect::<String>());
    let other =
        scratch.file("overlap.ndjson", (1500..4500).map(|n| audit_record(n) + "\n").collect::<String>());
    let children: Vec<_> = [file, other]
        .iter()
        .map(|f| {
            scratch
                .command(&["ingest", f.to_str().unwrap()])
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for n in (0..5000).step_by(100) {
        let (status, answer) =
            request(&service.address, "POST", "/services/collector", &[], audit_record(n).as_bytes())
                .unwrap();
        assert_eq!(status, 200, "{answer}");
    }
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert!(service.stop().success());
    let (rows, distinct) = (
        scratch.count("select count(*) from actions"),
        scratch.count("select count(distinct event_id) from actions"),
    );
    assert_eq!((rows, distinct), (4505, 4505));
}

#[test]
fn a_splunk_client_of_somebody_else_is_understood() {
    let Some(python) = crate::readers::python() else { return };
    let scratch = Scratch::new();
    let service = Service::start(&scratch, &[("AGENTRAIL_WEBHOOK__HEC_TOKENS", "secret")]);
    let records: String = (0..300).map(|n| audit_record(n) + "\n").collect();
    let file = scratch.file("records.ndjson", records);
    let port = service.address.rsplit(':').next().unwrap();
    let said = crate::readers::run(
        &python,
        "import sys, json\n\
         from splunk_http_event_collector import http_event_collector\n\
         c = http_event_collector('secret', '127.0.0.1', http_event_port=sys.argv[1], http_event_server_ssl=False)\n\
         assert c.check_connectivity()\n\
         for line in open(sys.argv[2]):\n    c.batchEvent({'event': json.loads(line)})\n\
         c.flushBatch()\n\
         print('sent')",
        &[port, file.to_str().unwrap()],
    );
    assert_eq!(said, "sent");
    assert_eq!(scratch.count("select count(distinct event_id) from actions"), 300);
}
