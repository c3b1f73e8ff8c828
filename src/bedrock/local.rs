//! The emulator in this process. A build without the feature `emulator` has none, and types without values stand for it.

#[cfg(feature = "emulator")]
pub(super) use self::present::start;
#[cfg(feature = "emulator")]
pub(super) use bedrock_emulator::{Emulator, StartError};

#[cfg(not(feature = "emulator"))]
pub(super) use self::absent::start;
#[cfg(not(feature = "emulator"))]
pub(super) use self::absent::{Emulator, StartError};

/// Why a build without the emulator refuses `--local` and `demo`.
#[cfg(not(feature = "emulator"))]
pub const NO_EMULATOR: &str = "this program was built without the emulator, so that it answers from AWS alone. Build it with the feature \
                               `emulator`, which cargo enables by default";

#[cfg(feature = "emulator")]
mod present {
    use std::path::PathBuf;

    use bedrock_emulator::{Config, Emulator, StartError};

    /// Starts an emulator on a free port, with these folders of scripts and recordings.
    pub(in crate::bedrock) async fn start(
        scripts: Option<PathBuf>,
        recordings: Option<PathBuf>,
    ) -> Result<Emulator, StartError> {
        Emulator::start(Config { scripts, recordings, ..Config::default() }).await
    }
}

#[cfg(not(feature = "emulator"))]
mod absent {
    use std::{future::ready, path::PathBuf};

    use super::NO_EMULATOR;

    /// An emulator. There is none.
    #[derive(Debug)]
    pub enum Emulator {}

    impl Emulator {
        pub(in crate::bedrock) fn endpoint(&self) -> String {
            match *self {}
        }

        /// Stops it.
        #[expect(clippy::unused_async, reason = "it has the form of what a build with the emulator calls")]
        pub async fn stop(self) {
            match self {}
        }
    }

    /// The emulator does not start, because there is none.
    #[derive(Debug, thiserror::Error)]
    #[error("{NO_EMULATOR}")]
    pub struct StartError;

    pub(in crate::bedrock) fn start(
        _: Option<PathBuf>,
        _: Option<PathBuf>,
    ) -> impl Future<Output = Result<Emulator, StartError>> {
        ready(Err(StartError))
    }
}
