//! Runs as users put them in and look at them.

use std::sync::Arc;

use redb::ReadTransaction;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::change::{Change, Refusal};
use super::error::LocalError;
use super::store::Store;
use super::table::{HEADS, Head, NAMES, STATES, State, bytes, entries, text};
use super::writer::NotWritten;
use super::{LocalJournal, NAMESPACE};
use crate::api::SagaRunSpec;
use crate::api::run::EndPolicy;
use crate::journal::{Loaded, Version};
use crate::saga::{Identity, Stored, Wishes};

const INTERVENTIONS_COME_LATER: &str =
    "`spec.interventions` are decisions about calls that are stalled: a new run has none; is the state another one?";

/// What users may change of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    /// `spec`; its definition, input and deadline stay as they are.
    pub spec: SagaRunSpec,
    /// The run is to be deleted: what that means is `spec.deletionPolicy`. Cannot be taken back.
    pub deleted: bool,
}

impl LocalJournal {
    /// Puts in a run. One of that name is returned as it stands, to be resumed, if it asks for the same; what may be
    /// changed of it (suspension, cancellation, policies, further interventions) is taken over.
    ///
    /// # Errors
    /// [`LocalError::NameTaken`] if the run of that name asks for something else; [`LocalError::NotAllowed`] if it must
    /// not be changed that way; what prevents writing.
    pub async fn submit(&self, name: &str, spec: &SagaRunSpec) -> Result<Loaded, LocalError> {
        if !spec.interventions.is_empty() && matches!(self.run(name), Err(LocalError::NoSuchRun { .. })) {
            return Err(LocalError::NotAllowed { name: name.to_owned(), rule: INTERVENTIONS_COME_LATER });
        }
        let head = Head { name: name.to_owned(), generation: 1, deleted: false, spec: spec.clone() };
        let run = Uuid::new_v4().to_string();
        let change = Change::Submit { name: name.to_owned(), run, head: self.encode(&head)? };
        match self.write(change).await {
            Ok(_) => self.run(name),
            Err(NotWritten::Refused(Refusal::Taken)) => self.resubmit(name, spec).await,
            Err(error) => Err(self.not_written(name, error)),
        }
    }

    async fn resubmit(&self, name: &str, spec: &SagaRunSpec) -> Result<Loaded, LocalError> {
        let run = self.run(name)?;
        if let Some(field) = differing(&run.spec, spec) {
            return Err(LocalError::NameTaken { name: name.to_owned(), field, path: self.path().to_owned() });
        }
        if run.stored.end.is_some() {
            return Ok(run);
        }
        let take_over = |wish: &mut Wish| {
            let cancellation = spec.cancellation.clone().or_else(|| wish.spec.cancellation.clone());
            // A manifest that holds fewer is older: what was decided stays.
            let older = wish.spec.interventions.starts_with(&spec.interventions);
            let interventions = if older { &wish.spec.interventions } else { &spec.interventions }.clone();
            wish.spec = SagaRunSpec { cancellation, interventions, ..spec.clone() };
        };
        self.set_wishes(name, take_over).await
    }

    /// Changes what a run is asked for: `change` gets what it is asked for now, and may be called again. The run's
    /// generation rises if anything changed.
    ///
    /// # Errors
    /// [`LocalError::NoSuchRun`], [`LocalError::NotAllowed`], what prevents writing.
    pub async fn set_wishes(&self, name: &str, change: impl Fn(&mut Wish) + Send + Sync) -> Result<Loaded, LocalError> {
        loop {
            let (run, head) = self.head(name)?;
            let old: Head = self.decode(&head)?;
            let mut wish = Wish { spec: old.spec.clone(), deleted: old.deleted };
            change(&mut wish);
            if wish.spec == old.spec && wish.deleted == old.deleted {
                return self.run(name);
            }
            if let Some(rule) = broken_rule(&old, &wish) {
                return Err(LocalError::NotAllowed { name: name.to_owned(), rule });
            }
            let generation = old.generation.saturating_add(1);
            let new = Head { name: old.name, generation, deleted: wish.deleted, spec: wish.spec };
            match self.write(Change::Ask { run, old: head, new: self.encode(&new)? }).await {
                Ok(_) => return self.run(name),
                Err(NotWritten::Refused(Refusal::Conflict)) => {} // another wish came first
                Err(error) => return Err(self.not_written(name, error)),
            }
        }
    }

    /// All runs, sorted by name.
    ///
    /// # Errors
    /// What prevents reading, or a run that this version cannot read.
    pub fn runs(&self) -> Result<Vec<Loaded>, LocalError> {
        let found = self.store().read(|read| {
            let named = entries(read, NAMES)?;
            named.into_iter().map(|(_, uid)| Ok((rows_of(read, &uid)?, uid))).collect::<Result<Vec<_>, redb::Error>>()
        })?;
        let found = found.into_iter().filter_map(|(rows, uid)| rows.map(|rows| (uid, rows)));
        found.map(|(uid, rows)| loaded(self.store(), &uid, rows)).collect()
    }

    /// The runs that are not over, sorted by name: those to be resumed.
    ///
    /// # Errors
    /// As [`Self::runs`].
    pub fn unfinished(&self) -> Result<Vec<Loaded>, LocalError> {
        let runs = self.runs()?;
        Ok(runs.into_iter().filter(|run| run.stored.end.is_none() || run.retained).collect())
    }

