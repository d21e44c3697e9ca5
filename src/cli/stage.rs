//! The engine on a local journal: what `local` and `demo` share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::board::Board;
use super::timeline::Timeline;
use crate::api::{SagaDefinitionSpec, SagaRunSpec};
use crate::clock::Clock;
use crate::election::Claim;
use crate::engine::{Definitions as _, Engine, Fleet};
use crate::journal::local::{LocalError, LocalJournal, NAMESPACE};
use crate::journal::{Class, Draft, Journal, JournalError, Landed, Loaded, Version};
use crate::participant::{HttpError, HttpOptions, HttpParticipant, Policy, StaticCredentials};
use crate::saga::{Holder, Identity, Owner, Stored, Tenure, Unready};

type Witnesses = (Arc<Board>, Arc<Timeline>);
type LocalEngine = Engine<Outspoken, HttpParticipant, LocalJournal, Witnesses>;

/// Runs sagas of one state file, and shows what happens.
pub(super) struct Stage {
    journal: LocalJournal,
    engine: Arc<LocalEngine>,
    board: Arc<Board>,
    /// By the UIDs of their runs: who is driven again is told of it where it waits.
    fleets: Mutex<HashMap<String, Fleet<LocalEngine>>>,
}

impl Stage {
    /// Takes a state file in hand. Nothing runs yet.
    pub(super) fn new(
        journal: LocalJournal,
        credentials: StaticCredentials,
        timeline: Arc<Timeline>,
    ) -> Result<Self, HttpError> {
        let clock = Clock::start();
        let policy = Arc::new(Policy::local());
        let participant = HttpParticipant::new(policy, Arc::new(credentials), clock, HttpOptions::default())?;
        let board = Arc::new(Board::new());
        let engine = Engine {
            journal: Outspoken { journal: journal.clone(), said: Mutex::default() },
            participant: Arc::new(participant),
            definitions: journal.clone(),
            witness: (board.clone(), timeline),
            clock,
            // The lock on the file outlives no process: whoever has it may take every run over at once.
            owner: Owner { id: Holder::process(uuid::Uuid::new_v4().as_u128()), tenure: Tenure::Exclusive },
            claim: Claim::unelected(),
            drain: tokio_util::sync::CancellationToken::new(),
        };
        Ok(Self { journal, engine: Arc::new(engine), board, fleets: Mutex::default() })
    }

    /// Stores a definition.
    pub(super) async fn define(&self, name: &str, spec: &SagaDefinitionSpec) -> Result<(), LocalError> {
        self.journal.apply_definition(name, spec).await.map(drop)
    }

    /// Stores a run, to be driven later.
    pub(super) async fn submit(&self, name: &str, spec: &SagaRunSpec) -> Result<Loaded, LocalError> {
        self.journal.submit(name, spec).await
    }

    /// Runs in the state file that are not over.
    pub(super) fn unfinished(&self) -> Result<Vec<Loaded>, LocalError> {
        self.journal.unfinished()
    }

    /// Whether no definition of that name was ever stored.
    pub(super) async fn lacks(&self, definition: &str) -> bool {
        matches!(self.journal.current(NAMESPACE, definition).await, Err(Unready::NotFound))
    }

    /// Drives runs side by side until each of them ended or needs a person.
    pub(super) async fn drive(&self, runs: Vec<Loaded>) {
        futures::future::join_all(runs.into_iter().map(|run| self.drive_one(run))).await;
    }

    /// A fleet of its own tells when nobody drives the run any more: it ended and was let go, or it was left alone because
    /// of something that is in the log. A command must not wait for it then.
    async fn drive_one(&self, run: Loaded) {
        let (uid, generation) = (run.run.uid.clone(), run.wishes.generation);
        self.board.put(&run.run, &run.stored);
        let fleet = {
            let mut fleets = self.fleets.lock().unwrap_or_else(PoisonError::into_inner);
            fleets.entry(uid.clone()).or_insert_with(|| Fleet::new(self.engine.clone())).clone()
        };
        fleet.offer(run);
        tokio::select! {
            () = fleet.idle() => {}
            () = self.board.stuck(&uid, generation) => {}
        }
    }

    /// Where a run stands.
    pub(super) fn stored(&self, uid: &str) -> Option<Stored> {
        self.board.get(uid)
    }
}

/// Between two complaints about the state file.
const PATIENCE: Duration = Duration::from_secs(10);

/// The journal, which says what the engine bears in silence: a full disk stops every run of this process, and only the one
/// who started it can help.
struct Outspoken {
    journal: LocalJournal,
    said: Mutex<Option<Instant>>,
}

impl Outspoken {
    fn heard<T>(&self, result: Result<T, JournalError>) -> Result<T, JournalError> {
        let Err(error) = &result else { return result };
        // The engine itself says what is fatal; a conflict is no trouble.
        let trouble = error.class() == Class::Retry || matches!(error, JournalError::Unclear(_));
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble && said.is_none_or(|at| at.elapsed() >= PATIENCE) {
            *said = Some(Instant::now());
            tracing::error!(%error, "the runs wait until the state file can be used; trying again");
        }
        result
    }
}

impl Journal for Outspoken {
    async fn load(&self, run: &Identity) -> Result<Option<Loaded>, JournalError> {
        self.heard(self.journal.load(run).await)
    }

    async fn retain(&self, run: &Identity, at: &Version, claim: &Claim) -> Result<Version, JournalError> {
        self.heard(self.journal.retain(run, at, claim).await)
    }

    async fn persist(&self, draft: Draft, claim: &Claim) -> Result<Landed, JournalError> {
        self.heard(self.journal.persist(draft, claim).await)
    }

    async fn release(&self, run: &Identity, at: &Version, claim: &Claim) -> Result<(), JournalError> {
        self.heard(self.journal.release(run, at, claim).await)
    }
}
