//! A client of TLS that does only what a test says.

use std::{io, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::authority::Issued;
use crate::harness::soon;

/// How a client connects.
pub(crate) struct Dial {
    config: ClientConfig,
}

impl Dial {
    /// Trusts this authority, and offers nothing in ALPN.
    pub(crate) fn trusting(ca: &str) -> Self {
        Self::with_versions(ca, None, rustls::DEFAULT_VERSIONS)
    }

    pub(crate) fn identified(ca: &str, client: &Issued) -> Self {
        Self::with_versions(ca, Some(client), rustls::DEFAULT_VERSIONS)
    }

    pub(crate) fn with_versions(
        ca: &str,
        client: Option<&Issued>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_protocol_versions(versions).unwrap().with_root_certificates(roots);
        let config = match client {
            Some(Issued { certificate, key }) => {
                let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        Self { config }
    }

    /// Offers these protocols in ALPN.
    pub(crate) fn offering(mut self, protocols: &[&str]) -> Self {
        self.config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        self
    }

    pub(crate) async fn connect(&self, endpoint: &str) -> io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(address(endpoint)).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        soon(TlsConnector::from(Arc::new(self.config.clone())).connect(name, tcp)).await
    }

    /// The certificate that the server shows.
    pub(crate) async fn shown(&self, endpoint: &str) -> io::Result<CertificateDer<'static>> {
        let stream = self.connect(endpoint).await?;
        Ok(stream.get_ref().1.peer_certificates().unwrap()[0].clone())
    }
}

pub(crate) fn address(endpoint: &str) -> &str {
    endpoint.rsplit('/').next().unwrap()
}

/// Sends bytes, and reads until the server closes the connection or an error comes.
pub(crate) async fn exchange(stream: &mut TlsStream<TcpStream>, sent: &[u8]) -> (Vec<u8>, io::Result<()>) {
    let mut answer = Vec::new();
    let ended = async {
        stream.write_all(sent).await?;
        stream.flush().await?;
        stream.read_to_end(&mut answer).await.map(drop)
    };
    let ended = soon(ended).await;
    (answer, ended)
}
