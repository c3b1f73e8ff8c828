//! `outcrop demo`: emulator, server and client in one process, over real sockets on free loopback ports.

use std::{error::Error, future::pending, process::ExitCode};

use outcrop_client::cli::{AskArgs, run as ask};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{app::App, bedrock::Connected, config::Settings};

/// Answers one prompt, then stops the server and the emulator.
///
/// # Errors
/// If the emulator or the server does not start.
pub async fn run(prompt: String) -> Result<ExitCode, Box<dyn Error>> {
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
