//! Quotas whose numbers AWS Service Quotas has, read with the real SDK.

use std::{future::pending, num::NonZeroU64, time::Duration};

use bedrock_emulator::{Config, Emulator};
use outcrop::{
    app::{App, Reload},
    bedrock::Bedrock,
    config::Settings,
    quota::settings::{ModelQuota, QuotaSettings},
    shutdown::steps::Ended,
};
use outcrop_client::proto::{ListQuotasRequest, QuotaUsage, generation_service_client::GenerationServiceClient};
use tokio::{task::JoinSet, time::sleep};

use crate::harness::soon;

/// A quota of 10 tokens and 20 requests a minute beside these codes.
fn quota(model: &str, region: Option<&str>, tokens: &str, requests: &str) -> ModelQuota {
    ModelQuota {
        region: region.map(str::to_owned),
        tokens_per_minute: NonZeroU64::new(10),
        requests_per_minute: NonZeroU64::new(20),
        tokens_per_minute_code: Some(tokens.to_owned()),
        requests_per_minute_code: Some(requests.to_owned()),
        ..ModelQuota::of(model)
    }
}

fn settings(quotas: &[ModelQuota]) -> Settings {
    Settings { quotas: QuotaSettings { quotas: quotas.to_vec(), ..QuotaSettings::default() }, ..Settings::local() }
}

/// A running server.
struct Server {
    endpoint: String,
    reload: Reload,
    _running: JoinSet<Ended>,
}

impl Server {
    async fn start(emulator: &Emulator, quotas: &[ModelQuota]) -> Self {
        let settings = settings(quotas);
        let bedrock = Bedrock::emulated(&emulator.endpoint(), Duration::from_secs(30)).unwrap();
        let app = App::build(&settings, bedrock).await.unwrap();
        let (endpoint, reload) = (format!("http://{}", app.address()), app.reload());
        let mut running = JoinSet::new();
        running.spawn(app.run(pending(), pending()));
        Self { endpoint, reload, _running: running }
    }

    /// The limits of tokens and of requests, by model and region.
    async fn limits(&self) -> Vec<(String, u64, u64)> {
        let mut client = soon(GenerationServiceClient::connect(self.endpoint.clone())).await.unwrap();
        let listed = soon(client.list_quotas(ListQuotasRequest::default())).await.unwrap().into_inner();
        let limit = |usage: Option<&QuotaUsage>| usage.map_or(0, |usage| usage.limit);
        let mut limits: Vec<_> = listed
            .model_quotas
            .iter()
            .map(|quota| {
                let name = format!("{}@{}", quota.model_id, quota.region);
                (name, limit(quota.tokens_per_minute.as_ref()), limit(quota.requests_per_minute.as_ref()))
            })
            .collect();
        limits.sort_by(|a, b| a.0.cmp(&b.0));
        limits
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_starts_with_the_quotas_of_the_account_in_each_region_and_with_those_of_aws_where_it_has_none() {
    let emulator = Emulator::start(Config::default()).await.unwrap();
    emulator.set_service_quota("us-east-1", "L-0000000A", Some(4_000_000.0));
    emulator.set_default_service_quota("us-east-1", "L-0000000A", Some(1.0));
    emulator.set_service_quota("eu-west-1", "L-0000000A", Some(5_000_000.0));
    emulator.set_default_service_quota("us-east-1", "L-0000000B", Some(300.0));
    let quotas =
        [quota("a.b", None, "L-0000000A", "L-0000000B"), quota("a.b", Some("eu-west-1"), "L-0000000A", "L-0000000B")];
    let server = Server::start(&emulator, &quotas).await;
    let expected = [("a.b@eu-west-1", 5_000_000, 20), ("a.b@us-east-1", 4_000_000, 300)];
    assert_eq!(server.limits().await, expected.map(|(name, tokens, requests)| (name.to_owned(), tokens, requests)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_codes_of_a_changed_configuration_are_read_while_the_server_runs() {
    let emulator = Emulator::start(Config::default()).await.unwrap();
    emulator.set_service_quota("us-east-1", "L-0000000A", Some(4_000.0));
    emulator.set_service_quota("us-east-1", "L-0000000C", Some(6_000.0));
    let server = Server::start(&emulator, &[quota("a.b", None, "L-0000000A", "L-0000000A")]).await;
    assert_eq!(server.limits().await, [("a.b@us-east-1".to_owned(), 4_000, 4_000)]);
    server.reload.apply(&settings(&[quota("a.b", None, "L-0000000A", "L-0000000C")]), &[]);
    let changed = async {
        while server.limits().await != [("a.b@us-east-1".to_owned(), 4_000, 6_000)] {
            sleep(Duration::from_millis(5)).await;
        }
    };
    soon(changed).await;
    assert!(emulator.service_quota_requests() >= 3);
}
