//! Definitions: checked, frozen as revisions, and given to the engine.
//!
//! # Flow
//! For each `SagaDefinition` that changed: hold it by our finalizer, judge its spec, freeze the spec as a
//! `ControllerRevision`, say so in the status, and collect revisions that nobody needs. [`KubernetesDefinitions`] gives the
//! engine what was accepted. Revisions whose definition is gone are looked for beside it.
//!
//! # Guarantees
//! - A definition is Ready only when a revision of exactly this generation is stored and will stay.
//! - A revision goes only after it was marked and a quorum read *after* that showed no unfinished run that names it; who
//!   pins it meanwhile reads the mark before the first call.
//! - Every write is a compare-and-swap; where nothing changed there is none.
//! - A process that does not lead keeps its caches and writes nothing.
//! - One definition that cannot be decoded, or whose expressions break the compiler, stops no other.
//!
//! # Assumptions
//! The CRD of runs makes `spec.definitionRef.name` selectable.
//!
//! # Caveats
//! `activeRuns` follows the cache of runs within [`SWEEP_INTERVAL`]: it is for people. Nothing is deleted because of it.

mod collect;
mod compiled;
mod destinations;
mod error;
mod hold;
mod object;
mod orphans;
mod single_flight;
mod source;
mod status;
mod store;
mod sweep;
mod usage;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::runtime::controller::{Action, Config as ControllerConfig};
use kube::runtime::reflector::{ObjectRef, Store, store::Writer};
use kube::runtime::watcher::Event;
use kube::runtime::{Controller, WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

pub use destinations::Destinations;
pub use error::DefinitionError;
pub use source::KubernetesDefinitions;
pub use sweep::SWEEP_INTERVAL;

use crate::api::{SagaDefinition, SagaRun};
use crate::clock::Clock;
use crate::election::{Office, Shard};
use crate::journal::Class;
use crate::journal::kubernetes::Clients;
use collect::Surplus;
use compiled::Compiled;
use hold::Hold;
use kube::core::DeserializeGuard;
use source::Pinned;
use usage::Usage;

/// A watch is renewed this often, so that one that died without a word is noticed.
const WATCH_TIMEOUT_SECONDS: u32 = 55;
/// Definitions that are looked at side by side.
const CONCURRENCY: u16 = 4;
/// Changes that a slow listener may lag behind before it is told that it missed some.
const MAX_CHANGES: usize = 256;
/// How often revisions that runs still use are looked at again.
const COLLECT_INTERVAL: Duration = Duration::from_secs(10);
/// What is not divided.
const FIRST: Shard = Shard(0);
/// Between two tries of what failed: doubled from the first to the last.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(60);

type Guarded = DeserializeGuard<SagaDefinition>;

/// A definition changed, or its status did: runs that wait for it may look again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Namespace of the definition.
    pub namespace: String,
    /// Name of the definition.
    pub name: String,
}

/// Looks after the definitions of the watched namespaces.
pub struct DefinitionsController {
    context: Arc<Context>,
    writer: Writer<Guarded>,
    changes: broadcast::Sender<Changed>,
}

/// What every step may use.
struct Context {
    clients: Clients,
    /// Only this namespace.
    namespace: Option<String>,
    destinations: Destinations,
    /// Definitions as last seen.
    definitions: Store<Guarded>,
    /// Runs as last seen.
    runs: Store<DeserializeGuard<SagaRun>>,
    compiled: Arc<Compiled>,
    failures: error::Failures,
    /// Definitions belong to whoever leads the first shard.
    office: Office,
    clock: Clock,
}

impl Context {
    fn leads(&self) -> bool {
        self.office.leads(FIRST, self.clock.now().monotonic)
    }
}

impl DefinitionsController {
    /// Watches nothing yet. `namespace`: only that one. `runs`: the cache of runs, for counting. Writes only while the first
    /// shard is led, on a `clock` that is the elector's.
    pub fn new(
        clients: Clients,
        namespace: Option<String>,
        destinations: Destinations,
        runs: Store<DeserializeGuard<SagaRun>>,
        (office, clock): (Office, Clock),
    ) -> Self {
        let writer = Writer::new(());
        let context = Context {
            clients,
            namespace,
            destinations,
            definitions: writer.as_reader(),
            runs,
            compiled: Arc::default(),
            failures: error::Failures::default(),
            office,
            clock,
        };
        Self { context: Arc::new(context), writer, changes: broadcast::channel(MAX_CHANGES).0 }
    }

    /// What the engine needs. It knows nothing before [`Self::run`] has read the definitions.
    pub fn definitions(&self) -> KubernetesDefinitions {
        KubernetesDefinitions {
            clients: self.context.clients.clone(),
            seen: self.context.definitions.clone(),
            compiled: self.context.compiled.clone(),
            pinned: Arc::new(Pinned::new()),
        }
    }

    /// Tells of every definition that changed, once the change can be seen through [`Self::definitions`].
    pub fn changes(&self) -> broadcast::Receiver<Changed> {
        self.changes.subscribe()
    }

