//! Who holds which Lease, and since when: read from one watch, so that looking costs the API server nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::{Client, ResourceExt as _};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Of the Leases: the namespace of the operator's own account.
pub(crate) const NAMESPACE: &str = "saga-system";

/// Who holds a Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// Empty: nobody.
    pub(crate) holder: String,
    /// When this was seen first.
    pub(crate) since: Instant,
}

type Holders = BTreeMap<String, Held>;

/// All Leases as they stand.
pub(crate) struct Board {
    holders: watch::Receiver<Holders>,
    task: JoinHandle<()>,
}

impl Board {
    pub(crate) fn open(client: Client) -> Self {
        let (sender, holders) = watch::channel(Holders::new());
        let task = tokio::spawn(async move {
            let leases: Api<Lease> = Api::namespaced(client, NAMESPACE);
            loop {
                // An API server that is away for a while is away for the operators, too.
                if follow(&leases, &sender).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        });
        Self { holders, task }
    }

    /// Who holds a Lease; `None`: there is none.
    pub(crate) fn holder(&self, name: &str) -> Option<Held> {
        self.holders.borrow().get(name).cloned()
    }
}

async fn follow(leases: &Api<Lease>, sender: &watch::Sender<Holders>) -> kube::Result<()> {
    let list = leases.list(&ListParams::default()).await?;
    let version = list.metadata.resource_version.unwrap_or_default();
    list.items.iter().for_each(|lease| post(sender, lease));
    let events = leases.watch(&WatchParams::default().timeout(280), &version).await?;
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        match event? {
            WatchEvent::Added(lease) | WatchEvent::Modified(lease) => post(sender, &lease),
            WatchEvent::Deleted(lease) => sender.send_modify(|all| drop(all.remove(&lease.name_any()))),
            WatchEvent::Bookmark(_) => {}
            WatchEvent::Error(_) => break,
        }
    }
    Ok(())
}

fn post(sender: &watch::Sender<Holders>, lease: &Lease) {
    let spec = lease.spec.as_ref();
    let holder = spec.and_then(|spec| spec.holder_identity.clone()).unwrap_or_default();
    sender.send_modify(|all| {
        let held =
            all.entry(lease.name_any()).or_insert_with(|| Held { holder: holder.clone(), since: Instant::now() });
        if held.holder != holder {
            *held = Held { holder, since: Instant::now() };
        }
    });
}

impl Drop for Board {
    fn drop(&mut self) {
        self.task.abort();
    }
}
