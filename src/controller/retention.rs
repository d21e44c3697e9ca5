//! When a finished run goes.
//!
//! # Guarantees
//! Only a run that is finished, and still the very object that was seen, is deleted.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Client, ResourceExt};

use super::call::{CallError, call};
use crate::api::condition::COMPLETED;
use crate::api::{ConditionStatus, SagaRun, SagaRunStatus};

/// How long a run still stays: zero when its time is over. `None`: it is not finished, asks for no end, or is being deleted.
pub fn due(run: &SagaRun, now: Timestamp) -> Option<Duration> {
    let seconds = run.spec.ttl_seconds_after_finished?;
    let status = run.status.as_ref().filter(|status| is_finished(status))?;
    if run.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let end =
        status.completion_time?.saturating_add(SignedDuration::from_secs(seconds.into())).unwrap_or(Timestamp::MAX);
    Some(Duration::try_from(end.duration_since(now)).unwrap_or(Duration::ZERO))
}

/// Whether a run has ended.
pub fn is_finished(status: &SagaRunStatus) -> bool {
    status.conditions.iter().any(|condition| condition.type_ == COMPLETED && condition.status == ConditionStatus::True)
}

/// Deletes a run as it was seen. One that changed meanwhile, or is gone, is left alone: it will be seen again.
///
/// # Errors
/// When the API server refuses or does not answer.
pub async fn delete(client: &Client, run: &SagaRun) -> Result<(), CallError> {
    let runs: Api<SagaRun> = Api::namespaced(client.clone(), &run.namespace().unwrap_or_default());
    let seen = Preconditions { resource_version: run.resource_version(), uid: run.uid() };
    let params = DeleteParams { preconditions: Some(seen), ..DeleteParams::background() };
    match call("delete a finished run", runs.delete(&run.name_any(), &params)).await {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.code(), Some(404 | 409)) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(ttl: Option<i32>, completed: &str, completion: Option<&str>) -> SagaRun {
        serde_json::from_value(json!({
            "apiVersion": "sagas.dev/v1alpha1",
            "kind": "SagaRun",
            "metadata": {"name": "a"},
            "spec": {"definitionRef": {"name": "order"}, "ttlSecondsAfterFinished": ttl},
            "status": {
                "completionTime": completion,
                "conditions": [{
                    "type": "Completed", "status": completed, "reason": "Succeeded", "message": "",
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }],
            },
        }))
        .expect("a run")
    }

    #[test]
    fn only_a_finished_run_that_asks_for_it_goes_and_only_after_its_time() {
        let ended = Some("2026-01-01T00:00:00Z");
        let now: Timestamp = "2026-01-01T00:00:07Z".parse().expect("a time");
        let left = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(due(&run(Some(10), "True", ended), now), left(3));
        assert_eq!(due(&run(Some(7), "True", ended), now), left(0));
        assert_eq!(due(&run(Some(0), "True", ended), now), left(0));
        assert_eq!(due(&run(None, "True", ended), now), None);
        assert_eq!(due(&run(Some(0), "False", ended), now), None);
        assert_eq!(due(&run(Some(0), "True", None), now), None);
        assert!(due(&run(Some(i32::MAX), "True", ended), now).expect("far away") > Duration::from_secs(1 << 30));
        let mut deleted = run(Some(0), "True", ended);
        deleted.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).expect("a time");
        assert_eq!(due(&deleted, now), None);
    }
}
