//! Signing in on the page by an issuer: there and back, and what others try with it.

use agentrail::serve::Role;
use agentrail::serve::oidc::Issuer;
use reqwest::{Response, StatusCode};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

use super::issuer::{Double, Key, PAGE, grant};
use super::open::{Door, bounds, demo, directory, doorway, user};

/// A browser: it keeps the cookies of a door and follows what it is told.
struct Browser<'d> {
    door: &'d Door,
    cookies: Vec<(String, String)>,
}

impl Browser<'_> {
    fn new(door: &Door) -> Browser<'_> {
        Browser { door, cookies: Vec::new() }
    }

    async fn get(&mut self, path: &str, site: &str) -> Response {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = self.door.client.get(self.door.url(path)).header("cookie", cookies.join("; "));
        let request = request.header("sec-fetch-site", site).header("sec-fetch-mode", "navigate");
        let response = request.send().await.unwrap();
        for set in response.headers().get_all("set-cookie") {
            let (name, rest) = set.to_str().unwrap().split_once('=').unwrap();
            let (value, rest) = rest.split_once(';').unwrap();
            self.cookies.retain(|(own, _)| own != name);
            if !rest.contains("Max-Age=0") {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        response
    }

    /// Goes to the issuer, which lets everybody in; where it sends the browser back to.
    async fn away(&mut self, next: &str) -> String {
        let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        let sent = self.get(&format!("/sign-in/issuer?next={next}"), "same-origin").await;
        assert_eq!(sent.status(), StatusCode::SEE_OTHER);
        let there = sent.headers()["location"].to_str().unwrap().to_owned();
        let answer = self.door.client.get(there).send().await.unwrap();
        let back = answer.headers()["location"].to_str().unwrap();
        back.strip_prefix(PAGE).unwrap().to_owned()
    }

    async fn text(&mut self, path: &str) -> (StatusCode, String) {
        let response = self.get(path, "same-origin").await;
        (response.status(), response.text().await.unwrap())
    }
}

async fn open(issuer: Arc<Issuer>) -> Door {
    let scratch = demo();
    let directory =
        directory(&scratch, Some(vec![user("ada", Role::Admin, &[], &[])])).trusting(Some(issuer));
    Door::of(scratch, bounds(), directory, doorway(Default::default(), 100)).await
}

fn grants() -> Vec<agentrail::serve::oidc::Grant> {
    vec![
        grant("audit.analyst", Role::Analyst, &[], &[]),
        grant("audit.reader", Role::Reader, &["contoso"], &[]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_goes_to_the_issuer_and_comes_back_signed_in() {
    let double = Double::start().await;
    let door = open(double.trusted(grants())).await;
    let (_, form) = door.text("/sign-in?next=%2Freports").await;
    assert!(
        form.contains("href=\"/sign-in/issuer?next=%2Freports\"") && form.contains("name=\"password\""),
        "{form}"
    );
    let mut browser = Browser::new(&door);
    let back = browser.away("/trace/x?y=1&z=\"<").await;
    let trip = browser.cookies[0].clone();
    assert_eq!(trip.0, "agentrail-trip");
    // Nothing that is secret goes along.
    assert!(trip.1.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)), "{}", trip.1);
    let entered = browser.get(&back, "cross-site").await;
    assert_eq!(entered.status(), StatusCode::OK);
    let cookies: Vec<_> =
        entered.headers().get_all("set-cookie").iter().map(|c| c.to_str().unwrap()).collect();
    assert!(
        cookies[0].starts_with("agentrail=") && cookies[0].contains("HttpOnly; SameSite=Strict"),
        "{cookies:?}"
    );
    assert!(cookies[1].starts_with("agentrail-trip=;") && cookies[1].contains("Max-Age=0"), "{cookies:?}");
    assert_eq!(entered.headers()["referrer-policy"], "no-referrer");
    let policy = entered.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("form-action 'self'") && !policy.contains("unsafe"), "{policy}");
    let page = entered.text().await.unwrap();
    assert!(page.contains("content=\"0;url=/trace/x?y=1&amp;z=&quot;&lt;\""), "{page}");
    let (status, overview) = browser.text("/").await;
    assert_eq!(status, StatusCode::OK);
    assert!(overview.contains("ada@contoso.com <small>analyst</small>"), "{overview}");
    // The role is looked at anew with each sign-in, and out is out.
    double.mind().claims = json!({ "roles": ["audit.reader"] });
    let again = browser.away("/").await;
    browser.get(&again, "cross-site").await;
    assert!(browser.text("/").await.1.contains("<small>reader</small>"));
    let session = browser.cookies.iter().find(|(name, _)| name == "agentrail").unwrap().1.clone();
    let out = door.client.post(door.url("/sign-out")).header("cookie", format!("agentrail={session}"));
    assert_eq!(out.send().await.unwrap().status(), StatusCode::SEE_OTHER);
    assert_eq!(browser.text("/").await.0, StatusCode::SEE_OTHER);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_leads_to_nobody_elses_pages() {
    let double = Double::start().await;
    let door = open(double.trusted(grants())).await;
    for next in ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)", "\n/x"]
    {
        let mut browser = Browser::new(&door);
        let back = browser.away(next).await;
        let page = browser.get(&back, "cross-site").await.text().await.unwrap();
        assert!(page.contains("content=\"0;url=/\"") && !page.contains("evil"), "{next}: {page}");
    }
    // Another site begins no sign-in for somebody.
    let begun = Browser::new(&door).get("/sign-in/issuer?next=%2Freports", "cross-site").await;
    assert_eq!(begun.headers()["location"], "/sign-in?next=%2Freports");
    assert!(!begun.headers().contains_key("set-cookie"));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_back_otherwise_than_they_went_is_not_let_in() {
    let double = Double::start().await;
    let door = open(double.trusted(grants())).await;
    let refused = async |browser: &mut Browser<'_>, path: &str| {
        let answer = browser.get(path, "cross-site").await;
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        let is_in = browser.cookies.iter().any(|(name, _)| name == "agentrail");
        assert!(!is_in, "{path} let somebody in");
        (status.as_u16(), text)
    };
    let elsewhere = "was not begun in this browser";
    // Without the cookie, as a link that somebody else sent: their code, my browser.
    let mut theirs = Browser::new(&door);
    let back = theirs.away("/").await;
    let (status, text) = refused(&mut Browser::new(&door), &back).await;
    assert!(status == 401 && text.contains(elsewhere), "{status} {text}");
    // With the cookie of another trip.
    let mut mine = Browser::new(&door);
    let own = mine.away("/").await;
    let (_, text) = refused(&mut Browser { door: &door, cookies: mine.cookies.clone() }, &back).await;
    assert!(text.contains(elsewhere), "{text}");
    // Their code behind my state: the issuer refuses the verifier.
    let code = |path: &str| {
        let url = url::Url::parse(&format!("{PAGE}{path}")).unwrap();
        let of = |name: &str| url.query_pairs().find(|(own, _)| own == name).unwrap().1.into_owned();
        (of("code"), of("state"))
    };
    let mixed = format!("/sign-in/callback?code={}&state={}", code(&back).0, code(&own).1);
    let (status, text) = refused(&mut Browser { door: &door, cookies: mine.cookies.clone() }, &mixed).await;
    assert!(status == 502 && text.contains("the verifier is another &lt;script&gt;"), "{status} {text}");
    assert_eq!(double.mind().redeemed, 0);
    // A trip is over once somebody came back, well or not.
    let (_, text) = refused(&mut Browser { door: &door, cookies: mine.cookies.clone() }, &own).await;
    assert!(text.contains(elsewhere), "{text}");
    // A state is brought back once.
    let mut browser = Browser::new(&door);
    let back = browser.away("/").await;
    let kept = browser.cookies.clone();
    assert_eq!(browser.get(&back, "cross-site").await.status(), StatusCode::OK);
    let (status, text) = refused(&mut Browser { door: &door, cookies: kept }, &back).await;
    assert!(status == 401 && text.contains(elsewhere), "{status} {text}");
    assert_eq!(double.mind().redeemed, 1);
    // A cookie that was changed, of another process, or none at all.
    let mut browser = Browser::new(&door);
    let back = browser.away("/").await;
    let cookie = browser.cookies[0].1.clone();
    let parts: Vec<&str> = cookie.split('.').collect();
    for other in [
        format!("{}.{}.{}", parts[0], parts[1], "Ly9ldmls"),
        format!("{}.9999999999.{}", parts[0], parts[2]),
        format!("{}.{}", parts[0], parts[1]),
        "..".to_owned(),
        String::new(),
    ] {
        let cookies = vec![("agentrail-trip".to_owned(), other.clone())];
        let (_, text) = refused(&mut Browser { door: &door, cookies }, &back).await;
        assert!(text.contains(elsewhere), "{other}: {text}");
    }
    for path in ["/sign-in/callback", "/sign-in/callback?code=x", "/sign-in/callback?state=&code=x"] {
        let (status, text) = refused(&mut Browser::new(&door), path).await;
        assert!(status == 401 && text.contains(elsewhere), "{path}: {status} {text}");
    }
    let (status, _) = refused(&mut browser, &format!("{back}&code=other")).await;
    assert_eq!(status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_must_be_of_this_sign_in_and_of_somebody_who_has_a_role() {
    let double = Double::start().await;
    let door = open(double.trusted(grants())).await;
    for (claims, wanted, part) in [
        (json!({ "nonce": "of another sign-in" }), 401, "`nonce`"),
        (json!({ "nonce": null }), 401, "`nonce`"),
        (json!({ "aud": format!("api://{}", super::issuer::CLIENT) }), 401, "get one for"),
        (json!({ "azp": "another" }), 401, "`azp`"),
        (json!({ "iss": "https://login.example" }), 401, "get one of"),
        (json!({ "exp": 1 }), 401, "expired"),
        (json!({ "roles": [], "preferred_username": "<b>eve" }), 403, "`&lt;b&gt;eve` in: no claim"),
    ] {
        double.mind().claims = claims.clone();
        let mut browser = Browser::new(&door);
        let back = browser.away("/").await;
        let answer = browser.get(&back, "cross-site").await;
        let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
        assert!(status == wanted && text.contains(part), "{claims}: {status} {text}");
        assert!(browser.cookies.is_empty(), "{:?}", browser.cookies);
    }
    // A token that somebody else signed comes through the issuer's own endpoint as little.
    double.mind().claims = json!({});
    let mut browser = Browser::new(&door);
    let back = browser.away("/").await;
    double.mind().published = Some(json!({ "keys": [Key::new("one").public()] }));
    double.mind().keys = vec![Key::new("one")];
    let (status, text) = browser.text(&back).await;
    assert!(status == StatusCode::UNAUTHORIZED && text.contains("signature"), "{status} {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_issuer_says_is_shown_as_text_and_only_to_who_was_there() {
    let double = Double::start().await;
    let door = open(double.trusted(grants())).await;
    let says = "error=access_denied&error_description=%3Cscript%3Ealert(1)%3C/script%3E%20call%20555";
    let (status, text) = Browser::new(&door).text(&format!("/sign-in/callback?{says}&state=x")).await;
    assert!(status == StatusCode::UNAUTHORIZED && !text.contains("555"), "{status} {text}");
    let mut browser = Browser::new(&door);
    let back = browser.away("/").await;
    let state = back.split("state=").nth(1).unwrap();
    let (status, text) = browser.text(&format!("/sign-in/callback?{says}&state={state}")).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(text.contains("access_denied: &lt;script&gt;alert(1)&lt;/script&gt; call 555"), "{text}");
    // An answer that names another issuer is not of ours.
    let mut browser = Browser::new(&door);
    let back = browser.away("/").await;
    let (status, _) = browser.text(&format!("{back}&iss=https%3A%2F%2Fevil.example")).await;
    assert_eq!((status, double.mind().redeemed), (StatusCode::UNAUTHORIZED, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_ends_with_its_time_and_the_issuer_may_be_down() {
    let double = Double::start().await;
    let mut settings = double.settings(grants());
    settings.session = Duration::from_secs(1);
    let door = open(Arc::new(Issuer::new(settings, [9; 32]).unwrap())).await;
    double.mind().is_down = true;
    let down = Browser::new(&door).get("/sign-in/issuer", "same-origin").await;
    assert_eq!(down.status(), StatusCode::SERVICE_UNAVAILABLE);
    let text = down.text().await.unwrap();
    assert!(text.contains("sign in with a password") && text.contains("name=\"password\""), "{text}");
    double.mind().is_down = false;
    let mut browser = Browser::new(&door);
    let back = browser.away("/").await;
    assert_eq!(browser.get(&back, "cross-site").await.status(), StatusCode::OK);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(browser.text("/").await.0, StatusCode::SEE_OTHER);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_address_of_the_page_nobody_signs_in_there() {
    let double = Double::start().await;
    let mut settings = double.settings(grants());
    settings.redirect = String::new();
    let door = open(Arc::new(Issuer::new(settings, [9; 32]).unwrap())).await;
    assert!(!door.text("/sign-in").await.1.contains("/sign-in/issuer"));
    for path in ["/sign-in/issuer", "/sign-in/callback?code=x&state=y"] {
        assert_eq!(door.text(path).await.0, StatusCode::NOT_FOUND, "{path}");
    }
}
