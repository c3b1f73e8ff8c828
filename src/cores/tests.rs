//! Where connections and streams go, and what becomes of those that leave, or never return.

use std::{
    collections::HashMap,
    thread,
    time::{Duration, Instant},
};

use proptest::prelude::*;
use tokio::{
    net::TcpListener,
    runtime::Builder,
    sync::{Notify, mpsc::channel, oneshot},
    task::yield_now,
    time::timeout,
};

use super::{
    line::{AT_ONCE, MOST_WAITING},
    *,
};
use crate::shutdown::runtime::EXIT_TIMEOUT;

/// Longer than anything here takes.
const HANGS: Duration = Duration::from_mins(1);

/// The two ends of a connection.
async fn connection(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let connecting = TcpStream::connect(listener.local_addr().unwrap());
    let (near, accepted) = tokio::join!(connecting, listener.accept());
    (near.unwrap(), accepted.unwrap().0)
}

/// So many streams that run until they are dropped, spawned by a connection on this core.
async fn streams_on(cores: &Cores, core: usize, number: usize) {
    let of_connection = cores.clone();
    let spawning = async move {
        for _ in 0..number {
            of_connection.spawn_stream(std::future::pending());
        }
    };
    cores.cores[core].runtime.spawn(spawning).await.unwrap();
}

fn loads(cores: &Cores) -> Vec<(usize, usize)> {
    cores.cores.iter().map(|core| (core.running(), core.connections.load(Ordering::Relaxed))).collect()
}

#[tokio::test]
async fn connections_go_where_few_streams_run_and_then_where_few_connections_are() {
    let threads = Threads::start(3).unwrap();
    let cores = threads.cores();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut open = Vec::new();
    for _ in 0..30 {
        let (near, far) = connection(&listener).await;
        open.push((near, cores.place(far).unwrap()));
    }
    assert_eq!(loads(&cores), [(0, 10); 3]);
    // Idle connections do not hide that a core is busy.
    open.retain(|(_, (_, place))| place.counted.core.id == cores.cores[1].id);
    streams_on(&cores, 0, 2).await;
    streams_on(&cores, 2, 1).await;
    let (near, far) = connection(&listener).await;
    open.push((near, cores.place(far).unwrap()));
    assert_eq!(loads(&cores), [(2, 0), (0, 11), (1, 0)]);
    drop(open);
    assert_eq!(loads(&cores), [(2, 0), (0, 0), (1, 0)]);
    threads.stop().await;
    assert_eq!(loads(&cores), [(0, 0); 3]);
}

#[tokio::test]
async fn a_connection_that_was_accepted_here_is_served_on_its_core() {
    let threads = Threads::start(1).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (mut near, far) = connection(&listener).await;
    let (mut far, place) = threads.cores().place(far).unwrap();
    let (tell, told) = oneshot::channel();
    place.spawn(async move {
        tokio::io::AsyncWriteExt::write_all(&mut far, b"served").await.unwrap();
        tell.send(current()).unwrap();
    });
    let mut read = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut near, &mut read).await.unwrap();
    assert_eq!((read.as_str(), told.await.unwrap()), ("served", Some(threads.cores().cores[0].id)));
    threads.stop().await;
}

#[tokio::test]
async fn a_stream_moves_only_from_a_core_that_has_far_more() {
    let threads = Threads::start(2).unwrap();
    let cores = threads.cores();
    streams_on(&cores, 0, UNEVEN + 1).await;
    assert_eq!(loads(&cores), [(UNEVEN + 1, 0), (0, 0)]);
    streams_on(&cores, 0, 1_000).await;
    let [(first, _), (second, _)] = loads(&cores)[..] else { panic!("two cores") };
    assert_eq!(first + second, 1_001 + UNEVEN);
    assert!(first > second && first <= second + second / 4 + UNEVEN + 1, "{first} and {second}");
    threads.stop().await;
}

