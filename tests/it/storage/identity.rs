//! Identities in place of keys: what asks for a token, and that the storage gets it.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::lake::Scratch;

/// Requests as they came, heads and bodies.
type Seen = Arc<Mutex<Vec<String>>>;

/// A machine's identity service, a tenant and a storage account without a blob, in one.
fn serve() -> (String, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let seen = Seen::default();
    let own = seen.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let seen = own.clone();
            std::thread::spawn(move || answer(stream, &seen));
        }
    });
    (address, seen)
}

fn answer(mut stream: TcpStream, seen: &Seen) {
    let (mut request, mut some) = (Vec::new(), [0; 4096]);
    let whole = |text: &str| {
        let length =
            text.to_lowercase().split("content-length: ").nth(1).map_or(0, |rest| {
                rest.split("\r\n").next().and_then(|n| n.parse::<usize>().ok()).unwrap_or(0)
            });
        text.split_once("\r\n\r\n").is_some_and(|(_, body)| body.len() >= length)
    };
    while !whole(&String::from_utf8_lossy(&request)) {
        match stream.read(&mut some) {
            Ok(n) if n > 0 => request.extend_from_slice(&some[..n]),
            _ => return,
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let token = r#"{"access_token":"the-token","expires_in":3600,"expires_on":"4000000000","resource":"r","token_type":"Bearer"}"#;
    let (status, body) = match request.contains("token") && !request.contains("lake.json") {
        true => ("200 OK", token),
        false => ("404 Not Found", ""),
    };
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    let _ = stream.write_all((head + body).as_bytes());
    seen.lock().unwrap().push(request);
}

/// Asks a lake that is not there, and returns what was asked of others meanwhile.
fn asked(environment: impl Fn(&str, &Scratch) -> Vec<(&'static str, String)>) -> Vec<String> {
    let scratch = Scratch::new();
    let (address, seen) = serve();
    let output = scratch
        .command(&["sql", "select 1"])
        .env("AGENTRAIL_LAKE", "az://lakes/lake")
        .env("AGENTRAIL_STORAGE__ACCOUNT", "account")
        .env("AGENTRAIL_STORAGE__ENDPOINT", &address)
        .envs(environment(&address, &scratch))
        .output()
        .unwrap();
    let says = String::from_utf8(output.stderr).unwrap();
    assert!(says.contains("there is none") && !says.contains("the-token"), "{says}");
    let seen = seen.lock().unwrap().clone();
    let blob = seen.iter().find(|request| request.contains("lake.json")).unwrap().to_lowercase();
    assert!(blob.contains("authorization: bearer the-token"), "{blob}");
    seen
}

#[test]
fn a_managed_identity_reaches_the_lake() {
    let seen = asked(|address, _| {
        vec![
            ("IDENTITY_ENDPOINT", format!("{address}/msi/token")),
            ("IDENTITY_HEADER", "the-header".to_owned()),
            ("AGENTRAIL_STORAGE__CLIENT_ID", "the-client".to_owned()),
        ]
    });
    let asked = &seen[0];
    assert!(asked.starts_with("GET /msi/token?") && asked.contains("storage.azure.com"), "{asked}");
    assert!(asked.contains("client_id=the-client") && asked.contains("the-header"), "{asked}");
}

#[test]
fn a_workload_identity_reaches_the_lake() {
    let seen = asked(|address, scratch| {
        let token = scratch.file("federated", "the-assertion");
        vec![
            ("AZURE_FEDERATED_TOKEN_FILE", token.display().to_string()),
            ("AZURE_TENANT_ID", "the-tenant".to_owned()),
            ("AZURE_CLIENT_ID", "the-client".to_owned()),
            ("AZURE_AUTHORITY_HOST", address.to_owned()),
        ]
    });
    let asked = &seen[0];
    assert!(asked.starts_with("POST /the-tenant/oauth2/v2.0/token"), "{asked}");
    assert!(asked.contains("client_assertion=the-assertion"), "{asked}");
}
