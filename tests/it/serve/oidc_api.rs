//! Tokens of an issuer at the API: which are believed, who they are of, and what those see.

use std::sync::Arc;
use std::time::Duration;

use agentrail::serve::Role;
use agentrail::serve::oidc::Issuer;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::issuer::{CLIENT, Double, Key, TENANT, grant, seconds};
use super::open::{Door, bounds, demo, directory, doorway, user};

const SHOP: &str = "5b000000-0000-4000-8000-000000001001";

async fn open(issuer: Arc<Issuer>) -> Door {
    let scratch = demo();
    let users = vec![user("ada", Role::Admin, &[], &[]), user("ada@contoso.com", Role::Admin, &[], &[])];
    let directory = directory(&scratch, Some(users)).trusting(Some(issuer));
    Door::of(scratch, bounds(), directory, doorway(Default::default(), 100)).await
}

async fn ask(door: &Door, token: &str, sql: &str) -> (StatusCode, Value) {
    let body = json!({ "sql": sql }).to_string();
    let request = door.client.post(door.url("/api/sql")).header("content-type", "application/json");
    let response = request.bearer_auth(token).body(body).send().await.unwrap();
    let status = response.status();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_bears_a_token_sees_what_their_role_grants_and_is_nobody_of_the_file() {
    let double = Double::start().await;
    let grants = vec![
        grant("audit.shop", Role::Reader, &["contoso"], &[SHOP]),
        grant("audit.fabrikam", Role::Analyst, &["fabrikam"], &[]),
        grant("audit.analyst", Role::Analyst, &[], &[]),
        grant("audit.admin", Role::Admin, &[], &[]),
    ];
    let door = open(double.trusted(grants)).await;
    let of = |oid: &str, role: &str| double.token(json!({ "oid": oid, "roles": ["other", role] }));
    let (shop, fabrikam) = (of("o1", "audit.shop"), of("o2", "audit.fabrikam"));
    let (analyst, admin) = (of("o3", "audit.analyst"), of("o4", "audit.admin"));
    let projects = "select distinct project_id from lake.events union select distinct project_id from jobs";
    assert_eq!(ask(&door, &shop, projects).await.1["rows"], json!([{ "project_id": SHOP }]));
    let masks = "select count(raw) as raw, count(data) as data from lake.events";
    assert_eq!(ask(&door, &shop, masks).await.1["rows"][0], json!({ "raw": 0, "data": 0 }));
    assert_eq!(ask(&door, &fabrikam, "select count(*) as n from actions").await.1["rows"][0]["n"], 0);
    let all = door.scratch.count("select count(*) from actions");
    let (status, seen) =
        ask(&door, &analyst, "select count(*) as n, count(raw) > 0 as raw from lake.events").await;
    assert_eq!((status, &seen["rows"][0]), (StatusCode::OK, &json!({ "n": all, "raw": true })));
    // All are called ada@contoso.com, as is somebody of the file; each sees their own questions alone.
    let user = door
        .client
        .get(door.url("/api/sql?q=select%20'of%20the%20file'"))
        .bearer_auth("bearer of ada@contoso.com");
    assert_eq!(user.send().await.unwrap().status(), StatusCode::OK);
    door.gate.written().await;
    let log = "select distinct person from queries_log order by 1";
    let key = |oid: &str| format!("ada@contoso.com (oidc {oid} of {}/{TENANT}/v2.0)", double.address);
    for (token, oid) in [(&shop, "o1"), (&analyst, "o3")] {
        assert_eq!(ask(&door, token, log).await.1["rows"], json!([{ "person": key(oid) }]));
    }
    let everybody = ask(&door, &admin, log).await.1;
    let people: Vec<&str> =
        everybody["rows"].as_array().unwrap().iter().map(|row| row["person"].as_str().unwrap()).collect();
    for wanted in [&key("o1"), &key("o2"), &key("o3"), "ada@contoso.com"] {
        assert!(people.contains(&wanted), "{wanted} is not among {people:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_believed_or_refused_for_what_is_wrong_with_it() {
    let double = Double::start().await;
    let door = open(double.trusted(vec![grant("audit.analyst", Role::Analyst, &[], &[])])).await;
    for good in [
        json!({}),
        json!({ "aud": format!("api://{CLIENT}") }),
        json!({ "aud": ["other", CLIENT] }),
        json!({ "exp": seconds() - 30 }),
        json!({ "nbf": seconds() + 30 }),
        json!({ "nbf": null, "tid": null, "oid": null }),
        json!({ "preferred_username": null, "azp": null, "appid": "c1" }),
    ] {
        let (status, said) = ask(&door, &double.token(good.clone()), "select 1").await;
        assert_eq!(status, StatusCode::OK, "{good}: {said}");
    }
    let good = double.token(json!({}));
    let parts: Vec<&str> = good.split('.').collect();
    let coded = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = |changes: Value| coded(double.claims(changes));
    let admin = claims(json!({ "roles": ["audit.analyst"], "oid": "somebody" }));
    let hmac = |secret: &[u8]| {
        let header = Header { kid: Some("one".to_owned()), ..Header::new(Algorithm::HS256) };
        jsonwebtoken::encode(&header, &double.claims(json!({})), &EncodingKey::from_secret(secret)).unwrap()
    };
    let public = double.mind().keys[0].public_bytes();
    let stranger = Key::new("one");
    let own_key = {
        let header = json!({ "alg": "ES256", "kid": "mine", "jwk": Key::new("mine").public(), "jku": "http://127.0.0.1:1/" });
        format!("{}.{}.{}", coded(header), parts[1], parts[2])
    };
    let mut flipped = parts[2].to_owned();
    let first = if flipped.starts_with('A') { "B" } else { "A" };
    flipped.replace_range(..1, first);
    for (wrong, part) in [
        (format!("{}.{admin}.", coded(json!({ "alg": "none" }))), "RS256"),
        (format!("{}.{admin}.{}", coded(json!({ "alg": "nOnE", "kid": "one" })), parts[2]), "RS256"),
        (hmac(&public), "RS256"),
        (hmac(b""), "RS256"),
        (format!("{}.{admin}.{}", parts[0], parts[2]), "signature"),
        (format!("{}.{}.{flipped}", parts[0], parts[1]), "signature"),
        (format!("{}.{}.", parts[0], parts[1]), "signature"),
        (stranger.sign(&double.claims(json!({}))), "signature"),
        (stranger.sign_as(Some("two"), &double.claims(json!({}))), "no such key"),
        (stranger.sign_as(Some("../one"), &double.claims(json!({}))), "no such key"),
        (stranger.sign_as(None, &double.claims(json!({}))), "signature"),
        (own_key, "no such key"),
        (double.token(json!({ "aud": "00000003-0000-0000-c000-000000000000" })), "get one for"),
        (double.token(json!({ "aud": [] })), "`aud`"),
        (double.token(json!({ "aud": null })), "`aud`"),
        (double.token(json!({ "iss": "https://sts.windows.net/x/" })), "get one of"),
        (double.token(json!({ "iss": [double.issuer()] })), "`iss`"),
        (double.token(json!({ "iss": null })), "`iss`"),
        (double.token(json!({ "tid": "another" })), "another tenant"),
        (double.token(json!({ "tid": 7 })), "another tenant"),
        (double.token(json!({ "exp": seconds() - 120 })), "expired"),
        (double.token(json!({ "exp": null })), "`exp`"),
        (double.token(json!({ "exp": "never" })), "`exp`"),
        (double.token(json!({ "exp": -1 })), "`exp`"),
        (double.token(json!({ "nbf": seconds() + 120 })), "not valid yet"),
        (double.token(json!({ "nbf": "soon" })), "`nbf`"),
        (double.token(json!({ "oid": null, "sub": null })), "`sub`"),
        (double.token(json!({ "oid": "x (oidc o1" })), "`oid`"),
        (double.token(json!({ "name": "x".repeat(20_000) })), "at most"),
        ("a.b.c".to_owned(), "understand the token"),
        ("..".to_owned(), "understand the token"),
        (format!("{good}.x"), "nobody bears this token"),
        (good.replace('.', ""), "nobody bears this token"),
    ] {
        let (status, said) = ask(&door, &wrong, "select 1").await;
        let says = said["detail"].as_str().unwrap_or_default();
        assert!(
            status == StatusCode::UNAUTHORIZED && says.contains(part),
            "{part}: {status} {said} {wrong:.60}"
        );
    }
    for none in [json!({ "roles": null }), json!({ "roles": [] }), json!({ "roles": ["audit.Analyst"] })] {
        let (status, said) = ask(&door, &double.token(none), "select 1").await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{said}");
        assert!(said["detail"].as_str().unwrap().contains("no claim of the token gives a role"), "{said}");
    }
    // More than a head may hold is cut off before anybody reads it.
    let huge = door
        .client
        .get(door.url("/api/sql?q=select%201"))
        .bearer_auth("a.b.".to_owned() + &"c".repeat(100_000));
    assert!(huge.send().await.map_or(true, |answer| answer.status().is_client_error()));
    assert_eq!(ask(&door, &good, "select 1").await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_turned_and_an_issuer_that_is_down_stops_nothing() {
    let double = Double::start().await;
    double.mind().is_down = true;
    let grants = || vec![grant("audit.analyst", Role::Analyst, &[], &[])];
    let door = open(double.trusted(grants())).await;
    let early = double.token(json!({}));
    let (status, said) = ask(&door, &early, "select 1").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{said}");
    assert_eq!(ask(&door, "bearer of ada", "select 1").await.0, StatusCode::OK);
    double.mind().is_down = false;
    assert_eq!(ask(&door, &early, "select 1").await.0, StatusCode::OK);
    // It turns to another key: that is found, and the one before it holds no more.
    double.mind().keys = vec![Key::new("two")];
    let late = double.token(json!({}));
    assert_eq!(ask(&door, &late, "select 1").await.0, StatusCode::OK);
    assert!(ask(&door, &early, "select 1").await.1["detail"].as_str().unwrap().contains("no such key"));
    // What is known holds while it is down, and while it talks nonsense.
    double.mind().is_down = true;
    assert_eq!(ask(&door, &late, "select 1").await.0, StatusCode::OK);
    assert_eq!(ask(&door, &early, "select 1").await.0, StatusCode::UNAUTHORIZED);
    double.mind().is_down = false;
    for nonsense in
        [json!([]), json!({ "keys": [] }), json!({ "keys": [{ "kty": "oct", "k": "AA", "kid": "one" }] })]
    {
        double.mind().published = Some(nonsense);
        assert_eq!(ask(&door, &early, "select 1").await.0, StatusCode::UNAUTHORIZED);
        assert_eq!(ask(&door, &late, "select 1").await.0, StatusCode::OK);
    }
    let long = json!({ "keys": [Key::new("one").public()], "more": "x".repeat(2 << 20) });
    double.mind().published = Some(long);
    assert_eq!(ask(&door, &early, "select 1").await.0, StatusCode::UNAUTHORIZED);
    double.mind().published = None;
    // A document of another issuer names no keys.
    double.mind().document = json!({ "issuer": "https://login.example" });
    double.mind().keys.insert(0, Key::new("three"));
    let third = double.token(json!({}));
    assert_eq!(ask(&door, &third, "select 1").await.0, StatusCode::UNAUTHORIZED);
    double.mind().document = json!({});
    assert_eq!(ask(&door, &third, "select 1").await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_cannot_have_the_issuer_asked_often() {
    let double = Double::start().await;
    let mut settings = double.settings(vec![grant("audit.analyst", Role::Analyst, &[], &[])]);
    settings.keys_again = Duration::from_secs(3600);
    let door = open(Arc::new(Issuer::new(settings, [9; 32]).unwrap())).await;
    assert_eq!(ask(&door, &double.token(json!({})), "select 1").await.0, StatusCode::OK);
    let stranger = Key::new("x");
    for n in 0..20 {
        let token = stranger.sign_as(Some(&n.to_string()), &double.claims(json!({})));
        assert_eq!(ask(&door, &token, "select 1").await.0, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(double.mind().asked, 1);
    // Keys that have become old are fetched beside the question that found them so.
    let mut settings = double.settings(vec![grant("audit.analyst", Role::Analyst, &[], &[])]);
    settings.keys_every = Duration::ZERO;
    let door = open(Arc::new(Issuer::new(settings, [9; 32]).unwrap())).await;
    let token = double.token(json!({}));
    assert_eq!(ask(&door, &token, "select 1").await.0, StatusCode::OK);
    double.mind().keys = vec![Key::new("two")];
    let mut tries = 0;
    while ask(&door, &token, "select 1").await.0 == StatusCode::OK {
        tries += 1;
        assert!(tries < 1000, "a key that was taken back still holds");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_an_issuer_alone_a_door_asks_who_comes() {
    let double = Double::start().await;
    let scratch = demo();
    let issuer = double.trusted(vec![grant("audit.analyst", Role::Analyst, &[], &[])]);
    let directory = directory(&scratch, None).trusting(Some(issuer));
    assert!(!directory.is_open());
    let door = Door::of(scratch, bounds(), directory, doorway(Default::default(), 100)).await;
    assert_eq!(door.get("/api/sql?q=select%201").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(ask(&door, &double.token(json!({})), "select 1").await.0, StatusCode::OK);
    let (_, page) = door.text("/sign-in").await;
    assert!(page.contains("Sign in with 127.0.0.1") && !page.contains("password"), "{page}");
}
