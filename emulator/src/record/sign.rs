//! The credentials of the recorder: an API key of Bedrock, or keys that sign requests (SigV4).

use std::{fmt, time::SystemTime};

use aws_credential_types::Credentials as Keys;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use aws_smithy_runtime_api::client::identity::Identity;
use bytes::Bytes;
use http::{HeaderValue, Request};

/// The name of the service in signatures.
const SERVICE: &str = "bedrock";

/// The credentials for requests to Bedrock. Their `Debug` has no secret.
#[derive(Clone)]
pub enum Credentials {
    /// An API key of Bedrock, a bearer token.
    ApiKey(String),
    /// An access key, its secret, and the session token of temporary credentials.
    Keys(Keys),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ApiKey(_) => "ApiKey(…)",
            Self::Keys(_) => "Keys(…)",
        })
    }
}

/// A request cannot be signed.
#[derive(Debug, thiserror::Error)]
#[error("the request cannot be signed: {0}")]
pub(super) struct SignError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl Credentials {
    /// An access key, its secret, and the session token of temporary credentials.
    pub fn of_keys(id: &str, secret: &str, session_token: Option<String>) -> Self {
        Self::Keys(Keys::new(id, secret, session_token, None, "recorder"))
    }

    /// Those in the variables of AWS: `AWS_BEARER_TOKEN_BEDROCK`, or `AWS_ACCESS_KEY_ID` with `AWS_SECRET_ACCESS_KEY` and
    /// `AWS_SESSION_TOKEN`. `None` if none are set.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        if let Some(key) = set("AWS_BEARER_TOKEN_BEDROCK") {
            return Some(Self::ApiKey(key));
        }
        let (id, secret) = (set("AWS_ACCESS_KEY_ID")?, set("AWS_SECRET_ACCESS_KEY")?);
        Some(Self::of_keys(&id, &secret, set("AWS_SESSION_TOKEN")))
    }

    /// Adds the authorization to a request with this body.
    pub(super) fn authorize<B>(&self, request: &mut Request<B>, body: &Bytes, region: &str) -> Result<(), SignError> {
        match self {
            Self::ApiKey(key) => {
                let mut value =
                    HeaderValue::from_str(&format!("Bearer {key}")).map_err(|error| SignError(error.into()))?;
                value.set_sensitive(true);
                request.headers_mut().insert("authorization", value);
            }
            Self::Keys(keys) => {
                let identity = Identity::from(keys.clone());
                let parameters = v4::SigningParams::builder()
                    .identity(&identity)
                    .region(region)
                    .name(SERVICE)
                    .time(SystemTime::now())
                    .settings(SigningSettings::default())
                    .build()
                    .map_err(|error| SignError(error.into()))?
                    .into();
                let (method, uri) = (request.method().to_string(), request.uri().to_string());
                let signable = SignableRequest::new(&method, uri, std::iter::empty(), SignableBody::Bytes(body));
                let signable = signable.map_err(|error| SignError(error.into()))?;
                let (instructions, _) =
                    sign(signable, &parameters).map_err(|error| SignError(error.into()))?.into_parts();
                instructions.apply_to_request_http1x(request);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_signed_for_the_region_of_the_upstream() {
        let keys = Credentials::of_keys("AKIDEXAMPLE", "secret-of-the-key", Some("token".into()));
        let mut request =
            Request::post("https://bedrock-runtime.eu-west-1.amazonaws.com/model/a%3A0/converse").body(()).unwrap();
        keys.authorize(&mut request, &Bytes::from_static(b"{}"), "eu-west-1").unwrap();
        let authorization = request.headers()["authorization"].to_str().unwrap();
        assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"), "{authorization}");
        assert!(
            authorization.contains("/eu-west-1/bedrock/aws4_request") && authorization.contains("SignedHeaders=host;")
        );
        assert_eq!(request.headers()["x-amz-security-token"], "token");
        assert!(!format!("{keys:?} {request:?}").contains("secret-of-the-key"));
    }

    #[test]
    fn credentials_come_from_the_variables_of_aws() {
        let of = |set: &[(&str, &str)]| {
            let find = |name: &str| set.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned());
            Credentials::from_environment(find).map(|credentials| format!("{credentials:?}"))
        };
        assert_eq!(of(&[("AWS_BEARER_TOKEN_BEDROCK", "k")]).unwrap(), "ApiKey(…)");
        assert_eq!(of(&[("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")]).unwrap(), "Keys(…)");
        assert_eq!(of(&[("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "")]), None);
    }
}
