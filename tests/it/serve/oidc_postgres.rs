//! OAUTHBEARER at the postgres door: libpq 18 with tokens, what older clients get, and hostile messages.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use agentrail::serve::oidc::Issuer;
use agentrail::serve::postgres;
use agentrail::serve::{Certificate, Gate, Protocol, Role};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::issuer::{CLIENT, Double, TENANT, grant, seconds};
use super::open::{bounds, demo, directory, doorway, gate, user};
use crate::lake::Scratch;
use crate::readers::python;

const SHOP: &str = "5b000000-0000-4000-8000-000000001001";

struct Door {
    port: u16,
    gate: Arc<Gate>,
    _scratch: Scratch,
    _stop: oneshot::Sender<()>,
}

async fn open(issuer: Arc<Issuer>, has_users: bool) -> Door {
    let scratch = demo();
    let users = has_users.then(|| vec![user("ada", Role::Admin, &[], &[])]);
    let gate = gate(&scratch, bounds(), directory(&scratch, users).trusting(Some(issuer))).await;
    let settings = doorway(Certificate::default(), 20);
    let open = settings.open(Protocol::Postgres, true).await.unwrap();
    let port = open.address.port();
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(postgres::serve(open, gate.clone(), async { _ = stopped.await }));
    Door { port, gate, _scratch: scratch, _stop: stop }
}

fn grants() -> Vec<agentrail::serve::oidc::Grant> {
    vec![
        grant("audit.analyst", Role::Analyst, &[], &[]),
        grant("audit.shop", Role::Reader, &["contoso"], &[SHOP]),
    ]
}

/// What libpq 18 comes to in each case; `None` where there is none.
async fn libpq(cases: Vec<Value>) -> Option<Vec<Value>> {
    let python = python()?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peer/oauth.py");
    let mut child =
        Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let count = cases.len();
    let out = tokio::task::spawn_blocking(move || {
        cases.iter().for_each(|case| writeln!(input, "{case}").unwrap());
        drop(input);
        child.wait_with_output().unwrap()
    });
    let out = out.await.unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let said: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(out.status.success() && said.len() == count, "{text}");
    Some(said)
}

#[tokio::test(flavor = "multi_thread")]
async fn libpq_signs_in_with_a_token_and_others_as_before() {
    let double = Double::start().await;
    let door = open(double.trusted(grants()), true).await;
    let base = format!("host=127.0.0.1 port={} dbname=agentrail gssencmode=disable", door.port);
    let oauth = format!("{base} oauth_issuer={} oauth_client_id={CLIENT}", double.issuer());
    let case =
        |dsn: String, token: Option<String>, sql: &str| json!({ "dsn": dsn, "token": token, "sql": sql });
    let who = "select current_user";
    let as_ada = format!("{oauth} user=ada@contoso.com");
    let shop = json!({ "roles": ["audit.shop"], "oid": "o9" });
    let projects = "select distinct project_id from lake.events union select distinct project_id from jobs";
    let mut tampered = double.token(json!({}));
    // Four letters are three bytes, so what is left is still base64.
    let signature = tampered.rfind('.').unwrap() + 1;
    let turned = if tampered[signature..].starts_with("AAAA") { "BBBB" } else { "AAAA" };
    tampered.replace_range(signature..signature + 4, turned);
    let cases = vec![
        case(as_ada.clone(), Some(double.token(json!({}))), who),
        case(format!("{oauth} user=ADA@Contoso.com"), Some(double.token(json!({}))), who),
        case(
            format!("{oauth} user=0d000000-0000-4000-8000-00000000000a"),
            Some(double.token(json!({}))),
            who,
        ),
        case(as_ada.clone(), Some(double.token(shop.clone())), projects),
        case(as_ada.clone(), Some(double.token(shop)), "select count(raw) from lake.events"),
        // Of the file, with a password.
        case(format!("{base} user=ada password='password of ada'"), None, who),
        // What is refused.
        case(format!("{oauth} user=eve@contoso.com"), Some(double.token(json!({}))), who),
        case(as_ada.clone(), Some(double.token(json!({ "exp": seconds() - 200 }))), who),
        case(as_ada.clone(), Some(double.token(json!({ "aud": "other" }))), who),
        case(as_ada.clone(), Some(double.token(json!({ "roles": [] }))), who),
        case(as_ada.clone(), Some(tampered), who),
        case(as_ada.clone(), Some("nonsense".to_owned()), who),
        case(as_ada.clone(), None, who),
        case(as_ada.replace(TENANT, "other"), Some(double.token(json!({}))), who),
        // A token for somebody of the issuer opens nothing of the file's ada.
        case(
            format!("{oauth} user=ada require_auth=oauth"),
            Some(double.token(json!({ "preferred_username": "eve" }))),
            who,
        ),
    ];
    let Some(said) = libpq(cases).await else { return };
    assert_eq!(said[0]["rows"], json!([["ada@contoso.com"]]), "{}", said[0]);
    let told = json!([[
        format!("{}/.well-known/openid-configuration", double.issuer()),
        format!("api://{CLIENT}/.default")
    ]]);
    assert_eq!(said[0]["asked"], told);
    assert_eq!((&said[1]["rows"], &said[2]["rows"]), (&said[0]["rows"], &said[0]["rows"]), "{said:?}");
    assert_eq!(said[3]["rows"], json!([[SHOP]]), "{}", said[3]);
    assert_eq!(said[4]["rows"], json!([[0]]), "{}", said[4]);
    assert_eq!((&said[5]["rows"], &said[5]["asked"]), (&json!([["ada"]]), &json!([])), "{}", said[5]);
    for (said, part) in said[6..].iter().zip([
        "failed to sign in as `eve@contoso.com`: the token is of `ada@contoso.com`",
        "it has expired",
        "it is for `other`",
        "no claim of the token gives a role",
        "its signature is wrong",
        "nobody bears this token",
        "",
        "",
        "",
    ]) {
        assert!(said["error"].as_str().is_some_and(|says| says.contains(part)), "{part}: {said}");
    }
    door.gate.written().await;
}