    /// One run.
    ///
    /// # Errors
    /// [`LocalError::NoSuchRun`], what prevents reading, or a run that this version cannot read.
    pub fn run(&self, name: &str) -> Result<Loaded, LocalError> {
        let uid = self.store().read(|read| text(read, NAMES, name))?;
        let run = uid.map(|uid| load(self.store(), &uid)).transpose()?.flatten();
        run.ok_or_else(|| self.no_such_run(name))
    }

    fn head(&self, name: &str) -> Result<(String, Vec<u8>), LocalError> {
        let found = self.store().read(|read| {
            let Some(uid) = text(read, NAMES, name)? else { return Ok(None) };
            Ok(bytes(read, HEADS, &uid)?.map(|head| (uid, head)))
        })?;
        found.ok_or_else(|| self.no_such_run(name))
    }

    fn no_such_run(&self, name: &str) -> LocalError {
        LocalError::NoSuchRun { name: name.to_owned(), path: self.path().to_owned() }
    }

    pub(super) fn encode<T: serde::Serialize>(&self, value: &T) -> Result<Vec<u8>, LocalError> {
        serde_json::to_vec(value)
            .map_err(|error| LocalError::Failing { path: self.path().to_owned(), detail: error.to_string() })
    }

    fn decode<T: DeserializeOwned>(&self, row: &[u8]) -> Result<T, LocalError> {
        decode(self.store(), row)
    }

    fn not_written(&self, name: &str, error: NotWritten) -> LocalError {
        match error {
            NotWritten::Refused(_) => self.no_such_run(name),
            NotWritten::Nothing(error) | NotWritten::Unclear(error) => {
                Arc::try_unwrap(error).unwrap_or_else(|shared| LocalError::Failing {
                    path: self.path().to_owned(),
                    detail: shared.to_string(),
                })
            }
        }
    }
}

/// Reads a run.
pub(super) fn load(store: &Store, uid: &str) -> Result<Option<Loaded>, LocalError> {
    store.read(|read| rows_of(read, uid))?.map(|rows| loaded(store, uid, rows)).transpose()
}

type Rows = (Vec<u8>, Vec<u8>);

fn rows_of(read: &ReadTransaction, uid: &str) -> Result<Option<Rows>, redb::Error> {
    let head = bytes(read, HEADS, uid)?;
    let state = bytes(read, STATES, uid)?;
    Ok(head.zip(state))
}

fn loaded(store: &Store, uid: &str, (head, state): Rows) -> Result<Loaded, LocalError> {
    let head: Head = decode(store, &head)?;
    let damaged = || LocalError::Damaged {
        path: store.path().to_owned(),
        detail: format!("the row of the run '{}' is cut short", head.name),
    };
    let state = State::read(&state).ok_or_else(damaged)?;
    let status = if state.status.is_empty() { None } else { Some(decode(store, state.status)?) };
    let stored = Stored::from_status(status.as_ref()).map_err(|source| LocalError::Unreadable {
        name: head.name.clone(),
        path: store.path().to_owned(),
        source,
    })?;
    Ok(Loaded {
        run: Arc::new(Identity { namespace: NAMESPACE.to_owned(), name: head.name, uid: uid.to_owned() }),
        wishes: Wishes::new(&head.spec, head.generation, head.deleted),
        spec: Arc::new(head.spec),
        stored,
        version: Version(state.version.to_string()),
        retained: !state.released,
    })
}

fn decode<T: DeserializeOwned>(store: &Store, row: &[u8]) -> Result<T, LocalError> {
    serde_json::from_slice(row).map_err(|error| LocalError::Damaged {
        path: store.path().to_owned(),
        detail: format!("a row is not what this version writes: {error}"),
    })
}

/// The first immutable field that differs.
fn differing(old: &SagaRunSpec, new: &SagaRunSpec) -> Option<&'static str> {
    if old.definition_ref != new.definition_ref {
        Some("definitionRef")
    } else if old.input != new.input {
        Some("input")
    } else if old.active_deadline_seconds != new.active_deadline_seconds {
        Some("activeDeadlineSeconds")
    } else {
        None
    }
}

/// The rules that the API server enforces in a cluster.
fn broken_rule(old: &Head, new: &Wish) -> Option<&'static str> {
    if differing(&old.spec, &new.spec).is_some() {
        return Some("`spec.definitionRef`, `spec.input` and `spec.activeDeadlineSeconds` cannot be changed");
    }
    if old.deleted && !new.deleted {
        return Some("a deletion cannot be taken back");
    }
    if !new.spec.interventions.starts_with(&old.spec.interventions) {
        return Some("`spec.interventions` can only be added to, at the end");
    }
    match (&old.spec.cancellation, &new.spec.cancellation) {
        (None, _) => None,
        (Some(old), Some(new)) if old == new => None,
        (Some(old), Some(new)) if old.policy == EndPolicy::Compensate && new.policy == EndPolicy::Abandon => None,
        (Some(_), _) => Some("`spec.cancellation` is set once; only `Compensate` may become `Abandon`"),
    }
}
