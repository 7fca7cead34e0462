//! The certificate of the metrics port: two files, which are read again when they have changed, so that a renewed
//! certificate takes effect without a restart. However long that takes, no connection waits for it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

/// How often the files are checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Files of some kB take no longer, unless their server is gone, or they are no files at all.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum length of a file in bytes; the rest is not read.
const MAX_LENGTH: u64 = 1 << 20;

/// Certificate and key in files.
pub struct Tls {
    files: Files,
    /// What the files held when they were read at the start.
    first: Pems,
    current: Mutex<TlsAcceptor>,
}

#[derive(Clone)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

#[derive(Clone, PartialEq)]
struct Pems {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    /// Reads both files. Fails with one line if they cannot be used.
    pub async fn open(cert: &Path, key: &Path) -> Result<Tls, String> {
        let files = Files { cert: cert.into(), key: key.into() };
        let first = timeout(READ_TIMEOUT, files.read()).await.map_err(|_| files.late())??;
        let current = Mutex::new(first.acceptor(cert, key)?);
        Ok(Tls { files, first, current })
    }

    /// What accepts the next connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        self.current.lock().expect("no panic while held").clone()
    }

    /// Checks the files from now on. If they cannot be used, such as a new certificate before its new key, the certificate
    /// stays as it was, which is logged once.
    pub async fn watch(self: Arc<Self>) {
        let Files { cert, key } = &self.files;
        let mut last = Ok(self.first.clone());
        loop {
            sleep(CHECK_INTERVAL).await;
            let mut reading = pin!(self.files.read());
            let read = match timeout(READ_TIMEOUT, &mut reading).await {
                Ok(read) => read,
                Err(_) => {
                    tracing::warn!("{}; the certificate stays as it was", self.files.late());
                    // Whatever blocks it: a second attempt would hang beside the first.
                    reading.await
                }
            };
            if read == last {
                continue;
            }
            match read.as_ref().map_err(Clone::clone).and_then(|read| read.acceptor(cert, key)) {
                Ok(acceptor) => {
                    tracing::info!(cert = %cert.display(), "the certificate for metrics was read again");
                    *self.current.lock().expect("no panic while held") = acceptor;
                }
                Err(error) => tracing::warn!("{error}; the certificate stays as it was"),
            }
            last = read;
        }
    }
}

impl Files {
    /// Reads both, on a thread that may block. Some reads never end: that of a pipe, for example.
    async fn read(&self) -> Result<Pems, String> {
        let Files { cert, key } = self.clone();
        let read = |flag: &str, path: &Path| {
            let mut text = vec![];
            let read =
                std::fs::File::open(path).and_then(|file| file.take(MAX_LENGTH).read_to_end(&mut text));
            read.map(|_| text).map_err(|e| format!("{flag} {} cannot be read: {e}", path.display()))
        };
        let both = move || {
            Ok(Pems { cert: read("--metrics-tls-cert", &cert)?, key: read("--metrics-tls-key", &key)? })
        };
        tokio::task::spawn_blocking(both)
            .await
            .expect("reading does not panic, and the process is not ending")
    }

    fn late(&self) -> String {
        let (cert, key) = (self.cert.display(), self.key.display());
        format!(
            "--metrics-tls-cert {cert} and --metrics-tls-key {key} were not read to the end within {READ_TIMEOUT:?}"
        )
    }
}

impl Pems {
    fn acceptor(&self, cert: &Path, key: &Path) -> Result<TlsAcceptor, String> {
        let wrong =
            |flag: &str, path: &Path, what: &str| format!("{flag} {} cannot be used: {what}", path.display());
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.cert).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        let chain =
            chain.ok_or_else(|| wrong("--metrics-tls-cert", cert, "it holds no certificate in PEM"))?;
        // An error about a key that cannot be read must not show any of it.
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
