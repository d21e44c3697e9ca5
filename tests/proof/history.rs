//! Every state of a run that was stored.

use std::sync::{Arc, Mutex};

use futures::StreamExt as _;
use kube::api::{Api, ApiResource, DynamicObject, WatchEvent, WatchParams};
use kube::{Client, ResourceExt as _};
use saga_operator::api::SagaRun;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::common::shop::eventually;

/// Follows a run from its creation, as an observer with no part in it.
pub(crate) struct History {
    states: Arc<Mutex<Vec<Value>>>,
    /// Ends when the run is gone.
    task: JoinHandle<()>,
}

impl History {
    /// `created`: as the API server answered its creation.
    pub(crate) fn follow(client: &Client, created: Value) -> Self {
        let text = |field: &str| created["metadata"][field].as_str().expect("text").to_owned();
        let (namespace, name) = (text("namespace"), text("name"));
        let runs: Api<DynamicObject> =
            Api::namespaced_with(client.clone(), &namespace, &ApiResource::erase::<SagaRun>(&()));
        let states = Arc::new(Mutex::new(vec![created]));
        let kept = states.clone();
        let params = WatchParams::default().fields(&format!("metadata.name={name}")).timeout(280);
        let task = tokio::spawn(async move {
            loop {
                let from = version(kept.lock().expect("not poisoned").last().expect("a state"));
                let events = runs.watch(&params, &from).await.expect("a watch");
                let mut events = std::pin::pin!(events);
                while let Some(Ok(event)) = events.next().await {
                    match event {
                        WatchEvent::Added(state) | WatchEvent::Modified(state) => {
                            let state = serde_json::to_value(state).expect("JSON");
                            kept.lock().expect("not poisoned").push(state);
                        }
                        WatchEvent::Deleted(state) => {
                            let state = serde_json::to_value(state).expect("JSON");
                            return kept.lock().expect("not poisoned").push(state);
                        }
                        WatchEvent::Bookmark(_) => {}
                        // A hole in the history would make every judgement worthless: it is noticed in the end.
                        WatchEvent::Error(_) => return,
                    }
                }
            }
        });
        Self { states, task }
    }

    /// All states up to this one, in order.
    pub(crate) async fn until(&self, last: &SagaRun) -> Vec<Value> {
        let last = last.resource_version().expect("a version");
        eventually("the last state was seen", async || {
            let states = self.states.lock().expect("not poisoned").clone();
            let versions: Vec<_> = states.iter().map(version).collect();
            if versions.contains(&last) { Ok(states) } else { Err(format!("{last} is not among {versions:?}")) }
        })
        .await
    }

    /// All states until the run was gone.
    pub(crate) async fn until_gone(&self) -> Vec<Value> {
        eventually(
            "the end of the run was seen",
            async || {
                if self.task.is_finished() { Ok(()) } else { Err(String::new()) }
            },
        )
        .await;
        self.states.lock().expect("not poisoned").clone()
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// `metadata.resourceVersion`
pub(crate) fn version(state: &Value) -> String {
    state["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned()
}
