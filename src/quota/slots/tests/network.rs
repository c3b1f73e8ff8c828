//! What lies between servers and their table in a simulation: it delays, loses, repeats and reorders what is sent.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

use super::{
    super::{
        memory::Memory,
        table::{Answer, Ejection, Request, ServerId, Table, TableError},
    },
    history::Recorder,
};

/// How bad the network is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    /// The longest delay of a message.
    pub(super) delay: Duration,
    /// The share of messages that are lost, and of requests that arrive twice, in percent.
    pub(super) lost: u32,
    pub(super) twice: u32,
    /// The longest time until the second one arrives.
    pub(super) late: Duration,
}

pub(super) const FINE: Weather =
    Weather { delay: Duration::from_millis(5), lost: 0, twice: 0, late: Duration::from_millis(5) };

/// How exact the arrival of messages is.
const TICK: Duration = Duration::from_millis(5);

/// A request on its way.
struct Message {
    arrives: Instant,
    server: ServerId,
    requests: Vec<Request>,
    answer: Option<oneshot::Sender<Vec<Answer>>>,
    /// Its number in the history.
    copy: usize,
}

/// What the simulation is told of.
pub(super) trait Observer: Send + Sync {
    /// The table has processed requests, if they were new.
    fn processed(&self, server: ServerId, requests: &[Request], answers: &[Answer]);

    /// An answer is about to reach a server that waits for it.
    fn answering(&self, server: ServerId, requests: &[Request]);
}

/// The network, and the table behind it.
pub(super) struct Network {
    pub(super) memory: Arc<Memory>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) recorder: Recorder,
    random: Mutex<fastrand::Rng>,
    weather: Mutex<Weather>,
    /// Servers that reach nothing.
    cut: Mutex<Vec<ServerId>>,
    messages: Mutex<Vec<Message>>,
}

impl Network {
    pub(super) fn new(memory: Arc<Memory>, observer: Arc<dyn Observer>, random: fastrand::Rng) -> Self {
        Self {
            memory,
            observer,
            recorder: Recorder::default(),
            random: Mutex::new(random),
            weather: Mutex::new(FINE),
            cut: Mutex::default(),
            messages: Mutex::default(),
        }
    }

    pub(super) fn set(&self, weather: Weather) {
        *self.weather.lock() = weather;
    }

    /// Cuts a server off, or connects it again.
    pub(super) fn cut(&self, server: ServerId, is_cut: bool) {
        let mut cut = self.cut.lock();
        cut.retain(|known| *known != server);
        if is_cut {
            cut.push(server);
        }
    }

    fn delay(&self, longest: Duration) -> Duration {
        longest.mul_f64(self.random.lock().f64())
    }

    fn happens(&self, percent: u32) -> bool {
        self.random.lock().u32(..100) < percent
    }

    /// Delivers what is on its way, while it is polled.
    pub(super) async fn run(&self) {
        loop {
            sleep(TICK).await;
            let now = Instant::now();
            let due: Vec<_> = self.messages.lock().extract_if(.., |message| message.arrives <= now).collect();
            for message in due {
                self.deliver(message);
            }
        }
    }

    fn deliver(&self, Message { server, requests, answer, copy, .. }: Message) {
        let answers = self.memory.process(server, &requests);
        self.recorder.processed(copy, &answers);
        self.observer.processed(server, &requests, &answers);
        let reachable = !self.cut.lock().contains(&server);
        let weather = *self.weather.lock();
        if let Some(answer) = answer.filter(|answer| reachable && !answer.is_closed() && !self.happens(weather.lost)) {
            self.observer.answering(server, &requests);
            self.recorder.answered(copy);
            let _ = answer.send(answers);
        }
    }

    fn send(
        &self,
        server: ServerId,
        requests: &[Request],
        answer: Option<oneshot::Sender<Vec<Answer>>>,
        within: Duration,
    ) {
        let arrives = Instant::now() + self.delay(within);
        let copy = self.recorder.sent(server, requests);
        self.messages.lock().push(Message { arrives, server, requests: requests.to_vec(), answer, copy });
    }
}

#[tonic::async_trait]
impl Table for Network {
    async fn renew(&self, server: ServerId, requests: &[Request]) -> Result<Vec<Answer>, TableError> {
        let weather = *self.weather.lock();
        let (answer, answered) = oneshot::channel();
        if self.cut.lock().contains(&server) || self.happens(weather.lost) {
            drop(answer);
        } else {
            let is_twice = self.happens(weather.twice);
            self.send(server, requests, Some(answer), weather.delay);
            if is_twice {
                self.send(server, requests, None, weather.late);
            }
        }
        match answered.await {
            Ok(answers) => Ok(answers),
            // The request or the answer is lost without a trace.
            Err(_) => std::future::pending().await,
        }
    }

    async fn eject(&self, _: &[Ejection]) -> Result<Option<Vec<Ejection>>, TableError> {
        Ok(Some(Vec::new()))
    }
}
