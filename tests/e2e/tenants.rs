//! Two tenants on one server: neither can see, change, slow or bill the other.

use std::num::NonZeroU32;

use outcrop::{conversation::settings::ConversationSettings, identity::settings::IdentitySettings};
use outcrop_client::proto::{
    CreateConversationRequest, CreateConversationResponse, DeleteConversationRequest, GetConversationRequest,
    ListConversationsRequest, ListConversationsResponse, ListModelsResponse,
};
use prost::Message;
use tonic::Code;

use crate::{
    callers::{Answer, Caller, Protocol, Wire, open_stream, unary},
    harness::{Harness, request},
};

/// A server with two tenants.
pub(crate) struct Tenants {
    pub(crate) harness: Harness,
    wire: Wire,
    pub(crate) ada: Caller,
    pub(crate) bob: Caller,
}

impl Tenants {
    pub(crate) async fn start(change: impl FnOnce(&mut Caller, &mut outcrop::config::Settings)) -> Self {
        let (mut ada, bob) = (Caller::new("ada"), Caller::new("bob"));
        let harness = Harness::with(|settings| {
            change(&mut ada, settings);
            let callers = vec![ada.settings.clone(), bob.settings.clone()];
            settings.identity = IdentitySettings { callers, ..IdentitySettings::default() };
        })
        .await;
        Self { wire: Wire::to(&harness.endpoint), harness, ada, bob }
    }

    pub(crate) async fn call(&self, caller: &Caller, method: &str, message: &impl Message) -> Answer {
        let (path, header) = (format!("/outcrop.v1.GenerationService/{method}"), format!("Bearer {}", caller.key));
        self.wire.call(Protocol::Grpc, &path, &message.encode_to_vec(), &[("authorization", header.as_str())]).await
    }

    pub(crate) async fn answer<A: Message + Default>(
        &self,
        caller: &Caller,
        method: &str,
        message: &impl Message,
    ) -> A {
        let headers = vec![("authorization", format!("Bearer {}", caller.key))];
        let answer = unary(&self.harness.endpoint, method, &message.encode_to_vec(), &headers).await;
        A::decode(answer.as_slice()).unwrap()
    }

    async fn conversation(&self, caller: &Caller) -> String {
        let created: CreateConversationResponse =
            self.answer(caller, "CreateConversation", &CreateConversationRequest::default()).await;
        created.conversation.unwrap().conversation_id
    }