#[tokio::test]
async fn what_leaves_a_core_goes_on_at_home_and_no_longer_counts() {
    let threads = Threads::start(1).unwrap();
    let cores = threads.cores();
    let (tell, mut told) = channel(3);
    let leaving = tell.clone();
    cores.spawn_stream(async move {
        leaving.try_send((thread::current().id(), current())).unwrap();
        leave().await;
        leaving.try_send((thread::current().id(), current())).unwrap();
        // Here it is home already.
        leave().await;
        leaving.try_send((thread::current().id(), current())).unwrap();
    });
    let here = thread::current().id();
    let (on, core) = told.recv().await.unwrap();
    assert_eq!((on == here, core), (false, Some(cores.cores[0].id)));
    assert_eq!(told.recv().await.unwrap(), (here, None));
    assert_eq!(told.recv().await.unwrap(), (here, None));
    // What is not a task of a connection goes on where it is.
    cores.cores[0].runtime.spawn(async move {
        leave().await;
        tell.try_send((thread::current().id(), current())).unwrap();
    });
    assert_eq!(told.recv().await.unwrap(), (on, core));
    assert_eq!(loads(&cores), [(0, 0)]);
    threads.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_core_serves_others_while_what_left_it_computes() {
    let threads = Threads::start(1).unwrap();
    let cores = threads.cores();
    let (go_on, computes) = std::sync::mpsc::channel::<()>();
    let (begins, begun) = oneshot::channel();
    cores.spawn_stream(async move {
        leave().await;
        begins.send(()).unwrap();
        let _ = computes.recv_timeout(HANGS);
    });
    begun.await.unwrap();
    let (served, other) = oneshot::channel();
    cores.spawn_stream(async move { served.send(()).unwrap() });
    tokio::time::timeout(HANGS / 2, other).await.expect("the core waits for what has left it").unwrap();
    drop(go_on);
    threads.stop().await;
}

#[test]
fn a_task_that_does_not_return_does_not_keep_the_process() {
    let (go_on, hangs) = std::sync::mpsc::channel::<()>();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let stopping = runtime.block_on(async {
        let threads = Threads::start(2).unwrap();
        let (tell, hanging) = oneshot::channel();
        threads.cores().spawn_stream(async move {
            tell.send(()).unwrap();
            let _ = hangs.recv_timeout(HANGS);
        });
        hanging.await.unwrap();
        let before = Instant::now();
        threads.stop().await;
        before.elapsed()
    });
    assert!(stopping >= EXIT_TIMEOUT, "it gets time to end: {stopping:?}");
    drop(go_on);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// Whatever streams do, each runs to its end once, a wake is never lost, and in the end no core has any.
    #[test]
    fn streams_that_leave_at_any_await_run_to_their_end(
        streams in prop::collection::vec(prop::collection::vec(0_u8..4, 0..12), 1..100),
    ) {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let ended: HashMap<usize, usize> = runtime.block_on(async {
            let threads = Threads::start(2).unwrap();
            let cores = threads.cores();
            let (tell, mut told) = channel(100);
            let notify = Arc::new(Notify::new());
            let number = streams.len();
            for (at, steps) in streams.into_iter().enumerate() {
                let (tell, notify) = (tell.clone(), Arc::clone(&notify));
                cores.spawn_stream(async move {
                    for step in steps {
                        match step {
                            0 => leave().await,
                            1 => yield_now().await,
                            2 => notify.notify_one(),
                            // Beside a wait that goes on while the task moves.
                            _ => tokio::select! {
                                biased;
                                () = notify.notified() => {}
                                () = async { yield_now().await; leave().await } => {}
                            },
                        }
                    }
                    tell.try_send(at).unwrap();
                });
            }
            let mut ended = HashMap::new();
            for _ in 0..number {
                let at = tokio::time::timeout(HANGS, told.recv()).await.expect("a wake is lost").unwrap();
                *ended.entry(at).or_default() += 1;
            }
            while cores.cores.iter().any(|core| core.running() > 0) {
                yield_now().await;
            }
            threads.stop().await;
            ended
        });
        prop_assert!(ended.values().all(|times| *times == 1));
    }
}

/// Spawns so many streams at once on the first core, and lets others go on until all have begun. What is seen after each was spawned, and each time it goes on: the
/// streams that wait, and those that have begun.
async fn at_once(cores: &Cores, number: usize) -> (Vec<usize>, Vec<usize>) {
    let (tell, told) = oneshot::channel();
    let of_connection = cores.clone();
    cores.spawn_stream(async move {
        let (begun, mut waited, mut went_on) = (Arc::<AtomicUsize>::default(), Vec::new(), vec![0]);
        for _ in 0..number {
            let begun = begun.clone();
            of_connection.spawn_stream(async move {
                begun.fetch_add(1, Ordering::Relaxed);
            });
            waited.push(of_connection.cores[0].line.waiting());
        }
        while begun.load(Ordering::Relaxed) < number {
            yield_now().await;
            went_on.push(begun.load(Ordering::Relaxed));
        }
        tell.send((waited, went_on)).unwrap();
    });
    timeout(HANGS, told).await.unwrap().unwrap()
}

#[tokio::test]
async fn many_streams_that_come_at_once_do_not_begin_before_others_go_on() {
    let threads = Threads::start(1).unwrap();
    let (_, went_on) = at_once(&threads.cores(), 500).await;
    assert!(went_on.windows(2).all(|pair| pair[1] - pair[0] <= 2 * AT_ONCE), "{went_on:?}");
    threads.stop().await;
}

#[tokio::test]
async fn a_flood_of_streams_makes_no_endless_line_and_each_begins() {
    let threads = Threads::start(1).unwrap();
    let cores = threads.cores();
    let (waited, _) = at_once(&cores, 5 * MOST_WAITING).await;
    assert_eq!(waited.into_iter().max(), Some(MOST_WAITING));
    assert_eq!(cores.cores[0].line.waiting(), 0);
    threads.stop().await;
}

#[tokio::test]
async fn what_comes_to_a_core_that_has_ended_is_dropped() {
    let threads = Threads::start(1).unwrap();
    let (cores, held) = (threads.cores(), Arc::new(()));
    threads.stop().await;
    for _ in 0..5 * AT_ONCE {
        let held = held.clone();
        cores.spawn_stream(async move { drop(held) });
    }
    assert_eq!((Arc::strong_count(&held), loads(&cores)), (1, vec![(0, 0)]));
}
