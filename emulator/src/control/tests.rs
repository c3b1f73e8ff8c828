//! Scripts, requests and sessions, as a test in any language uses them.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use tokio::time::Duration;

use crate::{
    script::Script,
    served::{Served, all, json_of, prompt},
};

const CLAUDE: &str = "anthropic.claude-3-haiku-20240307-v1:0";

fn said(text: &str) -> Value {
    json!({"steps": [{"reply": text}]})
}

/// The text of the answer to Converse, or its error.
async fn text(served: &Served, model: &str, session: &str, words: &str) -> String {
    let request = Request::post(format!("/model/{model}/converse")).header("x-emulator-session", session);
    let response = served.send(request.body(prompt(words, 1_000).to_string().into()).unwrap()).await;
    let answer = json_of(response).await;
    let text = answer["output"]["message"]["content"][0]["text"].as_str();
    text.or(answer["message"].as_str()).unwrap().to_owned()
}

/// An operation of the emulator in a session.
async fn control(served: &Served, session: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let request = Request::builder().method(method).uri(format!("/_emulator/{path}"));
    let request = request.header("x-emulator-session", session).body(Body::from(body.to_string())).unwrap();
    let response = served.send(request).await;
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&all(response).await).unwrap_or_default())
}

#[tokio::test(start_paused = true)]
async fn a_real_model_and_an_arn_can_have_a_script() {
    let served = Served::new();
    let arn = "arn:aws:bedrock:us-east-1:1:application-inference-profile/x";
    let encoded = arn.replace('/', "%2F");
    assert_eq!(served.control("PUT", &format!("scripts/{CLAUDE}"), &json!([said("one"), said("two")])).await.0, 204);
    assert_eq!(served.control("PUT", &format!("scripts/{arn}"), &said("mine")).await.0, 204);
    for expected in ["one", "two", "two"] {
        assert_eq!(text(&served, CLAUDE, "", "hi").await, expected);
    }
    assert_eq!(text(&served, &encoded, "", "hi").await, "mine");
    // In the format of its family.
    let body = json!({"anthropic_version": "x", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    let native = json_of(served.operate("invoke", CLAUDE, "", &body).await).await;
    assert_eq!(native["content"], json!([{"type": "text", "text": "two"}]));
    let listed = served.control("GET", "scripts", &json!(null)).await.1;
    assert_eq!(listed["put"], json!([CLAUDE, arn]));
    assert!(listed["own"].as_array().unwrap().contains(&json!("emulator.tools")));
    assert_eq!(served.control("DELETE", &format!("scripts/{CLAUDE}"), &json!(null)).await.0, 204);
    assert_eq!(served.control("DELETE", &format!("scripts/{CLAUDE}"), &json!(null)).await.0, 404);
    assert!(text(&served, CLAUDE, "", "hi").await.contains("“hi”"));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_arn_and_a_mark_in_the_prompt_choose_a_script() {
    let served = Served::new();
    served.shared.catalogue.register("emulator.mine".into(), [Script::reply("my own words")]);
    let arn = "arn:aws:bedrock:us-east-1:1:inference-profile%2Femulator.";
    assert_eq!(text(&served, &format!("{arn}mine"), "", "hi").await, "my own words");
    assert!(text(&served, &format!("{arn}default"), "", "hi").await.contains("“hi”"));
    assert!(text(&served, &format!("{arn}nonsense"), "", "hi").await.contains("no script emulator.nonsense"));
    assert_eq!(text(&served, CLAUDE, "", "Tell me. [emulator.mine]").await, "my own words");
    assert!(text(&served, CLAUDE, "", "[emulator.nonsense]").await.contains("no script emulator.nonsense"));
    // A script is not replaced by a mark.
    assert_eq!(text(&served, "emulator.mine", "", "[emulator.tools]").await, "my own words");
}

#[tokio::test(start_paused = true)]
async fn a_script_for_a_region_replaces_the_one_for_all() {
    let served = Served::new();
    served.control("PUT", &format!("scripts/{CLAUDE}"), &said("anywhere")).await;
    served.control("PUT", &format!("scripts/{CLAUDE}@us-west-2"), &said("west")).await;
    for (region, expected) in [("us-west-2", "west"), ("us-east-1", "anywhere")] {
        let answer = json_of(served.operate("converse", CLAUDE, region, &prompt("hi", 9)).await).await;
        assert_eq!(answer["output"]["message"]["content"][0]["text"], expected);
    }
}

#[tokio::test(start_paused = true)]
async fn sessions_do_not_see_each_other() {
    let served = Served::new();
    let path = format!("scripts/{CLAUDE}");
    for session in ["a", "b"] {
        assert_eq!(control(&served, session, "PUT", &path, &said(session)).await.0, 204);
    }
    assert_eq!(text(&served, CLAUDE, "a", "one").await, "a");
    assert_eq!(text(&served, CLAUDE, "b", "two").await, "b");
    assert!(text(&served, CLAUDE, "", "three").await.contains("“three”"));
    let count = async |session: &str| {
        let found = control(&served, session, "GET", "requests", &json!(null)).await.1;
        found["requests"].as_array().unwrap().len()
    };
    assert_eq!((count("a").await, count("b").await, count("").await), (1, 1, 3));
    let last = control(&served, "a", "GET", "last-request", &json!(null)).await.1;
    assert_eq!((&last["session"], &last["body"]), (&json!("a"), &prompt("one", 1_000)));
    assert_eq!(control(&served, "a", "POST", "reset", &json!(null)).await.0, 204);
    assert!(text(&served, CLAUDE, "a", "one").await.contains("“one”"));
    assert_eq!(text(&served, CLAUDE, "b", "two").await, "b");
    assert_eq!((count("a").await, count("b").await), (1, 2));
    assert_eq!(control(&served, "b", "DELETE", "requests", &json!(null)).await.0, 204);
    assert_eq!((count("b").await, count("").await), (0, 2));
    control(&served, "", "PUT", &path, &said("all")).await;
    assert_eq!(text(&served, CLAUDE, "b", "two").await, "b");
    assert_eq!(control(&served, "", "POST", "reset", &json!(null)).await.0, 204);
    assert!(text(&served, CLAUDE, "b", "two").await.contains("“two”"));
    assert_eq!(count("").await, 1);
}

#[tokio::test(start_paused = true)]
async fn requests_are_selected_and_waited_for() {
    let served = Served::new();
    text(&served, CLAUDE, "", "hi").await;
    text(&served, "emulator.refuse-throttle", "", "hi").await;
    let found = async |query: &str| served.control("GET", &format!("requests?{query}"), &json!(null)).await;
    let (status, refused) = found("outcome=refused").await;
    let request = &refused["requests"][0];
    assert_eq!(
        (status, &request["modelId"], &request["status"]),
        (200, &json!("emulator.refuse-throttle"), &json!(429))
    );
    let (_, own) = found(&format!("operation=Converse&model={CLAUDE}")).await;
    assert_eq!((&own["requests"][0]["number"], &own["requests"][0]["outcome"]), (&json!(1), &json!("completed")));
    let begun = tokio::time::Instant::now();
    let (status, late) = found("wait=3&timeout_ms=700").await;
    assert_eq!(
        (status, late["requests"].as_array().unwrap().len(), begun.elapsed()),
        (408, 2, Duration::from_millis(700))
    );
    let third = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        text(&served, CLAUDE, "", "late").await
    };
    let begun = tokio::time::Instant::now();
    let ((status, _), _) = tokio::join!(found("wait=3"), third);
    assert_eq!((status, begun.elapsed()), (200, Duration::from_millis(300)));
    for (query, expected) in [
        ("outcome=lost", "The outcomes are: running"),
        ("wait=many", "which is not a number"),
        ("colour=red", "does not select requests"),
    ] {
        let (status, answer) = found(query).await;
        assert!(status == 400 && answer["message"].as_str().unwrap().contains(expected), "{query}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_script_is_refused_with_what_is_wrong() {
    let served = Served::new();
    for (script, expected) in [
        (json!({"step": []}), "unknown field `step`"),
        (json!([]), "must not be empty"),
        (json!({"steps": [{"wait": 5}]}), "unknown variant `wait`"),
    ] {
        let (status, answer) = served.control("PUT", "scripts/a.model", &script).await;
        assert!(status == 400 && answer["message"].as_str().unwrap().contains(expected), "{script}: {answer}");
    }
    assert!(text(&served, "a.model", "", "hi").await.contains("“hi”"));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_not_json_is_kept() {
    let served = Served::new();
    let request = Request::post("/model/a.model/converse").body(Body::from(&b"\xff"[..])).unwrap();
    assert_eq!(served.send(request).await.status(), 400);
    let found = served.control("GET", "requests", &json!(null)).await.1;
    assert_eq!((&found["requests"][0]["body"], &found["requests"][0]["bodyBase64"]), (&json!(null), &json!("/w==")));
}

#[tokio::test(start_paused = true)]
async fn a_reset_is_the_state_at_the_start() {
    let served = Served::new();
    let draw = async || {
        served.control("PUT", "faults", &json!({"throttle": 0.5})).await;
        let mut drawn = Vec::new();
        for _ in 0..20 {
            drawn.push(text(&served, CLAUDE, "", "hi").await);
        }
        drawn
    };
    let first = draw().await;
    assert_eq!(served.control("PUT", "quotas/a.model", &json!({"requests": 1})).await.0, 204);
    let goes_on = draw().await;
    // What sessions share is not of one of them.
    assert_eq!(control(&served, "a", "POST", "reset", &json!(null)).await.0, 204);
    assert_eq!(served.control("GET", "faults", &json!(null)).await.1["faults"], json!({"throttle": 0.5}));
    assert_eq!(served.control("POST", "reset", &json!(null)).await.0, 204);
    assert_eq!(served.control("GET", "faults", &json!(null)).await.1["faults"], json!({}));
    assert_eq!(served.control("GET", "quotas", &json!(null)).await.1, json!([]));
    assert_eq!(draw().await, first);
    assert_ne!(goes_on, first);
}
