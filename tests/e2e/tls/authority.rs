//! An authority, the certificates that it issues, and the files in which a server finds them.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use outcrop::config::{ClientCertificateSettings, TlsSettings};
use outcrop_client::{ClientBuilder, SecretString};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, SanType,
    date_time_ymd,
};

use crate::stores::Folder;

/// Short, so that tests need not wait.
const RELOAD: Duration = Duration::from_millis(50);

/// An authority of certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its private key, in PEM.
#[derive(Clone)]
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate of a server on this machine.
    pub(crate) fn server(&self) -> Issued {
        self.issue(&CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap())
    }

    /// A certificate of a client with these URI SANs.
    pub(crate) fn client(&self, uris: &[&str]) -> Issued {
        self.issue(&with_uris(uris))
    }

    /// The same, and it has expired.
    pub(crate) fn expired_client(&self, uri: &str) -> Issued {
        let mut params = with_uris(&[uri]);
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        self.issue(&params)
    }

    fn issue(&self, params: &CertificateParams) -> Issued {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Issued { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

fn with_uris(uris: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
    params
}

impl Issued {
    /// Identifies a client with it.
    pub(crate) fn identify(&self, client: ClientBuilder) -> ClientBuilder {
        client.certificate(self.certificate.as_bytes(), SecretString::from(self.key.as_str()))
    }
}

/// The files of a server: its certificate, its key, and the authority of both and of clients.
pub(crate) struct Files {
    pub(crate) authority: Authority,
    pub(crate) folder: Folder,
}

impl Files {
    pub(crate) fn new(name: &str) -> Self {
        let files = Self { authority: Authority::new("first"), folder: Folder::new(&format!("tls-{name}")) };
        files.write(&files.authority.server());
        files.write_authority(&files.authority);
        files
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.file(name)
    }

    /// Replaces the certificate and the key.
    pub(crate) fn write(&self, issued: &Issued) {
        write(&self.path("key.pem"), &issued.key);
        write(&self.path("cert.pem"), &issued.certificate);
    }

    /// Replaces the authorities of clients.
    pub(crate) fn write_authority(&self, authority: &Authority) {
        write(&self.path("ca.pem"), &authority.pem());
    }

    /// Without client certificates.
    pub(crate) fn settings(&self) -> TlsSettings {
        TlsSettings {
            certificate: self.path("cert.pem").into(),
            key: self.path("key.pem").into(),
            clients: None,
            reload_interval: RELOAD,
        }
    }

    /// With client certificates.
    pub(crate) fn asking(&self, required: bool) -> TlsSettings {
        let clients = Some(ClientCertificateSettings { authorities: self.path("ca.pem").into(), required });
        TlsSettings { clients, ..self.settings() }
    }

    /// The flags of a server with the certificate.
    pub(crate) fn flags(&self) -> Vec<String> {
        ["--tls-cert".to_owned(), self.path("cert.pem"), "--tls-key".to_owned(), self.path("key.pem")].into()
    }
}

/// Replaces a file as a whole, readable only by its owner.
pub(crate) fn write(path: &str, text: &str) {
    let new = format!("{path}.new");
    fs::write(&new, text).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&new, path).unwrap();
}
