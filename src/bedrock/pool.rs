//! A pool of SDK clients. An SDK client has one HTTP/2 connection, on which Bedrock allows about 100 streams. With a single client further
//! streams would wait, so the pool has as many clients as the running streams need.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

use aws_sdk_bedrockruntime::{Client, Config};

use super::http::{Http, STREAMS};

/// The clients. Clones share them.
#[derive(Clone)]
pub(super) struct Pool {
    config: Config,
    http: Http,
    clients: Arc<Mutex<Vec<Slot>>>,
}

/// A client and the number of its streams.
#[derive(Clone)]
struct Slot {
    client: Client,
    streams: Arc<AtomicUsize>,
}

/// A client for one stream. Dropping it frees the stream.
#[derive(Debug)]
pub(crate) struct PooledClient {
    client: Client,
    streams: Arc<AtomicUsize>,
}

impl Pool {
    /// A pool without clients.
    pub(super) fn new(config: Config, http: Http) -> Self {
        Self { config, http, clients: Arc::default() }
    }

    /// The first client that can have one more stream, or a new one.
    pub(super) fn client(&self) -> PooledClient {
        let mut clients = self.clients.lock();
        let free = clients.iter().find(|slot| slot.streams.load(Ordering::Relaxed) < STREAMS).cloned();
        let Slot { client, streams } = free.unwrap_or_else(|| {
            let config = self.config.to_builder().http_client(self.http.client()).build();
            let slot = Slot { client: Client::from_conf(config), streams: Arc::default() };
            clients.push(slot.clone());
            slot
        });
        streams.fetch_add(1, Ordering::Relaxed);
        PooledClient { client, streams }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl PooledClient {
    /// The client.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }
}

impl Drop for PooledClient {
    fn drop(&mut self) {
        self.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aws_sdk_bedrockruntime::config::BehaviorVersion;

    use super::*;

    #[test]
    fn there_are_as_many_clients_as_the_streams_need() {
        let config = Config::builder().behavior_version(BehaviorVersion::latest()).build();
        let pool = Pool::new(config, Http::load(Duration::from_secs(1)).unwrap());
        let clients = || pool.clients.lock().len();
        assert_eq!(clients(), 0);
        let mut held: Vec<_> = (0..STREAMS).map(|_| pool.client()).collect();
        assert_eq!(clients(), 1);
        held.push(pool.client());
        assert_eq!(clients(), 2);
        held.clear();
        let _client = pool.client();
        assert_eq!(clients(), 2, "clients are kept for the next streams");
    }
}
