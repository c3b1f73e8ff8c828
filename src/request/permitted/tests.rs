//! Tests of permissions: every place of a request that can name an S3 object, and every way around a guardrail.

use outcrop_contract::json;

use super::*;
use crate::{
    identity::settings::{CallerSettings, GuardrailSettings, ImposedSettings, PermissionSettings},
    proto::{
        AudioBlock, AudioSource, DocumentBlock, GuardrailConverseContentBlock, ImageBlock, OperationChoice, S3Location,
        ToolResultBlock, VideoBlock,
    },
    request::{self, Rules},
};

fn identity(permissions: PermissionSettings, imposed: ImposedSettings) -> Identity {
    let name = "ada".to_owned();
    Identity::of_settings(&CallerSettings { name, permissions, imposed, ..CallerSettings::default() })
}

fn guarded() -> Identity {
    let guardrail = GuardrailSettings { identifier: "gr-1".to_owned(), version: "7".to_owned() };
    let request_metadata = [("team".to_owned(), "blue".to_owned())].into();
    let permissions = PermissionSettings { native_bodies: true, ..PermissionSettings::default() };
    identity(permissions, ImposedSettings { guardrail: Some(guardrail), request_metadata })
}

fn reader_of_docs() -> Identity {
    let s3_prefixes = vec!["s3://docs/".to_owned()];
    identity(PermissionSettings { s3_prefixes, ..PermissionSettings::default() }, ImposedSettings::default())
}

fn checked(mut request: GenerateRequest, identity: &Identity) -> Result<Checked<GenerateRequest>, Error> {
    impose(&mut request, identity);
    let rules = Rules { default_model: Some("a.model".to_owned()), ..Rules::default() };
    let (mut checked, _) = request::check(request, &rules)?;
    check(&mut checked, identity, "us-east-1").map(|()| checked)
}

fn denied(request: GenerateRequest, identity: &Identity) -> bool {
    match checked(request, identity) {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.reason(), Reason::PermissionDenied, "{error}");
            true
        }
    }
}

fn asking(block: Block) -> GenerateRequest {
    let content = vec![ContentBlock { block: Some(block) }];
    GenerateRequest { messages: vec![Message { role: 1, content }], ..GenerateRequest::default() }
}

/// Blocks of every kind that can name this object.
fn naming(uri: &str) -> Vec<Block> {
    let location = || S3Location { uri: uri.to_owned(), ..S3Location::default() };
    let image = || ImageBlock {
        format: "png".to_owned(),
        source: Some(ImageSource { source: Some(image_source::Source::S3Location(location())) }),
        ..ImageBlock::default()
    };
    let document = || DocumentBlock {
        format: "pdf".to_owned(),
        name: "a".to_owned(),
        source: Some(DocumentSource { source: Some(document_source::Source::S3Location(location())) }),
        ..DocumentBlock::default()
    };
    let video = || VideoBlock {
        format: "mp4".to_owned(),
        source: Some(VideoSource { source: Some(video_source::Source::S3Location(location())) }),
    };
    let audio = AudioBlock {
        format: "mp3".to_owned(),
        source: Some(AudioSource { source: Some(audio_source::Source::S3Location(location())) }),
        ..AudioBlock::default()
    };
    let result = |block| {
        let content = vec![ToolResultContentBlock { block: Some(block) }];
        Block::ToolResult(ToolResultBlock { tool_use_id: "t".to_owned(), content, ..ToolResultBlock::default() })
    };
    vec![
        Block::Image(image()),
        Block::Document(document()),
        Block::Video(video()),
        Block::Audio(audio),
        result(tool_result_content_block::Block::Image(image())),
        result(tool_result_content_block::Block::Document(document())),
        result(tool_result_content_block::Block::Video(video())),
    ]
}

