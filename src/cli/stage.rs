//! The engine on a local journal: what `local` and `demo` share.

use std::sync::Arc;

use super::board::Board;
use super::timeline::Timeline;
use crate::api::{SagaDefinitionSpec, SagaRunSpec};
use crate::clock::Clock;
use crate::engine::{Engine, Fleet};
use crate::journal::Loaded;
use crate::journal::local::{LocalError, LocalJournal};
use crate::participant::{HttpError, HttpOptions, HttpParticipant, Policy, StaticCredentials};
use crate::saga::{Holder, Owner, Stored, Tenure};

type Witnesses = (Arc<Board>, Arc<Timeline>);
type LocalEngine = Engine<LocalJournal, HttpParticipant, LocalJournal, Witnesses>;

/// Runs sagas of one state file, and shows what happens.
pub(super) struct Stage {
    journal: LocalJournal,
    fleet: Fleet<LocalEngine>,
    board: Arc<Board>,
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
            journal: journal.clone(),
            participant: Arc::new(participant),
            definitions: journal.clone(),
            witness: (board.clone(), timeline),
            clock,
            // The lock on the file outlives no process: whoever has it may take every run over at once.
            owner: Owner { id: Holder::process(uuid::Uuid::new_v4().as_u128()), tenure: Tenure::Exclusive },
            drain: tokio_util::sync::CancellationToken::new(),
        };
        Ok(Self { journal, fleet: Fleet::new(Arc::new(engine)), board })
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

    /// Drives runs until each of them ended or needs a person.
    pub(super) async fn drive(&self, runs: Vec<Loaded>) {
        let uids: Vec<String> = runs.iter().map(|run| run.run.uid.clone()).collect();
        for run in runs {
            self.board.put(&run.run, &run.stored);
            self.fleet.offer(run);
        }
        self.board.settled(&uids).await;
    }

    /// Where a run stands.
    pub(super) fn stored(&self, uid: &str) -> Option<Stored> {
        self.board.get(uid)
    }
}
