//! The headers of every export. Those of the settings replace those of the same name in `OTEL_EXPORTER_OTLP_HEADERS`, which the exporter reads.

use std::{fmt, mem};

use http::{HeaderName, HeaderValue};
use tonic::{Request, Status, metadata::MetadataMap, service::Interceptor};

use super::settings::{Header, OtlpSettings};

/// Adds the headers of the settings.
#[derive(Clone)]
pub(super) struct OwnHeaders(Vec<(HeaderName, HeaderValue)>);

impl OwnHeaders {
    pub(super) fn of(settings: &OtlpSettings) -> Self {
        Self(settings.headers.iter().filter_map(Header::parts).collect())
    }
}

impl fmt::Debug for OwnHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnHeaders")
    }
}

impl Interceptor for OwnHeaders {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let mut headers = mem::take(request.metadata_mut()).into_headers();
        for (name, value) in &self.0 {
            headers.insert(name, value.clone());
        }
        *request.metadata_mut() = MetadataMap::from_headers(headers);
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headers_of_the_settings_replace_those_of_the_environment() {
        let headers = vec![Header::parse("Authorization: ours").unwrap(), Header::parse("x-tenant: acme").unwrap()];
        let settings = OtlpSettings { headers, ..OtlpSettings::to("http://a:1") };
        let mut request = Request::new(());
        for (name, value) in [("authorization", "theirs"), ("x-other", "theirs")] {
            request.metadata_mut().append(name, value.parse().unwrap());
        }
        let sent = OwnHeaders::of(&settings).call(request).unwrap().metadata().clone().into_headers();
        let mut sent: Vec<_> = sent.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        sent.sort_unstable();
        assert_eq!(sent, [("authorization", "ours"), ("x-other", "theirs"), ("x-tenant", "acme")]);
    }
}
