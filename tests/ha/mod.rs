//! Several operators of one shop, one of which leads.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, ListParams};
use saga_operator::api::names::ELECTION_LABEL;

use crate::common::ledger::account;
use crate::common::operator::Operator;
use crate::common::shop::{Shop, checkout, eventually, good_order, hasty, undeliverable_order};

/// Of the Leases: the namespace of the operator's own account.
const NAMESPACE: &str = "saga-system";

/// A shop whose operators stand for a Lease of its own.
pub(crate) struct Replicas {
    pub(crate) shop: Shop,
    pub(crate) leases: Api<Lease>,
    /// Of the Lease.
    pub(crate) name: String,
    /// Lease duration, renew deadline, retry period.
    times: [&'static str; 3],
}

impl Replicas {
    /// With short times, for tests in which leaders go.
    pub(crate) async fn open() -> Self {
        Self::open_with(["3s", "2s", "500ms"]).await
    }

    /// With times that a busy machine keeps, for tests in which the leader must not go by itself.
    pub(crate) async fn open_patient() -> Self {
        Self::open_with(["12s", "10s", "500ms"]).await
    }

    /// With the times that operators have by default.
    pub(crate) async fn open_as_by_default() -> Self {
        Self::open_with(["15s", "10s", "2s"]).await
    }

    async fn open_with(times: [&'static str; 3]) -> Self {
        let shop = Shop::open("ha").await;
        let leases = Api::namespaced(shop.client.clone(), NAMESPACE);
        let name = shop.namespace.clone();
        Self { shop, leases, name, times }
    }

    /// A replica.
    pub(crate) fn start(&self, pod: &str) -> Operator {
        self.start_through(pod, None)
    }

    pub(crate) fn start_through(&self, pod: &str, proxy: Option<&str>) -> Operator {
        self.start_with(pod, proxy, &[])
    }

    /// The same with more arguments.
    pub(crate) fn start_with(&self, pod: &str, proxy: Option<&str>, last: &[&str]) -> Operator {
        let election = ["--leader-elect", "--leader-elect-resource-namespace", NAMESPACE];
        let [lease, deadline, retry] = self.times;
        let times = ["--leader-elect-lease-duration", lease, "--leader-elect-renew-deadline", deadline];
        let more =
            ["--leader-elect-retry-period", retry, "--leader-elect-resource-name", &self.name, "--pod-name", pod];
        let all: Vec<&str> = election.into_iter().chain(times).chain(more).chain(last.iter().copied()).collect();
        Operator::start_with(&self.shop.access, &self.shop.namespace, proxy, &all)
    }

    /// Who leads; empty: the last one gave the Lease back.
    pub(crate) async fn holder(&self) -> Option<String> {
        let lease = self.leases.get_opt(&self.name).await.expect("an answer")?;
        lease.spec.and_then(|spec| spec.holder_identity)
    }

    /// Who holds which Leases of shards.
    pub(crate) async fn held(&self) -> BTreeMap<String, String> {
        let labelled = ListParams::default().labels(&format!("{ELECTION_LABEL}={}", self.name));
        let leases = self.leases.list(&labelled).await.expect("Leases").items;
        let held = leases.into_iter().filter(|lease| !lease.name_any().contains("-replica-")).filter_map(|lease| {
            let holder = lease.spec.as_ref()?.holder_identity.clone().filter(|holder| !holder.is_empty())?;
            Some((lease.name_any(), holder))
        });
        held.collect()
    }

    /// Waits until somebody leads who is not `other`.
    pub(crate) async fn leader_after(&self, other: &str) -> String {
        eventually("somebody else leads", async || match self.holder().await {
            Some(holder) if !holder.is_empty() && holder != other => Ok(holder),
            holder => Err(format!("{holder:?}")),
        })
        .await
    }

    /// Begins runs that succeed and runs that are undone.
    pub(crate) async fn begin(&self, names: &[String]) {
        for (number, name) in names.iter().enumerate() {
            let input = if number % 2 == 0 { good_order() } else { undeliverable_order() };
            self.shop.start(name, "checkout", input).await;
        }
    }

    pub(crate) async fn define(&self) {
        // With calls of a second or two: what is undone after a takeover waits until the last call of the dead is over.
        self.shop.define("checkout", hasty(checkout(&self.shop.services.base_url()))).await;
    }

    /// Waits until they ended, and checks what their participants saw.
    pub(crate) async fn all_ended_well(&self, names: &[String]) {
        for (number, name) in names.iter().enumerate() {
            let run = self.shop.ended(name).await;
            let standing: &[&str] = if number % 2 == 0 { &["reserve", "charge", "ship"] } else { &[] };
            account(&self.shop, &run).check(&run, standing);
        }
    }

    pub(crate) async fn close(self) {
        let labelled = ListParams::default().labels(&format!("{ELECTION_LABEL}={}", self.name));
        self.leases.delete_collection(&DeleteParams::default(), &labelled).await.ok();
        self.shop.close().await;
    }
}

/// Names of runs.
pub(crate) fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}-{number}")).collect()
}

/// Tells a figure.
pub(crate) fn told(what: &str, took: Duration) {
    println!("{what}: {:.2} s", took.as_secs_f64());
}
