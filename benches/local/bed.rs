//! An engine on a local journal.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use saga_operator::api::SagaDefinitionSpec;
use saga_operator::clock::Clock;
use saga_operator::election::Claim;
use saga_operator::engine::{Engine, Fleet, Witness};
use saga_operator::journal::local::LocalJournal;
use saga_operator::participant::{HttpOptions, HttpParticipant, Policy, StaticCredentials};
use saga_operator::saga::{Holder, Identity, Note, Owner, Stored, Tenure};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::common::lanes::{Bed, Ended};
use super::common::shape;
use super::common::text;
use super::timed::Timed;

type Local = Engine<LocalJournal, Timed<HttpParticipant>, LocalJournal, Ends>;

pub(crate) struct LocalBed {
    journal: LocalJournal,
    fleet: Fleet<Local>,
    sender: mpsc::UnboundedSender<Result<Ended, String>>,
    ends: mpsc::UnboundedReceiver<Result<Ended, String>>,
    writes: Arc<AtomicU64>,
}

impl LocalBed {
    pub(crate) fn new() -> Result<Self, String> {
        let journal = LocalJournal::temporary().map_err(text)?;
        let clock = Clock::start();
        let (policy, credentials) = (Arc::new(Policy::local()), Arc::new(StaticCredentials::default()));
        let http = HttpParticipant::new(policy, credentials, clock, HttpOptions::default()).map_err(text)?;
        let (sender, ends) = mpsc::unbounded_channel();
        let writes = Arc::new(AtomicU64::new(0));
        let fleet = Fleet::new(Arc::new(Engine {
            journal: journal.clone(),
            participant: Arc::new(Timed::new(http)),
            definitions: journal.clone(),
            witness: Ends { ended: sender.clone(), writes: writes.clone() },
            clock,
            owner: Owner { id: Holder::new("bench"), tenure: Tenure::Exclusive },
            claim: Claim::unelected(),
            drain: CancellationToken::new(),
        }));
        Ok(Self { journal, fleet, sender, ends, writes })
    }

    pub(crate) async fn apply(&self, name: &str, definition: &SagaDefinitionSpec) -> Result<(), String> {
        self.journal.apply_definition(name, definition).await.map(drop).map_err(text)
    }

    /// From refusals to first compensations; sorted.
    pub(crate) fn first_undo(&self) -> Vec<Duration> {
        self.fleet.engine().participant.first_undo()
    }

    /// Decisions that were stored.
    pub(crate) fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }
}

impl Bed for LocalBed {
    fn begin(&self, definition: &str, name: String) {
        let (journal, fleet, sender) = (self.journal.clone(), self.fleet.clone(), self.sender.clone());
        let spec = shape::run(definition);
        tokio::spawn(async move {
            match journal.submit(&name, &spec).await {
                Ok(read) => fleet.offer(read),
                // The harness ends first only when it failed.
                Err(error) => drop(sender.send(Err(error.to_string()))),
            }
        });
    }

    async fn ended(&mut self) -> Result<Ended, String> {
        self.ends.recv().await.unwrap_or_else(|| Err("the engine went away".to_owned()))
    }
}

/// Tells lanes that their run has ended.
struct Ends {
    ended: mpsc::UnboundedSender<Result<Ended, String>>,
    writes: Arc<AtomicU64>,
}

impl Witness for Ends {
    fn noted(&self, _run: &Identity, _note: &Note) {}

    fn stored(&self, run: &Identity, stored: &Stored) {
        self.writes.fetch_add(1, Ordering::Relaxed);
        if stored.end.is_some() {
            let status = serde_json::to_vec(&stored.to_status()).map_or(0, |bytes| bytes.len());
            let ended = Ended { name: run.name.clone(), at: Instant::now(), end: stored.end, status };
            // The harness ends first only when it failed.
            drop(self.ended.send(Ok(ended)));
        }
    }
}
