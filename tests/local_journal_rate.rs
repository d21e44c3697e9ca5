//! How many decisions a second the local journal stores: `cargo test --release --test local_journal_rate -- --ignored
//! --nocapture`. Says, and asserts nothing about, times.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::time::{Duration, Instant};

use saga_operator::api::SagaRunSpec;
use saga_operator::election::Claim;
use saga_operator::journal::local::LocalJournal;
use saga_operator::journal::{Draft, Journal, Loaded};
use saga_operator::saga::{Holder, Phase, StepRecord, Stored};

const LASTS: Duration = Duration::from_secs(3);

/// A run of five steps, of some 1.5 kB.
fn typical(read: &Loaded) -> Stored {
    let now = jiff::Timestamp::UNIX_EPOCH;
    let step = |number: usize| {
        let mut step = StepRecord::new(&format!("reserveStock{number}"));
        step.forward.phase = Phase::Succeeded;
        step.forward.attempts = 1;
        step.forward.start_time = Some(now);
        step.forward.completion_time = Some(now);
        step.outputs.insert("reservation".to_owned(), "6f1c9a2e-5d0b-4a55-9f6e-0c4f5d1e7a88".into());
        step.outputs.insert("amount".to_owned(), 1299.into());
        step
    };
    Stored {
        revision: Some("order-0123456789".to_owned()),
        start_time: Some(now),
        steps: (0..5).map(step).collect(),
        holder: Some(Holder::new("0123456789abcdef0123456789abcdef")),
        ..read.stored.clone()
    }
}

async fn drive(journal: LocalJournal, name: String) -> Vec<Duration> {
    let run = journal.submit(&name, &SagaRunSpec::default()).await.unwrap();
    let (mut version, mut stored, mut times) = (run.version.clone(), typical(&run), Vec::new());
    let begin = Instant::now();
    while begin.elapsed() < LASTS {
        stored.fence = stored.fence.next();
        let draft =
            Draft { run: run.run.clone(), version, stored: stored.clone(), intents: Vec::new(), polls: Vec::new() };
        let sent = Instant::now();
        version = journal.persist(draft, &Claim::unelected()).await.unwrap().version;
        times.push(sent.elapsed());
    }
    times
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures; asserts nothing"]
async fn decisions_a_second() {
    let journal_directory = std::env::var_os("JOURNAL_DIR");
    for runs in [1, 16, 64, 256] {
        let directory = match &journal_directory {
            Some(parent) => tempfile::tempdir_in(parent).unwrap(),
            None => tempfile::tempdir().unwrap(),
        };
        let journal = LocalJournal::open(&directory.path().join("state.redb")).unwrap();
        let tasks: Vec<_> = (0..runs).map(|run| tokio::spawn(drive(journal.clone(), format!("run-{run}")))).collect();
        let mut times = Vec::new();
        for task in tasks {
            times.extend(task.await.unwrap());
        }
        times.sort();
        let at = |percent: usize| times[times.len() * percent / 100];
        let bytes = std::fs::metadata(journal.path()).unwrap().len();
        println!(
            "{runs:4} runs: {:7.0} decisions/s, p50 {:?}, p99 {:?}, file {} KiB",
            times.len() as f64 / LASTS.as_secs_f64(),
            at(50),
            at(99),
            bytes / 1024
        );
    }
}
