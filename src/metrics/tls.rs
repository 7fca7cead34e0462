//! The certificate of the metrics port: two files, which are read anew when they have changed, so that a certificate that
//! was renewed counts without a restart.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// How often the files are looked at, at most.
const LOOK: Duration = Duration::from_secs(1);

/// Certificate and key, as they are in files.
pub struct Tls {
    cert: PathBuf,
    key: PathBuf,
    current: Mutex<Current>,
}

struct Current {
    looked: Instant,
    /// What the files held when they were read last, whether it can be used or not.
    read: Pems,
    acceptor: TlsAcceptor,
}

#[derive(PartialEq)]
struct Pems {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    /// Reads both files. Fails with one line if they cannot be used.
    pub fn open(cert: &Path, key: &Path) -> Result<Tls, String> {
        let read = Pems::read(cert, key)?;
        let acceptor = read.acceptor(cert, key)?;
        let current = Mutex::new(Current { looked: Instant::now(), read, acceptor });
        Ok(Tls { cert: cert.into(), key: key.into(), current })
    }

    /// What the next connection is taken with. Files that cannot be used, such as a certificate that is there before its
    /// key, leave it as it was, which is said once.
    pub fn acceptor(&self) -> TlsAcceptor {
        let mut current = self.current.lock().expect("no panic while held");
        if current.looked.elapsed() >= LOOK {
            current.looked = Instant::now();
            match Pems::read(&self.cert, &self.key) {
                Ok(read) if read == current.read => {}
                Ok(read) => {
                    match read.acceptor(&self.cert, &self.key) {
                        Ok(acceptor) => {
                            tracing::info!(cert = %self.cert.display(), "the certificate for metrics was read anew");
                            current.acceptor = acceptor;
                        }
                        Err(error) => tracing::warn!("{error}; the certificate stays as it was"),
                    }
                    current.read = read;
                }
                Err(error) => tracing::debug!("{error}; the certificate stays as it was"),
            }
        }
        current.acceptor.clone()
    }
}

impl Pems {
    fn read(cert: &Path, key: &Path) -> Result<Pems, String> {
        let read = |flag: &str, path: &Path| {
            std::fs::read(path).map_err(|e| format!("{flag} {} cannot be read: {e}", path.display()))
        };
        Ok(Pems { cert: read("--metrics-tls-cert", cert)?, key: read("--metrics-tls-key", key)? })
    }

    fn acceptor(&self, cert: &Path, key: &Path) -> Result<TlsAcceptor, String> {
        let wrong =
            |flag: &str, path: &Path, what: &str| format!("{flag} {} cannot be used: {what}", path.display());
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.cert).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        let chain =
            chain.ok_or_else(|| wrong("--metrics-tls-cert", cert, "it holds no certificate in PEM"))?;
        // What is said of a key that cannot be read must not show any of it.
        let private = PrivateKeyDer::from_pem_slice(&self.key);
        let private =
            private.map_err(|_| wrong("--metrics-tls-key", key, "it holds no private key in PEM"))?;
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, private);
        let mut config =
            config.map_err(|e| wrong("--metrics-tls-cert", cert, &format!("with its key, {e}")))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}
