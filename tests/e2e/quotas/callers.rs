//! Two servers on one Redis: a caller has its limits and budgets once, and not once at each server.

use outcrop::{
    conversation::settings::{ConversationSettings, RedisSettings},
    identity::settings::IdentitySettings,
    quota::settings::Budget,
};
use outcrop_client::proto::CallerQuotaKind;

use super::*;
use crate::{callers::Caller, redis::server::Redis};

/// The time in which a new table lets no share grow, and some more.
const CONFIRMING: Duration = Duration::from_secs(7);

/// Two servers that have this caller, whose clients have its key.
async fn two_servers(redis: &Redis, change: impl Fn(&mut Caller)) -> [Harness; 2] {
    let mut caller = Caller::new("billing");
    change(&mut caller);
    let key = caller.key.clone();
    let start = async || {
        let callers = vec![caller.settings.clone()];
        Harness::connecting(
            |settings| {
                settings.attempts = 1;
                settings.identity = IdentitySettings { callers, ..IdentitySettings::default() };
                settings.conversations = ConversationSettings::Redis(RedisSettings::at(redis.address()));
            },
            |client| client.api_key(key.clone().into()).insecure_key_over_plaintext(),
        )
        .await
    };
    let servers = [start().await, start().await];
    for server in &servers {
        server.emulator.register("tiny", uses(1, 99, Duration::ZERO));
    }
    sleep(CONFIRMING).await;
    servers
}

/// How many of these calls are served, one after the other at each server in turn.
async fn served(servers: &[Harness; 2], calls: usize) -> usize {
    let mut served = 0;
    for number in 0..calls {
        served += usize::from(servers[number % 2].ask(asks("emulator.tiny", 99)).await.result.is_ok());
    }
    served
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_of_a_caller_holds_at_both_servers_together() {
    let Some(redis) = Redis::start("redis-rates") else { return };
    let servers = two_servers(&redis, |caller| {
        caller.settings.limits.requests_per_minute = NonZeroU32::new(60);
    })
    .await;
    let began = Instant::now();
    let served = served(&servers, 150).await;
    // A second brings one more, and a share that moves while it is used brings as much again at most once.
    let most = 60 + usize::try_from(began.elapsed().as_secs()).unwrap() + 1;
    assert!((50..=most + 6).contains(&served), "{served} of {most}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_of_a_caller_is_spent_once_at_both_servers() {
    let Some(redis) = Redis::start("redis-budgets") else { return };
    let servers = two_servers(&redis, |caller| {
        caller.settings.budget = Budget { tokens_per_day: NonZeroU64::new(5_000), ..Budget::default() };
    })
    .await;
    let mut all = 0;
    // A refusal is told when the next renewal may have brought more.
    for _ in 0..12 {
        all += served(&servers, 10).await;
        sleep(Duration::from_millis(1_200)).await;
    }
    assert!((48..=50).contains(&all), "{all} calls of 100 tokens");
    for server in &servers {
        let listed = server.client.quotas().await.unwrap().caller_quotas;
        let of_day = listed.iter().find(|quota| quota.kind() == CallerQuotaKind::TokensPerDay).unwrap().usage.unwrap();
        assert_eq!((of_day.limit, of_day.used), (5_000, 100 * u64::try_from(all).unwrap()), "{of_day:?}");
    }
}