    async fn listed(&self, caller: &Caller) -> Vec<String> {
        let listed: ListConversationsResponse =
            self.answer(caller, "ListConversations", &ListConversationsRequest::default()).await;
        listed.conversations.into_iter().map(|one| one.conversation_id).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_tenant_sees_or_changes_the_conversations_of_the_other() {
    let tenants = Tenants::start(|_, settings| settings.max_conversations = 2).await;
    let Tenants { ada, bob, .. } = &tenants;
    let conversation_id = tenants.conversation(ada).await;
    let turn = outcrop_client::proto::GenerateRequest {
        conversation_id: conversation_id.clone(),
        ..request("emulator.default")
    };
    assert_eq!(tenants.call(ada, "Generate", &turn).await.code(), Some(Code::Ok));
    let before = tenants.harness.emulator.stats().requests;
    let get = GetConversationRequest { conversation_id: conversation_id.clone(), ..Default::default() };
    let delete = DeleteConversationRequest { conversation_id: conversation_id.clone() };
    for answer in [
        tenants.call(bob, "Generate", &turn).await,
        tenants.call(bob, "GetConversation", &get).await,
        tenants.call(bob, "DeleteConversation", &delete).await,
    ] {
        assert_eq!((answer.code(), answer.reason()), (Some(Code::NotFound), "CONVERSATION_NOT_FOUND"));
    }
    assert_eq!(tenants.harness.emulator.stats().requests, before);
    assert_eq!(tenants.listed(bob).await, Vec::<String>::new());
    assert_eq!(tenants.listed(ada).await.as_slice(), std::slice::from_ref(&conversation_id));
    // The number of conversations is counted for each tenant.
    for caller in [bob, bob, ada] {
        tenants.conversation(caller).await;
    }
    let create = CreateConversationRequest::default();
    for caller in [ada, bob] {
        assert_eq!(tenants.call(caller, "CreateConversation", &create).await.reason(), "LOCAL_LIMIT");
    }
    assert_eq!(tenants.call(ada, "DeleteConversation", &delete).await.code(), Some(Code::Ok));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_sees_only_the_models_that_it_may_use() {
    let tenants = Tenants::start(|ada, settings| {
        let routes = ["fast=emulator.default", "secret=emulator.tools"].map(str::to_owned);
        settings.rules.routes = outcrop::failover::routes::Routes::parse(&routes, 3).unwrap();
        ada.settings.permissions.models = Some(vec!["fast".to_owned()]);
    })
    .await;
    let Tenants { ada, bob, .. } = &tenants;
    let names = async |caller: &Caller| {
        let listed: ListModelsResponse = tenants.answer(caller, "ListModels", &()).await;
        listed.models.into_iter().map(|model| model.name).collect::<Vec<_>>()
    };
    assert_eq!(names(ada).await, ["fast"]);
    assert_eq!(names(bob).await, ["emulator.default", "fast", "secret"]);
    for (model, reason) in [("fast", ""), ("secret", "PERMISSION_DENIED"), ("emulator.default", "PERMISSION_DENIED")] {
        assert_eq!(tenants.call(ada, "Generate", &request(model)).await.reason(), reason, "{model}");
        let counted = tenants.call(ada, "CountTokens", &request(model)).await;
        assert_eq!(counted.reason() == "PERMISSION_DENIED", !reason.is_empty(), "{model}: {counted:?}");
    }
    let create = CreateConversationRequest { model: "secret".to_owned(), ..CreateConversationRequest::default() };
    assert_eq!(tenants.call(ada, "CreateConversation", &create).await.reason(), "PERMISSION_DENIED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_at_its_limits_neither_slows_nor_bills_the_other() {
    let tenants = Tenants::start(|ada, settings| {
        settings.limits.tokens_per_minute = NonZeroU32::new(20_000);
        ada.settings.limits.max_streams = Some(2);
        ada.settings.limits.requests_per_minute = NonZeroU32::new(5);
    })
    .await;
    let Tenants { ada, bob, harness, .. } = &tenants;
    let mut open = Vec::new();
    for _ in 0..2 {
        open.push(open_stream(&harness.endpoint, &ada.key, &request("emulator.endless")).await);
    }
    let mut reasons = Vec::new();
    for _ in 0..4 {
        reasons.push(tenants.call(ada, "Generate", &request("emulator.default")).await.reason().to_owned());
    }
    assert_eq!(reasons, ["LOCAL_LIMIT"; 4], "two streams run, and then five requests were made");
    // Each call reserves 4,096 tokens and uses a few: five at once would not fit into a budget that both share.
    let asked = request("emulator.default");
    let calls = (0..4).map(|_| tenants.call(bob, "Generate", &asked));
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer.code(), Some(Code::Ok), "{answer:?}");
    }
    let of = |tenant: &str| harness.count("tokens_total", &[&format!("tenant=\"{tenant}\"")]);
    assert_eq!(of("ada"), 0, "nothing of ada's has ended");
    assert!(of("bob") > 0);
    drop(open);
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_from_before_the_callers_belong_to_the_one_that_adopts_them() {
    let path = std::env::temp_dir().join(format!("outcrop-e2e-adopted-{}.redb", std::process::id()));
    let mut before = Harness::with(|settings| settings.conversations = ConversationSettings::File(path.clone())).await;
    let created = before.client.create_conversation(CreateConversationRequest::default()).await.unwrap();
    before.begin_shutdown();
    before.ended().await;
    let tenants = Tenants::start(|ada, settings| {
        settings.conversations = ConversationSettings::File(path.clone());
        ada.settings.adopts_unowned_conversations = true;
    })
    .await;
    let Tenants { ada, bob, .. } = &tenants;
    let get = GetConversationRequest { conversation_id: created.conversation_id.clone(), ..Default::default() };
    assert_eq!(tenants.call(bob, "GetConversation", &get).await.reason(), "CONVERSATION_NOT_FOUND");
    assert_eq!(tenants.call(ada, "GetConversation", &get).await.code(), Some(Code::Ok));
    std::fs::remove_file(&path).unwrap();
}
