//! What a run's metadata must look like before it starts and after it ended.
//!
//! # Guarantees
//! A patch names the whole list of finalizers together with the version at which the list was seen: it lands on exactly
//! that list or not at all, so nobody else's finalizer is dropped or brought back.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::ResourceExt;
use serde::Deserialize;
use serde_json::{Value, json};

use super::loaded::undecodable;
use crate::api::SagaRun;
use crate::api::names::{DEFINITION_LABEL, RUN_FINALIZER};
use crate::journal::{JournalError, Version};

/// So many runs are remembered (some 300 bytes each); beyond it released ones are forgotten, or else all, which costs each
/// a read.
const MAX_KNOWN: usize = 16_384;
/// Longest value of a label.
const MAX_LABEL: usize = 63;

/// The metadata of one version of a run, as far as we change them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) version: Version,
    finalizers: Vec<String>,
    /// Name of the definition, while the run lacks the label.
    label: Option<String>,
}

#[derive(Deserialize)]
struct Object {
    metadata: Metadata,
    spec: Option<Spec>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    resource_version: String,
    #[serde(default)]
    finalizers: Vec<String>,
    #[serde(default)]
    labels: HashMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    definition_ref: Reference,
}

#[derive(Deserialize)]
struct Reference {
    name: String,
}

impl Seen {
    /// Of an object as read.
    pub(super) fn of(object: &Value) -> Result<Self, JournalError> {
        Object::deserialize(object).map(Self::from).map_err(|error| undecodable("metadata", error))
    }

    /// Of a run out of a watch. `None`: it lacks a version.
    pub(super) fn of_run(run: &SagaRun) -> Option<Self> {
        let labelled = run.labels().contains_key(DEFINITION_LABEL);
        Some(Self {
            version: Version(run.resource_version()?),
            finalizers: run.finalizers().to_vec(),
            label: (!labelled).then(|| run.spec.definition_ref.name.clone()),
        })
    }

    /// Of the answer to a write: nothing else of it is decoded.
    pub(super) fn of_answer(body: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice::<Object>(body).map(Self::from)
    }

    /// The merge patch that puts our finalizer on, and the label, since the write is made anyway. `None`: it is on.
    pub(super) fn with_finalizer(&self) -> Option<Value> {
        if self.is_retained() {
            return None;
        }
        let mut metadata = json!({
            "resourceVersion": self.version.0,
            "finalizers": self.others().chain([RUN_FINALIZER]).collect::<Vec<_>>(),
        });
        if let Some(name) = self.label.as_deref().filter(|name| is_label_value(name)) {
            metadata["labels"] = json!({ DEFINITION_LABEL: name });
        }
        Some(json!({ "metadata": metadata }))
    }

    /// The merge patch that takes our finalizer off. `None`: it is off.
    pub(super) fn without_finalizer(&self) -> Option<Value> {
        let patch = || {
            let others: Vec<&str> = self.others().collect();
            json!({"metadata": {"resourceVersion": self.version.0, "finalizers": others}})
        };
        self.is_retained().then(patch)
    }

    fn is_retained(&self) -> bool {
        self.finalizers.iter().any(|finalizer| finalizer == RUN_FINALIZER)
    }

    fn others(&self) -> impl Iterator<Item = &str> {
        self.finalizers.iter().map(String::as_str).filter(|finalizer| *finalizer != RUN_FINALIZER)
    }
}

impl From<Object> for Seen {
    fn from(object: Object) -> Self {
        let labelled = object.metadata.labels.contains_key(DEFINITION_LABEL);
        Self {
            version: Version(object.metadata.resource_version),
            finalizers: object.metadata.finalizers,
            label: object.spec.filter(|_| !labelled).map(|spec| spec.definition_ref.name),
        }
    }
}

/// The UID in an object.
pub(super) fn uid(object: &Value) -> Option<&str> {
    object.pointer("/metadata/uid")?.as_str()
}

fn is_label_value(text: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    let bytes = text.as_bytes();
    bytes.len() <= MAX_LABEL && edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(inner)
}

/// The newest metadata that this process saw, by UID.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<HashMap<String, Seen>>);

impl Known {
    /// Of exactly this version.
    pub(super) fn at(&self, uid: &str, version: &Version) -> Option<Seen> {
        self.map().get(uid).filter(|seen| seen.version == *version).cloned()
    }

    /// Whether a version newer than this one was without our finalizer.
    pub(super) fn is_released_after(&self, uid: &str, version: &Version) -> bool {
        let released = |seen: &Seen| !seen.is_retained() && seen.version.newer_than(version) == Some(true);
        self.map().get(uid).is_some_and(released)
    }

