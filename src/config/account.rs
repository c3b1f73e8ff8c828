//! The flag about the models of the AWS account.

use clap::Args;

/// The flag about the models of the AWS account.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Models")]
pub struct AccountArgs {
    /// Let ListModels also list the models and inference profiles of the AWS account. The role needs bedrock:ListFoundationModels and
    /// bedrock:ListInferenceProfiles
    #[arg(long, env = "OUTCROP_LIST_ACCOUNT_MODELS")]
    pub list_account_models: bool,
}
