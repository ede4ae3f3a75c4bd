//! Where a door stands: its address, its certificate, and that none is open to others without a sign-in.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Why a door cannot stand where it should.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    #[error("understand the address `{0}`; write it as `127.0.0.1:5432`")]
    Address(String),
    #[error("listen on `{listen}`, which others can reach: set `{setting}` in [serve]")]
    Open { listen: String, setting: &'static str },
    #[error("listen on `{listen}`; is the port taken?")]
    Bind { listen: String, source: std::io::Error },
    #[error("find the address of the listener")]
    Taken(#[source] std::io::Error),
    #[error("read the {what} in `{path}`: {says}")]
    Pem { what: &'static str, path: PathBuf, says: String },
    #[error("{what}: set `{setting}` in [serve] as well")]
    Alone { what: &'static str, setting: &'static str },
    #[error("set up TLS: {0}")]
    Tls(String),
}

/// The files of a certificate. Empty paths mean that there is none.
#[derive(Debug, Clone, Default)]
pub struct Certificate {
    /// The chain, PEM.
    pub chain: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
    /// Who signs the certificates of clients, PEM; where it is set, every client must have one.
    pub clients: PathBuf,
}

impl Certificate {
    /// What TLS is served with; `None` where no certificate is set.
    fn config(&self, protocols: &[&[u8]]) -> Result<Option<Arc<ServerConfig>>, DoorError> {
        let alone = |what, setting| Err(DoorError::Alone { what, setting });
        match [&self.chain, &self.key, &self.clients].map(|path| !path.as_os_str().is_empty()) {
            [false, false, false] => return Ok(None),
            [true, false, _] => return alone("speak TLS with the certificate", "key"),
            [false, true, _] => return alone("speak TLS with the key", "certificate"),
            [false, false, true] => return alone("ask clients for certificates", "certificate"),
            [true, true, _] => {}
        }
        let chain = certificates("certificate", &self.chain)?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|e| DoorError::Pem {
            what: "private key",
            path: self.key.clone(),
            says: e.to_string(),
        })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|e| DoorError::Tls(e.to_string()))?;
        let config = if self.clients.as_os_str().is_empty() {
            config.with_no_client_auth()
        } else {
            let mut roots = RootCertStore::empty();
            for root in certificates("certificates that sign clients", &self.clients)? {
                roots.add(root).map_err(|e| DoorError::Tls(e.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            config.with_client_cert_verifier(verifier.build().map_err(|e| DoorError::Tls(e.to_string()))?)
        };
        let mut config = config
            .with_single_cert(chain, key)
            .map_err(|e| DoorError::Tls(format!("{e}; is the key its own?")))?;
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok(Some(Arc::new(config)))
    }
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, DoorError> {
    let fail = |says: String| DoorError::Pem { what, path: path.to_owned(), says };
    let read = CertificateDer::pem_file_iter(path).map_err(|e| fail(e.to_string()))?;
    let all = read.collect::<Result<Vec<_>, _>>().map_err(|e| fail(e.to_string()))?;
    if all.is_empty() { Err(fail("there is none in it".to_owned())) } else { Ok(all) }
}

/// What is spoken at a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Postgres,
    Flight,
    Http,
}

impl Protocol {
    /// All of them, in the order in which doors open.
    pub const ALL: [Protocol; 3] = [Protocol::Postgres, Protocol::Flight, Protocol::Http];

    /// The name of its setting.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Postgres => "postgres",
            Protocol::Flight => "flight",
            Protocol::Http => "http",
        }
    }

    /// What TLS settles on; gRPC is spoken in HTTP/2 alone.
    fn settled(self) -> &'static [&'static [u8]] {
        match self {
            Protocol::Postgres => &[b"postgresql"],
            Protocol::Flight => &[b"h2"],
            Protocol::Http => &[b"h2", b"http/1.1"],
        }
    }
}

/// How a door stands.
#[derive(Debug, Clone)]
pub struct Doorway {
    /// Address and port.
    pub listen: String,
    /// What TLS is served with; beyond this machine there must be one.
    pub certificate: Certificate,
    /// Connections at once; further ones are told so.
    pub connections: usize,
}

/// A door whose port is taken; connections wait until it is served.
pub struct Open {
    pub(super) listener: TcpListener,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) connections: usize,
    /// Whether clients must show a certificate.
    pub(super) asks_certificates: bool,
    /// Address and port.
    pub address: SocketAddr,
}

impl Doorway {
    /// Whether the door could be opened as it is set, to people that it asks who they are or not; does not open it.
    pub fn check(&self, protocol: Protocol, asks_who: bool) -> Result<(), DoorError> {
        let tls = self.certificate.config(protocol.settled())?;
        address(&self.listen, tls.is_some(), asks_who).map(drop)
    }

    /// Takes the port.
    pub async fn open(&self, protocol: Protocol, asks_who: bool) -> Result<Open, DoorError> {
        let tls = self.certificate.config(protocol.settled())?.map(TlsAcceptor::from);
        let address = address(&self.listen, tls.is_some(), asks_who)?;
        let bound = TcpListener::bind(address).await;
        let listener = bound.map_err(|source| DoorError::Bind { listen: address.to_string(), source })?;
        Ok(Open {
            address: listener.local_addr().map_err(DoorError::Taken)?,
            listener,
            tls,
            connections: self.connections.max(1),
            asks_certificates: !self.certificate.clients.as_os_str().is_empty(),
        })
    }
}

/// The address of a door. Beyond this machine it must have a certificate and ask who comes.
pub fn address(listen: &str, has_certificate: bool, asks_who: bool) -> Result<SocketAddr, DoorError> {
    let address: SocketAddr = listen.parse().map_err(|_| DoorError::Address(listen.to_owned()))?;
    let open = |setting| Err(DoorError::Open { listen: listen.to_owned(), setting });
    match address.ip().is_loopback() {
        false if !has_certificate => open("certificate"),
        false if !asks_who => open("users"),
        _ => Ok(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_need_others_are_not_left_aside() {
        let says = |[chain, key, clients]: [&str; 3]| {
            let [chain, key, clients] = [chain, key, clients].map(PathBuf::from);
            Certificate { chain, key, clients }.config(&[]).err().map(|e| e.to_string()).unwrap_or_default()
        };
        assert_eq!(says(["", "", ""]), "");
        for (paths, setting) in [
            (["a.pem", "", ""], "`key`"),
            (["", "a.key", ""], "`certificate`"),
            (["", "", "ca.pem"], "`certificate`"),
        ] {
            assert!(says(paths).contains(setting), "{}", says(paths));
        }
    }
}