    pub(super) fn remember(&self, uid: &str, seen: Seen) {
        let mut map = self.map();
        make_room(&mut map, uid);
        map.insert(uid.to_owned(), seen);
    }

    /// Remembers it unless something is known that may be newer.
    pub(super) fn remember_first(&self, uid: &str, seen: impl FnOnce() -> Option<Seen>) {
        let mut map = self.map();
        if !map.contains_key(uid)
            && let Some(seen) = seen()
        {
            make_room(&mut map, uid);
            map.insert(uid.to_owned(), seen);
        }
    }

    pub(super) fn forget(&self, uid: &str) {
        self.map().remove(uid);
    }

    fn map(&self) -> MutexGuard<'_, HashMap<String, Seen>> {
        // Nothing that holds the lock leaves the map half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make_room(map: &mut HashMap<String, Seen>, uid: &str) {
    if map.len() >= MAX_KNOWN && !map.contains_key(uid) {
        map.retain(|_, seen| seen.is_retained());
    }
    if map.len() >= MAX_KNOWN && !map.contains_key(uid) {
        map.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(finalizers: &[&str], definition: &str) -> Seen {
        let object = json!({
            "metadata": {"resourceVersion": "7", "finalizers": finalizers},
            "spec": {"definitionRef": {"name": definition}},
        });
        Seen::of(&object).expect("readable")
    }

    #[test]
    fn finalizers_of_others_stay() {
        let patch = seen(&["other.dev/x"], "order").with_finalizer().expect("a patch");
        assert_eq!(patch["metadata"]["finalizers"], json!(["other.dev/x", RUN_FINALIZER]));
        assert_eq!(patch["metadata"]["labels"], json!({DEFINITION_LABEL: "order"}));
        assert_eq!(patch["metadata"]["resourceVersion"], json!("7"));
        let patch = seen(&[RUN_FINALIZER, "other.dev/x"], "order").without_finalizer().expect("a patch");
        assert_eq!(patch, json!({"metadata": {"resourceVersion": "7", "finalizers": ["other.dev/x"]}}));
    }

    #[test]
    fn nothing_is_written_for_nothing() {
        assert_eq!(seen(&[RUN_FINALIZER], "order").with_finalizer(), None);
        assert_eq!(seen(&["other.dev/x"], "order").without_finalizer(), None);
    }

    #[test]
    fn a_name_that_is_no_label_value_is_no_label() {
        for name in ["", "-a", "a.", "a b", &"a".repeat(64)] {
            let patch = seen(&[], name).with_finalizer().expect("a patch");
            assert_eq!(patch["metadata"].get("labels"), None, "{name}");
        }
    }

    #[test]
    fn only_the_very_version_is_remembered_and_only_so_many() {
        let known = Known::default();
        for index in 0..=MAX_KNOWN {
            known.remember(&index.to_string(), seen(&[RUN_FINALIZER], "order"));
        }
        assert_eq!(known.map().len(), 1);
        let last = MAX_KNOWN.to_string();
        assert!(known.at(&last, &Version("7".to_owned())).is_some());
        assert!(known.at(&last, &Version("8".to_owned())).is_none());
    }

    #[test]
    fn released_runs_make_room_first() {
        let known = Known::default();
        known.remember("active", seen(&[RUN_FINALIZER], "order"));
        for index in 0..=MAX_KNOWN {
            known.remember(&index.to_string(), seen(&[], "order"));
        }
        assert!(known.at("active", &Version("7".to_owned())).is_some());
    }

    #[test]
    fn only_an_older_version_was_released_meanwhile() {
        let known = Known::default();
        let version = |number: u32| Version(number.to_string());
        known.remember("a", seen(&["other.dev/x"], "order"));
        known.remember("b", seen(&[RUN_FINALIZER], "order"));
        assert!(known.is_released_after("a", &version(6)));
        assert!(!known.is_released_after("a", &version(7)) && !known.is_released_after("a", &version(8)));
        assert!(!known.is_released_after("b", &version(6)) && !known.is_released_after("c", &version(6)));
    }

    #[test]
    fn a_watch_replaces_nothing_that_is_known() {
        let known = Known::default();
        known.remember_first("a", || Some(seen(&["other.dev/x"], "order")));
        known.remember_first("a", || Some(seen(&[RUN_FINALIZER], "order")));
        let kept = known.at("a", &Version("7".to_owned())).expect("known");
        assert_eq!(kept, seen(&["other.dev/x"], "order"));
    }
}
