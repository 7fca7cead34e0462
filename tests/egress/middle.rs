//! What stands between an operator and the outside in these tests: a proxy that is asked for tunnels (CONNECT), and TLS in
//! front of the simulated account, which speaks http only.
//!
//! The proxy resolves names itself, as proxies do. So an account can have a name here that no DNS knows, on the one port
//! that the operator accepts, without a right to listen there.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// What a client asked the proxy for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The first line without the version, such as `CONNECT 127.0.0.1:6443`.
    pub line: String,
    /// The header `Proxy-Authorization`.
    pub authorization: Option<String>,
}

/// A proxy that lives as long as this value.
pub struct Proxy {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Begins to listen. It knows these names (with port), and addresses.
    pub async fn open(names: &[(&str, SocketAddr)]) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let names: HashMap<_, _> = names.iter().map(|(name, to)| ((*name).to_owned(), *to)).collect();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let (seen, mut tasks) = (asked.clone(), JoinSet::new());
        tasks.spawn(async move {
            let mut tunnels = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (names, seen) = (names.clone(), seen.clone());
                tunnels.spawn(async move { tunnel(stream, &names, &seen).await.ok() });
            }
        });
        Proxy { address, asked, _tasks: tasks }
    }

    /// Everything that it was asked for.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How many tunnels to this name and port it was asked for.
    pub fn tunnels(&self, to: &str) -> usize {
        let line = format!("CONNECT {to}");
        self.asked().iter().filter(|asked| asked.line == line).count()
    }
}

async fn tunnel(
    mut stream: TcpStream,
    names: &HashMap<String, SocketAddr>,
    seen: &Mutex<Vec<Asked>>,
) -> std::io::Result<()> {
    let mut head = vec![];
    // Byte by byte: what follows the head is for the other end.
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.lines();
    let line = lines.next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
    let header = |line: &str| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("proxy-authorization").then(|| value.to_owned())
    };
    seen.lock().unwrap().push(Asked { line: line.clone(), authorization: lines.find_map(header) });
    let to = line.strip_prefix("CONNECT ").unwrap_or_default();
    let Some(to) = names.get(to).copied().or_else(|| to.parse().ok()) else {
        return stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await;
    };
    let mut behind = TcpStream::connect(to).await?;
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    copy_bidirectional(&mut stream, &mut behind).await.map(drop)
}

/// An authority of its own, such as a company has.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its certificate, as a CA bundle has it.
    pub fn pem(&self) -> String {
        self.0.pem()
    }
}

/// TLS in front of something that has none, for as long as this value lives.
pub struct Terminator {
    pub address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Terminator {
    /// Begins to listen, with a certificate of this authority for this name.
    pub async fn open(authority: &Authority, name: &str, behind: &str) -> Terminator {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority.0).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        // That one is there already is no failure.
        let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let behind = behind.trim_start_matches("http://").to_owned();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, behind) = (acceptor.clone(), behind.clone());
                connections.spawn(async move {
                    // A client that does not trust us ends here.
                    let mut stream = acceptor.accept(stream).await.ok()?;
                    let mut behind = TcpStream::connect(behind).await.ok()?;
                    copy_bidirectional(&mut stream, &mut behind).await.ok()
                });
            }
        });
        Terminator { address, _tasks: tasks }
    }
}
