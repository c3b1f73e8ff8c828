//! The connection to a Redis, or to all nodes of a cluster. Which of the two it is, Redis says.

use std::{fmt, sync::Arc, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, FromRedisValue, RedisError, Value,
    aio::{ConnectionManager, ConnectionManagerConfig},
    cluster::ClusterClientBuilder,
    cluster_async::ClusterConnection,
    cmd,
};
use tokio::{sync::OnceCell, time::timeout};

use super::{Probe, address::RedisSettings};

/// How long Redis may take to answer.
const RESPONSE: Duration = Duration::from_secs(2);

/// How long a node of a cluster may take. It is shorter, so that there is time for another try after a node has moved.
const NODE: Duration = Duration::from_millis(1_500);

/// How often the client of a cluster follows a slot that has moved.
const REDIRECTIONS: u32 = 4;

/// A connection that is opened when it is first used, so that a server starts while Redis is away. Clones share it.
#[derive(Clone)]
pub(crate) struct Connection {
    settings: Arc<RedisSettings>,
    opened: Arc<OnceCell<Opened>>,
}

#[derive(Clone)]
enum Opened {
    One(ConnectionManager),
    Cluster(ClusterConnection),
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connection").field(&self.settings).finish()
    }
}

impl Connection {
    pub(crate) fn new(settings: RedisSettings) -> Self {
        Self { settings: Arc::new(settings), opened: Arc::default() }
    }

    /// Runs a command. All its keys are in one slot.
    pub(crate) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisError> {
        match self.opened().await? {
            Opened::One(mut connection) => command.query_async(&mut connection).await,
            Opened::Cluster(mut connection) => command.query_async(&mut connection).await,
        }
    }

    /// Whether Redis answers, and what is wrong if it does not.
    pub(crate) async fn probe(&self) -> Result<(), Probe> {
        let answered = match self.opened().await {
            Ok(_) => self.query::<Value>(cmd("GET").arg("outcrop:{probe}")).await,
            Err(error) => Err(error),
        };
        answered.map(drop).map_err(|error| match advice(&error) {
            // A server waits for the end of a greeting that it does not understand, or hangs up.
            Probe::Away(text) if error.is_timeout() || error.is_connection_dropped() => {
                let tls = self.settings.address.starts_with("rediss") || self.settings.address.starts_with("valkeys");
                let hint = if tls { "does not speak TLS, write redis://" } else { "speaks TLS alone, write rediss://" };
                Probe::Away(format!("{text}. If it {hint}"))
            }
            advice => advice,
        })
    }

    async fn opened(&self) -> Result<Opened, RedisError> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened.clone());
        }
        // Callers wait for one attempt together, each of them for a limited time.
        let opened = timeout(2 * RESPONSE, self.opened.get_or_try_init(|| self.open()));
        opened.await.map_err(|_| no_answer())?.cloned()
    }

    async fn open(&self) -> Result<Opened, RedisError> {
        let nodes = self.settings.nodes().map_err(|problem| misconfigured(&problem))?;
        let mut failure = no_answer();
        for node in &nodes {
            match mode(node).await.as_deref() {
                Ok("cluster") => return self.cluster(&nodes).await.map(Opened::Cluster),
                Ok("sentinel") => return Err(misconfigured("this is a Sentinel. Name the Redis that it watches")),
                Ok(_) if nodes.len() > 1 => {
                    return Err(misconfigured("several nodes are named, and they are no cluster. Name one of them"));
                }
                Ok(_) => return one(node).await.map(Opened::One),
                // What is wrong with the settings is said rather than that another node is away.
                Err(error) if is_away(&failure) => failure = error.clone(),
                Err(_) => {}
            }
        }
        Err(failure)
    }

    async fn cluster(&self, nodes: &[ConnectionInfo]) -> Result<ClusterConnection, RedisError> {
        if nodes.iter().any(|node| node.redis_settings().db() != 0) {
            return Err(misconfigured("a cluster has the database 0 alone. Leave the database out of the address"));
        }
        let mut client = ClusterClientBuilder::new(nodes.iter().cloned())
            .connection_timeout(NODE)
            .response_timeout(NODE)
            .overall_response_timeout(Some(2 * RESPONSE))
            .retries(REDIRECTIONS)
            .max_retry_wait(200)
            .min_retry_wait(20);
        if let Some(certificates) = self.settings.certificates() {
            client = client.certs(certificates);
        }
        client.build()?.get_async_connection().await
    }
}

async fn one(node: &ConnectionInfo) -> Result<ConnectionManager, RedisError> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(RESPONSE))
        .set_response_timeout(Some(RESPONSE))
        .set_number_of_retries(1);
    ConnectionManager::new_with_config(Client::open(node.clone())?, config).await
}

/// What this node is: `standalone`, `cluster` or `sentinel`.
async fn mode(node: &ConnectionInfo) -> Result<String, RedisError> {
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(RESPONSE)).set_response_timeout(Some(RESPONSE));
    let client = Client::open(node.clone())?;
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    let said: Result<Value, RedisError> = cmd("HELLO").query_async(&mut connection).await;
    match said {
        Ok(said) => Ok(field(&said, "mode").unwrap_or_default()),
        // A Redis before version 6, or a proxy: it answers as one Redis.
        Err(error) if matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) => Ok(String::new()),
        Err(error) => Err(error),
    }
}

/// The value after this name in the answer to `HELLO`.
fn field(said: &Value, name: &str) -> Option<String> {
    let text = |value: &Value| String::from_redis_value_ref(value).ok();
    match said {
        Value::Map(fields) => {
            fields.iter().find(|(key, _)| text(key).as_deref() == Some(name)).and_then(|f| text(&f.1))
        }
        Value::Array(fields) => {
            fields.chunks_exact(2).find(|pair| text(&pair[0]).as_deref() == Some(name)).and_then(|pair| text(&pair[1]))
        }
        _ => None,
    }
}

fn no_answer() -> RedisError {
    std::io::Error::new(std::io::ErrorKind::TimedOut, "Redis did not answer in time").into()
}

fn misconfigured(problem: &str) -> RedisError {
    RedisError::from((ErrorKind::InvalidClientConfig, "the address cannot be used", problem.to_owned()))
}

fn is_away(error: &RedisError) -> bool {
    matches!(advice(error), Probe::Away(_))
}

/// What an operator can do about this error.
fn advice(error: &RedisError) -> Probe {
    let text = error.to_string();
    let lower = text.to_lowercase();
    if error.kind() == ErrorKind::InvalidClientConfig {
        return Probe::Misconfigured(error.detail().unwrap_or(&text).to_owned());
    }
    let refused =
        matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM")) || lower.contains("authentication required");
    if error.kind() == ErrorKind::AuthenticationFailed || refused {
        return Probe::Misconfigured(format!(
            "Redis refuses the user or the password ({text}). Name a file with the password with --conversations-password-file, or set OUTCROP_CONVERSATIONS_PASSWORD"
        ));
    }
    if lower.contains("db index") {
        return Probe::Misconfigured(format!("Redis has no such database ({text}). Name another in the address"));
    }
    if lower.contains("certificate") {
        return Probe::Misconfigured(format!(
            "the certificate of Redis is not trusted ({text}). Name the file of its CA with --conversations-ca"
        ));
    }
    if lower.contains("invalidcontenttype") || lower.contains("corrupt message") {
        return Probe::Misconfigured(format!("this port does not speak TLS ({text}). Write redis://"));
    }
    Probe::Away(text)
}
