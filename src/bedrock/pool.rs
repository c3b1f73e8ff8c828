//! A pool of SDK clients. An SDK client has one HTTP/2 connection, on which Bedrock allows about 100 streams. With a single client further
//! streams would wait, so the pool has as many clients as the running streams need. Those that a burst has added are dropped when they have been
//! idle for some time, and with each its connection and its memory. Each core has clients of its own, whose connections are on it.

use std::{
    collections::HashSet,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

use aws_sdk_bedrockruntime::{Client, Config};

use super::http::{Http, STREAMS};
use crate::cores::{self, CoreId};

/// The clients. Clones share them.
#[derive(Clone)]
pub(super) struct Pool {
    config: Config,
    http: Http,
    clients: Arc<Mutex<Vec<Slot>>>,
}

/// A client and the number of its streams.
struct Slot {
    /// Where its connections are.
    core: Option<CoreId>,
    client: Client,
    streams: Arc<AtomicUsize>,
    /// Whether it had no stream when [`Pool::drop_idle`] last looked, and has had none since then.
    is_idle: bool,
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

    /// The first client of this core that can have one more stream, or a new one.
    pub(super) fn client(&self) -> PooledClient {
        let core = cores::current();
        let mut clients = self.clients.lock();
        let free = clients.iter_mut().find(|slot| slot.core == core && slot.streams.load(Ordering::Relaxed) < STREAMS);
        if let Some(slot) = free {
            return slot.stream();
        }
        let config = self.config.to_builder().http_client(self.http.client()).build();
        let mut added = Slot { core, client: Client::from_conf(config), streams: Arc::default(), is_idle: false };
        let client = added.stream();
        clients.push(added);
        client
    }

    /// Drops the clients that have had no stream since the last time, except the first of each core, so that one whose connection is open is there for a
    /// call after a pause.
    pub(super) fn drop_idle(&self) {
        let mut clients = self.clients.lock();
        let mut firsts = HashSet::new();
        let stays_idle = |slot: &mut Slot| {
            let is_first = firsts.insert(slot.core);
            let was_idle = slot.is_idle;
            slot.is_idle = slot.streams.load(Ordering::Relaxed) == 0;
            was_idle && slot.is_idle && !is_first
        };
        let dropped: Vec<_> = clients.extract_if(.., stays_idle).collect();
        // A client closes its connections, which others need not wait for.
        drop(clients);
        drop(dropped);
    }
}

impl Slot {
    /// The client, with one more stream.
    fn stream(&mut self) -> PooledClient {
        self.is_idle = false;
        self.streams.fetch_add(1, Ordering::Relaxed);
        PooledClient { client: self.client.clone(), streams: Arc::clone(&self.streams) }
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
    use std::{collections::HashMap, future::pending, time::Duration};

    use aws_sdk_bedrockruntime::config::BehaviorVersion;
    use tokio::sync::mpsc::channel;

    use super::*;
    use crate::cores::Threads;

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

    #[test]
    fn clients_that_are_idle_from_one_look_to_the_next_are_dropped_but_one() {
        let config = Config::builder().behavior_version(BehaviorVersion::latest()).build();
        let pool = Pool::new(config, Http::load(Duration::from_secs(1)).unwrap());
        let clients = || pool.clients.lock().len();
        let mut held: Vec<_> = (0..3 * STREAMS).map(|_| pool.client()).collect();
        held.truncate(STREAMS + 1);
        pool.drop_idle();
        assert_eq!(clients(), 3, "the third has just become idle");
        pool.drop_idle();
        assert_eq!(clients(), 2, "the second has a stream");
        held.clear();
        pool.drop_idle();
        held.extend((0..=STREAMS).map(|_| pool.client()));
        held.clear();
        pool.drop_idle();
        assert_eq!(clients(), 2, "both had streams since the last look");
        pool.drop_idle();
        pool.drop_idle();
        assert_eq!(clients(), 1, "the first is kept");
    }

    #[tokio::test]
    async fn each_core_has_clients_of_its_own_and_keeps_its_first() {
        let config = Config::builder().behavior_version(BehaviorVersion::latest()).build();
        let pool = Pool::new(config, Http::load(Duration::from_secs(1)).unwrap());
        let threads = Threads::start(2).unwrap();
        // A stream here, and one more on each core than a client can have.
        let here = pool.client();
        let (tell, mut told) = channel(2 * (STREAMS + 1));
        for _ in 0..2 * (STREAMS + 1) {
            let (pool, tell) = (pool.clone(), tell.clone());
            threads.cores().spawn_stream(async move {
                tell.try_send((cores::current(), pool.client())).unwrap();
                pending::<()>().await;
            });
        }
        let mut held = Vec::new();
        while held.len() < 2 * (STREAMS + 1) {
            held.push(told.recv().await.unwrap());
        }
        let mut clients: HashMap<_, HashSet<_>> = HashMap::new();
        for (core, client) in &held {
            clients.entry(*core).or_default().insert(Arc::as_ptr(&client.streams));
        }
        let numbers: Vec<_> = clients.into_values().map(|clients| clients.len()).collect();
        assert_eq!(numbers, [2, 2]);
        drop((here, held));
        pool.drop_idle();
        pool.drop_idle();
        assert_eq!(pool.clients.lock().len(), 3, "one here, and one of each core");
        threads.stop().await;
    }
}
