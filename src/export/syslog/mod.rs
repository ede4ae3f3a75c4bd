//! Syslog (RFC 5424) over TCP, TLS (RFC 5425) and UDP, with CEF, LEEF or JSON in it.
//!
//! The protocol confirms nothing. Over TCP and TLS each batch has a connection of its own, whose writing half
//! is closed at the end: a receiver closes its half once it has read all, and that is the confirmation.

mod form;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio_rustls::TlsConnector;

use super::{Destination, Item, Outcome, SendError, SetupError};

/// What stands in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    Cef,
    Leef,
    Json,
}

/// How messages travel.
#[derive(Clone)]
pub enum Transport {
    Tcp,
    Tls(Arc<ClientConfig>),
    Udp,
}

impl Transport {
    /// TLS that trusts the authorities of a PEM file, or those of the system where none is named.
    pub fn tls(authorities: &Path) -> Result<Transport, SetupError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = |e: rustls::Error| SetupError::Client(e.to_string());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(client)?;
        let path = match authorities.as_os_str().is_empty() {
            true => PathBuf::from(SYSTEM),
            false => authorities.to_owned(),
        };
        let fail = |says: String| SetupError::Authorities { path: path.display().to_string(), says };
        let read = CertificateDer::pem_file_iter(&path).map_err(|e| fail(e.to_string()))?;
        let mut roots = RootCertStore::empty();
        let all = read.collect::<Result<Vec<_>, _>>().map_err(|e| fail(e.to_string()))?;
        let (added, _) = roots.add_parsable_certificates(all);
        if added == 0 {
            return Err(fail("there is none in it; name a file of authorities in `authorities`".to_owned()));
        }
        Ok(Transport::Tls(Arc::new(config.with_root_certificates(roots).with_no_client_auth())))
    }
}

/// Where Debian and Ubuntu keep the authorities of the system.
const SYSTEM: &str = "/etc/ssl/certs/ca-certificates.crt";
/// What a datagram over IPv4 holds.
const MOST_DATAGRAM: usize = 65_507;
/// How long a receiver may show that it does not read, before the end of a batch is told.
const EARLY: Duration = Duration::from_millis(20);
/// Receivers cut or refuse longer messages (rsyslog at 8 KiB unless told, syslog-ng at 64 KiB).
const MOST_BATCH: usize = 1 << 20;

/// A receiver of syslog.
pub struct Syslog {
    /// `host:port`.
    address: String,
    transport: Transport,
    body: Body,
    facility: u8,
    host: String,
    /// Whether to wait until the receiver closes its half.
    confirm: bool,
    timeout: Duration,
}

impl Syslog {
    pub fn new(
        address: String,
        transport: Transport,
        body: Body,
        facility: u8,
        confirm: bool,
        timeout: Duration,
    ) -> Result<Syslog, SetupError> {
        let is_place = |(host, port): (&str, &str)| {
            !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok()
        };
        if !address.rsplit_once(':').is_some_and(is_place) {
            return Err(SetupError::Value { setting: "url", value: address, want: "`host:port`" });
        }
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = form::word(host.trim(), 255);
        Ok(Syslog { address, transport, body, facility, host, confirm, timeout })
    }

    fn message(&self, item: &Item) -> Vec<u8> {
        form::message(item, self.body, self.facility, &self.host)
    }

    fn fail(&self, what: &str, e: impl std::fmt::Display) -> SendError {
        SendError::later(format!("{what} `{}`: {e}", self.address))
    }

    async fn stream(&self, bytes: &[u8]) -> Result<(), SendError> {
        let tcp = TcpStream::connect(&self.address).await.map_err(|e| self.fail("connect to", e))?;
        match &self.transport {
            Transport::Tls(config) => {
                let host = self.address.rsplit_once(':').map_or("", |(host, _)| host);
                let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                let name = ServerName::try_from(host).map_err(|e| self.fail("understand the name in", e))?;
                let tls = TlsConnector::from(config.clone()).connect(name, tcp).await;
                self.through(tls.map_err(|e| self.fail("set up TLS with", e))?, bytes).await
            }
            _ => self.through(tcp, bytes).await,
        }
    }

    async fn through(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        bytes: &[u8],
    ) -> Result<(), SendError> {
        let (mut reads, mut writes) = tokio::io::split(stream);
        let write = async {
            writes.write_all(bytes).await?;
            writes.flush().await?;
            if self.confirm {
                // Whoever closes before it was told that this is the end has not read to the end.
                tokio::time::sleep(EARLY).await;
            }
            writes.shutdown().await
        };
        let end = async {
            let mut rest = [0; 512];
            loop {
                match reads.read(&mut rest).await {
                    Ok(0) => return Ok(()),
                    Ok(_) => {}
                    // Some close TLS without saying so, which is the end all the same.
                    Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
                    Err(e) => return Err(self.fail("hear from", e)),
                }
            }
        };
        let mut end = std::pin::pin!(end);
        tokio::select! {
            biased;
            ended = &mut end, if self.confirm => {
                ended?;
                return Err(self.fail("send to", "it closed the connection before it had read all"));
            }
            written = write => written.map_err(|e| self.fail("send to", e))?,
        }
        if self.confirm { end.await } else { Ok(()) }
    }

    async fn datagrams(&self, batch: &[Item]) -> Result<Outcome, SendError> {
        let bind = if self.address.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
        let socket = UdpSocket::bind(bind).await.map_err(|e| self.fail("open a socket for", e))?;
        socket.connect(&self.address).await.map_err(|e| self.fail("find", e))?;
        let mut outcome = Outcome::default();
        for (at, item) in batch.iter().enumerate() {
            let message = self.message(item);
            if message.len() > MOST_DATAGRAM {
                let says = format!("{} bytes, more than a datagram holds; use tcp or tls", message.len());
                outcome.refused.push((at, says));
                continue;
            }
            socket.send(&message).await.map_err(|e| self.fail("send to", e))?;
        }
        Ok(outcome)
    }
}

#[async_trait]
impl Destination for Syslog {
    async fn send(&mut self, batch: &[Item]) -> Result<Outcome, SendError> {
        let sent = async {
            if let Transport::Udp = self.transport {
                return self.datagrams(batch).await;
            }
            let mut bytes = Vec::new();
            for item in batch {
                let message = self.message(item);
                // Octet counting: a message may hold any character.
                bytes.extend(format!("{} ", message.len()).bytes());
                bytes.extend(message);
            }
            self.stream(&bytes).await.map(|()| Outcome::default())
        };
        tokio::time::timeout(self.timeout, sent).await.unwrap_or_else(|_| {
            Err(self.fail(
                "have the batch confirmed by",
                "it did not close the connection in time; set `confirm = false` if it never does",
            ))
        })
    }

    fn bounds(&self) -> (usize, usize) {
        (MOST_BATCH, usize::MAX)
    }
}
