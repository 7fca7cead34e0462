//! The way from the provider to the simulated account: a proxy that ends TLS, so that the account has the names of the real one.
//!
//! The provider derives from the host whether it talks to an account, and from that of the account the host of each workspace. With the
//! variables `HTTPS_PROXY` and `SSL_CERT_FILE`, which Go's libraries know, it needs no change and no name in DNS, and no call can
//! leave this machine.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::Result;

/// Where the account and its workspaces are.
const DOMAIN: &str = ".cloud.databricks.com:443";

/// A proxy for as long as this value lives.
pub struct Proxy {
    pub address: SocketAddr,
    /// Its certificate, which clients have to trust.
    pub certificate: String,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Begins to listen. All calls go to the account at `url`, with the header `Host` that they have.
    pub async fn open(url: &str) -> Result<Proxy> {
        let account: SocketAddr = url.trim_start_matches("http://").parse()?;
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["*.cloud.databricks.com".to_owned()])?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions()?.with_no_client_auth();
        let config = config.with_single_cert(vec![cert.der().clone()], key)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (address, mut tasks) = (listener.local_addr()?, JoinSet::new());
        tasks.spawn(async move {
            let mut tunnels = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                // A client that ends its connection ends the tunnel, which is no failure.
                tunnels.spawn(async move { tunnel(stream, acceptor, account).await.ok() });
            }
        });
        Ok(Proxy { address, certificate: cert.pem(), _tasks: tasks })
    }
}

async fn tunnel(mut stream: TcpStream, acceptor: TlsAcceptor, account: SocketAddr) -> io::Result<()> {
    let mut head = vec![];
    // Byte by byte: what follows the head is TLS.
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head);
    let target = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next());
    if !target.is_some_and(|target| target.ends_with(DOMAIN)) {
        return stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await;
    }
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    let mut stream = acceptor.accept(stream).await?;
    let mut account = TcpStream::connect(account).await?;
    copy_bidirectional(&mut stream, &mut account).await.map(drop)
}
