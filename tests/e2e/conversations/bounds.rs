//! The bounds of conversations: what is stored of one, the pages of lists and of turns, and what an owner can have.

use super::*;

#[tokio::test]
async fn a_conversation_is_trimmed_at_its_turns() {
    let harness = with(|_| {}).await;
    let bounds = Some(ConversationBounds { max_messages: 4, ..ConversationBounds::default() });
    let id = created(&harness, CreateConversationRequest { bounds, ..Default::default() }).await;
    let model = harness.emulator.register("short", Script::reply("yes"));
    for prompt in ["one", "two", "three", "four"] {
        harness.ask(turn(&id, &model, prompt)).await.whole();
    }
    assert_eq!(kept(&harness, &id).await, 2);
    let said: Vec<_> = asked(&harness).as_array().unwrap().iter().map(|m| m["content"][0]["text"].clone()).collect();
    assert_eq!(said, ["two", "yes", "three", "yes", "four"]);
    assert_eq!(soon(harness.client.conversation(&id)).await.unwrap().0.title, "one");
    // By the model's own count: each turn costs 11 tokens, so 25 hold two of them.
    let bounds = Some(ConversationBounds { max_tokens: 25, ..ConversationBounds::default() });
    let id = created(&harness, CreateConversationRequest { bounds, ..Default::default() }).await;
    for (turn_number, input) in [(1, 10), (2, 21), (3, 32)] {
        let steps = [Step::text("yes"), Step::message_stop("end_turn"), Step::metadata(input, 1)];
        let model = harness.emulator.register("counted", Script::of(steps));
        harness.ask(turn(&id, &model, &turn_number.to_string())).await.whole();
    }
    assert_eq!(kept(&harness, &id).await, 2);
}

#[tokio::test]
async fn lists_have_pages_and_the_last_used_comes_first() {
    let harness = with(|_| {}).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(created(&harness, CreateConversationRequest::default()).await);
        harness.ask(turn(ids.last().unwrap(), "emulator.tools", "hi")).await.whole();
    }
    let without_a_turn = created(&harness, CreateConversationRequest::default()).await;
    harness.ask(turn(&ids[1], "emulator.tools", "again")).await.whole();
    let (mut listed, mut token) = (Vec::new(), String::new());
    loop {
        let (page, next) = soon(harness.client.conversations(2, &token)).await.unwrap();
        assert!(page.len() <= 2);
        listed.extend(page.into_iter().map(|conversation| conversation.conversation_id));
        if next.is_empty() {
            break;
        }
        token = next;
    }
    assert_eq!(listed, [1, 4, 3, 2, 0].map(|at: usize| ids[at].clone()));
    assert!(!listed.contains(&without_a_turn), "a conversation without a stored turn is not listed");
    let Err(ClientError::Call(error)) = soon(harness.client.conversations(-1, "")).await else { panic!("refused") };
    assert_eq!(error.violations[0].field, "page_size");
}

#[tokio::test]
async fn the_newest_turn_is_stored_whole_even_beyond_the_bounds() {
    let harness = with(|_| {}).await;
    let bounds = ConversationBounds { max_messages: 2, max_tokens: 5, max_bytes: 10, ..ConversationBounds::default() };
    let id = created(&harness, CreateConversationRequest { bounds: Some(bounds), ..Default::default() }).await;
    for number in 1..=3 {
        let steps = [Step::text("a long answer"), Step::message_stop("end_turn"), Step::metadata(1_000, 1_000)];
        let model = harness.emulator.register("large", Script::of(steps));
        harness.ask(turn(&id, &model, &format!("a long question, number {number}"))).await.whole();
        let (conversation, turns) = soon(harness.client.conversation(&id)).await.unwrap();
        assert_eq!((turns.len(), conversation.revision), (1, number), "OK means stored");
    }
}

