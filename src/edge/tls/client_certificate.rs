//! The name in the certificate of a client: its one URI SAN, such as a SPIFFE id. The common name is never read.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use x509_cert::{
    Certificate,
    der::Decode,
    ext::pkix::{SubjectAltName, name::GeneralName},
};

/// The maximum length of a name, in bytes: that of a SPIFFE id.
const MAX_NAME: usize = 2_048;

/// The certificate of a client, which was verified in the handshake. It is an extension of every request of the connection; a client without a
/// certificate has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClientCertificate {
    /// Its one URI SAN.
    Name(Arc<str>),
    /// Why it does not identify a client, as a sentence for the client.
    Problem(Arc<str>),
}

impl ClientCertificate {
    /// Reads the name from a certificate in DER.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Self {
        match name(certificate) {
            Ok(name) => Self::Name(name.into()),
            Err(problem) => Self::Problem(problem.into()),
        }
    }
}

fn name(certificate: &CertificateDer<'_>) -> Result<String, String> {
    let unreadable = |error| format!("the client certificate cannot be read: {error}");
    let certificate = Certificate::from_der(certificate).map_err(unreadable)?;
    let names = certificate.tbs_certificate().get_extension::<SubjectAltName>().map_err(unreadable)?;
    let names = names.map(|(_critical, SubjectAltName(names))| names).unwrap_or_default();
    let uris: Vec<_> = names
        .iter()
        .filter_map(|name| match name {
            GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str()),
            _ => None,
        })
        .collect();
    match uris[..] {
        [uri] if uri.len() > MAX_NAME => Err(format!(
            "the URI SAN of the client certificate has {} bytes; at most {MAX_NAME} are allowed",
            uri.len()
        )),
        [uri] if uri.is_empty() || !uri.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Err("the URI SAN of the client certificate is not a URI".to_owned())
        }
        [uri] => Ok(uri.to_owned()),
        _ => Err(format!("the client certificate has {} URI SANs; exactly one is needed", uris.len())),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(uris: &[&str]) -> ClientCertificate {
        let mut params = CertificateParams::new(vec!["client.example".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "spiffe://common/name");
        for uri in uris {
            params.subject_alt_names.push(SanType::URI((*uri).try_into().unwrap()));
        }
        ClientCertificate::of(params.self_signed(&KeyPair::generate().unwrap()).unwrap().der())
    }

    #[test]
    fn exactly_one_uri_identifies_a_client_and_never_the_common_name() {
        let name = "spiffe://example.org/billing";
        assert_eq!(certificate(&[name]), ClientCertificate::Name(name.into()));
        let long = "a".repeat(MAX_NAME + 1);
        for (uris, said) in [
            (&[][..], "has 0 URI SANs; exactly one is needed"),
            (&[name, "spiffe://example.org/other"], "has 2 URI SANs"),
            (&[name, name], "has 2 URI SANs"),
            (&["spiffe://a\nb"], "is not a URI"),
            (&[""], "is not a URI"),
            (&[long.as_str()], "has 2049 bytes"),
        ] {
            let ClientCertificate::Problem(problem) = certificate(uris) else { panic!("{uris:?} name a client") };
            assert!(problem.contains(said), "{uris:?}: {problem}");
        }
    }

    #[test]
    fn what_is_not_a_certificate_names_no_client() {
        let ClientCertificate::Problem(problem) = ClientCertificate::of(&CertificateDer::from(vec![0x30, 0x03, 1, 2]))
        else {
            panic!("it names a client");
        };
        assert!(problem.contains("cannot be read"), "{problem}");
    }
}
