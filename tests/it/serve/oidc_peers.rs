//! Somebody else's issuer and somebody else's tokens: a provider from PyPI in a process of its own, joserfc.

use std::process::{Command, Stdio};
use std::time::Duration;

use agentrail::serve::Role;
use agentrail::serve::oidc::{Issuer, Settings};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;

use super::issuer::{CLIENT, Double, PAGE, grant};
use super::open::{Door, bounds, demo, directory, doorway};
use crate::readers::python;

/// A process that ends with the test.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn open(issuer: Arc<Issuer>) -> Door {
    let scratch = demo();
    let directory = directory(&scratch, None).trusting(Some(issuer));
    Door::of(scratch, bounds(), directory, doorway(Default::default(), 100)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_of_somebody_else_lets_people_in() {
    let Some(python) = python() else { return };
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let base = format!("http://127.0.0.1:{port}");
    let claims = json!({
        "sub": "ada", "preferred_username": "ada@contoso.com", "roles": ["audit.analyst"],
        "oid": "0d000000-0000-4000-8000-00000000000a",
    });
    let mut command = Command::new(python);
    command.args(["-m", "oidc_provider_mock", "--port", &port.to_string(), "--require-nonce", "true"]);
    command.args(["--user-claims", &claims.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
    let _running = Running(command.spawn().unwrap());
    let settings = Settings {
        issuer: base.clone(),
        client_id: CLIENT.to_owned(),
        client_secret: "any & every".to_owned(),
        audiences: Vec::new(),
        redirect: PAGE.to_owned(),
        scope: String::new(),
        grants: vec![grant("audit.analyst", Role::Analyst, &[], &[])],
        session: Duration::from_secs(3600),
        keys_every: Duration::from_secs(3600),
        keys_again: Duration::ZERO,
    };
    let door = open(Arc::new(Issuer::new(settings, [9; 32]).unwrap())).await;
    // It takes a moment to be there; until then the door says so.
    let mut tries = 0;
    let away = loop {
        let answer = door.get("/sign-in/issuer?next=%2Freports").await;
        if answer.status() == StatusCode::SEE_OTHER {
            break answer;
        }
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        tries += 1;
        assert!(tries < 600, "the provider does not begin");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let head = |answer: &reqwest::Response, name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    let (there, trip) = (head(&away, "location"), head(&away, "set-cookie"));
    let form = door.client.post(there).header("content-type", "application/x-www-form-urlencoded");
    let back = head(&form.body("sub=ada").send().await.unwrap(), "location");
    let back = back.strip_prefix(PAGE).unwrap();
    let trip = trip.split(';').next().unwrap();
    let entered = door.client.get(door.url(back)).header("cookie", trip).send().await.unwrap();
    let status = entered.status();
    let cookie =
        entered.headers().get("set-cookie").map(|c| c.to_str().unwrap().to_owned()).unwrap_or_default();
    let page = entered.text().await.unwrap();
    assert!(status == StatusCode::OK && page.contains("url=/reports"), "{status} {page}");
    let cookie = cookie.split(';').next().unwrap();
    let reports = door.client.get(door.url("/reports")).header("cookie", cookie).send().await.unwrap();
    let page = reports.text().await.unwrap();
    assert!(page.contains("ada@contoso.com <small>analyst</small>"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_joserfc_signs_are_believed_by_their_algorithm() {
    let Some(python) = python() else { return };
    let double = Double::start().await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peer/tokens.py");
    let claims = double.claims(json!({})).to_string();
    let out = Command::new(python).args([script, &claims]).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{text}{}", String::from_utf8_lossy(&out.stderr));
    let made: Value = serde_json::from_str(&text).unwrap();
    double.mind().published = Some(made["keys"].clone());
    let door = open(double.trusted(vec![grant("audit.analyst", Role::Analyst, &[], &[])])).await;
    for (kind, wanted) in [("good", StatusCode::OK), ("bad", StatusCode::UNAUTHORIZED)] {
        let tokens = made[kind].as_object().unwrap();
        assert!(tokens.len() >= 3, "{text}");
        for (name, token) in tokens {
            let request =
                door.client.get(door.url("/api/sql?q=select%201")).bearer_auth(token.as_str().unwrap());
            let answer = request.send().await.unwrap();
            let status = answer.status();
            assert_eq!(status, wanted, "{name}: {}", answer.text().await.unwrap());
        }
    }
}
