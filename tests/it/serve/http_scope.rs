//! Who may see what: sign-in by token, password and the page, scopes, masked columns, who is out at once.

use agentrail::serve::{Role, Users, Verifier};
use reqwest::StatusCode;

use super::open::{Door, bounds, demo, user};

const SHOP: &str = "5b000000-0000-4000-8000-000000001001";

async fn open() -> Door {
    let users = vec![
        user("ada", Role::Admin, &[], &[]),
        user("ned", Role::Analyst, &["contoso"], &[]),
        user("rita", Role::Reader, &["contoso"], &[SHOP]),
        user("otto", Role::Analyst, &["fabrikam"], &[]),
    ];
    Door::with(demo(), bounds(), Some(users), 100).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_holds_on_every_road() {
    let mut door = open().await;
    let of = |project: &str, door: &Door| {
        let sql = format!(
            "select event_id, record_hash from actions where project = '{project}' and grade = 'sole' limit 1"
        );
        let row = door.scratch.sql(&sql).remove(0);
        ["event_id", "record_hash"].map(|name| row[name].as_str().unwrap().to_owned())
    };
    let (own, other) = (of("shop", &door), of("payments", &door));
    door.token = Some("bearer of rita");
    let (_, projects) = door.sql("select distinct project_id from lake.events union select distinct project_id from jobs union select distinct project_id from lake.facts").await;
    assert_eq!(projects["rows"], serde_json::json!([{ "project_id": SHOP }]));
    for path in
        [format!("/api/trace/{}", other[0]), format!("/trace/{}", other[0]), format!("/record/{}", other[1])]
    {
        assert_eq!(door.text(&path).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    for path in [
        "/api/reports/grades?format=csv",
        "/reports/several_candidates",
        "/",
        "/search?q=2026-03-05",
        "/search?q=payments",
        "/sql?q=select%20*%20from%20actions",
    ] {
        let (_, text) = door.text(path).await;
        assert!(!text.contains(">payments<") && !text.contains(&other[0]), "{path} tells of another project");
    }
    // Counts of all rows are for those who see all rows.
    assert_eq!(door.text("/metrics").await.0, StatusCode::FORBIDDEN);
    let (status, page) = door.text(&format!("/trace/{}", own[0])).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    let (_, masked) = door.sql("select count(raw) as raw, count(data) as data, count(authorization_id) as token from lake.events").await;
    assert_eq!(masked["rows"][0], serde_json::json!({ "raw": 0, "data": 0, "token": 0 }));
    let by_token = "select count(auth_mechanism) > 0 as told, count(*) filter (where auth_mechanism like '%authorizationId%') as token from lake.events";
    let (_, cut) = door.sql(by_token).await;
    assert_eq!(cut["rows"][0], serde_json::json!({ "told": true, "token": 0 }));
    let (_, record) = door.text(&format!("/record/{}", own[1])).await;
    assert!(record.contains("masked for the role") && !record.contains("ActorUserId"), "{record}");
    door.token = Some("bearer of ned");
    let (_, record) = door.text(&format!("/record/{}", other[1])).await;
    assert!(record.contains("<pre class=\"raw\""), "{record}");
    door.token = Some("bearer of otto");
    for view in ["actions", "jobs", "agents", "runs", "pools", "identities", "coverage", "lake.facts"] {
        let (_, none) = door.sql(&format!("select count(*) as n from {view}")).await;
        assert_eq!(none["rows"][0]["n"], 0, "{view}");
    }
    let pages = door.walk(&["/"], 12).await;
    assert!(pages.values().all(|page| !page.contains(">contoso<")));
}

#[tokio::test(flavor = "multi_thread")]
async fn people_sign_in_by_token_password_or_the_page_and_others_do_not() {
    let mut door = open().await;
    let get = |path: &str| door.client.get(door.url(path));
    let status = async |request: reqwest::RequestBuilder| request.send().await.unwrap().status().as_u16();
    let sql = "/api/sql?q=select%201";
    assert_eq!(status(get(sql)).await, 401);
    assert_eq!(status(get(sql).bearer_auth("bearer of nobody")).await, 401);
    assert_eq!(status(get(sql).bearer_auth("bearer of ned")).await, 200);
    assert_eq!(status(get(sql).basic_auth("ned", Some("password of ned"))).await, 200);
    assert_eq!(status(get(sql).basic_auth("ned", Some("password of ada"))).await, 401);
    for said in ["Basic !!!", "Basic bm9uZQ==", "Bearer", "Digest x", ""] {
        assert_eq!(status(get(sql).header("authorization", said)).await, 401, "{said}");
    }
    let page = get("/trace/x?y=1").send().await.unwrap();
    assert_eq!(page.status(), StatusCode::SEE_OTHER);
    assert_eq!(page.headers()["location"], "/sign-in?next=%2Ftrace%2Fx%3Fy%3D1");
    let enter = async |name: &str, password: &str, next: &str, site: &str| {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("name", name), ("password", password), ("next", next)])
            .finish();
        let request = door.client.post(door.url("/sign-in")).header("sec-fetch-site", site);
        request.header("content-type", "application/x-www-form-urlencoded").body(body).send().await.unwrap()
    };
    assert_eq!(enter("ned", "password of ned", "/", "cross-site").await.status(), 403);
    assert_eq!(enter("ned", "wrong", "/", "same-origin").await.status(), 401);
    let entered = enter("ned", "password of ned", "//evil.example", "same-origin").await;
    assert_eq!((entered.status().as_u16(), entered.headers()["location"].to_str().unwrap()), (303, "/"));
    let cookie = entered.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap().to_owned();
    assert_eq!(status(get("/").header("cookie", &cookie)).await, 200);
    assert_eq!(status(get(sql).header("cookie", &cookie)).await, 200);
    assert_eq!(status(get("/").header("cookie", "agentrail=0000")).await, 303);
    // Another one signs in as well, and signs out again.
    let other = enter("ada", "password of ada", "/", "same-origin").await;
    let other = other.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let out = door.client.post(door.url("/sign-out")).header("cookie", &other);
    assert_eq!(status(out).await, 303);
    assert_eq!(status(get("/").header("cookie", &other)).await, 303);
    // Whoever is taken out of the file is out at once.
    std::thread::sleep(std::time::Duration::from_millis(20));
    let path = door.scratch.path("users.toml");
    let mut users = Users::read(&path).unwrap();
    users.0.remove("ned");
    users.write(&path).unwrap();
    assert_eq!(status(get("/").header("cookie", &cookie)).await, 303);
    assert_eq!(status(get(sql).bearer_auth("bearer of ned")).await, 401);
    // Another password ends what was signed in with the one before.
    let rita = enter("rita", "password of rita", "/", "same-origin").await;
    let rita = rita.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    assert_eq!(status(get("/reports").header("cookie", &rita)).await, 200);
    let mut users = Users::read(&path).unwrap();
    users.0.get_mut("rita").unwrap().verifier = Verifier::of("another", vec![6; 16]).to_string();
    std::thread::sleep(std::time::Duration::from_millis(20));
    users.write(&path).unwrap();
    assert_eq!(status(get("/reports").header("cookie", &rita)).await, 303);
    // Guesses are few.
    let mut last = 0;
    for n in 0..12 {
        last = status(get(sql).basic_auth("rita", Some(format!("guess {n}")))).await;
    }
    assert_eq!(last, 429);
    door.token = Some("bearer of rita");
    assert_eq!(door.text(sql).await.0, StatusCode::OK);
}