    /// Runs until `shutdown`, then ends what is under way. Dropping it breaks off between two calls, which is safe too.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self { context, writer, changes } = self;
        let api: Api<Guarded> = match &context.namespace {
            Some(namespace) => Api::namespaced(context.clients.read.clone(), namespace),
            None => Api::all(context.clients.read.clone()),
        };
        let config = watcher::Config::default().timeout(WATCH_TIMEOUT_SECONDS);
        let seen = context.definitions.clone();
        let watch = watcher(api, config)
            .default_backoff()
            // Who wrote which field is half of a small object, and nobody here reads it.
            .modify(|definition| definition.managed_fields_mut().clear())
            .reflect(writer)
            .inspect(move |event| tell(&changes, &seen, event))
            .applied_objects();
        let orphans = orphans::collect_for_ever(context.clone());
        let won = context.office.terms(FIRST);
        let controller = Controller::for_stream(watch, context.definitions.clone())
            .with_config(ControllerConfig::default().concurrency(CONCURRENCY))
            .reconcile_on(sweep::concerned(context.clone()))
            .reconcile_all_on(won)
            .graceful_shutdown_on(shutdown.cancelled_owned())
            .run(reconcile, retry, context)
            .for_each(|outcome| {
                match outcome {
                    Ok((definition, _)) => tracing::trace!(%definition, "looked at a definition"),
                    Err(error) => tracing::debug!(%error, "failed to look after definitions; trying again"),
                }
                std::future::ready(())
            });
        tokio::select! {
            () = controller => {}
            () = orphans => {}
        }
    }
}

/// Sends word of a change, after the store shows it.
fn tell(changes: &broadcast::Sender<Changed>, seen: &Store<Guarded>, event: &Result<Event<Guarded>, watcher::Error>) {
    let send = |definition: &Guarded| {
        // Nobody listens: nothing waits.
        let _ = changes
            .send(Changed { namespace: definition.namespace().unwrap_or_default(), name: definition.name_any() });
    };
    match event {
        Ok(Event::Apply(definition) | Event::Delete(definition)) => send(definition),
        Ok(Event::InitDone) => seen.state().iter().for_each(|definition| send(definition)),
        // The store shows these with `InitDone`.
        Ok(Event::Init | Event::InitApply(_)) => {}
        Err(error) => tracing::warn!(%error, "failed to watch SagaDefinitions; watching again"),
    }
}

/// Five calls, each in a file of its own.
async fn reconcile(seen: Arc<Guarded>, context: Arc<Context>) -> Result<Action, DefinitionError> {
    if !context.leads() {
        // All are looked at when it comes to lead.
        return Ok(Action::await_change());
    }
    let Ok(definition) = &seen.0 else {
        let (namespace, name) = (seen.namespace().unwrap_or_default(), seen.name_any());
        let error = seen.0.as_ref().err().map(ToString::to_string).unwrap_or_default();
        tracing::error!(
            namespace,
            definition = name,
            error,
            "failed to read a SagaDefinition; it is left alone until it changes"
        );
        return Ok(Action::await_change());
    };
    // client
    let definition = match hold::hold(&context, definition).await? {
        Hold::Held(definition) => definition,
        Hold::InUse => return Ok(Action::requeue(SWEEP_INTERVAL)),
        Hold::Gone => {
            context.failures.forget(&ObjectRef::from_obj(&*seen));
            return Ok(Action::await_change());
        }
    };
    // no client
    let verdict = verdict::judge(&context, &definition).await;
    // client
    let verdict = store::store(&context, &definition, verdict).await?;
    // no client
    let active = Usage::of(&context.runs).map(|usage| usage.active(&definition));
    let next = status::next(&definition, &verdict, active, jiff::Timestamp::now());
    // client
    status::write(&context, &definition, next).await?;
    let surplus = collect::surplus(&context, &definition, verdict.revision()).await?;
    context.failures.forget(&ObjectRef::from_obj(&*seen));
    Ok(match surplus {
        Surplus::Gone => Action::await_change(),
        Surplus::Left => Action::requeue(COLLECT_INTERVAL),
    })
}

/// What to do about a failure is decided by its class alone.
fn retry(seen: Arc<Guarded>, error: &DefinitionError, context: Arc<Context>) -> Action {
    let (namespace, name) = (seen.namespace().unwrap_or_default(), seen.name_any());
    let wait = match error.class() {
        // Usually the cache is behind our own write, and the watch is about to say so.
        Class::Conflict => FIRST_RETRY,
        Class::Retry | Class::Invalid | Class::Fatal => {
            let failures = context.failures.count(&ObjectRef::from_obj(&*seen));
            FIRST_RETRY.saturating_mul(1 << failures.min(10)).min(LAST_RETRY)
        }
    };
    match error.class() {
        Class::Conflict => tracing::debug!(namespace, definition = name, %error, "the definition changed meanwhile"),
        Class::Retry | Class::Invalid | Class::Fatal => {
            tracing::warn!(namespace, definition = name, %error, retry_after = ?wait, "failed to look after a definition");
        }
    }
    Action::requeue(wait)
}
