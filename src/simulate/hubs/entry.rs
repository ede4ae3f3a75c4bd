//! What a socket turns out to speak: AMQP at once, or TLS first, or a WebSocket, or both.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::websocket;
use super::wire::Duplex;

/// The first byte of a TLS handshake.
const HANDSHAKE: u8 = 0x16;

/// A certificate made at start, and the authority that clients have to trust.
pub struct Certificate {
    acceptor: TlsAcceptor,
    /// The authority's certificate, for the trust store of clients.
    pub pem: String,
}

impl Certificate {
    /// Makes an authority and, signed by it, a certificate for this machine and `name`.
    pub fn make(name: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Named apart: a certificate whose subject is its issuer counts as self-signed.
        authority.distinguished_name.push(DnType::CommonName, "hubs authority");
        let authority_key = KeyPair::generate()?;
        let pem = authority.self_signed(&authority_key)?.pem();
        let issuer = Issuer::from_params(&authority, &authority_key);
        let names = ["localhost", "127.0.0.1", name].map(str::to_owned);
        let key = KeyPair::generate()?;
        let mut certificate = CertificateParams::new(names)?;
        certificate.distinguished_name.push(DnType::CommonName, "hubs");
        let certificate = certificate.signed_by(&key, &issuer)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        // Named, not left to the process: more than one provider may be compiled in.
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), pem })
    }
}

/// Strips a socket of what AMQP is wrapped in.
pub async fn enter(socket: TcpStream, certificate: Option<&Certificate>) -> io::Result<Box<dyn Duplex>> {
    socket.set_nodelay(true)?;
    let (first, stream) = Rewound::open(socket).await?;
    match (first, certificate) {
        (HANDSHAKE, Some(certificate)) => {
            let stream = certificate.acceptor.accept(stream).await?;
            let (first, stream) = Rewound::open(stream).await?;
            upgrade(first, Box::new(stream)).await
        }
        (HANDSHAKE, None) => {
            Err(io::Error::other("speak TLS without a certificate: start the server with `tls`"))
        }
        _ => upgrade(first, Box::new(stream)).await,
    }
}

async fn upgrade(first: u8, stream: Box<dyn Duplex>) -> io::Result<Box<dyn Duplex>> {
    if first == b'G' { Ok(Box::new(websocket::accept(stream).await?)) } else { Ok(stream) }
}

/// A stream whose first byte has been looked at.
struct Rewound<S> {
    first: Option<u8>,
    inner: S,
}

impl<S: AsyncRead + Unpin> Rewound<S> {
    async fn open(mut inner: S) -> io::Result<(u8, Self)> {
        let first = inner.read_u8().await?;
        Ok((first, Self { first: Some(first), inner }))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buffer.remaining() > 0
            && let Some(first) = this.first.take()
        {
            buffer.put_slice(&[first]);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }
}