#[tokio::test]
async fn a_conversation_is_read_in_pages_of_turns() {
    let harness = with(|settings| settings.conversation_bounds.messages = 10_000).await;
    let id = created(&harness, CreateConversationRequest::default()).await;
    let model = harness.emulator.register("short", Script::reply("yes"));
    for number in 0..130 {
        harness.ask(turn(&id, &model, &number.to_string())).await.whole();
    }
    let mut service =
        outcrop_client::proto::generation_service_client::GenerationServiceClient::connect(harness.endpoint.clone())
            .await
            .unwrap();
    let page = |page_token: &str| outcrop_client::proto::GetConversationRequest {
        conversation_id: id.clone(),
        page_size: 60,
        page_token: page_token.to_owned(),
    };
    let first = soon(service.get_conversation(page(""))).await.unwrap().into_inner();
    let second = soon(service.get_conversation(page(&first.next_page_token))).await.unwrap().into_inner();
    let third = soon(service.get_conversation(page(&second.next_page_token))).await.unwrap().into_inner();
    assert_eq!((first.turns.len(), second.turns.len(), third.turns.len()), (60, 60, 10));
    assert_eq!(third.next_page_token, "");
    assert_eq!(kept(&harness, &id).await, 130, "the client follows the pages");
}

#[tokio::test]
async fn a_page_that_cannot_be_is_refused_and_is_not_the_first_page() {
    use outcrop_client::{
        CallError,
        proto::{GetConversationRequest, ListConversationsRequest},
    };
    let harness = Harness::start().await;
    let id = created(&harness, CreateConversationRequest::default()).await;
    let mut service =
        outcrop_client::proto::generation_service_client::GenerationServiceClient::connect(harness.endpoint.clone())
            .await
            .unwrap();
    for (page_size, of_turns, of_list) in [(-1, "no token", "no token"), (1_001, "-1", "-1:a"), (i32::MAX, "7:a", "7")]
    {
        let page_token = of_turns.to_owned();
        let request = GetConversationRequest { conversation_id: id.clone(), page_size, page_token };
        let turns = soon(service.get_conversation(request)).await.unwrap_err();
        let request = ListConversationsRequest { page_size, page_token: of_list.to_owned() };
        let list = soon(service.list_conversations(request)).await.unwrap_err();
        for status in [turns, list] {
            let error = CallError::from(&status);
            let fields: Vec<_> = error.violations.iter().map(|violation| violation.field.as_str()).collect();
            assert_eq!(fields, ["page_size", "page_token"], "{error}");
        }
    }
}

#[tokio::test]
async fn an_owner_has_a_bounded_number_of_conversations() {
    let harness = with(|settings| settings.max_conversations = 3).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(created(&harness, CreateConversationRequest::default()).await);
    }
    let refused = soon(harness.client.create_conversation(CreateConversationRequest::default())).await;
    let Err(ClientError::Call(error)) = refused else { panic!("refused") };
    assert_eq!((error.code, error.reason.as_str()), (Code::ResourceExhausted, "LOCAL_LIMIT"));
    assert!(error.quota.is_some() && error.message.contains("--max-conversations"), "{error}");
    soon(harness.client.delete_conversation(&ids[0])).await.unwrap();
    created(&harness, CreateConversationRequest::default()).await;
}

#[tokio::test]
async fn an_owner_has_a_bounded_number_of_bytes() {
    let harness = with(|settings| settings.max_stored_bytes = 2_000).await;
    let (first, second) = (
        created(&harness, CreateConversationRequest::default()).await,
        created(&harness, CreateConversationRequest::default()).await,
    );
    // An answer that does not fit is not stored, and its caller is told in place of the finish.
    let large = harness.emulator.register("large", Script::reply("x".repeat(1_900)));
    let (chunks, error) = harness.ask(turn(&first, &large, "hi")).await.failed();
    assert_eq!((error.reason.as_str(), error.metadata["phase"].as_str()), ("LOCAL_LIMIT", "after_content"));
    assert_eq!(text_of(&chunks).len(), 1_900);
    assert!(error.quota.is_some() && error.message.contains("--max-stored-bytes"), "{error}");
    let half = harness.emulator.register("half", Script::reply("x".repeat(1_500)));
    harness.ask(turn(&first, &half, "hi")).await.whole();
    // Messages that do not fit are refused before a model is called.
    let (chunks, error) = harness.ask(turn(&second, &half, &"y".repeat(500))).await.failed();
    assert_eq!((chunks.len(), error.code, error.reason.as_str()), (0, Code::ResourceExhausted, "LOCAL_LIMIT"));
    soon(harness.client.delete_conversation(&first)).await.unwrap();
    harness.ask(turn(&second, &half, &"y".repeat(300))).await.whole();
    assert_eq!(kept(&harness, &second).await, 1);
}
