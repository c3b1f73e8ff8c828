//! Tests of the audit log: a line for every call however it ends, nothing torn or lost while a disk fails, and no call that waits for it.

use std::{fs, path::Path};

use serde_json::Value;

use super::*;
use crate::{
    event::Used,
    outcome::Answer,
    simulation::until_left,
    telemetry::{call::CallRecord, observer::ObservedCall},
};

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("outcrop-audit-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn log(&self) -> PathBuf {
        self.0.join("audit.log")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn open(path: &Path, when_full: WhenFull) -> (Audit, Metrics) {
    let (settings, metrics) = (AuditSettings { path: path.to_owned(), when_full }, Metrics::default());
    (Audit::open(Some(&settings), &metrics).unwrap(), metrics)
}

fn lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn begin(audit: &Audit) -> Result<Arc<CallRecord>, Error> {
    let path = "/outcrop.v1.GenerationService/Generate";
    let record = CallRecord::begin(path, GenerationId::random(), Metrics::default(), ObservedCall::default());
    record.audited(audit.begin(&Identity::anonymous(), path, record.generation_id())?);
    Ok(record)
}

#[tokio::test]
async fn a_call_has_one_line_however_it_ends() {
    let folder = Folder::new("ends");
    let (audit, _) = open(&folder.log(), WhenFull::Refuse);
    let used = Some(Used { input: 3, output: 4, ..Used::default() });
    begin(&audit).unwrap().end(Outcome::Finished, &Answer { used, ..Answer::default() });
    begin(&audit).unwrap().refuse(&Error::new(Reason::LocalLimit, "a prompt may be quoted here"));
    begin(&audit).unwrap().finish();
    drop(begin(&audit).unwrap());
    // A caller who leaves at any await.
    let left = async {
        let call = begin(&audit).unwrap();
        tokio::time::sleep(Duration::from_hours(1)).await;
        call.finish();
    };
    until_left(&mut fastrand::Rng::with_seed(0), true, Duration::from_millis(1), left).await;
    audit.close().await;
    let lines = lines(&folder.log());
    let ends: Vec<_> = lines.iter().map(|line| (&line["status"], &line["reason"], &line["input_tokens"])).collect();
    assert_eq!(ends.len(), 5);
    assert_eq!(ends[0], (&Value::from("OK"), &Value::Null, &Value::from(3)));
    assert_eq!(ends[1], (&Value::Null, &Value::from("LOCAL_LIMIT"), &Value::Null));
    assert!(lines.iter().all(|line| line["method"] == "Generate" && line["generation_id"].is_string()));
    assert!(!fs::read_to_string(folder.log()).unwrap().contains("quoted"));
}

#[tokio::test]
async fn lines_of_many_calls_at_once_are_whole_and_a_file_that_is_moved_away_is_created_again() {
    let folder = Folder::new("moved");
    let (audit, metrics) = open(&folder.log(), WhenFull::Drop);
    let threads: Vec<_> = (0..8)
        .map(|number| {
            let (audit, log) = (audit.clone(), folder.log());
            std::thread::spawn(move || {
                for turn in 0..500 {
                    begin(&audit).unwrap().finish();
                    if number == 0 && turn == 250 {
                        let _ = fs::rename(&log, log.with_extension("1"));
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    // The name is looked up once a second.
    std::thread::sleep(Duration::from_millis(1_100));
    begin(&audit).unwrap().finish();
    audit.close().await;
    let written = lines(&folder.log()).len() + lines(&folder.log().with_extension("1")).len();
    assert_eq!(written, 4_001, "{}", metrics.text().unwrap());
}

#[tokio::test]
async fn a_disk_that_fails_delays_no_call_and_each_policy_does_what_it_says() {
    for when_full in [WhenFull::Drop, WhenFull::Refuse] {
        // Every write to it fails as on a full disk.
        let (audit, metrics) = open(Path::new("/dev/full"), when_full);
        let (mut served, mut refused) = (0, 0);
        for _ in 0..PLACES + 10_000 {
            match begin(&audit) {
                Ok(call) => {
                    call.finish();
                    served += 1;
                }
                Err(error) => {
                    assert_eq!(error.reason(), Reason::AuditLog);
                    refused += 1;
                }
            }
        }
        let text = metrics.text().unwrap();
        let lost = text.lines().find_map(|line| line.strip_prefix("outcrop_audit_lines_lost_total ")).unwrap();
        match when_full {
            // The writer has the lines of its first write.
            WhenFull::Drop => {
                assert_eq!((served, refused), (PLACES + 10_000, 0));
                assert!((5_000..10_000).contains(&lost.parse().unwrap()), "{lost}");
            }
            WhenFull::Refuse => assert_eq!((served, refused, lost), (PLACES, 10_000, "0")),
        }
    }
}
