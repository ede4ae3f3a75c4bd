//! Hostile requests: each is refused, bounded or harmless, and the server is well afterwards.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::Value as Json;

use super::open::{Door, bounds, demo};
use crate::lake::{Scratch, audit_record};

async fn is_well(door: &Door) {
    let (status, says) = door.text("/health/ready").await;
    assert_eq!((status, says.as_str()), (StatusCode::OK, "ready\n"));
    let (status, answer) = door.sql("select count(*) as n from actions").await;
    assert_eq!(status, StatusCode::OK, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_bounded_and_whoever_leaves_stops_a_query() {
    let bounds = agentrail::serve::Bounds { timeout: Duration::from_secs(20), rows: 50_000, ..bounds() };
    let door = Door::open(demo(), bounds).await;
    let many = door.get("/api/sql?q=select%20*%20from%20generate_series(1%2C1000000)&format=ndjson").await;
    assert!(many.bytes().await.is_err(), "more rows than may be came as if they were all");
    let leaves = "select count(*) from lake.events a, lake.events b, lake.events c, lake.events d where a.seq > b.seq + c.seq + d.seq";
    for _ in 0..6 {
        let asked = tokio::time::timeout(Duration::from_millis(100), door.sql(leaves)).await;
        assert!(asked.is_err());
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    is_well(&door).await;
}

/// Sends bytes as they are; what comes back until the other side hangs up or says nothing for a while.
fn raw(door: &Door, bytes: &[u8], patience: Duration) -> String {
    let mut stream = TcpStream::connect(door.address).unwrap();
    stream.set_read_timeout(Some(patience)).unwrap();
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut part) {
        answer.extend(&part[..count]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_bodies_hosts_and_other_sites_are_bounded() {
    let door = Door::open(demo(), bounds()).await;
    let host = door.address.to_string();
    let shortly = Duration::from_secs(60);
    let get = |path: &str, headers: &str| {
        format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{headers}connection: close\r\n\r\n")
    };
    let post = |headers: &str, body: &str| {
        format!(
            "POST /api/sql HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let many: String = (0..80).map(|n| format!("x-{n}: y\r\n")).collect();
    let json = "content-type: application/json\r\n";
    let sql = "{\"sql\":\"select 1\"}";
    let cases = [
        (get("/health/live", &format!("x: {}\r\n", "y".repeat(100_000))), &["431", "400"][..]),
        (get("/health/live", &many), &["431", "400"]),
        (get(&format!("/search?q={}", "x".repeat(100_000)), ""), &["414", "431", "400"]),
        (get("/api/sql?q=select%201", "sec-fetch-site: cross-site\r\nsec-fetch-mode: no-cors\r\n"), &["403"]),
        (post(&format!("{json}sec-fetch-site: cross-site\r\n"), sql), &["403"]),
        (post(&format!("{json}sec-fetch-site: same-site\r\n"), sql), &["403"]),
        (post(&format!("{json}origin: https://evil.example\r\n"), sql), &["403"]),
        (post(&format!("{json}origin: null\r\n"), sql), &["403"]),
        (post("content-type: text/plain\r\n", sql), &["415"]),
        (post("content-type: application/x-www-form-urlencoded\r\n", "sql=select+1"), &["415"]),
        (post("", sql), &["415"]),
        (post(json, "{"), &["400"]),
        (post(json, "{\"sql\":1}"), &["400"]),
        (post(json, "{\"sql\":\"select 1\",\"other\":1}"), &["400"]),
        (
            post(
                json,
                &format!("{{\"sql\":\"select $1\",\"params\":{}1{}}}", "[".repeat(500), "]".repeat(500)),
            ),
            &["400"],
        ),
        (post(json, &"x".repeat((1 << 20) + 1)), &["413"]),
        (
            format!("POST /api/sql HTTP/1.1\r\nhost: {host}\r\n{json}content-length: 99999999999\r\n\r\n"),
            &["413"],
        ),
        (
            format!(
                "POST /api/sql HTTP/1.1\r\nhost: {host}\r\n{json}transfer-encoding: chunked\r\n\r\n{}0\r\n\r\n",
                format!("10000\r\n{}\r\n", " ".repeat(0x10000)).repeat(17)
            ),
            &["413"],
        ),
        // A body that does not come.
        (
            format!("POST /api/sql HTTP/1.1\r\nhost: {host}\r\n{json}content-length: 20\r\n\r\n{{\"sql\""),
            &["408"],
        ),
        ("GET / HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n".to_owned(), &["421"]),
        ("GET / HTTP/1.1\r\nhost: 127.0.0.1.evil.example\r\nconnection: close\r\n\r\n".to_owned(), &["421"]),
        (
            format!("GET / HTTP/1.1\r\nhost: {host}\r\nhost: evil\r\nconnection: close\r\n\r\n"),
            &["421", "400"],
        ),
        ("GET / HTTP/1.1\r\nconnection: close\r\n\r\n".to_owned(), &["421", "400"]),
        ("GET / HTTP/1.0\r\n\r\n".to_owned(), &["421", "400"]),
        (get("/sign-out", ""), &["405"]),
        (format!("DELETE /api/sql HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"), &["405"]),
        (format!("TRACE / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"), &["405"]),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\u{7c}\r\n\r\n".to_owned(), &["400", ""]),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), &["400", "421", "505", ""]),
        (get("/../../etc/passwd", ""), &["404", "400"]),
        (get("/assets/../../../../etc/passwd", ""), &["404", "400"]),
        (get("/assets/%2e%2e%2f%2e%2e%2fetc%2fpasswd", ""), &["404", "400"]),
        (get("/trace/..%2f..%2fetc%2fpasswd", ""), &["404"]),
        (get("/record/..%2f..%2fetc%2fpasswd", ""), &["404"]),
        (get("/reports/..%2f..%2fetc%2fpasswd", ""), &["404"]),
        (get("/api/reports/..%2f..%2fetc%2fpasswd", ""), &["404"]),
        (get("/agent/..%2f../%2e%2e", ""), &["400", "404"]),
        (get("/run/build'%20or%201=1--/1", ""), &["404"]),
        (get("/identity/x'%20or%20'1'='1", ""), &["404"]),
        (get("/pool/contoso'%20or%201=1--/11", ""), &["404"]),
        (get("/trace/%ff%fe", ""), &["400"]),
        (get("/agent/contoso/99999999999999999999", ""), &["400"]),
    ];
    for (request, wanted) in cases {
        let answer = raw(&door, request.as_bytes(), shortly);
        let status = answer.split(' ').nth(1).unwrap_or_default();
        let first: String = request.chars().take(100).collect();
        assert!(wanted.contains(&status), "{first}\n{answer}");
        if answer.contains("content-type: text/html") {
            for header in
                ["content-security-policy: ", "x-content-type-options: nosniff", "x-frame-options: DENY"]
            {
                assert!(answer.contains(header), "{first}\n{answer}");
            }
        }
        assert!(!answer.contains("root:"), "{first}");
    }
    is_well(&door).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_heads_end_and_too_many_connections_are_told() {
    let door = Door::with(demo(), bounds(), None, 4).await;
    let began = Instant::now();
    let slow: Vec<TcpStream> = (0..4)
        .map(|n| {
            let mut stream = TcpStream::connect(door.address).unwrap();
            let parts: [&[u8]; 4] = [b"", b"GET / HT", b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx: ", b"P"];
            stream.write_all(parts[n]).unwrap();
            stream
        })
        .collect();
    std::thread::sleep(Duration::from_millis(300));
    let answer = raw(&door, b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n", Duration::from_secs(3));
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 1"), "{answer}");
    for mut stream in slow {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    }
    assert!(
        began.elapsed() < Duration::from_secs(18),
        "slow heads held their places for {:?}",
        began.elapsed()
    );
    is_well(&door).await;
}

const HOSTILE: [&str; 4] = [
    "<script>alert(1)</script>",
    "\"onmouseover=\"alert(2)",
    "javascript:alert(3)",
    "'><img src=x onerror=alert(4)>",
];

/// A lake in which every text that a record can hold is hostile.
pub fn hostile() -> Scratch {
    let scratch = demo();
    let mut lines = String::new();
    for (n, text) in HOSTILE.iter().enumerate() {
        let mut record: Json = serde_json::from_str(&audit_record(n as u32 + 900)).unwrap();
        let data = record["data"].as_object_mut().unwrap();
        for member in [
            "ActorUPN",
            "ProjectName",
            "UserAgent",
            "ActionId",
            "Details",
            "Area",
            "CategoryDisplayName",
            "ActorDisplayName",
            "IpAddress",
        ] {
            data.insert(member.to_owned(), (*text).into());
        }
        data.insert("ScopeDisplayName".to_owned(), format!("{text} (Organization)").into());
        data.insert(
            "Data".to_owned(),
            serde_json::json!({ "RepoName": text, "PipelineName": text, (*text): text }),
        );
        let at = format!("2026-03-05T14:1{n}:00Z");
        let job = serde_json::json!({
            "requestId": 7000 + n, "assignTime": at, "receiveTime": at, "finishTime": "2026-03-05T15:00:00Z", "result": text,
            "hostId": "5b000000-0000-4000-8000-000000000001", "scopeId": "5b000000-0000-4000-8000-000000000002",
            "planType": "Build", "planId": format!("3d000000-0000-4000-8000-00000000099{n}"),
            "jobId": "7f000000-0000-4000-8000-000000000001", "poolId": 77, "jobName": text,
            "definition": { "id": 70 + n, "name": text }, "owner": { "id": 7000 + n, "name": text },
            "reservedAgent": { "id": 7000 + n, "name": text, "version": text, "osDescription": text },
        });
        lines.push_str(&format!("{record}\n{job}\n"));
    }
    scratch.ingest(&scratch.file("hostile.ndjson", lines));
    assert!(scratch.count("select count(*) from actions where actor_name like '%alert(%'") >= 4);
    assert!(scratch.count("select count(*) from jobs where agent_name like '%alert(%'") >= 4);
    scratch
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_holds_what_a_record_says_unescaped() {
    let door = Door::open(hostile(), bounds()).await;
    let mut from = vec!["/".to_owned()];
    for text in HOSTILE {
        let own: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
        let own = own.replace('+', "%20");
        from.push(format!("/search?q={own}"));
        from.push(format!(
            "/sql?q=select%20'{}'%20as%20%22{}%22",
            own.replace("'", "''"),
            own.replace("%22", "%22%22")
        ));
        from.push(format!("/reports/agent_actions?agent={own}"));
        from.push(format!("/identity/{own}"));
    }
    for n in 0..4 {
        from.push(format!("/trace/a1000000-0000-4000-8000-{:012x}", n + 900));
        from.push(format!("/run/build/{}", 7000 + n));
    }
    from.push("/sql?q=select%20*%20from%20actions%20order%20by%20occurred%20desc%20limit%20100".to_owned());
    from.push("/sql?q=select%20*%20from%20jobs%20order%20by%20queued%20desc%20limit%20100".to_owned());
    let from: Vec<&str> = from.iter().map(String::as_str).collect();
    let mut pages = door.walk(&from, 45).await;
    for text in HOSTILE {
        let own: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
        let own = own.replace('+', "%20");
        for path in [
            format!("/trace/{own}"),
            format!("/record/{own}"),
            format!("/agent/{own}/1"),
            format!("/run/{own}/1"),
            format!("/pool/{own}/1"),
            format!("/reports/{own}"),
            format!("/{own}"),
            format!("/sign-in?next={own}"),
        ] {
            let (_, page) = door.text(&path).await;
            pages.insert(path, page);
        }
    }
    let mut shown = 0;
    for (path, page) in &pages {
        for raw in ["<script>alert", "<img src=x", "\"onmouseover=\"", "href=\"javascript:", "href='"] {
            assert!(!page.contains(raw), "{path} holds {raw}");
        }
        shown += usize::from(page.contains("&lt;script&gt;alert(1)"));
    }
    assert!(shown > 8, "the hostile texts are shown on {shown} of {} pages", pages.len());
    let head = door.get("/").await;
    let policy = head.headers()["content-security-policy"].to_str().unwrap();
    assert!(
        policy.contains("default-src 'none'")
            && policy.contains("frame-ancestors 'none'")
            && !policy.contains("unsafe")
    );
    assert_eq!(head.headers()["x-content-type-options"], "nosniff");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_inside_is_an_answer_and_the_next_question_is_answered() {
    let door = Door::open(demo(), bounds()).await;
    let asker =
        agentrail::serve::Asker::new(std::sync::Arc::new(agentrail::serve::Person::local()), "http", None);
    // As the engine would, while it plans; and while a page is worked out.
    let asked = door.gate.ask(&asker, "breaks", async |_| panic!("on purpose")).await;
    assert!(asked.is_err_and(|refusal| refusal.to_string().starts_with("answer: ")));
    let worked = door.gate.work(&asker, "breaks", async |_| -> Result<(), _> { panic!("on purpose") }).await;
    assert!(worked.is_err_and(|refusal| refusal.to_string().starts_with("answer: ")));
    // Values that a form cannot hold are told with a status, and break nothing off.
    for form in ["json", "ndjson", "csv"] {
        let (status, says) = door
            .text(&format!(
                "/api/sql?q=select%20to_timestamp_seconds(9223372036854775807)%20as%20t&format={form}"
            ))
            .await;
        assert!(
            status == StatusCode::OK || status == StatusCode::UNPROCESSABLE_ENTITY,
            "{form}: {status} {says}"
        );
        assert!(!says.is_empty(), "{form}");
    }
    is_well(&door).await;
    door.gate.written().await;
    let written = door.scratch.sql("select outcome, says from queries_log where query = 'breaks'");
    assert!(written.len() == 2 && written.iter().all(|row| row["outcome"] == "failed"), "{written:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn long_tables_turn_page_by_page_and_every_row_is_on_one() {
    let door = Door::open(demo(), bounds()).await;
    let sql = "/sql?q=select%20value%20from%20generate_series(1%2C450)%20order%20by%20value";
    let mut here = sql.to_owned();
    let mut seen = Vec::new();
    loop {
        let (status, page) = door.text(&here).await;
        assert_eq!(status, StatusCode::OK, "{here}");
        let table = page.split("<tbody>").nth(1).unwrap().split("</tbody>").next().unwrap();
        let cells = table.split("<td class=\"n\">").skip(1);
        seen.extend(cells.map(|cell| cell.split('<').next().unwrap().parse::<u32>().unwrap()));
        match page.split("rel=\"next\" href=\"").nth(1) {
            Some(next) => here = next.split('"').next().unwrap().replace("&amp;", "&"),
            None => break,
        }
    }
    assert_eq!(seen, (1..=450).collect::<Vec<_>>());
    for (from, says) in
        [("500", "no more than 500 rows"), ("x", "first 200 rows"), ("99999999", "no more than 100000 rows")]
    {
        let (_, page) = door.text(&format!("{sql}&from.rows={from}")).await;
        assert!(page.contains(says), "{from}\n{page}");
    }
    let (_, page) = door.text("/pool/contoso/11?from.jobs=1&from.agents=2").await;
    assert!(page.contains("rows 2 to ") && page.contains("rows 3 to "), "{page}");
}
