//! How fast sagas go on a local journal: every decision durable before it is acted on, real HTTP on loopback.
//!
//! `cargo bench --bench local -- [SAGAS]`: W3 and W5 (3 and 5 forward steps) and C5 (the fifth of 5 is refused, 4 are
//! undone), each at several concurrencies, in a closed loop: a saga begins when the one before it in its lane has ended.
//! The participant answers `{}` at once, from a process of its own.

mod participant;
mod report;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use saga_operator::api::{SagaDefinitionSpec, SagaRunSpec};
use saga_operator::clock::Clock;
use saga_operator::engine::{Engine, Fleet, Witness};
use saga_operator::journal::local::LocalJournal;
use saga_operator::participant::{HttpOptions, HttpParticipant, Policy, StaticCredentials};
use saga_operator::saga::{End, Holder, Identity, Note, Owner, Stored, Tenure};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use self::participant::{Noop, Timed};
use self::report::{Report, Usage};

const CONCURRENCIES: [usize; 4] = [1, 16, 64, 256];

/// Shape of a saga: its name, its forward steps, and whether the last one is refused.
const SHAPES: [(&str, usize, bool); 3] = [("W3", 3, false), ("W5", 5, false), ("C5", 5, true)];

fn main() -> ExitCode {
    let sagas = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(2000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(16 << 20).build();
    let measured = runtime.map_err(|error| error.to_string()).and_then(|runtime| runtime.block_on(measure(sagas)));
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(sagas: usize) -> Result<(), String> {
    let noop = Noop::start().await?;
    println!("{}", Report::head());
    for (shape, steps, refused) in SHAPES {
        for lanes in CONCURRENCIES {
            let count = if lanes == 1 { sagas / 8 } else { sagas };
            let report = loop_closed(&noop, steps, refused, lanes, count.max(lanes)).await?;
            println!("{}", report.row(shape, lanes));
        }
    }
    Ok(())
}

type Local = Engine<LocalJournal, Timed<HttpParticipant>, LocalJournal, Ends>;

/// Tells lanes that their run has ended.
struct Ends(mpsc::UnboundedSender<(String, Stored)>);

impl Witness for Ends {
    fn noted(&self, _run: &Identity, _note: &Note) {}

    fn stored(&self, run: &Identity, stored: &Stored) {
        if stored.end.is_some() {
            // The harness ends first only when it failed.
            drop(self.0.send((run.name.clone(), stored.clone())));
        }
    }
}

async fn loop_closed(noop: &Noop, steps: usize, refused: bool, lanes: usize, count: usize) -> Result<Report, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let journal = LocalJournal::temporary().map_err(|error| text(&error))?;
    let definition = definition(&noop.url, steps, refused);
    journal.apply_definition("bench", &definition).await.map_err(|error| text(&error))?;
    let clock = Clock::start();
    let http = HttpParticipant::new(
        Arc::new(Policy::local()),
        Arc::new(StaticCredentials::default()),
        clock,
        HttpOptions::default(),
    );
    let participant = Arc::new(Timed::new(http.map_err(|error| text(&error))?));
    let (ended, mut ends) = mpsc::unbounded_channel();
    let fleet: Fleet<Local> = Fleet::new(Arc::new(Engine {
        journal: journal.clone(),
        participant: participant.clone(),
        definitions: journal.clone(),
        witness: Ends(ended),
        clock,
        owner: Owner { id: Holder::new("bench"), tenure: Tenure::Exclusive },
        drain: tokio_util::sync::CancellationToken::new(),
    }));
    let expected = if refused { End::Compensated } else { End::Succeeded };
    let (usage, start) = (Usage::now(), Instant::now());
    let mut begun: Vec<Instant> = Vec::with_capacity(count);
    let mut latencies: Vec<Duration> = Vec::with_capacity(count);
    let mut status = 0;
    while latencies.len() < count {
        while begun.len() < count && begun.len() - latencies.len() < lanes {
            begun.push(Instant::now());
            let name = (begun.len() - 1).to_string();
            let (journal, fleet) = (journal.clone(), fleet.clone());
            tokio::spawn(async move {
                match journal.submit(&name, &run()).await {
                    Ok(read) => fleet.offer(read),
                    Err(error) => eprintln!("error: {error}"),
                }
            });
        }
        let (name, stored) = ends.recv().await.ok_or("the engine went away")?;
        if stored.end != Some(expected) {
            return Err(format!("run {name} ended {:?}: {:?}", stored.end, stored.failure));
        }
        let index: usize = name.parse().map_err(|_| "a run of somebody else ended")?;
        latencies.push(begun[index].elapsed());
        status = serde_json::to_vec(&stored.to_status()).map_or(0, |bytes| bytes.len());
    }
    Ok(Report::new(start.elapsed(), latencies, participant.first_undo(), usage.since(), status))
}

fn definition(url: &str, steps: usize, refused: bool) -> SagaDefinitionSpec {
    let step = |index: usize| {
        // No such route: 404, which is a refusal.
        let path = if refused && index + 1 == steps { "/refused" } else { "/noop" };
        json!({
            "name": format!("step{index}"),
            "action": {"http": {"url": format!("{url}{path}"), "body": {"n": "${input.n}"}}},
            "compensation": {"http": {"url": format!("{url}/noop"), "body": {"key": "${call.forwardKey}"}}},
        })
    };
    let steps: Vec<Value> = (0..steps).map(step).collect();
    serde_json::from_value(json!({"steps": steps})).unwrap_or_default()
}

fn run() -> SagaRunSpec {
    serde_json::from_value(json!({"definitionRef": {"name": "bench"}, "input": {"n": 1}})).unwrap_or_default()
}
