//! Whether AWS Service Quotas has the codes of the quotas.

use std::collections::BTreeSet;

use futures_util::{StreamExt, stream};

use crate::{bedrock::service_quotas::ServiceQuotas, quota::settings::QuotaSettings};

/// The codes that are read at the same time.
const AT_ONCE: usize = 4;

/// A warning for every code that cannot be read. It is no problem, because the number beside a code holds then.
pub(super) async fn check(settings: &QuotaSettings, service: &ServiceQuotas, home: &str) -> Vec<String> {
    let codes: BTreeSet<_> = settings
        .quotas
        .iter()
        .flat_map(|quota| {
            let region = quota.region.as_deref().unwrap_or(home);
            let codes = [&quota.tokens_per_minute_code, &quota.requests_per_minute_code].into_iter().flatten();
            codes.map(move |code| (region.to_owned(), code.clone()))
        })
        .collect();
    let reading = codes.into_iter().map(async |(region, code)| {
        let error = service.read(&region, &code).await.err()?.for_log();
        Some(format!(
            "the quota {code} in {region} cannot be read from AWS Service Quotas, and the number beside it holds: {error}. The role needs servicequotas:GetServiceQuota and servicequotas:GetAWSDefaultServiceQuota"
        ))
    });
    stream::iter(reading).buffered(AT_ONCE).filter_map(async |warning| warning).collect().await
}
