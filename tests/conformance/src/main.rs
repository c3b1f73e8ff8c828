//! The services of the conformance suites in the edge of Outcrop, as a program.
//!
//! - `conformance-server runner` is what the Connect conformance runner starts: the server to start comes on standard input
//! - `conformance-server interop` has the service that the interop client of grpc-go calls
//!
//! - `conformance` the service of the runner; `bidi` its method with streams both ways
//! - `interop` the service of grpc-go
//! - `definition` what a request of the runner says that the answer is to be
//! - `runner` starts the server that the runner describes
//! - `trailers` what tonic cannot send

mod bidi;
mod conformance;
mod definition;
mod interop;
mod runner;
mod trailers;

use std::{
    error::Error,
    future::pending,
    io::{Write, stderr, stdout},
    process::ExitCode,
    time::Duration,
};

use axum::middleware::from_fn;
use clap::Parser;
use outcrop::{
    app::{App, Mounted},
    bedrock::Bedrock,
    config::Settings,
};
use tokio::signal::unix::{SignalKind, signal};
use tonic::{codec::CompressionEncoding, service::Routes};

use self::{conformance::Conformance, interop::Interop};
use outcrop_conformance::{
    DESCRIPTORS, connect::conformance_service_server::ConformanceServiceServer,
    interop::test_service_server::TestServiceServer,
};

/// Nothing listens there: no method of these services calls a model.
const NO_MODELS: &str = "http://127.0.0.1:9";

#[derive(Debug, Parser)]
enum Arguments {
    /// Serve what the Connect conformance runner asks for on standard input
    Runner,
    /// Serve grpc.testing.TestService
    Interop {
        /// The maximum number of concurrent streams of a connection
        #[arg(long)]
        max_streams: Option<u32>,
        /// The age in milliseconds at which a connection ends gracefully
        #[arg(long)]
        max_age: Option<u64>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(stderr(), "conformance-server: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    match arguments {
        Arguments::Runner => runner::run().await,
        Arguments::Interop { max_streams, max_age } => {
            let mut settings = Settings::local();
            settings.connections.max_streams = max_streams.unwrap_or(settings.connections.max_streams);
            settings.connections.max_age = max_age.map(Duration::from_millis);
            let app = app(&settings).await?;
            writeln!(stdout(), "listening on {}", app.address())?;
            serve(app).await
        }
    }
}

/// The server with both services.
async fn app(settings: &Settings) -> Result<App, Box<dyn Error>> {
    // The same settings as those of the generation service.
    let conformance = ConformanceServiceServer::new(Conformance)
        .max_decoding_message_size(settings.max_request_bytes)
        .accept_compressed(CompressionEncoding::Gzip);
    let interop = TestServiceServer::new(Interop)
        .max_decoding_message_size(settings.max_request_bytes)
        .accept_compressed(CompressionEncoding::Gzip);
    let routes = Routes::new(conformance).add_service(interop).into_axum_router().layer(from_fn(trailers::add));
    let mounted = Mounted { routes: routes.into(), descriptors: DESCRIPTORS };
    let bedrock = Bedrock::emulated(NO_MODELS, settings.max_connect())?;
    Ok(Box::pin(App::build_mounted(settings, bedrock, mounted)).await?)
}

/// Serves until SIGTERM.
async fn serve(app: App) -> Result<(), Box<dyn Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = async move {
        terminate.recv().await;
    };
    Box::pin(app.run(stop, pending())).await;
    Ok(())
}
