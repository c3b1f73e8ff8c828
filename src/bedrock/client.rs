//! Configures the SDK: credentials, region, endpoint. Its retries and timeouts are off.

use std::{io, time::Duration};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_credential_types::{Credentials, provider::ProvideCredentials};
use aws_sdk_bedrockruntime::{
    Config,
    config::{Builder, StalledStreamProtectionConfig},
};

use super::{Bedrock, http::Http};

/// The region of the emulator.
pub const EMULATED_REGION: &str = "us-east-1";

/// The environment variable of a Bedrock API key.
const API_KEY: &str = "AWS_BEARER_TOKEN_BEDROCK";

/// The result of the standard chain of credentials and region.
#[derive(Debug)]
pub(super) struct Environment {
    sdk: SdkConfig,
    /// `None` if the certificates cannot be loaded, which is one of the problems.
    http: Option<Http>,
    /// What is missing, each with what to set.
    problems: Vec<String>,
}

impl Environment {
    /// Runs the chain. `region`, if given, replaces its region. `max_connect` is the maximum connect timeout of a call.
    pub(super) async fn load(region: Option<String>, max_connect: Duration) -> Self {
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if let Some(region) = region {
            loader = loader.region(Region::new(region));
        }
        let sdk = loader.load().await;
        let mut problems = Vec::new();
        // A variable that is set to nothing is a region without a name to the chain.
        if sdk.region().is_none_or(|region| region.as_ref().is_empty()) {
            problems.push("no AWS region: set --region, OUTCROP_REGION or AWS_REGION, such as us-east-1".to_owned());
        }
        problems.extend(check_credentials(&sdk).await.err());
        let http = Http::load(max_connect).map_err(|error| {
            let advice = "install them (the package ca-certificates), or set SSL_CERT_FILE";
            problems.push(format!("no certificates of authorities ({error}): {advice}"));
        });
        Self { sdk, http: http.ok(), problems }
    }

    /// Returns Bedrock, or what is missing.
    pub(super) fn bedrock(self) -> Result<Bedrock, Vec<String>> {
        match (self.sdk.region(), self.http) {
            (Some(region), Some(http)) if self.problems.is_empty() => {
                let control = Control::new((&self.sdk).into(), (&self.sdk).into());
                Ok(Bedrock::new(config(Builder::from(&self.sdk)), control, http, region.to_string()))
            }
            _ => Err(self.problems),
        }
    }
}

/// Bedrock at the address of an emulator.
pub(super) fn emulated(endpoint: &str, max_connect: Duration) -> io::Result<Bedrock> {
    let region = EMULATED_REGION;
    let credentials = Credentials::new("emulator", "emulator", None, None, "emulator");
    let builder = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region))
        .credentials_provider(credentials.clone())
        .endpoint_url(endpoint);
    let of_bedrock = aws_sdk_bedrock::config::Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region))
        .credentials_provider(credentials.clone())
        .endpoint_url(endpoint);
    let of_service_quotas = aws_sdk_servicequotas::config::Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region))
        .credentials_provider(credentials)
        .endpoint_url(endpoint);
    let control = Control::new(of_bedrock, of_service_quotas);
    let http = Http::load(max_connect).or_else(|_| Http::without_authorities(max_connect))?;
    Ok(Bedrock::new(config(builder), control, http, region.to_owned()))
}

/// The settings of the services beside the runtime of Bedrock, whose answers are short and which nothing else retries.
pub(super) struct Control {
    /// The control plane of Bedrock.
    pub(super) bedrock: aws_sdk_bedrock::config::Builder,
    /// AWS Service Quotas.
    pub(super) service_quotas: aws_sdk_servicequotas::config::Builder,
}

impl Control {
    fn new(bedrock: aws_sdk_bedrock::config::Builder, service_quotas: aws_sdk_servicequotas::config::Builder) -> Self {
        let retries = RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(200));
        let stalled = StalledStreamProtectionConfig::disabled();
        Self {
            bedrock: bedrock.retry_config(retries.clone()).stalled_stream_protection(stalled.clone()),
            service_quotas: service_quotas.retry_config(retries).stalled_stream_protection(stalled),
        }
    }
}

fn config(builder: Builder) -> Config {
    // `crate::request::timeouts` and `super::http` have the timeouts. The stalled stream protection of the SDK would end a stream while its
    // model thinks, and its other timeouts would include the whole stream.
    let timeouts = TimeoutConfig::builder()
        .disable_connect_timeout()
        .disable_read_timeout()
        .disable_operation_attempt_timeout()
        .disable_operation_timeout()
        .build();
    builder
        // `crate::failover::attempts` retries. Two kinds of retries would multiply.
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build()
}

/// Runs the credential chain once, so that a server without credentials does not start.
async fn check_credentials(sdk: &SdkConfig) -> Result<(), String> {
    if std::env::var_os(API_KEY).is_some_and(|key| !key.is_empty()) {
        return Ok(());
    }
    let without_account =
        if cfg!(feature = "emulator") { "; or try everything without an account: outcrop serve --local" } else { "" };
    let what_to_set =
        format!("set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or {API_KEY}{without_account}");
    let Some(provider) = sdk.credentials_provider() else {
        return Err(format!("no AWS credentials: {what_to_set}"));
    };
    match provider.provide_credentials().await {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("no AWS credentials ({error}): {what_to_set}")),
    }
}