#[test]
fn no_place_of_a_request_names_an_object_that_the_caller_may_not_read() {
    let anonymous = Identity::anonymous();
    for (own, foreign) in naming("s3://docs/a").into_iter().zip(naming("s3://payroll/a")) {
        // A document needs a text beside it.
        let with_text = |block| {
            let mut request = asking(block);
            request.messages[0].content.push(ContentBlock { block: Some(Block::Text("what is it?".to_owned())) });
            request
        };
        let what = format!("{foreign:?}");
        assert!(!denied(with_text(own), &reader_of_docs()), "{what}");
        assert!(denied(with_text(foreign.clone()), &reader_of_docs()), "{what}");
        assert!(!denied(with_text(foreign), &anonymous), "{what}");
    }
    for (text, refused) in [("s3://docs/a", false), ("s3://payroll/a", true), ("see s3://payroll/a", false)] {
        let fields = json::to_struct(serde_json::json!({"deep": [{"er": text}]}).as_object().unwrap().clone());
        let request = GenerateRequest {
            prompt: "hi".to_owned(),
            additional_model_request_fields: Some(fields),
            ..GenerateRequest::default()
        };
        assert_eq!(denied(request, &reader_of_docs()), refused, "{text}");
    }
}

#[test]
fn an_imposed_guardrail_and_metadata_replace_those_of_the_request() {
    let own = GuardrailStreamConfiguration {
        guardrail_identifier: "mine".to_owned(),
        guardrail_version: "1".to_owned(),
        trace: "enabled".to_owned(),
        stream_processing_mode: "async".to_owned(),
    };
    let request = GenerateRequest {
        prompt: "hi".to_owned(),
        guardrail_config: Some(own),
        request_metadata: [("team".to_owned(), "red".to_owned()), ("own".to_owned(), "x".to_owned())].into(),
        ..GenerateRequest::default()
    };
    let request = checked(request, &guarded()).unwrap().request.into_inner();
    let config = request.guardrail_config.unwrap();
    assert_eq!((config.guardrail_identifier.as_str(), config.guardrail_version.as_str()), ("gr-1", "7"));
    assert_eq!((config.trace.as_str(), config.stream_processing_mode.as_str()), ("enabled", ""));
    assert_eq!((request.request_metadata["team"].as_str(), request.request_metadata["own"].as_str()), ("blue", "x"));
}

#[test]
fn nothing_hides_a_part_of_a_request_from_an_imposed_guardrail() {
    let guard = asking(Block::GuardContent(GuardrailConverseContentBlock {
        block: Some(crate::proto::guardrail_converse_content_block::Block::Text(
            crate::proto::GuardrailConverseTextBlock { text: "only this".to_owned(), ..Default::default() },
        )),
    }));
    assert!(denied(guard.clone(), &guarded()) && !denied(guard, &reader_of_docs()));
    let native = |body: &str| GenerateRequest {
        native_body: body.to_owned(),
        operation: OperationChoice::Native.into(),
        ..GenerateRequest::default()
    };
    assert!(denied(native("{}"), &reader_of_docs()), "native bodies are not allowed by default");
    assert!(!denied(native("{}"), &guarded()));
    assert!(denied(native(r#"{"amazon-bedrock-guardrailConfig": {"tagSuffix": "x"}}"#), &guarded()));
}

#[test]
fn targets_in_other_regions_leave_the_route() {
    let regions = Some(["eu-west-1".to_owned()].into());
    let european =
        identity(PermissionSettings { regions, ..PermissionSettings::default() }, ImposedSettings::default());
    let targets = |regions: &[Option<&str>]| -> Vec<Target> {
        regions
            .iter()
            .map(|region| Target { model_id: format!("m.{region:?}"), region: region.map(str::to_owned) })
            .collect()
    };
    let request = GenerateRequest { prompt: "hi".to_owned(), ..GenerateRequest::default() };
    let mut call = checked(request, &Identity::anonymous()).unwrap();
    call.route = targets(&[None, Some("eu-west-1"), Some("us-west-2")]);
    check(&mut call, &european, "us-east-1").unwrap();
    assert_eq!(call.route, targets(&[Some("eu-west-1")]));
    assert_eq!(call.request.get().model, call.route[0].model_id);
    call.route = targets(&[None]);
    assert!(check(&mut call.clone(), &european, "eu-west-1").is_ok());
    let error = check(&mut call, &european, "us-east-1").unwrap_err();
    assert!(error.reason() == Reason::PermissionDenied && error.to_string().contains("us-east-1"), "{error}");
}
