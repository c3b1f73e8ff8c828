//! Embeddings and rerankings, as their operations have them.

use serde_json::json;

use super::*;
use crate::{
    quota::Quota,
    served::{Served, all, json_of, prompt},
};

const TITAN: &str = "amazon.titan-embed-text-v2:0";

async fn invoke(model: &str, body: Value) -> Value {
    json_of(Served::new().operate("invoke", model, "", &body).await).await
}

fn length(vector: &Value) -> f64 {
    vector.as_array().unwrap().iter().map(|value| value.as_f64().unwrap().powi(2)).sum::<f64>().sqrt()
}

#[test]
fn texts_with_common_words_are_near() {
    let cats = "Two cats go on an adventure";
    assert!((nearness(cats, cats) - 1.0).abs() < 1e-6);
    assert!(nearness(cats, "two CATS, on an adventure!") > nearness(cats, "Two dogs sleep on a sofa"));
    assert!(nearness(cats, "Quarterly revenue rose") < 0.25);
    assert_eq!(vector("", 8), vector("", 8));
    assert!(vector("…", 8).iter().all(|value| value.is_finite()));
}

#[tokio::test(start_paused = true)]
async fn titan_embeds_in_each_of_its_versions() {
    let two = invoke(TITAN, json!({"inputText": "one two three", "dimensions": 256})).await;
    assert_eq!((two["embedding"].as_array().unwrap().len(), &two["inputTextTokenCount"]), (256, &json!(3)));
    assert!((length(&two["embedding"]) - 1.0).abs() < 1e-6);
    assert_eq!(two["embeddingsByType"]["float"], two["embedding"]);
    assert_eq!(two, invoke(TITAN, json!({"inputText": "one two three", "dimensions": 256})).await);
    let types = invoke(TITAN, json!({"inputText": "one", "embeddingTypes": ["binary"]})).await;
    let bits = types["embeddingsByType"]["binary"].as_array().unwrap();
    assert!(bits.len() == 1_024 && bits.iter().all(|bit| *bit == 0 || *bit == 1));
    let one = invoke("amazon.titan-embed-text-v1", json!({"inputText": "one"})).await;
    assert_eq!((one["embedding"].as_array().unwrap().len(), one.get("embeddingsByType")), (1_536, None));
    let image = json!({"inputImage": "aGk=", "embeddingConfig": {"outputEmbeddingLength": 384}});
    assert_eq!(invoke("amazon.titan-embed-image-v1", image).await["embedding"].as_array().unwrap().len(), 384);
}

#[tokio::test(start_paused = true)]
async fn cohere_embeds_in_each_type() {
    let body = |more: Value| {
        let mut body = json!({"texts": ["one two", "three"], "input_type": "search_document"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let floats = invoke("cohere.embed-english-v3", body(json!({}))).await;
    assert_eq!(
        (&floats["response_type"], floats["embeddings"][1].as_array().unwrap().len()),
        (&json!("embeddings_floats"), 1_024)
    );
    let types = ["float", "int8", "uint8", "binary", "ubinary"];
    let all_types = invoke("cohere.embed-v4:0", body(json!({"embedding_types": types, "output_dimension": 256}))).await;
    assert_eq!(all_types["response_type"], "embeddings_by_type");
    for (name, count, least, most) in [
        ("float", 256, -1, 1),
        ("int8", 256, -128, 127),
        ("uint8", 256, 0, 255),
        ("binary", 32, -128, 127),
        ("ubinary", 32, 0, 255),
    ] {
        let vector = all_types["embeddings"][name][0].as_array().unwrap();
        let is_within = |value: &Value| (f64::from(least)..=f64::from(most)).contains(&value.as_f64().unwrap());
        assert!(vector.len() == count && vector.iter().all(is_within), "{name}: {vector:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn documents_are_ranked_by_invoke_and_by_the_agent_runtime() {
    let documents = ["Revenue rose", "A cat and a dog", "Cats on an adventure"];
    let asked = json!({"query": "cats on an adventure", "documents": [documents[0], {"text": documents[1]}, documents[2]], "top_n": 2});
    let results = invoke("cohere.rerank-v3-5:0", asked).await["results"].clone();
    assert_eq!((results.as_array().unwrap().len(), &results[0]), (2, &json!({"index": 2, "relevance_score": 1.0})));
    let source = |text: &str| json!({"type": "INLINE", "inlineDocumentSource": {"type": "TEXT", "textDocument": {"text": text}}});
    let body = json!({
        "queries": [{"type": "TEXT", "textQuery": {"text": "cats on an adventure"}}],
        "sources": documents.map(source), "rerankingConfiguration": {"bedrockRerankingConfiguration": {"numberOfResults": 1}},
    });
    let served = Served::new();
    let send = async |body: &Value| {
        let request = http::Request::post("/rerank").body(body.to_string().into()).unwrap();
        json_of(served.send(request).await).await
    };
    assert_eq!(send(&body).await, json!({"results": [{"index": 2, "relevanceScore": 1.0}]}));
    assert_eq!(send(&json!({"queries": []})).await["message"], "The query must be a text.");
}

#[tokio::test(start_paused = true)]
async fn wrong_bodies_are_refused_as_bedrock_does() {
    let texts = vec!["x"; 97];
    for (model, body, expected) in [
        (TITAN, json!({}), "required key [inputText] not found"),
        (TITAN, json!({"inputText": "x", "dimensions": 7}), "#/dimensions: 7 is not a valid enum value"),
        (TITAN, json!({"inputText": "x", "embeddingTypes": ["int8"]}), "#/embeddingTypes: int8 is not"),
        ("cohere.embed-english-v3", json!({"input_type": "x"}), "required key [texts] not found"),
        ("cohere.embed-english-v3", json!({"texts": ["x"]}), "required key [input_type] not found"),
        ("cohere.embed-english-v3", json!({"texts": texts, "input_type": "x"}), "maximum item count: 96"),
        ("amazon.rerank-v1:0", json!({"documents": ["x"]}), "required key [query] not found"),
        ("amazon.rerank-v1:0", json!({"query": "x", "documents": [1]}), "#/documents: a document"),
        ("amazon.rerank-v1:0", json!({"query": "x", "documents": ["y"], "top_n": 0}), "#/top_n: 0"),
    ] {
        let answer = invoke(model, body.clone()).await;
        assert!(answer["message"].as_str().unwrap().contains(expected), "{model} {body}: {answer}");
    }
    for operation in ["converse", "converse-stream", "invoke-with-response-stream"] {
        let response = Served::new().operate(operation, TITAN, "", &prompt("hi", 9)).await;
        assert_eq!(response.status(), 400, "{operation}");
    }
}

#[tokio::test(start_paused = true)]
async fn embeddings_are_charged_their_input() {
    let served = Served::new();
    served.shared.quotas.set(TITAN, None, Quota::of_tokens(10)).unwrap();
    let response = served.operate("invoke", TITAN, "", &json!({"inputText": "one two three"})).await;
    assert_eq!(response.headers()["x-amzn-bedrock-input-token-count"], "3");
    all(response).await;
    let usage = served.shared.quotas.usage(TITAN, None).unwrap();
    assert_eq!((usage.settled, usage.tokens_charged, usage.highest_admitted_level), (1, 3, 3));
}
