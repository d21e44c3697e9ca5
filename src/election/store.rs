//! The Lease in the API server: one request each, within a deadline, and how its answer is read.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{GetParams, PostParams};
use kube::core::Status;
use kube::{Client, Resource as _};
use serde_json::{Map, Value, json};

use super::machine::{Answer, Request};
use super::record::{LeaseObject, Record};
use crate::api::names::CONTROLLER;
use crate::journal::kubernetes::exchange::{self, Lost, exchange};

/// Longest text taken over from an answer.
const MAX_TEXT: usize = 300;
/// As the API server writes a `MicroTime`.
const MICRO_TIME: &str = "%Y-%m-%dT%H:%M:%S%.6fZ";

/// One Lease, there or not.
#[derive(Clone)]
pub(super) struct LeaseStore {
    client: Client,
    namespace: String,
    name: String,
    labels: BTreeMap<String, String>,
    /// As it was last seen: labels and owners of others stay when it is replaced.
    last: Option<Value>,
}

impl LeaseStore {
    pub(super) const fn new(client: Client, namespace: String, name: String, labels: BTreeMap<String, String>) -> Self {
        Self { client, namespace, name, labels, last: None }
    }

    /// Makes a request once and reads its answer.
    pub(super) async fn perform(&mut self, request: &Request, within: Duration) -> Answer {
        let made = match self.build(request) {
            Ok(made) => made,
            Err(error) => return Answer::Unclear(format!("the request cannot be made: {error}")),
        };
        match exchange(&self.client, made, within).await {
            Ok(answer) => self.read(request, &answer),
            Err(Lost::Unsent(text) | Lost::Unanswered(text)) => Answer::Unclear(text),
        }
    }

    fn build(&self, request: &Request) -> Result<http::Request<Vec<u8>>, kube::core::request::Error> {
        let requests = kube::core::Request::new(Lease::url_path(&(), Some(&self.namespace)));
        let params = PostParams { field_manager: Some(CONTROLLER.to_owned()), dry_run: false };
        match request {
            Request::Read => requests.get(&self.name, &GetParams::default()),
            Request::Create(record) => requests.create(&params, self.new_object(record).to_string().into_bytes()),
            Request::Replace { uid, version, record } => {
                let object = self.replaced(uid, version, record);
                requests.replace(&self.name, &params, object.to_string().into_bytes())
            }
        }
    }

    fn new_object(&self, record: &Record) -> Value {
        let mut object = json!({
            "apiVersion": Lease::api_version(&()),
            "kind": Lease::kind(&()),
            "metadata": { "name": self.name, "namespace": self.namespace, "labels": self.labels },
        });
        write(&mut object, record);
        object
    }

    /// The uid is part of it: the API server creates a Lease that is put and not there, unless it is to be a certain one.
    fn replaced(&self, uid: &str, version: &str, record: &Record) -> Value {
        let is_it =
            |object: &&Value| object["metadata"]["uid"] == uid && object["metadata"]["resourceVersion"] == version;
        let mut object = self.last.as_ref().filter(is_it).cloned().unwrap_or_else(|| self.new_object(record));
        object["metadata"]["uid"] = uid.into();
        object["metadata"]["resourceVersion"] = version.into();
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        // One that somebody else made has to be found, too.
        for (label, value) in &self.labels {
            object["metadata"]["labels"][label] = value.as_str().into();
        }
        write(&mut object, record);
        object
    }

    fn read(&mut self, request: &Request, answer: &exchange::Answer) -> Answer {
        let status = answer.status;
        if let Some(wait) = busy(answer) {
            return Answer::Busy(wait);
        }
        match request {
            Request::Read if status == StatusCode::NOT_FOUND => return Answer::Missing,
            Request::Create(_) if status == StatusCode::CONFLICT => return Answer::Conflict,
            Request::Replace { .. } if [StatusCode::CONFLICT, StatusCode::NOT_FOUND].contains(&status) => {
                return Answer::Conflict;
            }
            Request::Read | Request::Create(_) | Request::Replace { .. } => {}
        }
        if !status.is_success() {
            return Answer::Unclear(refusal(status, &answer.body));
        }
        let object: Value = match serde_json::from_slice(&answer.body) {
            Ok(object) => object,
            Err(error) => return Answer::Unclear(format!("the API server's answer is not JSON: {error}")),
        };
        let Some(lease) = lease(&object) else {
            return Answer::Unclear("the API server's answer has no uid or resourceVersion".to_owned());
        };
        self.last = Some(object);
        match request {
            Request::Read => Answer::Found(lease),
            Request::Create(_) | Request::Replace { .. } => Answer::Written(lease),
        }
    }
}

