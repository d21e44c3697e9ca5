//! The journal in a cluster: a run's status, and the API server as the judge of who came first.
//!
//! # Flow
//! `load` is a quorum GET. `retain` puts our finalizer on, `persist` replaces `/status`, `release` takes the finalizer
//! off; each is one request that names the `resourceVersion` it was decided on.
//!
//! # Guarantees
//! No write without `resourceVersion`, none is repeated here or below (the client for writes has its retries off), every
//! call ends within [`READ_TIMEOUT`] or [`WRITE_TIMEOUT`]. Finalizers and labels of others stay. An object that cannot be
//! decoded is an error about that object, never a panic, and its contents are not logged.
//!
//! # Assumptions
//! The status subresource is on (the CRD sees to it). Nobody else writes the status.
//!
//! # Caveats
//! A write without an answer may have landed ([`JournalError::Unclear`]). The API server checks the UID of a PUT, but not
//! that of a merge patch before its `resourceVersion`: a patch that meets another run of the same name is a conflict, and
//! the next `load` finds nothing.

mod answer;
mod clients;
mod count;
pub(crate) mod exchange;
mod loaded;
mod metadata;
mod status;

use std::time::Duration;

use http::{Request, StatusCode};
use kube::api::{GetParams, Patch, PatchParams, PostParams};
use kube::{Resource, ResourceExt};
use serde_json::Value;
use tokio::sync::Semaphore;

pub use clients::Clients;
pub use loaded::loaded;
pub use status::MAX_STATUS_BYTES;

use super::{Draft, Journal, JournalError, Landed, Loaded, Version};
use crate::api::SagaRun;
use crate::api::names::{CONTROLLER, RUN_FINALIZER};
use crate::clock::Clock;
use crate::election::Claim;
use crate::saga::Identity;
use count::Counters;
use exchange::{Answer, exchange};
use metadata::{Known, Seen};

/// Longest a read may take: a healthy API server answers within milliseconds, and one whose etcd is gone hangs.
pub const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest a write may take; then it is unclear whether it landed.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Calls of the API server side by side: each holds a connection, and more would only queue there instead of here.
pub const MAX_CALLS: usize = 64;

/// Runs stored as `SagaRun` objects.
#[derive(Debug)]
pub struct KubernetesJournal {
    clients: Clients,
    known: Known,
    counters: Counters,
    places: Semaphore,
    clock: Clock,
}

impl KubernetesJournal {
    /// A journal over these clients. `clock` is the one that claims are measured on. No I/O.
    pub fn new(clients: Clients, clock: Clock) -> Self {
        let places = Semaphore::new(MAX_CALLS);
        Self { clients, known: Known::default(), counters: Counters::default(), places, clock }
    }

    /// Writes sent so far, whatever became of them.
    pub fn writes(&self) -> u64 {
        self.counters.writes()
    }

    /// Writes that were refused because the run had changed.
    pub fn conflicts(&self) -> u64 {
        self.counters.conflicts()
    }

    /// Takes note of a run as a watch shows it, so that taking it up costs no read.
    pub fn noticed(&self, run: &SagaRun) {
        // One that has our finalizer was taken up before, and one that is known, later than what a watch shows.
        if let Some(uid) = run.metadata.uid.as_deref()
            && !run.finalizers().iter().any(|finalizer| finalizer == RUN_FINALIZER)
            && run.status.as_ref().is_none_or(|status| status.completion_time.is_none())
        {
            self.known.remember_first(uid, || Seen::of_run(run));
        }
    }

    /// Forgets a run that is gone.
    pub fn gone(&self, uid: &str) {
        self.known.forget(uid);
    }

    async fn get(&self, run: &Identity) -> Result<Option<Value>, JournalError> {
        let request = requests(&run.namespace).get(&run.name, &GetParams::default()).map_err(unmade)?;
        let _place = self.places.acquire().await;
        let answer = exchange(&self.clients.read, request, READ_TIMEOUT).await.map_err(|lost| lost.of_read())?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if !answer.status.is_success() {
            return Err(answer::of_read(&answer));
        }
        let object: Value = serde_json::from_slice(&answer.body)
            .map_err(|error| JournalError::Unavailable(format!("the API server's answer is not JSON: {error}")))?;
        let same = metadata::uid(&object) == Some(run.uid.as_str());
        Ok(same.then_some(object))
    }

