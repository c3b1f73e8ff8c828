//! `outcrop demo`: emulator, server and client in one process, over real sockets on free loopback ports. A build without the emulator refuses it.

use std::{error::Error, process::ExitCode};

/// Answers one prompt, then stops the server and the emulator.
///
/// # Errors
/// If the emulator or the server does not start.
#[cfg(feature = "emulator")]
pub async fn run(prompt: String) -> Result<ExitCode, Box<dyn Error>> {
    use std::future::pending;

    use outcrop_client::cli::{AskArgs, run as ask};
    use tokio::task::JoinSet;
    use tokio_util::sync::CancellationToken;

    use crate::{app::App, bedrock::Connected, config::Settings};

    let settings = Settings::local();
    let Connected { bedrock, emulator } = Connected::connect(&settings.upstream, settings.max_connect()).await?;
    let app = App::build(&settings, bedrock).await?;
    let endpoint = format!("http://{}", app.address());
    let stop = CancellationToken::new();
    let mut server = JoinSet::new();
    server.spawn(app.run(stop.clone().cancelled_owned(), pending()));
    let exit = ask(&endpoint, &AskArgs::new(prompt)).await;
    stop.cancel();
    while let Some(ended) = server.join_next().await {
        ended?;
    }
    if let Some(emulator) = emulator {
        emulator.stop().await;
    }
    Ok(ExitCode::from(exit as u8))
}

/// Refuses the command.
///
/// # Errors
/// Always.
#[cfg(not(feature = "emulator"))]
pub fn run(_: String) -> impl Future<Output = Result<ExitCode, Box<dyn Error>>> {
    use crate::{bedrock::NO_EMULATOR, error::ConfigError};

    let refusal = ConfigError(vec![format!("outcrop demo needs the emulator, and {NO_EMULATOR}")]);
    std::future::ready(Err(refusal.into()))
}
