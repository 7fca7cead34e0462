//! The API server's certificate, and the key that it signs tokens of ServiceAccounts with.
//!
//! The API server would make a certificate itself, but with RSA: to sign with it is a twelfth of what the API server computes
//! in tests, in which each client opens many connections.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::{Error, write_private};

/// What clients call the API server, here and in a cluster. Not `localhost`.
const NAMES: [&str; 5] =
    ["127.0.0.1", "10.0.0.1", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];

/// Writes `apiserver.crt`, with the certificate of its authority, and `apiserver.key` into a directory, created if
/// missing. What is there from an earlier run stays: clients trust it.
pub fn ensure(dir: &Path) -> Result<(), Error> {
    let (certificate, key) = (dir.join("apiserver.crt"), dir.join("apiserver.key"));
    if certificate.exists() && key.exists() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(Error::io("making", dir))?;
    let [chain, private] = issue()?;
    write_private(&key, &private)?;
    // The last one, and in one step: who finds it finds the key too.
    let fresh = dir.join("apiserver.crt.new");
    write_private(&fresh, &chain)?;
    fs::rename(&fresh, &certificate).map_err(Error::io("writing", &certificate))
}

/// The chain and the private key, as PEM. No other certificate can be issued by the authority: its key is dropped here.
fn issue() -> Result<[String; 2], rcgen::Error> {
    let mut authority = CertificateParams::new(vec![])?;
    authority.distinguished_name.push(DnType::CommonName, "authority of the test's control plane");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let mut server = CertificateParams::new(NAMES.map(str::to_owned))?;
    server.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    let server = server.signed_by(&key, &authority)?;
    Ok([server.pem() + &authority.pem(), key.serialize_pem()])
}
