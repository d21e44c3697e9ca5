//! What the operator does beside runs and definitions: Events and the end of finished runs. Against a real API server.

mod common;

use std::time::Duration;

use common::cluster;
use jiff::Timestamp;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use saga_operator::api::SagaRun;
use saga_operator::controller::{events, retention};
use saga_operator::engine::Witness;
use saga_operator::saga::{Identity, Level, Note, Occasion};
use serde_json::json;

async fn run(client: &Client, namespace: &str, name: &str) -> SagaRun {
    let run = json!({
        "apiVersion": "sagas.dev/v1alpha1", "kind": "SagaRun", "metadata": {"name": name},
        "spec": {"definitionRef": {"name": "order"}, "ttlSecondsAfterFinished": 0},
    });
    let run: SagaRun = serde_json::from_value(run).expect("a run");
    let runs: Api<SagaRun> = Api::namespaced(client.clone(), namespace);
    runs.create(&PostParams::default(), &run).await.expect("created");
    let status = json!({"status": {
        "completionTime": "2026-01-01T00:00:00Z",
        "conditions": [{
            "type": "Completed", "status": "True", "reason": "Succeeded", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }],
    }});
    runs.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.expect("finished")
}

fn note(level: Level, text: &str) -> Note {
    Note { level, occasion: Occasion::StepSucceeded, text: text.to_owned() }
}

#[tokio::test]
async fn notes_become_events_of_their_run() {
    let client = cluster::admin().await;
    cluster::install_crds(&client).await;
    let namespace = cluster::namespace(&client, "events").await;
    let uid = run(&client, &namespace, "a").await.uid().expect("a UID");
    let identity = Identity { namespace: namespace.clone(), name: "a".to_owned(), uid };
    let elsewhere = Identity { namespace: "there-is-no-such-namespace".to_owned(), ..identity.clone() };
    let (queue, publisher) = events::queue();
    let publishing = tokio::spawn(publisher.run(client.clone()));
    queue.noted(&elsewhere, &note(Level::Warning, "cannot be published, which fails nothing"));
    queue.noted(&identity, &note(Level::Detail, "not for Events"));
    queue.noted(&identity, &note(Level::Story, "the step 'a' succeeded"));
    queue.noted(&identity, &note(Level::Story, "the step 'b' succeeded"));
    queue.noted(&identity, &note(Level::Warning, &"long ".repeat(500)));
    queue.noted(&identity, &note(Level::Story, "the step 'b' succeeded"));
    assert_eq!(queue.dropped(), 0);
    drop(queue);
    tokio::time::timeout(Duration::from_secs(20), publishing).await.expect("in time").expect("no panic");

    let published: Api<Event> = Api::namespaced(client.clone(), &namespace);
    let mut found = published.list(&ListParams::default()).await.expect("listed").items;
    found.sort_by_key(|event| event.event_time.clone().map(|time| time.0));
    let texts: Vec<_> = found.iter().map(|event| event.note.clone().unwrap_or_default()).collect();
    assert_eq!(texts[..2], ["the step 'a' succeeded", "the step 'b' succeeded"]);
    assert_eq!((texts.len(), texts[2].len()), (3, 1024));
    assert_eq!(found[1].series.as_ref().map(|series| series.count), Some(2), "the same again is counted");
    assert_eq!((found[0].type_.as_deref(), found[2].type_.as_deref()), (Some("Normal"), Some("Warning")));
    let regarding = found[0].regarding.clone().expect("an object");
    assert_eq!((regarding.kind.as_deref(), regarding.uid.as_deref()), (Some("SagaRun"), Some(identity.uid.as_str())));
    assert_eq!(found[0].reporting_controller.as_deref(), Some("saga-operator"));
    assert_eq!(found[0].reason.as_deref(), Some("StepSucceeded"));
    cluster::leave_namespace(&client, &namespace).await;
}

#[tokio::test]
async fn a_finished_run_is_deleted_only_as_it_was_seen() {
    let client = cluster::admin().await;
    cluster::install_crds(&client).await;
    let namespace = cluster::namespace(&client, "retention").await;
    let runs: Api<SagaRun> = Api::namespaced(client.clone(), &namespace);
    let seen = run(&client, &namespace, "a").await;
    assert_eq!(retention::due(&seen, Timestamp::now()), Some(Duration::ZERO));
    let keep = json!({"spec": {"ttlSecondsAfterFinished": 3600}});
    let kept = runs.patch("a", &PatchParams::default(), &Patch::Merge(keep)).await.expect("patched");
    retention::delete(&client, &seen).await.expect("left alone");
    assert_eq!(runs.get("a").await.expect("there").resource_version(), kept.resource_version());
    retention::delete(&client, &kept).await.expect("deleted");
    assert!(runs.get_opt("a").await.expect("readable").is_none());
    retention::delete(&client, &kept).await.expect("done already");
    cluster::leave_namespace(&client, &namespace).await;
}
