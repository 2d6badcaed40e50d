//! A certification authority of a test's own, and a certificate for servers on loopback.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// Files for `redis-server`.
#[derive(Debug)]
pub(crate) struct Certificates {
    directory: tempfile::TempDir,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA");
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("an address");
        // With the authority's own name OpenSSL, with which servers check each other, takes it for self-signed.
        params.distinguished_name.push(DnType::CommonName, "redis");
        let certificate = params.signed_by(&key, &ca).expect("a certificate");
        let directory = tempfile::tempdir().expect("a directory for certificates");
        for (name, text) in
            [("ca.pem", ca.pem()), ("cert.pem", certificate.pem()), ("key.pem", key.serialize_pem())]
        {
            std::fs::write(directory.path().join(name), text).expect("a file can be written");
        }
        Self { directory }
    }

    /// The authority's certificate.
    pub(crate) fn ca(&self) -> String {
        self.path("ca.pem")
    }

    /// Further arguments of a `redis-server`, or lines of its configuration without the dashes.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let files = [("cert", "cert.pem"), ("key", "key.pem"), ("ca-cert", "ca.pem")];
        let files = files.map(|(option, name)| [format!("--tls-{option}-file"), self.path(name)]);
        let clients = ["--tls-auth-clients".to_owned(), "no".to_owned()];
        files.into_iter().flatten().chain(clients).collect()
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }
}