    async fn write(&self, request: Request<Vec<u8>>, claim: &Claim) -> Result<Answer, JournalError> {
        let _place = self.places.acquire().await;
        // Asked here, after the wait for a place: a claim may end while one waits.
        if claim.current(self.clock.now().monotonic).is_none() {
            return Err(JournalError::NotLeading);
        }
        self.counters.count_write();
        let answer = exchange(&self.clients.write, request, WRITE_TIMEOUT).await.map_err(|lost| lost.of_write())?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        let error = answer::of_write(&answer);
        if matches!(error, JournalError::Conflict) {
            self.counters.count_conflict();
        }
        Err(error)
    }

    /// The metadata of the run at exactly this version: remembered, or read. `None`: the run is gone.
    async fn metadata_at(&self, run: &Identity, at: &Version) -> Result<Option<Seen>, JournalError> {
        if let Some(seen) = self.known.at(&run.uid, at) {
            return Ok(Some(seen));
        }
        let Some(object) = self.get(run).await? else { return Ok(None) };
        let seen = Seen::of(&object)?;
        self.known.remember(&run.uid, seen.clone());
        if seen.version == *at { Ok(Some(seen)) } else { Err(JournalError::Conflict) }
    }

    async fn patch_metadata(&self, run: &Identity, patch: Value, claim: &Claim) -> Result<Answer, JournalError> {
        let params = PatchParams { field_manager: Some(CONTROLLER.to_owned()), ..PatchParams::default() };
        let request = requests(&run.namespace).patch(&run.name, &params, &Patch::Merge(patch)).map_err(unmade)?;
        self.write(request, claim).await
    }
}

impl Journal for KubernetesJournal {
    async fn load(&self, run: &Identity) -> Result<Option<Loaded>, JournalError> {
        let Some(object) = self.get(run).await? else {
            self.known.forget(&run.uid);
            return Ok(None);
        };
        self.known.remember(&run.uid, Seen::of(&object)?);
        loaded::decoded(object).map(Some)
    }

    async fn retain(&self, run: &Identity, at: &Version, claim: &Claim) -> Result<Version, JournalError> {
        let Some(seen) = self.metadata_at(run, at).await? else { return Err(JournalError::Gone) };
        let Some(patch) = seen.with_finalizer() else { return Ok(at.clone()) };
        let answer = self.patch_metadata(run, patch, claim).await?;
        self.landed(run, &answer)
    }

    async fn persist(&self, draft: Draft, claim: &Claim) -> Result<Landed, JournalError> {
        let body = status::body(&draft)?;
        let params = PostParams { field_manager: Some(CONTROLLER.to_owned()), dry_run: false };
        let request = requests(&draft.run.namespace)
            .replace_subresource("status", &draft.run.name, &params, body)
            .map_err(unmade)?;
        let answer = self.write(request, claim).await?;
        let version = self.landed(&draft.run, &answer)?;
        Ok(draft.landed(version))
    }

    async fn release(&self, run: &Identity, at: &Version, claim: &Claim) -> Result<(), JournalError> {
        if self.known.is_released_after(&run.uid, at) {
            return Ok(()); // a watch that is behind showed the end once more
        }
        let Some(seen) = self.metadata_at(run, at).await? else { return Ok(()) };
        if let Some(patch) = seen.without_finalizer() {
            match self.patch_metadata(run, patch, claim).await {
                Ok(answer) => drop(self.landed(run, &answer)),
                Err(JournalError::Gone) => self.known.forget(&run.uid),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl KubernetesJournal {
    /// The version that a write made, out of its answer.
    fn landed(&self, run: &Identity, answer: &Answer) -> Result<Version, JournalError> {
        let seen = Seen::of_answer(&answer.body).map_err(|error| {
            JournalError::Unclear(format!("it was accepted, but its answer cannot be read: {error}"))
        })?;
        let version = seen.version.clone();
        self.known.remember(&run.uid, seen);
        Ok(version)
    }
}

fn requests(namespace: &str) -> kube::core::Request {
    kube::core::Request::new(SagaRun::url_path(&(), Some(namespace)))
}

fn unmade(error: kube::core::request::Error) -> JournalError {
    JournalError::Fatal(format!("the request cannot be made: {error}"))
}
