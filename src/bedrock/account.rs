//! The models and inference profiles of the AWS account, as the control plane of Bedrock lists them for a region.
//!
//! - [`cache`] what was listed, for a while

pub(crate) mod cache;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use aws_sdk_bedrock::{
    Client, Config,
    config::Region,
    types::{
        FoundationModelSummary, InferenceProfileStatus, InferenceProfileSummary, InferenceProfileType, InferenceType,
        ModelModality,
    },
};
use tokio::time::timeout;

use super::{classify, tap::with_bounded_answer};
use crate::{
    error::{Error, Reason},
    proto::{Model, ModelKind},
};

/// The time for all requests of one listing, with their retries.
pub(crate) const LISTING: Duration = Duration::from_secs(4);

/// The maximum number of pages of inference profiles, of 1,000 each.
const PAGES: usize = 5;

/// The inference profiles of a page: the limit of Bedrock.
const PAGE: i32 = 1_000;

/// The longest description that is kept, in characters.
const DESCRIPTION: usize = 200;

/// Asks the control plane. Clones share the connections.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    client: Client,
    home: String,
}

/// What an account has in a region.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listed {
    /// Models that generate text and can be called by their id, and the inference profiles of AWS, in the order of their names.
    pub(crate) models: Vec<Model>,
    /// The ids of models that exist and can be called only by an inference profile.
    pub(crate) by_profile_alone: BTreeSet<String>,
}

impl Account {
    pub(super) fn new(config: Config, home: &str) -> Self {
        Self { client: Client::from_conf(config), home: home.to_owned() }
    }

    /// The region of the server.
    pub(crate) fn home(&self) -> &str {
        &self.home
    }

    /// Lists what the account has in a region.
    ///
    /// # Errors
    /// Those of a call to Bedrock, and `UPSTREAM_UNREACHABLE` after [`LISTING`].
    pub(crate) async fn list(&self, region: &str) -> Result<Listed, Error> {
        let listed = timeout(LISTING, async { tokio::try_join!(self.models(region), self.profiles(region)) }).await;
        let (models, profiles) = listed.unwrap_or_else(|_| {
            let message = format!("Bedrock has not listed its models within {LISTING:?}");
            Err(Error::new(Reason::UpstreamUnreachable, message))
        })?;
        Ok(listed_of(&models, &profiles, region))
    }

    async fn models(&self, region: &str) -> Result<Vec<FoundationModelSummary>, Error> {
        let operation = self.client.list_foundation_models().customize().config_override(self.region(region));
        let listed = with_bounded_answer(operation.send()).await.map_err(classify::sdk_error)?;
        Ok(listed.model_summaries.unwrap_or_default())
    }

    async fn profiles(&self, region: &str) -> Result<Vec<InferenceProfileSummary>, Error> {
        let (mut profiles, mut next) = (Vec::new(), None);
        for _ in 0..PAGES {
            let operation = self.client.list_inference_profiles().max_results(PAGE).set_next_token(next);
            let operation = operation.customize().config_override(self.region(region));
            let page = with_bounded_answer(operation.send()).await.map_err(classify::sdk_error)?;
            profiles.extend(page.inference_profile_summaries.unwrap_or_default());
            next = page.next_token;
            if next.is_none() {
                break;
            }
        }
        Ok(profiles)
    }

    fn region(&self, region: &str) -> aws_sdk_bedrock::config::Builder {
        self.client.config().to_builder().region(Region::new(region.to_owned()))
    }
}

fn listed_of(models: &[FoundationModelSummary], profiles: &[InferenceProfileSummary], region: &str) -> Listed {
    let known: BTreeMap<_, _> = models.iter().map(|model| (model.model_id(), model)).collect();
    let (mut listed, mut by_profile_alone) = (Vec::new(), BTreeSet::new());
    for model in models.iter().filter(|model| generates_text(model)) {
        let types = model.inference_types_supported();
        if types.is_empty() || types.contains(&InferenceType::OnDemand) {
            listed.push(Model { regions: vec![region.to_owned()], ..described(model) });
        } else {
            by_profile_alone.insert(model.model_id().to_owned());
        }
    }
    // The ARN of a profile that the account has made has the number of the account.
    let of_aws = |profile: &&InferenceProfileSummary| {
        *profile.r#type() == InferenceProfileType::SystemDefined && *profile.status() == InferenceProfileStatus::Active
    };
    for profile in profiles.iter().filter(of_aws) {
        let parts: Vec<_> = profile.models().iter().filter_map(|model| model.model_arn()).map(parts_of).collect();
        let model = parts.iter().find_map(|(_, id)| known.get(id));
        if model.is_some_and(|model| !generates_text(model)) {
            continue;
        }
        let regions: BTreeSet<_> =
            parts.iter().map(|(region, _)| *region).filter(|region| !region.is_empty()).collect();
        listed.push(Model {
            name: profile.inference_profile_id().to_owned(),
            description: bounded(profile.inference_profile_name()),
            kind: ModelKind::InferenceProfile.into(),
            regions: regions.into_iter().map(str::to_owned).collect(),
            ..model.map(|model| described(model)).unwrap_or_default()
        });
    }
    listed.sort_by(|a, b| a.name.cmp(&b.name));
    Listed { models: listed, by_profile_alone }
}

