//! Every state of every run of a namespace, from one watch.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use kube::api::{Api, ApiResource, DynamicObject, WatchEvent, WatchParams};
use kube::{Client, ResourceExt as _};
use saga_operator::api::SagaRun;
use serde_json::Value;
use tokio::task::JoinHandle;

#[derive(Default)]
struct Known {
    states: BTreeMap<String, Vec<Value>>,
    version: String,
    /// Why the history has a hole.
    hole: Option<String>,
}

/// Follows all runs, as an observer with no part in them.
pub(crate) struct History {
    known: Arc<Mutex<Known>>,
    task: JoinHandle<()>,
}

impl History {
    /// Of a namespace without runs.
    pub(crate) async fn follow(client: &Client, namespace: &str) -> Self {
        let runs: Api<DynamicObject> =
            Api::namespaced_with(client.clone(), namespace, &ApiResource::erase::<SagaRun>(&()));
        let list = runs.list(&kube::api::ListParams::default()).await.expect("listed");
        assert!(list.items.is_empty(), "there are runs already");
        let version = list.metadata.resource_version.unwrap_or_default();
        let known = Arc::new(Mutex::new(Known { version, ..Known::default() }));
        let kept = known.clone();
        let task = tokio::spawn(async move {
            while kept.lock().expect("not poisoned").hole.is_none() {
                let from = kept.lock().expect("not poisoned").version.clone();
                // It goes on where it broke off.
                if read(&runs, &from, &kept).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        });
        Self { known, task }
    }

    /// The last state of a run.
    pub(crate) fn latest(&self, name: &str) -> Option<Value> {
        self.with(|known| known.states.get(name).and_then(|states| states.last().cloned()))
    }

    /// Whether the last state of a run is as wished; false while nothing is known of it.
    pub(crate) fn is(&self, name: &str, wished: impl Fn(&Value) -> bool) -> bool {
        self.with(|known| known.states.get(name).and_then(|states| states.last()).is_some_and(wished))
    }

    /// All states of a run, in order; they are forgotten.
    pub(crate) fn take(&self, name: &str) -> Vec<Value> {
        self.with(|known| known.states.remove(name).unwrap_or_default())
    }

    /// Why not every state is known.
    pub(crate) fn hole(&self) -> Option<String> {
        self.with(|known| known.hole.clone())
    }

    fn with<T>(&self, act: impl FnOnce(&mut Known) -> T) -> T {
        act(&mut self.known.lock().expect("not poisoned"))
    }
}

async fn read(runs: &Api<DynamicObject>, from: &str, known: &Mutex<Known>) -> kube::Result<()> {
    let events = runs.watch(&WatchParams::default().timeout(280), from).await?;
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        match event? {
            WatchEvent::Added(state) | WatchEvent::Modified(state) => {
                let (name, version) = (state.name_any(), state.resource_version().unwrap_or_default());
                let state = serde_json::to_value(state).expect("JSON");
                let mut known = known.lock().expect("not poisoned");
                known.states.entry(name).or_default().push(state);
                known.version = version;
            }
            WatchEvent::Deleted(state) => {
                known.lock().expect("not poisoned").version = state.resource_version().unwrap_or_default();
            }
            WatchEvent::Bookmark(bookmark) => {
                known.lock().expect("not poisoned").version = bookmark.metadata.resource_version;
            }
            WatchEvent::Error(status) => known.lock().expect("not poisoned").hole = Some(status.message),
        }
    }
    Ok(())
}

impl Drop for History {
    fn drop(&mut self) {
        self.task.abort();
    }
}
