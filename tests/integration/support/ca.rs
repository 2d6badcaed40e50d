//! A certification authority: certificates for servers and for clients, each as the test wants it.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};

/// A certification authority with a place for its files.
pub(crate) struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: tempfile::TempDir,
}

impl Ca {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        // Another name than the certificates that it issues have by default: those would look self-signed to OpenSSL.
        params.distinguished_name.push(DnType::CommonName, "CA of the tests");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer, directory: tempfile::tempdir().unwrap() }
    }

    /// Writes a file and returns its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// Its own certificate.
    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub(crate) fn file(&self) -> String {
        self.write("ca.pem", &self.pem())
    }

    /// Certificate and key of `name`, in PEM.
    pub(crate) fn issue(&self, name: &str) -> (String, String) {
        self.sign(&CertificateParams::new(vec![name.to_owned()]).unwrap())
    }

    /// A certificate like this and its key, in PEM.
    pub(crate) fn sign(&self, params: &CertificateParams) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        // Strict clients, Python's from 3.13 on among them, demand it.
        let mut params = params.clone();
        params.use_authority_key_identifier_extension = true;
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// Certificate and key of `name`, as keys of a configuration file.
    pub(crate) fn issue_files(&self, name: &str) -> String {
        let (certificate, key) = self.issue(name);
        let files = (self.write("certificate.pem", &certificate), self.write("key.pem", &key));
        format!("certificate_file = \"{}\"\nkey_file = \"{}\"", files.0, files.1)
    }

    /// A client that trusts this CA alone, and shows this certificate with its key.
    #[expect(clippy::disallowed_methods, reason = "the client of the tests, not the broker's")]
    pub(crate) fn client(&self, identity: Option<&(String, String)>) -> reqwest::Client {
        let root = reqwest::Certificate::from_pem(self.pem().as_bytes()).unwrap();
        let mut client = reqwest::Client::builder().no_proxy().tls_certs_only([root]);
        if let Some((certificate, key)) = identity {
            let identity = reqwest::Identity::from_pem(format!("{certificate}\n{key}").as_bytes());
            client = client.identity(identity.unwrap());
        }
        client.build().unwrap()
    }
}