fn generates_text(model: &FoundationModelSummary) -> bool {
    let outputs = model.output_modalities();
    outputs.is_empty() || outputs.contains(&ModelModality::Text)
}

fn described(model: &FoundationModelSummary) -> Model {
    let words = |modalities: &[ModelModality]| modalities.iter().map(|one| one.as_str().to_owned()).collect();
    let name = [model.provider_name(), model.model_name()];
    Model {
        name: model.model_id().to_owned(),
        description: bounded(&name.into_iter().flatten().collect::<Vec<_>>().join(" ")),
        kind: ModelKind::Model.into(),
        input_modalities: words(model.input_modalities()),
        output_modalities: words(model.output_modalities()),
        streaming: model.response_streaming_supported(),
        ..Model::default()
    }
}

/// The region and the id of a model in an ARN such as `arn:aws:bedrock:us-east-1::foundation-model/ID`.
fn parts_of(arn: &str) -> (&str, &str) {
    let region = arn.split(':').nth(3).unwrap_or_default();
    (region, arn.rsplit('/').next().unwrap_or_default())
}

fn bounded(text: &str) -> String {
    text.chars().take(DESCRIPTION).collect()
}

#[cfg(test)]
mod tests {
    use aws_sdk_bedrock::types::InferenceProfileModel;

    use super::*;

    fn model(id: &str, output: ModelModality, inference: &str) -> FoundationModelSummary {
        FoundationModelSummary::builder()
            .model_arn(format!("arn:aws:bedrock:us-east-1::foundation-model/{id}"))
            .model_id(id)
            .model_name("Lite")
            .provider_name("Acme")
            .input_modalities(ModelModality::Text)
            .input_modalities(ModelModality::Image)
            .output_modalities(output)
            .response_streaming_supported(true)
            .inference_types_supported(InferenceType::from(inference))
            .build()
            .unwrap()
    }

    fn profile(id: &str, kind: InferenceProfileType, arns: &[&str]) -> InferenceProfileSummary {
        let models = arns.iter().map(|arn| InferenceProfileModel::builder().model_arn(*arn).build()).collect();
        InferenceProfileSummary::builder()
            .inference_profile_name("US Lite")
            .inference_profile_arn(format!("arn:aws:bedrock:us-east-1:123456789012:inference-profile/{id}"))
            .inference_profile_id(id)
            .set_models(Some(models))
            .status(InferenceProfileStatus::Active)
            .r#type(kind)
            .build()
            .unwrap()
    }

    #[test]
    fn models_that_generate_text_are_listed_with_what_they_take_and_the_profiles_of_aws_with_their_regions() {
        let models = [
            model("acme.lite", ModelModality::Text, "ON_DEMAND"),
            model("acme.new", ModelModality::Text, "INFERENCE_PROFILE"),
            model("acme.paint", ModelModality::Image, "ON_DEMAND"),
        ];
        let arn = |region: &str, id: &str| format!("arn:aws:bedrock:{region}::foundation-model/{id}");
        let (east, west) = (arn("us-east-1", "acme.new"), arn("us-west-2", "acme.new"));
        let profiles = [
            profile("us.acme.new", InferenceProfileType::SystemDefined, &[&west, &east, &arn("", "acme.new")]),
            profile("us.acme.paint", InferenceProfileType::SystemDefined, &[&arn("us-east-1", "acme.paint")]),
            profile("own", InferenceProfileType::Application, &[&east]),
        ];
        let Listed { models, by_profile_alone } = listed_of(&models, &profiles, "us-east-1");
        let [lite, new] = &models[..] else { panic!("{models:?}") };
        assert_eq!(
            (lite.name.as_str(), lite.kind(), &lite.regions[..]),
            ("acme.lite", ModelKind::Model, &["us-east-1".to_owned()][..])
        );
        assert_eq!((lite.description.as_str(), lite.streaming), ("Acme Lite", Some(true)));
        assert_eq!(
            (&lite.input_modalities[..], &lite.output_modalities[..]),
            (&["TEXT".to_owned(), "IMAGE".to_owned()][..], &["TEXT".to_owned()][..])
        );
        assert_eq!((new.name.as_str(), new.kind()), ("us.acme.new", ModelKind::InferenceProfile));
        assert_eq!(
            (new.description.as_str(), &new.regions[..]),
            ("US Lite", &["us-east-1".to_owned(), "us-west-2".to_owned()][..])
        );
        assert_eq!(new.input_modalities.len(), 2, "of its model");
        assert_eq!(by_profile_alone, ["acme.new".to_owned()].into());
        assert!(!format!("{models:?}").contains("123456789012"), "the account is not told");
    }
}
