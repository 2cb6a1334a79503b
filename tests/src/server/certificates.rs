//! Certificates of our own, for servers and clients that speak TLS.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::{
    fmt, fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// An authority that nobody else knows. Its files are gone when it is dropped.
///
/// # Panics
/// All methods do if files cannot be written or names are none: a test cannot go on then.
pub struct Authority {
    directory: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    /// A fresh one with this name.
    ///
    /// # Panics
    /// If its files cannot be written.
    pub fn new(name: &str) -> Self {
        let directory = must("make a directory", TempDir::new());
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = must("make a key", KeyPair::generate());
        let issuer = must("sign", CertifiedIssuer::self_signed(params, key));
        let file = directory.path().join("authority.pem");
        must("write", fs::write(&file, issuer.pem()));
        Self {
            directory,
            issuer,
            file,
        }
    }

    /// The PEM file by which others know what it signed.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Signs for whom has this name, a host or an address: the PEM files of the certificate and of its
    /// key.
    ///
    /// # Panics
    /// If the name is none, or the files cannot be written.
    pub fn certify(&self, name: &str) -> (PathBuf, PathBuf) {
        let key = must("make a key", KeyPair::generate());
        let params = must("name", CertificateParams::new([name.to_owned()]));
        let signed = must("sign", params.signed_by(&key, &self.issuer));
        let path = |what: &str| self.directory.path().join(format!("{name}.{what}.pem"));
        let files = (path("certificate"), path("key"));
        must("write", fs::write(&files.0, signed.pem()));
        must("write", fs::write(&files.1, key.serialize_pem()));
        files
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

fn must<T, E: fmt::Display>(what: &str, result: Result<T, E>) -> T {
    match result {
        Ok(done) => done,
        Err(error) => panic!("cannot {what}: {error}"),
    }
}
