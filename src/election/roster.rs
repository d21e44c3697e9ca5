//! The Leases of all replicas in the API server: listed, kept, removed.

use std::collections::BTreeMap;
use std::time::Duration;

use http::StatusCode;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{DeleteParams, ListParams, Preconditions};
use kube::{Client, Resource as _};
use serde_json::Value;

use super::council::{Chore, Report};
use super::machine::{Answer, Request};
use super::record::LeaseObject;
use super::store::{LeaseStore, busy, lease, refusal};
use crate::api::names::ELECTION_LABEL;
use crate::journal::kubernetes::exchange::{self, Lost, exchange};

/// All Leases of one election.
#[derive(Clone)]
pub(super) struct Roster {
    pub(super) client: Client,
    pub(super) namespace: String,
    /// They have these, among them the one by which they are found.
    pub(super) labels: BTreeMap<String, String>,
}

impl Roster {
    pub(super) fn store(&self, name: String) -> LeaseStore {
        LeaseStore::new(self.client.clone(), self.namespace.clone(), name, self.labels.clone())
    }

    /// Makes a request once and reads its answer.
    pub(super) async fn perform(&self, chore: Chore, within: Duration) -> Report {
        match chore {
            Chore::Survey => self.survey(within).await,
            Chore::Enrol { name, record } => of_write(self.store(name).perform(&Request::Create(record), within).await),
            Chore::Renew { name, uid, version, record } => {
                of_write(self.store(name).perform(&Request::Replace { uid, version, record }, within).await)
            }
            Chore::Remove { name, uid, version } => self.remove(&name, uid, version, within).await,
        }
    }

    fn requests(&self) -> kube::core::Request {
        kube::core::Request::new(Lease::url_path(&(), Some(&self.namespace)))
    }

    async fn survey(&self, within: Duration) -> Report {
        let election = self.labels.get(ELECTION_LABEL).map(String::as_str).unwrap_or_default();
        // Without a version: by quorum.
        let params = ListParams::default().labels(&format!("{ELECTION_LABEL}={election}"));
        let answer = match self.send(self.requests().list(&params), within).await {
            Ok(answer) => answer,
            Err(report) => return report,
        };
        if !answer.status.is_success() {
            return Report::Unclear(refusal(answer.status, &answer.body));
        }
        match serde_json::from_slice::<Value>(&answer.body) {
            Ok(list) => Report::Surveyed(list["items"].as_array().into_iter().flatten().filter_map(named).collect()),
            Err(error) => Report::Unclear(format!("the API server's answer is not JSON: {error}")),
        }
    }

    async fn remove(&self, name: &str, uid: String, version: String, within: Duration) -> Report {
        let preconditions = Preconditions { uid: Some(uid), resource_version: Some(version) };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match self.send(self.requests().delete(name, &params), within).await {
            Ok(answer) if answer.status == StatusCode::NOT_FOUND || answer.status.is_success() => Report::Gone,
            Ok(answer) if answer.status == StatusCode::CONFLICT => Report::Conflict,
            Ok(answer) => Report::Unclear(refusal(answer.status, &answer.body)),
            Err(report) => report,
        }
    }

    async fn send(
        &self,
        made: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
        within: Duration,
    ) -> Result<exchange::Answer, Report> {
        let made = made.map_err(|error| Report::Unclear(format!("the request cannot be made: {error}")))?;
        match exchange(&self.client, made, within).await {
            Ok(answer) => busy(&answer).map_or(Ok(answer), |wait| Err(Report::Busy(wait))),
            Err(Lost::Unsent(text) | Lost::Unanswered(text)) => Err(Report::Unclear(text)),
        }
    }
}

fn named(object: &Value) -> Option<(String, LeaseObject)> {
    Some((object["metadata"]["name"].as_str()?.to_owned(), lease(object)?))
}

fn of_write(answer: Answer) -> Report {
    match answer {
        Answer::Written(lease) => Report::Written(lease),
        Answer::Conflict => Report::Conflict,
        Answer::Busy(wait) => Report::Busy(wait),
        Answer::Unclear(what) => Report::Unclear(what),
        Answer::Found(_) | Answer::Missing => Report::Unclear("the API server answered a write as a read".to_owned()),
    }
}
