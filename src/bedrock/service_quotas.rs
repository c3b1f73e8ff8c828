//! The quotas of the AWS account, as AWS Service Quotas has them for a region.

use std::time::Duration;

use aws_sdk_servicequotas::{Client, Config, config::Region, operation::get_service_quota::GetServiceQuotaError};
use tokio::time::timeout;

use super::{classify, tap::with_bounded_answer};
use crate::error::{Error, Reason, corrupt};

/// The time for reading one quota, with its retries.
const READING: Duration = Duration::from_secs(4);

/// The name of Amazon Bedrock there.
const SERVICE: &str = "bedrock";

/// Asks Service Quotas. Clones share the connections.
#[derive(Clone, Debug)]
pub(crate) struct ServiceQuotas {
    client: Client,
}

impl ServiceQuotas {
    pub(super) fn new(config: Config) -> Self {
        Self { client: Client::from_conf(config) }
    }

    /// Reads the quota with this code in a region: what was applied to the account, or the default of AWS if nothing was.
    ///
    /// # Errors
    /// Those of a call to AWS, and `UPSTREAM_UNREACHABLE` after [`READING`].
    pub(crate) async fn read(&self, region: &str, code: &str) -> Result<f64, Error> {
        let read = timeout(READING, async {
            match self.applied(region, code).await? {
                Some(value) => Ok(value),
                None => self.default(region, code).await,
            }
        });
        Box::pin(read).await.unwrap_or_else(|_| {
            let message = format!("Service Quotas has not answered within {READING:?}");
            Err(Error::new(Reason::UpstreamUnreachable, message))
        })
    }

    /// The value that was applied to the account, if one was.
    async fn applied(&self, region: &str, code: &str) -> Result<Option<f64>, Error> {
        let operation = self.client.get_service_quota().service_code(SERVICE).quota_code(code);
        let operation = operation.customize().config_override(self.region(region));
        let answered = with_bounded_answer(operation.send()).await;
        match answered {
            Ok(answer) => Ok(answer.quota.and_then(|quota| quota.value)),
            Err(error) if error.as_service_error().is_some_and(GetServiceQuotaError::is_no_such_resource_exception) => {
                Ok(None)
            }
            Err(error) => Err(classify::sdk_error(error)),
        }
    }

    /// The value that accounts have by default.
    async fn default(&self, region: &str, code: &str) -> Result<f64, Error> {
        let operation = self.client.get_aws_default_service_quota().service_code(SERVICE).quota_code(code);
        let operation = operation.customize().config_override(self.region(region));
        let answered = with_bounded_answer(operation.send()).await;
        let quota = answered.map_err(classify::sdk_error)?.quota;
        quota.and_then(|quota| quota.value).ok_or_else(|| corrupt("the answer of Service Quotas has no value"))
    }

    fn region(&self, region: &str) -> aws_sdk_servicequotas::config::Builder {
        self.client.config().to_builder().region(Region::new(region.to_owned()))
    }
}
