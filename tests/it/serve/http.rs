//! The API in each of its forms, its document, health, and a walk through all pages.

use std::io::Cursor;

use agentrail::serve::Role;
use arrow::ipc::reader::StreamReader;
use reqwest::StatusCode;
use serde_json::Value as Json;

use super::open::{Door, bounds, demo, user};

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_is_answered_in_every_form() {
    let door = Door::open(demo(), bounds()).await;
    let (status, answer) =
        door.sql("select action, grade, evidence from actions order by occurred limit 3").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!((answer["count"].as_u64(), answer["rows"].as_array().unwrap().len()), (Some(3), 3));
    assert_eq!(answer["columns"][1]["name"], "grade");
    let count = door.scratch.count("select count(*) from actions") as usize;
    let q = "/api/sql?q=select%20event_id%2C%20occurred%2C%20evidence%20from%20actions";
    let (_, ndjson) = door.text(&format!("{q}&format=ndjson")).await;
    assert_eq!(ndjson.lines().count(), count);
    assert!(ndjson.lines().all(|line| serde_json::from_str::<Json>(line).unwrap()["event_id"].is_string()));
    let (_, csv) = door.text(&format!("{q}&format=csv")).await;
    assert_eq!((csv.lines().next(), csv.lines().count()), (Some("event_id,occurred,evidence"), count + 1));
    let arrow =
        door.asks(door.client.get(door.url(q))).header("accept", "application/vnd.apache.arrow.stream");
    let arrow = arrow.send().await.unwrap();
    assert_eq!(arrow.headers()["content-type"], "application/vnd.apache.arrow.stream");
    let bytes = arrow.bytes().await.unwrap();
    let rows: usize =
        StreamReader::try_new(Cursor::new(bytes), None).unwrap().map(|b| b.unwrap().num_rows()).sum();
    assert_eq!(rows, count);
    let saved = door.get(&format!("{q}&format=csv&download=a%22b%0d%0ac")).await;
    assert_eq!(saved.headers()["content-disposition"], "attachment; filename=\"a_b__c.csv\"");
    // No row at all is an answer as well.
    let (_, none) = door.sql("select 1 as one where false").await;
    assert_eq!((none["count"].as_u64(), &none["columns"][0]["name"]), (Some(0), &Json::from("one")));
    for form in ["csv", "ndjson", "arrow"] {
        let (status, _) = door.text(&format!("/api/sql?q=select%201%20where%20false&format={form}")).await;
        assert_eq!(status, StatusCode::OK, "{form}");
    }
    let (_, values) = door
        .text("/api/sql?q=select%20%24a%20as%20a%2C%20%24b%20%2B%201%20as%20b&text.a=x'y&int.b=4&format=csv")
        .await;
    assert_eq!(values, "a,b\nx'y,5\n");
    let body = r#"{"sql":"select $1 as a, $2 as b","params":["it's",2.5]}"#;
    let posted = door
        .client
        .post(door.url("/api/sql?format=csv"))
        .header("content-type", "application/json")
        .body(body);
    assert_eq!(posted.send().await.unwrap().text().await.unwrap(), "a,b\nit's,2.5\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_says_so_before_and_after_the_first_row() {
    let door = Door::open(demo(), bounds()).await;
    let (status, problem) = door.sql("selec 1").await;
    assert_eq!((status, problem["status"].as_u64()), (StatusCode::BAD_REQUEST, Some(400)));
    assert!(problem["detail"].as_str().unwrap().starts_with("failed to run the statement"), "{problem}");
    for (path, wanted) in [
        ("/api/sql", 400),
        ("/api/sql?q=select%201&format=xml", 400),
        ("/api/sql?q=select%201&nonsense=1", 400),
        ("/api/sql?q=select%20%24a&int.a=x", 400),
        ("/api/reports/agent_action", 404),
        ("/api/reports/agent_actions", 400),
        ("/api/reports/agent_actions?agent=x&other=y", 400),
        ("/api/trace/nothing-of-this-name", 404),
        ("/api/trace/x?limit=0", 400),
        ("/api/nowhere", 404),
    ] {
        let response = door.get(path).await;
        assert_eq!(response.status().as_u16(), wanted, "{path}");
        assert_eq!(response.headers()["content-type"], "application/problem+json", "{path}");
        let text = response.text().await.unwrap();
        let problem: Json = serde_json::from_str(&text).unwrap();
        assert!(problem["detail"].as_str().unwrap().starts_with("failed to "), "{problem}");
    }
    // It breaks in the last of many rows: what came is not taken for the whole.
    let late = "/api/sql?q=select%20v%2C%201%2F(v-900000)%20as%20w%20from%20generate_series(1%2C1000000)%20as%20t(v)";
    for form in ["json", "ndjson", "csv", "arrow"] {
        let mut response = door.get(&format!("{late}&format={form}")).await;
        assert_eq!(response.status(), StatusCode::OK);
        let mut body = Vec::new();
        let broke = loop {
            match response.chunk().await {
                Ok(Some(part)) => body.extend(part),
                Ok(None) => break false,
                Err(_) => break true,
            }
        };
        assert!(broke, "{form} ended as if it were whole");
        let text = String::from_utf8_lossy(&body);
        match form {
            "json" => assert!(serde_json::from_str::<Json>(&text).unwrap()["error"]["detail"].is_string()),
            "ndjson" => assert!(text.lines().last().unwrap().starts_with("{\"error\":")),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_names_what_there_is_and_health_needs_no_sign_in() {
    let mut door = Door::with(demo(), bounds(), Some(vec![user("ada", Role::Admin, &[], &[])]), 100).await;
    let (_, text) = door.text("/api/openapi.json").await;
    let document: Json = serde_json::from_str(&text).unwrap();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let concrete = path.replace("{id}", "linux-build-01").replace("{name}", "grades");
        for (method, operation) in operations.as_object().unwrap() {
            let is_open = operation["security"].as_array().is_some_and(Vec::is_empty);
            for token in [None, Some("bearer of ada")] {
                door.token = token;
                let method = reqwest::Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                let is_post = method == reqwest::Method::POST;
                let query = if concrete == "/api/sql" && !is_post { "?q=select%201" } else { "" };
                let mut request = door.client.request(method, door.url(&format!("{concrete}{query}")));
                if is_post {
                    request =
                        request.header("content-type", "application/json").body("{\"sql\":\"select 1\"}");
                }
                let response = door.asks(request).send().await.unwrap();
                let wanted = if is_open || token.is_some() { 200 } else { 401 };
                assert_eq!(response.status().as_u16(), wanted, "{path} as {token:?}");
                let told = &operation["responses"][wanted.to_string()]["content"];
                let kind = response.headers()["content-type"]
                    .to_str()
                    .unwrap()
                    .split(';')
                    .next()
                    .unwrap()
                    .to_owned();
                assert!(told[&kind].is_object(), "{path} answers {kind}, of which the document says nothing");
            }
        }
    }
    door.token = Some("bearer of ada");
    let (_, metrics) = door.text("/metrics").await;
    for name in [
        "agentrail_table_rows{table=\"events\"}",
        "agentrail_queries_total{door=\"http\",outcome=\"done\"}",
        "agentrail_http_connections ",
    ] {
        assert!(metrics.contains(name), "{name} is not in\n{metrics}");
    }
    for (sql, name) in [
        ("show tables", "table_name"),
        ("select distinct table_name from information_schema.tables", "table_name"),
        ("select column_name from information_schema.columns where table_name = 'actions'", "column_name"),
    ] {
        let (status, told) = door.sql(sql).await;
        assert!(status.is_success() && told["rows"][0][name].is_string(), "{sql}: {told}");
    }
    // An object has a name once.
    let twice = "select a.event_id, b.event_id, a.grade as event_id_2 from actions a \
        join actions b on a.event_id = b.event_id where a.grade = 'sole' limit 1";
    let (_, told) = door.sql(twice).await;
    let row = &told["rows"][0];
    assert!(row["event_id"].is_string() && row["event_id"] == row["event_id_3"], "{told}");
    assert_eq!((&row["event_id_2"], &told["columns"][1]["name"]), (&"sole".into(), &"event_id_3".into()));
    let (status, says) = door.text("/api/reports/agent_actions?agent=a&agent=b").await;
    assert!(status == 400 && says.contains("`agent`") && says.contains("more than once"), "{says}");
    door.gate.written().await;
    let asked =
        door.scratch.sql("select person, door, client, outcome from queries_log where query = 'select 1'");
    assert!(
        !asked.is_empty() && asked.iter().all(|row| row["person"] == "ada" && row["client"] == "127.0.0.1")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_and_the_reports_are_as_on_the_command_line() {
    let door = Door::open(demo(), bounds()).await;
    let event =
        door.scratch.sql("select event_id from actions where grade = 'exact' limit 1")[0]["event_id"].clone();
    let event = event.as_str().unwrap().to_owned();
    let (_, text) = door.text(&format!("/api/trace/{event}")).await;
    let told = door.scratch.ok(&["trace", "--format", "json", &event]);
    let (mine, theirs): (Json, Json) =
        (serde_json::from_str(&text).unwrap(), serde_json::from_str(&told).unwrap());
    assert_eq!(mine, theirs);
    let (_, page) = door.text(&format!("/trace/{event}")).await;
    let told = door.scratch.ok(&["trace", &event]);
    let sure = told.lines().find_map(|line| line.trim().strip_prefix("sure")).unwrap().trim().to_owned();
    let raised =
        told.lines().find_map(|line| line.trim().strip_prefix("raised by")).unwrap().trim().to_owned();
    for says in [sure, raised, event] {
        let says =
            says.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&#39;");
        assert!(page.contains(&says), "the page does not say `{says}`\n{page}");
    }
    let (_, mine) = door.text("/api/reports/agent_actions?agent=linux-build-01&format=csv").await;
    assert_eq!(
        mine,
        door.scratch.ok(&["report", "agent_actions", "--param", "agent=linux-build-01", "--format", "csv"])
    );
    let (_, list) = door.text("/api/reports").await;
    let list: Json = serde_json::from_str(&list).unwrap();
    assert_eq!(list["reports"].as_array().unwrap().len(), 25);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_leads_to_pages_that_are_there() {
    let door = Door::open(demo(), bounds()).await;
    let event =
        "select event_id, record_hash from actions where grade = 'exact' and agent_id is not null limit 1";
    let event = door.scratch.sql(event).remove(0);
    let [event, record] = ["event_id", "record_hash"].map(|name| event[name].as_str().unwrap().to_owned());
    let from = [
        "/",
        &format!("/trace/{event}"),
        &format!("/record/{record}"),
        "/pool/contoso/11",
        "/run/build/700",
        "/identity/5a000000-0000-4000-8000-000000001001",
        "/reports/grades",
        "/search?q=linux",
        "/sql?q=select%20grade%2C%20count(*)%20as%20n%20from%20actions%20group%20by%201",
    ];
    let pages = door.walk(&from, 48).await;
    for kind in ["/trace/", "/agent/", "/identity/", "/run/", "/pool/", "/record/", "/reports/", "/sql?"] {
        assert!(
            pages.keys().any(|path| path.starts_with(kind)),
            "no page of {kind} among {:?}",
            pages.keys()
        );
    }
    for (path, text) in &pages {
        assert!(text.contains("<main id=\"main\"") && text.contains("lang=\"en\""), "{path}");
        assert!(!text.contains(" style=") && !text.contains("<script>"), "{path} breaks its own policy");
        assert_eq!(text.matches("<table>").count(), text.matches("<caption").count(), "{path}");
        assert_eq!(text.matches("<h1").count(), 1, "{path}");
    }
    // Downloads of the tables hold what the pages show.
    let mut downloads: Vec<String> = pages.values().flat_map(|text| super::open::links(text)).collect();
    downloads.retain(|link| link.contains("format=csv"));
    downloads.sort();
    downloads.dedup();
    assert!(downloads.len() > 20);
    for link in downloads.iter().step_by(downloads.len() / 20) {
        let (status, text) = door.text(link).await;
        assert_eq!(status, StatusCode::OK, "{link}\n{text}");
    }
    for (q, place) in [("linux-build-01", "/agent/"), ("2026-03-05", "")] {
        let response = door.get(&format!("/search?q={q}")).await;
        let there = response.headers().get("location").map(|there| there.to_str().unwrap().to_owned());
        assert!(there.unwrap_or_default().starts_with(place), "{q}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_shows_the_days_that_are_asked_for() {
    let door = Door::open(demo(), bounds()).await;
    // All that the report says of the pool, from its own page of the last days.
    let (_, page) = door.text("/pool/contoso/11").await;
    let (_, of_all) = door.text("/api/reports/pool_utilisation?format=csv").await;
    let of_pool: Vec<Vec<&str>> = of_all
        .lines()
        .map(|line| line.split(',').collect::<Vec<_>>())
        .filter(|row| row[..2] == ["contoso", "11"])
        .map(|row| row[3..].to_vec())
        .collect();
    let link =
        super::open::links(&page).into_iter().find(|link| link.contains("format=csv&download=utilisation"));
    let (status, own) = door.text(&link.unwrap()).await;
    assert_eq!(status, StatusCode::OK, "{own}");
    let mut own: Vec<Vec<&str>> = own.lines().skip(1).map(|line| line.split(',').collect()).collect();
    own.reverse();
    assert!(!own.is_empty());
    assert_eq!(own, of_pool);
    let day = own[0][0].get(..10).unwrap();
    let (_, page) = door.text(&format!("/pool/contoso/11?since={day}&until=")).await;
    assert!(page.contains(&format!("name=\"since\" type=\"date\" value=\"{day}\"")), "{page}");
    assert!(!page.contains("in these days"), "{page}");

    let (_, page) = door.text("/pool/contoso/11?since=2001-02-03&until=2001-02-04").await;
    assert!(page.contains("No job is known to have run in it in these days"), "{page}");
    let (status, page) = door.text("/pool/contoso/11?since=yesterday").await;
    assert!(status == StatusCode::BAD_REQUEST && page.contains("write it as 2026-03-05"), "{page}");
    let (status, _) = door.text("/pool/contoso/404?since=2001-02-03").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_shows_the_days_that_are_asked_for() {
    let door = Door::open(demo(), bounds()).await;
    let most = "select agent_id, count(*) as n, cast(min(cast(queued as date)) as varchar) as day from jobs \
        where organization = 'contoso' and agent_id is not null group by 1 order by 2 desc limit 1";
    let most = door.scratch.sql(most).remove(0);
    let [id, day] = ["agent_id", "day"].map(|name| most[name].to_string().trim_matches('"').to_owned());
    let here = format!("/agent/contoso/{id}");
    // All that the lake has of it, as all lies within the last days.
    for (part, of) in [("jobs", "jobs"), ("actions", "actions")] {
        let count = format!("select count(*) from {of} where organization = 'contoso' and agent_id = {id}");
        let count = door.scratch.count(&count) as usize;
        let (_, page) = door.text(&here).await;
        let link = super::open::links(&page)
            .into_iter()
            .find(|link| link.contains(&format!("format=csv&download={part}")));
        let (_, rows) = door.text(&link.unwrap()).await;
        assert!(count > 0);
        assert_eq!(rows.lines().count(), count + 1, "{part}");
    }
    let (_, page) = door.text(&format!("{here}?since={day}&until=")).await;
    assert!(page.contains(&format!("name=\"since\" type=\"date\" value=\"{day}\"")), "{page}");
    assert!(!page.contains("in these days"), "{page}");
    // The days before these have none, and the days after those are these again.
    let to = |page: &str, name: &str| {
        let link = page.split("<a href=\"").find(|part| part.contains(&format!(">{name}</a>"))).unwrap();
        link.split('"').next().unwrap().replace("&amp;", "&")
    };
    let (_, before) = door.text(&to(&page, "Days before")).await;
    assert!(before.contains("No job is known to have run on it in these days"), "{before}");
    assert!(before.contains("No action of these days is certain"), "{before}");
    let (_, again) = door.text(&to(&before, "Days after")).await;
    assert_eq!(to(&again, "Days before"), to(&page, "Days before"));
    assert!(!again.contains("in these days"), "{again}");
    let (status, page) = door.text(&format!("{here}?until=2026-02-30")).await;
    assert!(status == StatusCode::BAD_REQUEST && page.contains("write it as 2026-03-05"), "{page}");
    let (status, _) = door.text("/agent/contoso/404404?since=2001-02-03").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}