/// Whether the server did nothing because it has too much to do, and when to come back. It gives seconds, never a date.
pub(super) fn busy(answer: &exchange::Answer) -> Option<Option<Duration>> {
    let seconds = || answer.retry_after.as_deref().and_then(|text| text.trim().parse().ok());
    (answer.status == StatusCode::TOO_MANY_REQUESTS).then(|| seconds().map(Duration::from_secs))
}

/// Reads what can be read: whatever somebody wrote into a Lease, it is one.
pub(super) fn lease(object: &Value) -> Option<LeaseObject> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let number = |value: &Value| value.as_i64().and_then(|number| i32::try_from(number).ok());
    let time = |value: &Value| value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let spec = &object["spec"];
    Some(LeaseObject {
        uid: text(&object["metadata"]["uid"])?,
        version: text(&object["metadata"]["resourceVersion"])?,
        record: Record {
            holder: text(&spec["holderIdentity"]),
            duration_seconds: number(&spec["leaseDurationSeconds"]),
            acquired: time(&spec["acquireTime"]),
            renewed: time(&spec["renewTime"]),
            transitions: number(&spec["leaseTransitions"]),
        },
    })
}

/// Writes a record into an object and leaves everything else as it is.
fn write(object: &mut Value, record: &Record) {
    let mut spec = object["spec"].as_object().cloned().unwrap_or_default();
    let mut set = |name: &str, value: Option<Value>| put(&mut spec, name, value);
    set("holderIdentity", record.holder.clone().map(Value::from));
    set("leaseDurationSeconds", record.duration_seconds.map(Value::from));
    set("acquireTime", record.acquired.map(micro_time));
    set("renewTime", record.renewed.map(micro_time));
    set("leaseTransitions", record.transitions.map(Value::from));
    object["spec"] = Value::Object(spec);
}

fn put(spec: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    match value {
        Some(value) => drop(spec.insert(name.to_owned(), value)),
        None => drop(spec.remove(name)),
    }
}

fn micro_time(at: Timestamp) -> Value {
    at.strftime(MICRO_TIME).to_string().into()
}

pub(super) fn refusal(status: StatusCode, body: &Bytes) -> String {
    let said = match serde_json::from_slice::<Status>(body) {
        Ok(status) if !status.message.is_empty() => status.message,
        Ok(_) | Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    let said: String = said.trim().chars().take(MAX_TEXT).collect();
    let hint = match status {
        StatusCode::FORBIDDEN => {
            " (the operator needs the rights to get, create and update leases in this namespace, and with shards to list and \
             delete them)"
        }
        _ => "",
    };
    format!("{}: {said}{hint}", status.as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_stands_in_a_lease_is_read() {
        let metadata = json!({"uid": "u", "resourceVersion": "7"});
        for spec in [
            json!(null),
            json!("x"),
            json!({}),
            json!({"holderIdentity": null, "leaseDurationSeconds": 99_999_999_999_i64}),
            json!({"holderIdentity": 7, "leaseDurationSeconds": "15", "renewTime": "soon", "leaseTransitions": 1.5}),
        ] {
            let read = lease(&json!({"metadata": metadata, "spec": spec})).expect("a Lease");
            assert_eq!(read.record, Record::default(), "{spec}");
        }
        assert_eq!(lease(&json!({"metadata": {"uid": "u"}})), None);
    }

    #[test]
    fn what_is_written_reads_back_to_the_microsecond_and_what_others_wrote_stays() {
        let record = Record {
            holder: Some("a".to_owned()),
            duration_seconds: Some(15),
            acquired: Some("2026-11-21T10:00:00.000001Z".parse().expect("a time")),
            renewed: Some("2026-11-21T10:00:02Z".parse().expect("a time")),
            transitions: Some(3),
        };
        let mut object = json!({"metadata": {"uid": "u", "resourceVersion": "7"}, "spec": {"strategy": "x"}});
        write(&mut object, &record);
        assert_eq!(object["spec"]["acquireTime"], "2026-11-21T10:00:00.000001Z");
        assert_eq!(object["spec"]["renewTime"], "2026-11-21T10:00:02.000000Z");
        assert_eq!(object["spec"]["strategy"], "x");
        assert_eq!(lease(&object).expect("a Lease").record, record);
    }
}
