//! Clients of Bedrock that share streams as Bedrock's limit of a connection of HTTP/2 demands.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

/// The streams of a client. Bedrock allows about 100 of a connection.
const STREAMS: usize = 90;

/// As many clients as the running streams need.
pub(crate) struct Pool<Client> {
    new: Box<dyn Fn() -> Client + Send + Sync>,
    clients: Mutex<Vec<Member<Client>>>,
}

/// A client and the number of its streams.
#[derive(Clone)]
struct Member<Client> {
    client: Client,
    streams: Arc<AtomicUsize>,
}

/// A stream of a client. Dropping it frees its place.
#[derive(Debug)]
pub(crate) struct Slot(Arc<AtomicUsize>);

impl<Client: Clone> Pool<Client> {
    pub(crate) fn new(new: impl Fn() -> Client + Send + Sync + 'static) -> Self {
        Self { new: Box::new(new), clients: Mutex::default() }
    }

    /// The first client that can have one more stream, or a new one.
    pub(crate) fn client(&self) -> (Client, Slot) {
        let mut clients = self.clients.lock();
        let free = clients.iter().find(|member| member.streams.load(Ordering::Relaxed) < STREAMS).cloned();
        let Member { client, streams } = free.unwrap_or_else(|| {
            let added = Member { client: (self.new)(), streams: Arc::default() };
            clients.push(added.clone());
            added
        });
        streams.fetch_add(1, Ordering::Relaxed);
        (client, Slot(streams))
    }
}

impl<Client> fmt::Debug for Pool<Client> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pool")
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
