//! Everything that can go wrong, at random and all at once: each stream is accounted for, none hangs, nothing is left behind.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bedrock_emulator::{At, Emulator, FaultKind, Script, Step};
use outcrop_client::{
    Client, ClientError,
    proto::{AbandonmentMode, GenerateRequest},
};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    harness::{duration_of, request, soon},
    process::Remote,
};

/// Callers at the same time.
const CALLERS: usize = 80;

/// Longer than any of these streams takes, with the clocks that the server is given here.
const HANGS: Duration = Duration::from_secs(20);

/// What became of the streams, as their callers saw it.
type Seen = BTreeMap<String, u64>;

fn scripts(emulator: &Emulator) -> Vec<String> {
    let whole = || Script::reply("one two three four five six seven eight").pace(5, 10);
    let fault = |kind, at| whole().fault(kind, At::Event(at));
    let scripts = [
        ("whole", whole()),
        ("cut", fault(FaultKind::Cut, 4)),
        ("end", fault(FaultKind::End, 5)),
        ("reset", fault(FaultKind::Reset, 4)),
        ("stall", fault(FaultKind::Stall, 4)),
        ("corrupt", fault(FaultKind::Corrupt, 3)),
        ("early-reset", fault(FaultKind::Reset, 0)),
        ("early-stall", fault(FaultKind::Stall, 1)),
        ("throttle", Script::of([Step::exception("throttlingException", "no")])),
        ("late-throttle", Script::of([Step::text("a"), Step::exception("throttlingException", "no")])),
        ("refused", Script::refuse(503, "ServiceUnavailableException", "no")),
        ("denied", Script::refuse(403, "AccessDeniedException", "no")),
    ];
    scripts.map(|(name, script)| emulator.register(name, script)).to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_stream_is_accounted_for_and_nothing_is_left() {
    // OUTCROP_TEST_SOAK=5m: as long as it takes to believe it.
    let time = duration_of("OUTCROP_TEST_SOAK", Duration::from_secs(5));
    let routes =
        "emulator.throttle=emulator.throttle,emulator.whole;emulator.early-stall=emulator.early-stall,emulator.whole";
    let mut arguments = vec!["--first-content-timeout", "400ms", "--idle-timeout", "400ms", "--drain-time", "2s"];
    arguments.extend(routes.split(';').flat_map(|route| ["--route", route]));
    let remote = Remote::start(&arguments).await;
    let models = scripts(&remote.emulator);
    round(&remote, &models, Duration::from_secs(2)).await;
    let (memory, files, begun) = (remote.memory(), remote.files(), ended(&remote));
    let seen = round(&remote, &models, time).await;
    let total: u64 = seen.values().sum();
    let (after, counted) = (remote.memory(), ended(&remote));
    println!("{time:?}: {total} streams: {seen:#?}");
    println!("memory {memory} -> {after} KiB, files {files} -> {}", remote.files());
    let difference: Vec<_> = counted.iter().zip(begun).map(|(after, before)| after - before).collect();
    println!("finished, failed, abandoned by the server's count: {difference:?}");
    // A caller who left may have done so before its call was on its way, or after the last chunk was.
    let counted: u64 = difference.iter().sum();
    assert!(counted <= total && counted >= total - seen["left"], "every stream is counted once");
    let failed: u64 =
        seen.iter().filter(|(what, _)| !["finished", "left"].contains(&what.as_str())).map(|(_, n)| n).sum();
    for (counted, seen_to_end) in [(difference[0], seen["finished"]), (difference[1], failed)] {
        assert!(counted >= seen_to_end && counted <= seen_to_end + seen["left"], "{counted} for {seen_to_end}");
    }
    assert!(remote.files() <= files + 20, "{files} files became {}", remote.files());
    assert!(after < memory + (64 << 10), "{memory} KiB became {after}");
}

/// Finished, failed and abandoned.
fn ended(remote: &Remote) -> [u64; 3] {
    ["finished", "failed", "abandoned"].map(|how| remote.count(&format!("streams_{how}_total"), &[]))
}

async fn round(remote: &Remote, models: &[String], time: Duration) -> Seen {
    let clients = remote.clients(4).await;
    let until = Instant::now() + time;
    let mut running = JoinSet::new();
    for at in 0..CALLERS {
        let client = clients[at % clients.len()].clone();
        running.spawn(caller(client, models.to_vec(), until));
    }
    let mut seen = Seen::new();
    while let Some(one) = running.join_next().await {
        for (what, times) in one.unwrap() {
            *seen.entry(what).or_default() += times;
        }
    }
    drop(clients);
    soon(remote.quiet()).await;
    seen
}

async fn caller(client: Client, models: Vec<String>, until: Instant) -> Seen {
    let mut seen = Seen::new();
    while Instant::now() < until {
        let model = &models[fastrand::usize(..models.len())];
        let mode = if fastrand::bool() { AbandonmentMode::Drain } else { AbandonmentMode::Cancel };
        let asked = GenerateRequest { abandonment_mode: mode.into(), ..request(model) };
        // One in four leaves, after a moment in which anything may have happened.
        let limit = if fastrand::u8(..4) == 0 { Duration::from_millis(fastrand::u64(20..150)) } else { HANGS };
        let what = timeout(limit, Box::pin(answer(&client, asked))).await.unwrap_or_else(|_| {
            assert!(limit < HANGS, "a stream of {model} hangs");
            "left".to_owned()
        });
        *seen.entry(what).or_default() += 1;
        sleep(Duration::from_millis(fastrand::u64(..20))).await;
    }
    seen
}

async fn answer(client: &Client, asked: GenerateRequest) -> String {
    let read = async {
        let mut chunks = client.generate(asked).await?;
        while chunks.next().await?.is_some() {}
        Ok(())
    };
    match read.await {
        Ok(()) => "finished".to_owned(),
        Err(ClientError::Call(error)) => error.reason,
        Err(other) => panic!("{other}"),
    }
}
