//! Conversations in a cluster of three nodes, which all have some of them.

use bedrock_emulator::{Script, Step};
use outcrop_client::proto::CreateConversationRequest;
use tokio::task::JoinSet;

use super::{server::Cluster, server_at};
use crate::{
    conversations::turn,
    harness::{Harness, collect, soon},
};

/// New conversations, each with the number of the node that has it: as many as it takes until each node has one.
async fn on_all_nodes(cluster: &Cluster, server: &Harness) -> Vec<(String, usize)> {
    let mut created: Vec<(String, usize)> = Vec::new();
    while !(0..cluster.nodes.len()).all(|node| created.iter().any(|(_, of)| *of == node)) {
        let conversation = soon(server.client.create_conversation(CreateConversationRequest::default())).await.unwrap();
        let id = conversation.conversation_id;
        let head = format!("EXISTS outcrop:{{/{id}}}:head");
        let node = cluster.nodes.iter().position(|node| node.say(&head) == ":1").unwrap();
        created.push((id, node));
    }
    created
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_are_kept_on_all_nodes_of_a_cluster() {
    let Some(cluster) = Cluster::start("cluster") else { return };
    // One node is enough to find the others.
    let one = server_at(&cluster.nodes[0].address()).await;
    let other = server_at(&cluster.address()).await;
    let ids: Vec<_> = on_all_nodes(&cluster, &one).await.into_iter().map(|(id, _)| id).collect();
    for id in &ids {
        one.ask(turn(id, "emulator.tools", "one")).await.whole();
        other.ask(turn(id, "emulator.tools", "two")).await.whole();
    }
    let (listed, _) = soon(other.client.conversations(100, "")).await.unwrap();
    let listed: Vec<_> = listed.into_iter().map(|one| (one.conversation_id, one.turn_count)).collect();
    assert_eq!(listed, ids.iter().rev().map(|id| (id.clone(), 2)).collect::<Vec<_>>(), "the newest first");
    for id in &ids {
        soon(one.client.delete_conversation(id)).await.unwrap();
    }
    assert!(soon(other.client.conversations(100, "")).await.unwrap().0.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_held_and_lost_in_a_cluster_as_in_one_redis() {
    let Some(cluster) = Cluster::start("cluster-lease") else { return };
    let (one, other) = (server_at(&cluster.address()).await, server_at(&cluster.address()).await);
    let pause = Script::of([Step::text("a"), Step::WaitMs(1_000), Step::message_stop("end_turn")]);
    let model = one.emulator.register("slow", pause);
    for _ in 0..3 {
        let created = soon(one.client.create_conversation(CreateConversationRequest::default())).await.unwrap();
        let id = created.conversation_id;
        let running = soon(one.client.generate(turn(&id, &model, "one"))).await.unwrap();
        let (_, error) = other.ask(turn(&id, "emulator.tools", "two")).await.failed();
        assert_eq!(error.reason, "CONVERSATION_BUSY");
        // As if the lease had expired while this server was paused.
        let lost = cluster.nodes.iter().filter(|node| node.say(&format!("DEL outcrop:{{/{id}}}:lease")) == ":1");
        assert_eq!(lost.count(), 1);
        other.ask(turn(&id, "emulator.tools", "two")).await.whole();
        let (_, error) = soon(collect(running)).await.failed();
        assert_eq!(error.reason, "CONVERSATION_LEASE_LOST");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_node_holds_up_its_own_conversations_alone() {
    let Some(cluster) = Cluster::start("cluster-paused") else { return };
    let server = server_at(&cluster.address()).await;
    let ids = on_all_nodes(&cluster, &server).await;
    // The account of the owner is on one node too; another one is paused.
    let account = cluster.nodes.iter().position(|node| node.say("EXISTS outcrop:{/}:total") == ":1").unwrap();
    let paused = (account + 1) % 3;
    cluster.nodes[paused].signal("-STOP");
    let mut running = JoinSet::new();
    for (id, node) in ids.clone() {
        let held = node == paused;
        let client = server.client.clone();
        running.spawn(async move {
            let outcome = match client.generate(turn(&id, "emulator.tools", "one")).await {
                Ok(chunks) => collect(chunks).await.result,
                Err(error) => Err(error),
            };
            (held, outcome)
        });
    }
    while let Some(done) = soon(running.join_next()).await {
        match done.unwrap() {
            (false, outcome) => outcome.unwrap(),
            (true, outcome) => assert!(outcome.unwrap_err().to_string().starts_with("CONVERSATION_STORE")),
        }
    }
    cluster.nodes[paused].signal("-CONT");
    for (id, _) in &ids {
        soon(async { while server.ask(turn(id, "emulator.tools", "two")).await.result.is_err() {} }).await;
    }
}
