//! The operations of Bedrock Runtime that the emulator has.

/// The operations of Bedrock Runtime that the emulator has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    ConverseStream,
    Converse,
    InvokeModelWithResponseStream,
    InvokeModel,
    CountTokens,
}

impl Operation {
    pub(crate) const ALL: [Self; 5] = [
        Self::ConverseStream,
        Self::Converse,
        Self::InvokeModelWithResponseStream,
        Self::InvokeModel,
        Self::CountTokens,
    ];

    /// The last part of its path, after that of the model.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::ConverseStream => "converse-stream",
            Self::Converse => "converse",
            Self::InvokeModelWithResponseStream => "invoke-with-response-stream",
            Self::InvokeModel => "invoke",
            Self::CountTokens => "count-tokens",
        }
    }

    /// The route of its requests.
    pub(crate) fn route(self) -> String {
        format!("/model/{{model}}/{}", self.path())
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ConverseStream => "ConverseStream",
            Self::Converse => "Converse",
            Self::InvokeModelWithResponseStream => "InvokeModelWithResponseStream",
            Self::InvokeModel => "InvokeModel",
            Self::CountTokens => "CountTokens",
        }
    }

    pub(crate) fn is_converse(self) -> bool {
        matches!(self, Self::ConverseStream | Self::Converse)
    }

    /// Whether the answer is in the format of the model's family.
    pub(crate) fn is_native(self) -> bool {
        matches!(self, Self::InvokeModelWithResponseStream | Self::InvokeModel)
    }
}
