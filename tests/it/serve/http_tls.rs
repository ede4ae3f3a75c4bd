//! The door over TLS, and that none opens to others without it.

use agentrail::serve::{Certificate, Doorway, Protocol, Role};
use reqwest::{Client, StatusCode, Version};

use super::open::{Door, bounds, demo, user};
use crate::lake::Scratch;

fn settings(listen: &str, certificate: Certificate) -> Doorway {
    Doorway { listen: listen.to_owned(), certificate, connections: 20 }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_both_versions_are_spoken_and_the_cookie_is_secure() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = Scratch::new();
    let certificate = Certificate {
        chain: files.file("chain.pem", made.cert.pem()),
        key: files.file("key.pem", made.signing_key.serialize_pem()),
        ..Certificate::default()
    };
    let users = vec![user("ada", Role::Admin, &[], &[])];
    let door = Door::set(demo(), bounds(), Some(users), settings("127.0.0.1:0", certificate)).await;
    let root = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    let build = || {
        Client::builder()
            .tls_certs_only([root.clone()])
            .resolve("localhost", door.address)
            .redirect(reqwest::redirect::Policy::none())
    };
    let url = |path: &str| format!("https://localhost:{}{path}", door.address.port());
    for (client, version) in [
        (build().build().unwrap(), Version::HTTP_2),
        (build().http1_only().build().unwrap(), Version::HTTP_11),
    ] {
        let answer =
            client.get(url("/api/sql?q=select%201")).bearer_auth("bearer of ada").send().await.unwrap();
        assert_eq!((answer.status(), answer.version()), (StatusCode::OK, version));
        assert!(answer.headers().contains_key("strict-transport-security"));
        let form = client.post(url("/sign-in")).header("content-type", "application/x-www-form-urlencoded");
        let entered = form.body("name=ada&password=password+of+ada&next=/").send().await.unwrap();
        let cookie = entered.headers()["set-cookie"].to_str().unwrap();
        assert!(cookie.starts_with("__Host-agentrail=") && cookie.contains("; Secure"), "{cookie}");
    }
    // Without TLS nothing is said, and the door is well.
    let plain = tokio::time::timeout(std::time::Duration::from_secs(5), async {
        Client::new().get(door.url("/health/live")).send().await
    });
    assert!(plain.await.unwrap().is_err());
    let client = build().build().unwrap();
    assert_eq!(client.get(url("/health/ready")).send().await.unwrap().status(), StatusCode::OK);
}

#[test]
fn a_door_to_others_needs_a_certificate_and_people() {
    let says = |listen: &str, asks: bool| {
        let checked = settings(listen, Certificate::default()).check(Protocol::Http, asks);
        checked.err().map(|e| e.to_string()).unwrap_or_default()
    };
    assert_eq!(says("127.0.0.1:8080", false), "");
    assert!(says("0.0.0.0:8080", true).contains("set `certificate`"));
    assert!(says("[::]:8080", true).contains("set `certificate`"));
    let open = agentrail::serve::address("0.0.0.0:8080", true, false).err().map(|e| e.to_string());
    assert!(open.is_some_and(|says| says.contains("set `users`")));
    assert!(says("nowhere", true).contains("understand the address"));
}
