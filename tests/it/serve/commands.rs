//! `run`, `serve` and `user` as an operator has them.

use std::io::Write as _;
use std::process::{Output, Stdio};

use crate::lake::{Scratch, Service, audit_record, request};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), output.stderr.as_slice()].concat()).into_owned()
}

/// `agentrail user ...` with a file of users and something on standard input.
fn user(scratch: &Scratch, arguments: &[&str], input: &str) -> Output {
    let mut command = scratch.command(&[&["user"], arguments].concat());
    command.env("AGENTRAIL_SERVE__USERS", scratch.path("users.toml"));
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn people_are_added_listed_and_removed() {
    let scratch = Scratch::new();
    let nowhere = scratch.run(&["user", "list"]);
    assert!(said(&nowhere).contains("AGENTRAIL_SERVE__USERS"), "{}", said(&nowhere));
    let added = user(
        &scratch,
        &["add", "ada", "--role", "analyst", "--organization", "contoso"],
        "a long password\n",
    );
    assert_eq!((added.status.code(), said(&added).as_str()), (Some(0), "ada may sign in\n"));
    // Without a password one is made; a token keeps what was set before.
    let made = user(&scratch, &["add", "rita"], "");
    assert!(said(&made).starts_with("password of rita, shown this once: "), "{}", said(&made));
    let token = user(&scratch, &["add", "ada", "--token"], "");
    assert!(said(&token).starts_with("token of ada, shown this once: "), "{}", said(&token));
    let list = said(&user(&scratch, &["list"], ""));
    let ada = list.lines().find(|line| line.starts_with("ada")).unwrap();
    assert!(ada.contains("analyst") && ada.contains("organizations: contoso"), "{list}");
    assert!(list.lines().any(|line| line.starts_with("rita") && line.contains("reader")), "{list}");
    let file = std::fs::read_to_string(scratch.path("users.toml")).unwrap();
    assert!(!file.contains("a long password"), "{file}");
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(scratch.path("users.toml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
    // Another role leaves the password; asked for alone, a new one is made.
    let changed = user(&scratch, &["add", "ada", "--role", "reader"], "");
    assert_eq!(said(&changed), "ada is changed, the password is the one of before\n");
    let before = file.lines().find(|line| line.starts_with("verifier")).unwrap();
    let now = std::fs::read_to_string(scratch.path("users.toml")).unwrap();
    assert!(now.contains(before) && now.contains("role = \"reader\""), "{now}");
    assert!(said(&user(&scratch, &["add", "ada"], "")).starts_with("password of ada, shown this once: "));
    assert!(!std::fs::read_to_string(scratch.path("users.toml")).unwrap().contains(before));
    for (arguments, input, says) in [
        (vec!["add", "bob", "--project", "shop"], "", "write its id"),
        (vec!["add", "bob"], "short\n", "at least 12 characters"),
        (vec!["add", "bob"], "\u{e4} long password\n", "printable ASCII"),
        (vec!["add", "b ob"], "a long password\n", "a name is of letters"),
        (vec!["remove", "bob"], "", "find bob among the users"),
    ] {
        let refused = user(&scratch, &arguments, input);
        assert_eq!(refused.status.code(), Some(1));
        assert!(said(&refused).contains(says), "{}", said(&refused));
    }
    assert_eq!(said(&user(&scratch, &["remove", "rita"], "")), "rita may not sign in any more\n");
}

#[test]
fn what_a_sender_was_told_is_kept_the_next_question_sees() {
    let scratch = Scratch::new();
    let port = free_port();
    let http = format!("127.0.0.1:{port}");
    let service = Service::start(&scratch, &[("AGENTRAIL_SERVE__HTTP", &http)]);
    for n in 1..=20_u32 {
        let body = format!(r#"{{"event":{}}}"#, audit_record(n));
        let (status, _) = service.request("POST", "/services/collector/event", &[], body.as_bytes());
        assert_eq!(status, 200);
        let path = "/api/sql?q=select+count(*)+as+n+from+actions";
        let (status, text) = request(&http, "GET", path, &[], b"").unwrap();
        assert_eq!((status, text.contains(&format!("{{\"n\":{n}}}"))), (200, true), "{n}: {text}");
    }
    let (_, metrics) = request(&http, "GET", "/metrics", &[], b"").unwrap();
    for line in [
        "agentrail_records_total{is=\"event\"} 20\n",
        "agentrail_rows_total{table=\"events\",became=\"added\"} 20\n",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    assert!(service.stop().success());
    assert_eq!(scratch.count("select count(*) from queries_log where outcome = 'done' and rows = 1"), 20);
}

#[test]
fn a_door_that_is_not_safe_is_not_opened() {
    let scratch = Scratch::new();
    scratch.ingest(&scratch.file("a.json", audit_record(1)));
    let serve = |settings: &[(&str, &str)]| {
        let mut command = scratch.command(&["serve"]);
        command.envs(settings.iter().copied());
        said(&command.output().unwrap())
    };
    let none = serve(&[]);
    assert!(none.contains("no door is configured"), "{none}");
    for door in ["AGENTRAIL_SERVE__HTTP", "AGENTRAIL_SERVE__POSTGRES", "AGENTRAIL_SERVE__FLIGHT"] {
        let open = serve(&[(door, "0.0.0.0:0")]);
        assert!(open.contains("set `certificate` in [serve]"), "{open}");
        let wrong = serve(&[(door, "here")]);
        assert!(wrong.contains("write it as `127.0.0.1"), "{wrong}");
        let lost = serve(&[(door, "127.0.0.1:0"), ("AGENTRAIL_SERVE__USERS", "nowhere.toml")]);
        assert!(lost.contains("agentrail user add"), "{lost}");
        let torn = scratch.file("torn.pem", "-----BEGIN");
        let torn = torn.to_str().unwrap();
        let (chain, key) = (("AGENTRAIL_SERVE__CERTIFICATE", torn), ("AGENTRAIL_SERVE__KEY", torn));
        let read = serve(&[(door, "127.0.0.1:0"), chain, key]);
        assert!(read.contains("read the certificate"), "{read}");
        let alone = serve(&[(door, "127.0.0.1:0"), chain]);
        assert!(alone.contains("set `key` in [serve] as well"), "{alone}");
    }
    let config = scratch.file("agentrail.toml", "[serve]\nhttp = \"0.0.0.0:8080\"\n");
    let checked = scratch.run(&["check", "--config", config.to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(4));
    assert!(said(&checked).contains("wrong   http"), "{}", said(&checked));
}

#[test]
fn an_issuer_is_checked_without_asking_it_and_one_that_is_away_stops_nothing() {
    let scratch = Scratch::new();
    let oidc = |more: &str| {
        let text = format!("[serve.oidc]\nclient_id = \"c\"\nredirect = \"http://localhost\"\n{more}");
        scratch.file("agentrail.toml", text).to_str().unwrap().to_owned()
    };
    let check = |more: &str| {
        let checked = scratch.run(&["check", "--config", &oidc(more)]);
        (checked.status.code(), said(&checked))
    };
    let roles = "[[serve.oidc.roles]]\nvalue = \"x\"\nrole = \"reader\"\n";
    let (code, says) = check(&format!("issuer = \"https://login.example/t\"\n{roles}"));
    assert!(code == Some(0) && says.contains("tokens of `https://login.example/t` would be taken"), "{says}");
    for (more, part) in [
        ("issuer = \"http://login.example\"\n".to_owned() + roles, "must begin with https://"),
        ("issuer = \"https://login.microsoftonline.com/common/v2.0\"\n".to_owned() + roles, "name yours"),
        ("issuer = \"https://login.example\"\n".to_owned(), "which claim gives which role"),
        (
            "issuer = \"https://login.example\"\nclient_secret = \"env:NO_SUCH_SECRET\"\n".to_owned() + roles,
            "NO_SUCH_SECRET",
        ),
    ] {
        let (code, says) = check(&more);
        assert!(code == Some(4) && says.contains(part), "{part}: {code:?} {says}");
    }
    user(&scratch, &["add", "ada", "--role", "analyst"], "a long password\n");
    let http = format!("127.0.0.1:{}", free_port());
    let config = oidc(&format!("issuer = \"http://127.0.0.1:1/t\"\n{roles}"));
    let users = scratch.path("users.toml").to_str().unwrap().to_owned();
    let service = Service::start(
        &scratch,
        &[
            ("AGENTRAIL_SERVE__HTTP", &http),
            ("AGENTRAIL_SERVE__USERS", &users),
            ("AGENTRAIL_CONFIG", &config),
        ],
    );
    // The door opens after the one of the senders.
    while std::net::TcpStream::connect(&http).is_err() {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let sign =
        |how: &str| request(&http, "GET", "/api/sql?q=select+1", &[("authorization", how)], b"").unwrap();
    // `ada:a long password`
    let (status, text) = sign("Basic YWRhOmEgbG9uZyBwYXNzd29yZA==");
    assert_eq!(status, 200, "{text}");
    let (status, text) = sign("Bearer eyJhbGciOiJSUzI1NiJ9.e30.AA");
    assert!(status == 503 && text.contains("learn the keys of the issuer"), "{status} {text}");
    assert!(service.stop().success());
}
