//! The floor of a proxy: forwards requests and the bytes of answers, and looks at none of them.
//!
//! It has the HTTP of the server (hyper, and the pooled client above it) and its runtime, and nothing else.

use std::{net::SocketAddr, sync::Arc};

use http::{Request, Response, Uri, uri::Scheme};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use tokio::{net::TcpListener, task::JoinSet};

use crate::Failure;

type Upstream = Client<HttpConnector, Incoming>;

/// Runs the proxy until the process is killed.
///
/// # Errors
/// If it cannot listen.
pub(crate) async fn serve(upstream: SocketAddr) -> Result<(), Failure> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Arc<Upstream> = Arc::new(Client::builder(TokioExecutor::new()).build(connector));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let client = Arc::clone(&client);
        connections.spawn(async move {
            let service = service_fn(move |request| forward(Arc::clone(&client), upstream, request));
            // A caller that leaves is not of interest.
            let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn forward(
    client: Arc<Upstream>,
    upstream: SocketAddr,
    mut request: Request<Incoming>,
) -> Result<Response<Incoming>, Failure> {
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(upstream.to_string().parse()?);
    *request.uri_mut() = Uri::from_parts(parts)?;
    *request.version_mut() = http::Version::HTTP_11;
    let mut response = client.request(request).await?;
    *response.version_mut() = http::Version::HTTP_11;
    // These belong to the connection and not to the answer.
    response.headers_mut().remove("transfer-encoding");
    response.headers_mut().remove("connection");
    Ok(response)
}
