//! The handshake of one connection.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rustls::Error;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::PollSemaphore;

use super::{Tls, client_certificate::ClientCertificate};
use crate::metrics::Metrics;

/// The first byte of a connection with TLS: a handshake record.
pub(crate) const HANDSHAKE_RECORD: u8 = 22;

/// An encrypted connection.
pub(crate) struct Encrypted {
    pub(crate) stream: TlsStream<TcpStream>,
    /// The certificate of the client, if it sent one.
    pub(crate) client: Option<ClientCertificate>,
}

impl Tls {
    /// Performs the handshake, with the configuration of this moment. The caller limits its time.
    ///
    /// # Errors
    /// If the client leaves, does not keep to the protocol, or has no certificate that is accepted. The stream then has the alert for the client.
    pub(crate) async fn handshake(&self, stream: TcpStream) -> Result<Encrypted, (io::Error, TcpStream)> {
        let mut outcome = Outcome { metrics: &self.0.metrics, name: "abandoned" };
        let config = Arc::clone(&self.0.current.load().config);
        let computing = PollSemaphore::new(Arc::clone(&self.0.computing));
        let handshake = TlsAcceptor::from(config).accept(stream).into_fallible();
        let stream = Limited { handshake, computing }.await.inspect_err(|(error, _)| outcome.failed(error))?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let client = certificate.map(ClientCertificate::of);
        outcome.name = "completed";
        Ok(Encrypted { stream, client })
    }

    /// Counts a client that does not speak TLS.
    pub(crate) fn plaintext(&self) {
        self.0.metrics.tls_handshake("plaintext");
    }
}

/// Counts a handshake when it is dropped, so that one that does not end in time counts too.
struct Outcome<'a> {
    metrics: &'a Metrics,
    name: &'static str,
}

impl Outcome<'_> {
    fn failed(&mut self, error: &io::Error) {
        self.name = match error.get_ref().and_then(|error| error.downcast_ref()) {
            Some(Error::InvalidCertificate(_) | Error::NoCertificatesPresented) => "client_certificate",
            Some(_) => "failed",
            None => "abandoned",
        };
    }
}

impl Drop for Outcome<'_> {
    fn drop(&mut self) {
        self.metrics.tls_handshake(self.name);
    }
}

/// A handshake that computes only with a permit. It has none while it waits for its client, so clients that send nothing do not stop the
/// handshakes of others.
struct Limited<F> {
    handshake: F,
    computing: PollSemaphore,
}

impl<F: Future + Unpin> Future for Limited<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // The semaphore is never closed.
        let _permit = ready!(self.computing.poll_acquire(cx));
        Pin::new(&mut self.handshake).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use tokio::{sync::Semaphore, task::JoinSet, time::timeout};

    use super::*;

    #[tokio::test]
    async fn a_handshake_has_a_permit_only_while_it_computes() {
        let computing = Arc::new(Semaphore::new(1));
        let mut tasks = JoinSet::new();
        // They wait for their clients without end.
        for _ in 0..1_000 {
            let computing = PollSemaphore::new(Arc::clone(&computing));
            tasks.spawn(Limited { handshake: std::future::pending::<()>(), computing });
        }
        tokio::task::yield_now().await;
        let mut polls = 0;
        let held = Arc::clone(&computing);
        let handshake = poll_fn(|cx| {
            assert_eq!(held.available_permits(), 0, "it has the permit");
            polls += 1;
            if polls == 3 {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        let limited = Limited { handshake, computing: PollSemaphore::new(Arc::clone(&computing)) };
        timeout(Duration::from_secs(30), limited).await.unwrap();
        assert_eq!((polls, computing.available_permits()), (3, 1));
    }

    #[tokio::test]
    async fn a_handshake_without_a_permit_does_not_compute_and_waits_its_turn() {
        let computing = Arc::new(Semaphore::new(1));
        let taken = Arc::clone(&computing).acquire_owned().await.unwrap();
        let handshake = poll_fn(|_| Poll::Ready(()));
        let mut limited = Limited { handshake, computing: PollSemaphore::new(computing) };
        assert!(timeout(Duration::from_millis(10), &mut limited).await.is_err());
        drop(taken);
        limited.await;
    }
}
