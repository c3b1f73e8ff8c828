//! GetServiceQuota and GetAWSDefaultServiceQuota of AWS Service Quotas, for the quotas of Amazon Bedrock. Their path is `/`, as that of STS.

use std::collections::BTreeMap;

use axum::{extract::State, response::Response};
use bytes::Bytes;
use http::HeaderMap;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::{
    answer::{json_body, refuse},
    history::region,
    routes::Shared,
    sts,
};

/// The beginning of `X-Amz-Target`, which is followed by the name of the operation.
const TARGET: &str = "ServiceQuotasV20190624.";

/// The only service that has quotas here.
const SERVICE: &str = "bedrock";

/// The values of quotas by region and code.
#[derive(Debug, Default)]
pub(crate) struct ServiceQuotas {
    /// Those that were applied to the account.
    applied: Mutex<BTreeMap<(String, String), f64>>,
    /// Those that every account has.
    defaults: Mutex<BTreeMap<(String, String), f64>>,
    /// The requests so far.
    requests: Mutex<u64>,
}

impl ServiceQuotas {
    /// Sets the value of a quota, or removes it. `applied` is that of the account, otherwise the default of AWS.
    pub(crate) fn set(&self, region: &str, code: &str, value: Option<f64>, applied: bool) {
        let key = (region.to_owned(), code.to_owned());
        let mut values = if applied { self.applied.lock() } else { self.defaults.lock() };
        match value {
            Some(value) => drop(values.insert(key, value)),
            None => drop(values.remove(&key)),
        }
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> u64 {
        *self.requests.lock()
    }
}

/// An operation of the protocol AWS JSON 1.1, or of STS.
pub(crate) async fn answer(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(operation) = target.strip_prefix(TARGET) else { return sts::answer(&body) };
    let quotas = &shared.account.service_quotas;
    let values = match operation {
        "GetServiceQuota" => &quotas.applied,
        "GetAWSDefaultServiceQuota" => &quotas.defaults,
        _ => return refuse(404, "UnknownOperationException", "The emulator has no such operation."),
    };
    *quotas.requests.lock() += 1;
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (Some(service), Some(code)) = (request["ServiceCode"].as_str(), request["QuotaCode"].as_str()) else {
        return refuse(400, "IllegalArgumentException", "ServiceCode and QuotaCode are required.");
    };
    let region = region(&headers).to_owned();
    let value = values.lock().get(&(region.clone(), code.to_owned())).copied();
    match value.filter(|_| service == SERVICE) {
        Some(value) => json_body(&json!({"Quota": {
            "ServiceCode": SERVICE,
            "ServiceName": "Amazon Bedrock",
            "QuotaArn": format!("arn:aws:servicequotas:{region}:{}:{SERVICE}/{code}", sts::ACCOUNT),
            "QuotaCode": code,
            "QuotaName": format!("The quota {code}"),
            "Value": value,
            "Unit": "None",
            "Adjustable": true,
            "GlobalQuota": false,
        }})),
        None => {
            refuse(400, "NoSuchResourceException", "The request failed because the specified resource does not exist.")
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Request;

    use super::*;
    use crate::served::{Served, json_of};

    /// The status and the answer, of a request that was signed for this region.
    async fn ask(served: &Served, region: &str, operation: &str, body: Value) -> (u16, Value) {
        let scope =
            format!("AWS4-HMAC-SHA256 Credential=KEY/20260101/{region}/servicequotas/aws4_request, Signature=0");
        let request = Request::post("/").header("authorization", scope);
        let request = request.header("x-amz-target", format!("{TARGET}{operation}"));
        let response = served.send(request.body(Body::from(body.to_string())).unwrap()).await;
        (response.status().as_u16(), json_of(response).await)
    }

    #[tokio::test]
    async fn a_quota_has_a_value_by_region_and_a_default_and_sts_has_the_same_path() {
        let served = Served::new();
        let quotas = &served.shared.account.service_quotas;
        quotas.set("us-east-1", "L-1", Some(5.0), true);
        quotas.set("us-east-1", "L-1", Some(3.0), false);
        let of = |service: &str, code: &str| json!({"ServiceCode": service, "QuotaCode": code});
        for (region, operation, body, status, value) in [
            ("us-east-1", "GetServiceQuota", of("bedrock", "L-1"), 200, Some(5.0)),
            ("us-east-1", "GetAWSDefaultServiceQuota", of("bedrock", "L-1"), 200, Some(3.0)),
            ("us-west-2", "GetServiceQuota", of("bedrock", "L-1"), 400, None),
            ("us-east-1", "GetServiceQuota", of("bedrock", "L-2"), 400, None),
            ("us-east-1", "GetServiceQuota", of("ec2", "L-1"), 400, None),
            ("us-east-1", "GetServiceQuota", json!({}), 400, None),
            ("us-east-1", "ListServiceQuotas", of("bedrock", "L-1"), 404, None),
        ] {
            let (found, answer) = ask(&served, region, operation, body.clone()).await;
            assert_eq!((found, answer["Quota"]["Value"].as_f64()), (status, value), "{region} {operation} {body}");
        }
        assert_eq!(quotas.requests(), 6);
        let identity = Request::post("/").body(Body::from("Action=GetCallerIdentity")).unwrap();
        assert!(served.send(identity).await.status().is_success());
    }
}
