//! The road in through port 443: the program itself over a WebSocket, as where AMQP's own port is shut.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use agentrail::simulate::hubs::Options;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::TcpStream;

use super::rig::Rig;

/// Listens on a free port, and does with each connection what is to be done.
async fn serve<F: Future<Output = std::io::Result<()>> + Send + 'static>(
    each: impl Fn(TcpStream) -> F + Send + 'static,
) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(each(stream));
        }
    });
    port
}

/// The head of a request or an answer, without what is behind it.
async fn head(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_brings_what_amqp_would_and_asks_no_proxy() {
    let rig = Rig::with(2, Options { tls: true, ..Options::default() }).await;
    rig.configure("", "transport = \"websocket\"");
    let authority = rig.scratch.file("authority.pem", rig.hubs.certificate().unwrap());
    let trust = ("SSL_CERT_FILE", authority.to_str().unwrap());
    // The client knows of no proxy, as README says: this one would be asked.
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let lake = rig.lake().await;
    rig.publish(0..40);
    let service = rig.process(&[trust, ("HTTPS_PROXY", &address), ("ALL_PROXY", &address)]);
    rig.stored(&lake, 40).await;
    rig.saved("0", 19).await;
    rig.saved("1", 19).await;
    assert!(service.stop().success());
    // What comes meanwhile is gone on with from the checkpoints.
    rig.publish(40..60);
    let service = rig.process(&[trust]);
    rig.stored(&lake, 60).await;
    rig.saved("0", 29).await;
    assert!(service.stop().success());
    assert_eq!(rig.numbers(), (0..60).collect());
    assert!(proxy.accept().is_err(), "the proxy was asked");
    assert!(rig.hubs.tokens().iter().all(|token| token.accepted));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarder_leads_it_through_a_proxy() {
    let rig = Rig::with(1, Options { tls: true, ..Options::default() }).await;
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = asked.clone();
    // A proxy that connects and looks at nothing.
    let proxy = serve(move |mut near| {
        let heard = heard.clone();
        async move {
            let head = head(&mut near).await?;
            let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
            heard.lock().unwrap().push(head);
            let mut far = TcpStream::connect(target).await?;
            near.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            copy_bidirectional(&mut near, &mut far).await.map(drop)
        }
    });
    let proxy = proxy.await;
    // What README has socat do.
    let target = format!("localhost:{}", rig.hubs.port());
    let connect = format!("CONNECT {target} HTTP/1.0\r\n\r\n");
    let forwarder = serve(move |mut near| {
        let connect = connect.clone();
        async move {
            let mut far = TcpStream::connect(("127.0.0.1", proxy)).await?;
            far.write_all(connect.as_bytes()).await?;
            head(&mut far).await?;
            copy_bidirectional(&mut near, &mut far).await.map(drop)
        }
    });
    let config = std::fs::read_to_string(rig.configure("", "transport = \"websocket\"")).unwrap();
    let forwarded = format!("localhost:{}", forwarder.await);
    rig.scratch.file("agentrail.toml", config.replace(&target, &forwarded));
    let authority = rig.scratch.file("authority.pem", rig.hubs.certificate().unwrap());
    let lake = rig.lake().await;
    rig.publish(0..10);
    let service = rig.process(&[("SSL_CERT_FILE", authority.to_str().unwrap())]);
    rig.stored(&lake, 10).await;
    assert!(service.stop().success());
    assert!(asked.lock().unwrap()[0].starts_with(&format!("CONNECT {target} ")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_nobody_vouches_for_is_told_with_its_name() {
    let rig = Rig::with(1, Options { tls: true, ..Options::default() }).await;
    rig.configure("", "transport = \"websocket\"");
    let service = rig.process(&[]);
    let config = rig.scratch.path("agentrail.toml");
    let fault = async || {
        let text = rig.scratch.ok(&["status", "--config", config.to_str().unwrap()]);
        text.contains("connect to the hub `h`") && text.contains("in SSL_CERT_FILE")
    };
    super::rig::eventually("the fault", fault).await;
    assert!(service.stop().success());
}
