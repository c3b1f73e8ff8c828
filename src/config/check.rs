//! Everything that can be known about the settings before a port is bound. `outcrop serve` and `outcrop check` both begin with it.

use super::{Layers, ServeArgs, Settings, quotas::twins};
use crate::{
    bedrock::{Prepared, UpstreamSettings},
    edge::descriptors::raise_file_limit,
    error::ConfigError,
    request::timeouts::TimeoutSettings,
};

/// Settings without problems.
#[derive(Debug)]
pub struct Checked {
    /// The settings.
    pub settings: Settings,
    /// The upstream that they name.
    pub upstream: Prepared,
}

impl Checked {
    /// Checks the flags, and that AWS has what it needs if it is the upstream. Nothing is logged, because the SDK would warn at length about
    /// what the problems say in a line.
    ///
    /// # Errors
    /// All problems.
    pub async fn load(args: ServeArgs, layers: &Layers) -> Result<Self, ConfigError> {
        // The limit bounds what --max-connections can be.
        raise_file_limit();
        let upstream = if args.local {
            UpstreamSettings::Local { scripts: None, recordings: None }
        } else {
            UpstreamSettings::Aws { region: args.region.clone().filter(|region| !region.is_empty()) }
        };
        match args.resolve(layers) {
            Ok(settings) => {
                let upstream = Prepared::load(&settings.upstream, settings.max_connect()).await?;
                // Only the chain of AWS knows the region of the server, unless a flag names it.
                let twins = layers.file.as_ref().map(|file| twins(file, Some(upstream.home()))).unwrap_or_default();
                if !twins.is_empty() {
                    return Err(ConfigError(twins));
                }
                Ok(Self { settings, upstream })
            }
            Err(ConfigError(mut problems)) => {
                let max_connect = TimeoutSettings::default().max.connect;
                let lacking = Prepared::load(&upstream, max_connect).await.err();
                problems.extend(lacking.into_iter().flat_map(|ConfigError(lacking)| lacking));
                Err(ConfigError(problems))
            }
        }
    }
}