/// A client of few words, for what no client says.
struct Raw(TcpStream);

impl Raw {
    async fn connect(port: u16, name: &str) -> Raw {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let body = format!("user\0{name}\0database\0agentrail\0\0");
        let mut all = (body.len() as u32 + 8).to_be_bytes().to_vec();
        all.extend(196_608_u32.to_be_bytes());
        all.extend(body.as_bytes());
        stream.write_all(&all).await.unwrap();
        Raw(stream)
    }

    async fn send(&mut self, body: &[u8]) {
        let mut all = vec![b'p'];
        all.extend((body.len() as u32 + 4).to_be_bytes());
        all.extend(body);
        self.0.write_all(&all).await.unwrap();
    }

    async fn first(&mut self, data: &[u8]) {
        let mut body = b"OAUTHBEARER\0".to_vec();
        body.extend((data.len() as u32).to_be_bytes());
        body.extend(data);
        self.send(&body).await;
    }

    /// The next message as its kind and text; nothing where the server hangs up.
    async fn next(&mut self) -> Option<(char, String)> {
        let read = async {
            let kind = self.0.read_u8().await.ok()?;
            let length = self.0.read_u32().await.ok()? as usize;
            let mut body = vec![0; length - 4];
            self.0.read_exact(&mut body).await.ok()?;
            Some((kind as char, String::from_utf8_lossy(&body).into_owned()))
        };
        tokio::time::timeout(Duration::from_secs(20), read).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_offered_tells_nothing_of_the_file() {
    let double = Double::start().await;
    let door = open(double.trusted(grants()), true).await;
    for (name, wanted) in [
        ("ada", "SCRAM-SHA-256\0OAUTHBEARER\0\0"),
        ("nobody", "SCRAM-SHA-256\0OAUTHBEARER\0\0"),
        ("ada@contoso.com", "OAUTHBEARER\0SCRAM-SHA-256\0\0"),
        ("11d00000-0000-4000-8000-00000000c1d0", "OAUTHBEARER\0SCRAM-SHA-256\0\0"),
    ] {
        let (kind, offer) = Raw::connect(door.port, name).await.next().await.unwrap();
        assert_eq!((kind, &offer[4..]), ('R', wanted), "{name}");
    }
    let alone = open(double.trusted(grants()), false).await;
    let (_, offer) = Raw::connect(alone.port, "ada").await.next().await.unwrap();
    assert_eq!(&offer[4..], "OAUTHBEARER\0\0");
    let mut scram = Raw::connect(alone.port, "ada").await;
    scram.next().await;
    scram.send(b"SCRAM-SHA-256\0\0\0\0\x09n,,n=,r=x").await;
    assert!(scram.next().await.unwrap().1.contains("OAUTHBEARER is offered"));
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_messages_end_their_connection_alone() {
    let double = Double::start().await;
    let door = open(double.trusted(grants()), true).await;
    // Without a token one is told where to get one, and then that it is over, whatever one says.
    for answer in [&b"\x01"[..], b"", b"n,,\x01auth=Bearer x\x01\x01"] {
        let mut raw = Raw::connect(door.port, "ada@contoso.com").await;
        raw.next().await;
        raw.first(b"n,,\x01auth=\x01\x01").await;
        let (kind, told) = raw.next().await.unwrap();
        let told: Value = serde_json::from_str(&told[4..]).unwrap();
        assert_eq!((kind, &told["status"]), ('R', &json!("invalid_token")));
        raw.send(answer).await;
        let (kind, says) = raw.next().await.unwrap();
        assert!(kind == 'E' && says.contains("FATAL") && says.contains("no token was sent"), "{says}");
        // It hangs up; that it is ready for a query is the library's habit after every error.
        while let Some((kind, _)) = raw.next().await {
            assert_eq!(kind, 'Z');
        }
    }
    let good = double.token(json!({}));
    let long = format!("n,,\u{1}auth=Bearer {}\u{1}\u{1}", "x".repeat(9_000));
    for data in [
        b"".to_vec(),
        b"n,,".to_vec(),
        b"\xff\xfe".to_vec(),
        long.clone().into_bytes(),
        format!("n,a=ada,\u{1}auth=Bearer {good}\u{1}\u{1}").into_bytes(),
        format!("p=tls-server-end-point,,\u{1}auth=Bearer {good}\u{1}\u{1}").into_bytes(),
        format!("n,,\u{1}auth=Bearer {good}").into_bytes(),
    ] {
        let mut raw = Raw::connect(door.port, "ada@contoso.com").await;
        raw.next().await;
        raw.first(&data).await;
        let (kind, says) = raw.next().await.unwrap();
        assert!(kind == 'E' || says.contains("invalid_token"), "{kind} {says}");
    }
    for body in [
        &b"OAUTHBEARER\0\x7f\xff\xff\xff"[..],
        b"OAUTHBEARER\0\x80\0\0\0",
        b"OAUTHBEARER",
        b"",
        b"\xff\0\0\0\0\0",
    ] {
        let mut raw = Raw::connect(door.port, "ada@contoso.com").await;
        raw.next().await;
        raw.send(body).await;
        let (kind, says) = raw.next().await.unwrap();
        assert!(kind == 'E' && says.contains("failed to understand the sign-in"), "{kind} {says}");
    }
    let mut raw = Raw::connect(door.port, "ada@contoso.com").await;
    raw.next().await;
    raw.first(format!("n,,\u{1}auth=Bearer {good}\u{1}\u{1}").as_bytes()).await;
    let (kind, ok) = raw.next().await.unwrap();
    assert_eq!((kind, ok.as_str()), ('R', "\0\0\0\0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_asks_nothing_more_once_its_sign_in_has_ended() {
    let double = Double::start().await;
    let mut settings = double.settings(grants());
    settings.session = Duration::from_millis(1500);
    let door = open(Arc::new(Issuer::new(settings, [9; 32]).unwrap()), true).await;
    let mut raw = Raw::connect(door.port, "ada@contoso.com").await;
    raw.next().await;
    raw.first(format!("n,,\u{1}auth=Bearer {}\u{1}\u{1}", double.token(json!({}))).as_bytes()).await;
    while raw.next().await.unwrap().0 != 'Z' {}
    tokio::time::sleep(Duration::from_millis(1600)).await;
    let query = b"select count(*) from actions\0";
    let mut all = vec![b'Q'];
    all.extend((query.len() as u32 + 4).to_be_bytes());
    all.extend(query);
    raw.0.write_all(&all).await.unwrap();
    let (kind, says) = raw.next().await.unwrap();
    assert!(kind == 'E' && says.contains("28000") && says.contains("the sign-in has ended"), "{kind} {says}");
}
