//! The connection to the collector.

use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use super::settings::OtlpSettings;

/// A connection that is made with the first export, and again after it broke.
pub(super) fn channel(settings: &OtlpSettings) -> Result<Channel, String> {
    endpoint(settings).map(|endpoint| endpoint.connect_lazy())
}

/// The collector, with its TLS. Connections do not go through a proxy, because collectors are nearby.
pub(super) fn endpoint(settings: &OtlpSettings) -> Result<Endpoint, String> {
    let wrong = |error: tonic::transport::Error| format!("--otlp-endpoint cannot be used: {error}");
    let mut endpoint = Endpoint::from_shared(settings.endpoint.clone())
        .map_err(wrong)?
        .connect_timeout(settings.timeout)
        .timeout(settings.timeout);
    if settings.endpoint.starts_with("https:") {
        let tls = match &settings.ca {
            Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        endpoint = endpoint.tls_config(tls).map_err(wrong)?;
    }
    Ok(endpoint)
}
