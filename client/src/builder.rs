//! Builds a client: the authorities to trust, the certificate of the client, and the API key of its calls.

use outcrop_secret_file::{ExposeSecret, SecretString};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::Interceptor,
};

use crate::{
    Client, ClientError,
    connect::{ClientIdentity, Security, connect, is_readable_by_others},
};

/// A client that is not connected yet.
#[derive(Clone, Debug)]
pub struct ClientBuilder {
    endpoint: String,
    security: Security,
    api_key: Option<SecretString>,
    insecure_key_over_plaintext: bool,
    retries: u32,
}

impl ClientBuilder {
    pub(crate) fn new(endpoint: &str) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            security: Security::default(),
            api_key: None,
            insecure_key_over_plaintext: false,
            retries: 0,
        }
    }

    /// Trusts these authorities, given in PEM, and no others.
    #[must_use]
    pub fn trusting(mut self, authorities: &[u8]) -> Self {
        self.security.authorities = Some(authorities.to_owned());
        self
    }

    /// Identifies the client with this certificate and its private key, both in PEM. Those of intermediate authorities follow the certificate.
    #[must_use]
    pub fn certificate(mut self, certificate: &[u8], key: SecretString) -> Self {
        self.security.identity = Some(ClientIdentity { certificate: certificate.to_owned(), key });
        self
    }

    /// Sends this API key with every call, as `authorization: Bearer KEY`. Without encryption it is only sent to this machine.
    #[must_use]
    pub fn api_key(mut self, key: SecretString) -> Self {
        self.api_key = Some(key);
        self
    }

    /// Allows an API key to an `http://` endpoint on another machine. Others on the network can read it and use it.
    #[must_use]
    pub fn insecure_key_over_plaintext(mut self) -> Self {
        self.insecure_key_over_plaintext = true;
        self
    }

    /// How often to repeat a call of `generate`, `answer` or `count_tokens` that failed before content, if the server names a delay with
    /// RetryInfo. The client waits as long as it says. Default: 0.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Connects.
    ///
    /// # Errors
    /// As [`Client::connect`]; if a certificate, a key or the API key cannot be used; and if others on the network could read the API key.
    pub async fn connect(self) -> Result<Client, ClientError> {
        let credentials = self.api_key.as_ref().map(Credentials::of).transpose()?.unwrap_or_default();
        if self.api_key.is_some() && !self.insecure_key_over_plaintext && is_readable_by_others(&self.endpoint) {
            let message = "is not encrypted, so others on the network could read the API key. Write https://, or allow it with \
                           --insecure-key-over-plaintext";
            return Err(ClientError::Endpoint { endpoint: self.endpoint, message: message.to_owned() });
        }
        let (channel, spoken) = connect(&self.endpoint, &self.security).await?;
        let retries = self.retries;
        Ok(Client { endpoint: self.endpoint, spoken, retries, ..Client::with_credentials(channel, credentials) })
    }
}

/// What a client sends with every call. `Debug` does not show it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Credentials(Option<MetadataValue<Ascii>>);

impl Credentials {
    fn of(key: &SecretString) -> Result<Self, ClientError> {
        let key = key.expose_secret();
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ClientError::ApiKey(
                "it is empty, or has spaces or characters that are not ASCII. Is it the right one?",
            ));
        }
        let mut value = MetadataValue::try_from(format!("Bearer {key}"))
            .map_err(|_| ClientError::ApiKey("a header cannot have its characters"))?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_debug_output_shows_a_secret() {
        let builder = Client::builder("https://localhost").api_key("swordfish".into());
        let builder = builder.certificate(b"public", "halibut".into());
        let credentials = Credentials::of(&"swordfish".into()).unwrap();
        let shown = format!("{builder:?} {credentials:?} {:?}", Credentials::of(&"a swordfish".into()).unwrap_err());
        assert!(!shown.contains("swordfish") && !shown.contains("halibut"), "{shown}");
    }

    #[test]
    fn a_key_is_readable_by_others_only_without_encryption_and_on_the_way_to_another_machine() {
        for (endpoint, readable) in [
            ("http://outcrop.example:50051", true),
            ("HTTP://10.0.0.1", true),
            ("http://localhost.example", true),
            ("http://127.0.0.1.example", true),
            ("http://[2001:db8::1]:50051", true),
            ("http://0.0.0.0:50051", true),
            ("https://outcrop.example", false),
            ("http://localhost:50051", false),
            ("http://127.0.0.1:50051", false),
            ("http://127.8.9.1:50051", false),
            ("http://[::1]:50051", false),
            ("http://[::ffff:127.0.0.1]:50051", false),
        ] {
            assert_eq!(is_readable_by_others(endpoint), readable, "{endpoint}");
        }
    }
}
