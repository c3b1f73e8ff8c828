//! What is done once for a call.

use std::{
    num::NonZeroU64,
    sync::{Arc, LazyLock},
    time::SystemTime,
};

use aws_sdk_bedrockruntime::{
    Client, Config,
    config::{BehaviorVersion, Region},
};
use futures_util::FutureExt;

use super::{Named, Work};
use crate::{
    admission::{client::ClientId, estimate::Estimate},
    bedrock::{converse, invoke},
    digest::sha256,
    event::Used,
    failover::routes::Target,
    identity::{
        directory::Directory,
        key::PresentedKey,
        settings::{CallerSettings, IdentitySettings, KeySettings},
    },
    proto::{
        ContentBlock, GenerateRequest, InferenceConfiguration, Message, OperationChoice, Role, SystemContentBlock,
        content_block::Block, system_content_block,
    },
    quota::{
        demand::Demand,
        ledger::Ledger,
        settings::{ModelQuota, QuotaSettings},
    },
    request::{self, Rules},
};

/// The calls of one work.
pub(super) const CALLS: u32 = 64;

pub(super) const ALL: [Named; 5] = [
    ("check of a request", check),
    ("request to ConverseStream", converse_request),
    ("request to native body", native_request),
    ("reservation and settlement of a quota", quota),
    ("API key", key),
];

/// An API key of the form that keys have.
const KEY: &str = "oc_abcdefghijkm_AAAABBBBCCCCDDDDEEEEFFFFGGGGHHHHIIIIJJJJKKK";

/// A conversation of six messages with a system prompt.
fn request(model: &str) -> GenerateRequest {
    let message = |at: i32| Message {
        role: if at % 2 == 0 { Role::User } else { Role::Assistant }.into(),
        content: vec![ContentBlock { block: Some(Block::Text("What the caller or the model said. ".repeat(8))) }],
    };
    let system = system_content_block::Block::Text("You answer in one sentence.".to_owned());
    GenerateRequest {
        model: model.to_owned(),
        messages: (0..6).map(message).collect(),
        prompt: "And what do you say to that?".to_owned(),
        system: vec![SystemContentBlock { block: Some(system) }],
        inference_config: Some(InferenceConfiguration {
            max_tokens: Some(1_000),
            temperature: Some(0.5),
            ..InferenceConfiguration::default()
        }),
        ..GenerateRequest::default()
    }
}

fn requests(model: &str) -> Vec<GenerateRequest> {
    vec![request(model); CALLS as usize]
}

fn check() -> Work {
    let (requests, rules) = (requests("amazon.nova-lite-v1:0"), Rules::default());
    Box::new(move || {
        for request in requests {
            let (checked, _) = request::check(request, &rules).expect("a request without violations");
            assert_eq!(checked.request.get().messages.len(), 7);
        }
    })
}

fn converse_request() -> Work {
    static CLIENT: LazyLock<Client> = LazyLock::new(|| {
        let config = Config::builder().behavior_version(BehaviorVersion::latest()).region(Region::new("us-east-1"));
        Client::from_conf(config.build())
    });
    let rules = Rules::default();
    let checked = requests("amazon.nova-lite-v1:0").into_iter().map(|request| request::check(request, &rules));
    let checked: Vec<_> = checked.map(|checked| checked.expect("a request without violations").0.request).collect();
    let client = &*CLIENT;
    Box::new(move || {
        for request in checked {
            let operation = converse::stream(client, request).expect("a request that was checked");
            assert_eq!(operation.get_messages().as_ref().map(Vec::len), Some(7));
        }
    })
}

fn native_request() -> Work {
    let (mut request, rules) = (request("anthropic.claude-3-haiku-20240307-v1:0"), Rules::default());
    request.set_operation(OperationChoice::Native);
    let (checked, _) = request::check(request, &rules).expect("a request without violations");
    Box::new(move || {
        for _ in 0..CALLS {
            let body = invoke::body(checked.request.get()).expect("a request that was checked");
            assert!(body.to_string().len() > 1_000);
        }
    })
}

fn quota() -> Work {
    let target = Target::here("amazon.nova-lite-v1:0");
    let quota = ModelQuota {
        tokens_per_minute: NonZeroU64::new(1_000_000_000),
        burst_percent: 100,
        ..ModelQuota::of(&target.model_id)
    };
    let ledger = Ledger::new("us-east-1", &QuotaSettings { quotas: vec![quota], ..QuotaSettings::default() });
    let client = crate::admission::client::Client::of(ClientId::Caller("one".into()));
    let demand = Demand::of(&client, Estimate::of(&request(&target.model_id)), false);
    Box::new(move || {
        for _ in 0..CALLS {
            let granted = ledger.reserve(&[&target], &demand, |_| {}).now_or_never().expect("room without waiting");
            let mut reservation = granted.expect("room").reservation.expect("a quota");
            reservation.sent();
            assert!(reservation.settle(Used { input: 500, output: 100, ..Used::default() }) >= 600);
        }
    })
}

fn key() -> Work {
    let key = KeySettings {
        id: "abcdefghijkm".to_owned(),
        sha256: sha256(KEY.as_bytes()),
        expires_at: None,
        disabled: false,
    };
    let caller = CallerSettings { name: "ada".to_owned(), keys: vec![key], ..CallerSettings::default() };
    let settings = IdentitySettings { callers: vec![caller], ..IdentitySettings::default() };
    let directory = Directory::new(&settings, Arc::default()).expect("settings without issuers");
    Box::new(move || {
        for _ in 0..CALLS {
            let key = PresentedKey::parse(KEY).expect("the form of a key");
            let identity = directory.by_key(&key, SystemTime::UNIX_EPOCH).expect("a known key");
            assert_eq!(identity.caller(), "ada");
        }
    })
}
