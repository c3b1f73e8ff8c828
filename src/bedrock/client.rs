//! The configuration of the SDK clients: credentials, region, endpoint, retries and time limits, every one of them set on purpose.
//!
//! Comes after [`crate::config`], which says what is wanted; [`super::pool`] makes clients of it.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_credential_types::{Credentials, provider::ProvideCredentials};
use aws_sdk_bedrockruntime::{
    Config,
    config::{Builder, StalledStreamProtectionConfig},
};

use super::Bedrock;

/// What a Bedrock API key is passed in.
const API_KEY: &str = "AWS_BEARER_TOKEN_BEDROCK";

/// How a call to Bedrock is made.
#[derive(Clone, Debug)]
pub struct CallSettings {
    /// How often a call is made at the most, the first time included.
    pub attempts: u32,
    /// How long a connection may take.
    pub connect_timeout: Duration,
}

/// The standard chain of credentials and region, asked once.
#[derive(Debug)]
pub(super) struct Environment {
    sdk: SdkConfig,
    /// Everything that is missing, each with what to set.
    pub(super) problems: Vec<String>,
}

impl Environment {
    /// Asks the chain. The region is the one given, if one is.
    pub(super) async fn load(region: Option<String>) -> Self {
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if let Some(region) = region {
            loader = loader.region(Region::new(region));
        }
        let sdk = loader.load().await;
        let mut problems = Vec::new();
        if sdk.region().is_none() {
            problems.push("no AWS region: set --region, OUTCROP_REGION or AWS_REGION, such as us-east-1".to_owned());
        }
        problems.extend(check_credentials(&sdk).await.err());
        Self { sdk, problems }
    }

    /// Bedrock there, or what is missing.
    pub(super) fn bedrock(self, settings: &CallSettings) -> Result<Bedrock, Vec<String>> {
        match self.sdk.region() {
            Some(region) if self.problems.is_empty() => {
                let config = config(Builder::from(&self.sdk), settings);
                Ok(Bedrock::new(config, region.to_string()))
            }
            _ => Err(self.problems),
        }
    }
}

/// The emulator at this address.
pub(super) fn emulated(endpoint: &str, settings: &CallSettings) -> Bedrock {
    let region = "us-east-1";
    let builder = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region))
        .credentials_provider(Credentials::new("emulator", "emulator", None, None, "emulator"))
        .endpoint_url(endpoint);
    Bedrock::new(config(builder, settings), region.to_owned())
}

fn config(builder: Builder, settings: &CallSettings) -> Config {
    // Once a stream runs the SDK knows only one limit, the stalled stream protection, and that one takes a model that
    // thinks for a stalled connection. The operation limits would count the whole stream in.
    let timeouts = TimeoutConfig::builder().connect_timeout(settings.connect_timeout).build();
    builder
        .retry_config(RetryConfig::standard().with_max_attempts(settings.attempts))
        .timeout_config(timeouts)
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build()
}

/// Asks the chain once, so that a server without credentials says so before it serves.
async fn check_credentials(sdk: &SdkConfig) -> Result<(), String> {
    if std::env::var_os(API_KEY).is_some_and(|key| !key.is_empty()) {
        return Ok(());
    }
    let what_to_set = format!(
        "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or {API_KEY}; or try everything without an \
         account: outcrop serve --local"
    );
    let Some(provider) = sdk.credentials_provider() else {
        return Err(format!("no AWS credentials: {what_to_set}"));
    };
    match provider.provide_credentials().await {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("no AWS credentials ({error}): {what_to_set}")),
    }
}
