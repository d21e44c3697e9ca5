//! Definitions are checked, frozen and kept while runs need them: against a real API server, with the operator's rights.

#[path = "definitions/bench.rs"]
mod bench;
mod common;

use bench::{Bench, read_only};
use http::Method;
use kube::ResourceExt;
use kube::api::{DeleteParams, PostParams};
use saga_operator::api::{ConditionStatus, SagaDefinition, SagaDefinitionSpec};
use saga_operator::controller::revision;
use saga_operator::engine::Definitions;
use saga_operator::saga::Unready;
use serde_json::json;

#[tokio::test]
async fn an_accepted_definition_is_frozen_and_given_to_runs() {
    let bench = Bench::new().await;
    let operator = bench.operator();
    let mut changes = operator.changes.resubscribe();
    let definition = bench.create("order", read_only(&["http://a.svc/"])).await;
    let ready = bench.looked_at("order").await;
    let status = ready.status.clone().expect("a status");
    assert_eq!((status.step_count, status.active_runs, status.observed_generation), (Some(1), Some(0), Some(1)));
    assert_eq!(bench::condition(&ready, "Stalled").status, ConditionStatus::False);
    assert_eq!(ready.finalizers(), ["sagas.dev/in-use"]);

    let name = status.current_revision.expect("a revision");
    let frozen = bench.revisions.get(&name).await.expect("stored");
    assert_eq!(revision::spec(&frozen).expect("readable"), ready.spec);
    assert_eq!(frozen.metadata.owner_references.as_ref().expect("an owner")[0].uid, definition.uid().expect("a UID"));
    assert_eq!(frozen.labels()["sagas.dev/definition"], "order");
    assert_eq!((frozen.finalizers(), frozen.revision), (&["sagas.dev/in-use".to_owned()][..], 1));

    let definitions = &operator.definitions;
    let current =
        bench::eventually("current", async || definitions.current(&bench.namespace, "order").await.ok()).await;
    assert_eq!(current.revision, name);
    let pinned = definitions.pinned(&bench.namespace, "order", &name).await.expect("pinned");
    assert_eq!(pinned.revision, name);
    assert!(definitions.holds(&bench.namespace, &name).await.expect("readable"));
    assert!(!definitions.holds(&bench.namespace, "order-0000000000").await.expect("readable"));
    assert!(matches!(definitions.current(&bench.namespace, "other").await, Err(Unready::NotFound)));
    assert_eq!(changes.recv().await.expect("told").name, "order");
    bench.end(operator).await;
}

#[tokio::test]
async fn a_definition_that_cannot_be_run_says_which_field_is_wrong() {
    let bench = Bench::new().await;
    let operator = bench.operator();
    bench.create("order", read_only(&["http://a.svc/${steps.nobody.outputs.id}", "http://a.svc/${input.}"])).await;
    let refused = bench.looked_at("order").await;
    let ready = bench::condition(&refused, "Ready");
    assert_eq!((ready.status, ready.reason.as_str()), (ConditionStatus::False, "InvalidExpression"));
    assert!(ready.message.starts_with("spec.steps[0].action.http.url: "), "{}", ready.message);
    assert!(ready.message.ends_with("(+1 more)"), "{}", ready.message);
    let stalled = bench::condition(&refused, "Stalled");
    assert_eq!((stalled.status, stalled.reason.as_str()), (ConditionStatus::True, "InvalidExpression"));
    assert_eq!(refused.status.and_then(|status| status.current_revision), None);
    let current = operator.definitions.current(&bench.namespace, "order").await;
    assert!(matches!(current, Err(Unready::NotReady(_))), "{current:?}");

    bench.edit("order", read_only(&["http://forbidden.svc/"])).await;
    let refused = bench.looked_at("order").await;
    let ready = bench::condition(&refused, "Ready");
    assert_eq!(ready.reason, "DestinationNotAllowed");
    assert!(ready.message.starts_with("spec.steps[0].action.http.url: "), "{}", ready.message);

    bench.edit("order", read_only(&["http://a.svc/"])).await;
    assert_eq!(bench::condition(&bench.looked_at("order").await, "Ready").reason, "Accepted");
    bench.end(operator).await;
}

#[tokio::test]
async fn nothing_is_written_when_nothing_changed() {
    let bench = Bench::new().await;
    let operator = bench.operator();
    bench.create("order", read_only(&["http://a.svc/"])).await;
    bench.create("broken", read_only(&["http://a.svc/${input.}"])).await;
    let before = [bench.looked_at("order").await, bench.looked_at("broken").await];
    operator.stop().await;
    let writes = bench.requests.writes();
    // A new process looks at everything once.
    let operator = bench.operator();
    bench::eventually("current", async || operator.definitions.current(&bench.namespace, "order").await.ok()).await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    for definition in before {
        let now = bench.definitions.get(&definition.name_any()).await.expect("there");
        assert_eq!(now.resource_version(), definition.resource_version());
    }
    assert_eq!(bench.requests.writes(), writes);
    bench.end(operator).await;
}

#[tokio::test]
async fn revisions_that_no_unfinished_run_uses_are_collected_except_the_newest_three() {
    let bench = Bench::new().await;
    let operator = bench.operator();
    bench.create("order", read_only(&["http://a.svc/0"])).await;
    let first = bench.current_revision("order").await;
    bench.run("pinned", "order", Some(&first)).await;
    let mut edited = vec![first.clone()];
    for number in 1..6 {
        bench.edit("order", read_only(&[&format!("http://a.svc/{number}")])).await;
        edited.push(bench.current_revision("order").await);
    }
    let newest = &edited[3..];
    bench.revisions_become(&[&edited[..1], newest].concat()).await;
    assert!(operator.definitions.holds(&bench.namespace, &first).await.expect("readable"), "the mark is taken back");

    bench.finish("pinned").await;
    bench.revisions_become(newest).await;
    // Marked, then listed, then deleted: a run that pins it after the list was read finds the mark.
    let deleted = bench.requests.last(&Method::DELETE, &first, usize::MAX).expect("deleted");
    let listed = bench.requests.last(&Method::GET, "fieldSelector=spec.definitionRef.name", deleted).expect("listed");
    bench.requests.last(&Method::PATCH, &first, listed).expect("marked");
    let counted = async || (bench.definitions.get("order").await.ok()?.status?.active_runs == Some(0)).then_some(());
    bench::eventually("no active run", counted).await;

    // Back to an earlier spec: its revision is the newest again, and the same.
    bench.edit("order", read_only(&["http://a.svc/3"])).await;
    assert_eq!(bench.current_revision("order").await, edited[3]);
    assert_eq!(bench.revisions.get(&edited[3]).await.expect("there").revision, 7);
    bench.end(operator).await;
}

#[tokio::test]
async fn a_run_the_cache_does_not_know_keeps_its_revision() {
    let bench = Bench::new().await;
    // An operator whose cache of runs is never filled: only the quorum read is left.
    let operator = bench.operator_without_runs();
    bench.create("order", read_only(&["http://a.svc/0"])).await;
    let first = bench.current_revision("order").await;
    bench.run("pinned", "order", Some(&first)).await;
    let mut edited = vec![first];
    for number in 1..5 {
        bench.edit("order", read_only(&[&format!("http://a.svc/{number}")])).await;
        edited.push(bench.current_revision("order").await);
    }
    bench.revisions_become(&[&edited[..1], &edited[2..]].concat()).await;
    let kept = bench::eventually("unmarked", async || {
        let kept = bench.revisions.get(&edited[0]).await.expect("there");
        revision::stays(&kept.metadata).then_some(kept)
    });
    assert_eq!(kept.await.revision, 1);
    bench.end(operator).await;
}

#[tokio::test]
async fn a_revision_that_may_go_is_not_relied_on() {
    let bench = Bench::new().await;
    let operator = bench.operator();
    bench.create("order", read_only(&["http://a.svc/"])).await;
    let usual = bench.current_revision("order").await;
    let marked = json!({"metadata": {"annotations": {revision::COLLECTING_ANNOTATION: "true"}}});
    let definitions = &operator.definitions;
    // The operator may still be looking at the definition, and take a mark back at once.
    bench::eventually("a marked revision is not relied on", async || {
        bench.patch_revision(&usual, marked.clone()).await;
        (!definitions.holds(&bench.namespace, &usual).await.expect("readable")).then_some(())
    })
    .await;
    bench.touch("order").await;
    let holds = async || definitions.holds(&bench.namespace, &usual).await.expect("readable").then_some(());
    bench::eventually("the current revision is unmarked", holds).await;

    // Somebody deletes it while a run is pinned to it: it stays for the run, and another takes its place.
    bench.run("pinned", "order", Some(&usual)).await;
    bench.revisions.delete(&usual, &DeleteParams::default()).await.expect("being deleted");
    assert!(!definitions.holds(&bench.namespace, &usual).await.expect("readable"));
    bench.touch("order").await;
    let next = format!("{usual}-2");
    bench::eventually("another revision", async || (bench.current_revision("order").await == next).then_some(())).await;
    let current = bench::eventually("current", async || {
        definitions.current(&bench.namespace, "order").await.ok().filter(|found| found.revision == next)
    });
    current.await;
    assert!(definitions.pinned(&bench.namespace, "order", &usual).await.is_ok());
    bench.finish("pinned").await;
    bench.revisions_become(&[next]).await;
    bench.end(operator).await;
}

#[tokio::test]
async fn a_lost_revision_is_replaced_only_by_a_definition_that_says_the_same() {
    let bench = Bench::new().await;
    let operator = bench.operator();
    bench.create("order", read_only(&["http://a.svc/0"])).await;
    let first = bench.current_revision("order").await;
    bench::eventually("current", async || operator.definitions.current(&bench.namespace, "order").await.ok()).await;
    // Somebody takes it by force, and a new process comes.
    operator.stop().await;
    bench.patch_revision(&first, json!({"metadata": {"finalizers": null}})).await;
    bench.revisions.delete(&first, &DeleteParams::default()).await.expect("gone");
    let idle = bench.idle_operator().await;
    let pinned =
        idle.definitions.pinned(&bench.namespace, "order", &first).await.expect("the definition says the same");
    assert_eq!(pinned.revision, first);
    idle.stop().await;

    bench.edit("order", read_only(&["http://a.svc/1"])).await;
    let operator = bench.operator();
    bench.looked_at("order").await;
    bench::eventually("current", async || operator.definitions.current(&bench.namespace, "order").await.ok()).await;
    let lost = operator.definitions.pinned(&bench.namespace, "order", &first).await;
    assert!(matches!(lost, Err(Unready::RevisionNotFound(_))), "{lost:?}");
    bench.end(operator).await;
}

#[tokio::test]
async fn a_definition_in_use_stays_until_its_runs_are_done() {
    let bench = Bench::new().await;
    let operator = bench.operator();
    bench.create("order", read_only(&["http://a.svc/"])).await;
    let first = bench.current_revision("order").await;
    bench.run("pinned", "order", Some(&first)).await;
    bench.run("waiting", "order", None).await;
    let counted = async || (bench.definitions.get("order").await.ok()?.status?.active_runs == Some(2)).then_some(());
    bench::eventually("two active runs", counted).await;
    bench.definitions.delete("order", &DeleteParams::default()).await.expect("being deleted");
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let definition = bench.definitions.get("order").await.expect("still there");
    assert_eq!(definition.finalizers(), ["sagas.dev/in-use"]);
    let kept = bench.revisions.get(&first).await.expect("still there");
    assert!(revision::stays(&kept.metadata), "not even marked: the run would need another one");
    let current = operator.definitions.current(&bench.namespace, "order").await;
    assert!(matches!(current, Err(Unready::NotReady(_))), "nothing new starts: {current:?}");
    bench.finish("pinned").await;
    let gone = async || bench.definitions.get_opt("order").await.expect("readable").is_none().then_some(());
    bench::eventually("the definition is gone", gone).await;
    assert_eq!(bench.revision_names().await, Vec::<String>::new());
    bench.end(operator).await;
}

#[tokio::test]
async fn a_definition_with_characters_that_the_api_server_escapes_can_be_deleted() {
    let bench = Bench::new().await;
    let operator = bench.operator();
    let spec = SagaDefinitionSpec {
        description: Some("a && b < c > d \u{2028}".to_owned()),
        ..read_only(&["http://a.svc/?x=1&y=2"])
    };
    bench.create("order", spec).await;
    bench.current_revision("order").await;
    bench.definitions.delete("order", &DeleteParams::default()).await.expect("being deleted");
    let gone = async || bench.definitions.get_opt("order").await.expect("readable").is_none().then_some(());
    bench::eventually("the definition is gone", gone).await;
    assert_eq!(bench.revision_names().await, Vec::<String>::new());
    bench.end(operator).await;
}

#[tokio::test]
async fn a_revision_of_another_owner_is_left_alone() {
    let bench = Bench::new().await;
    let spec = read_only(&["http://a.svc/"]);
    // As when a definition was removed by force and created again, before the garbage collector came.
    let other: SagaDefinition = bench.create("other", spec.clone()).await;
    let usual = revision::name("order", &spec);
    let taken = revision::build(&other, &usual, 1);
    bench.revisions.create(&PostParams::default(), &taken).await.expect("created");
    let operator = bench.operator();
    let order = bench.create("order", spec).await;
    let current = bench.current_revision("order").await;
    assert_eq!(current, format!("{usual}-2"));
    let owner = bench.revisions.get(&current).await.expect("there").metadata.owner_references.expect("an owner");
    assert_eq!(Some(&owner[0].uid), order.metadata.uid.as_ref());
    bench.end(operator).await;
}

#[tokio::test]
async fn a_revision_without_a_definition_goes_when_no_run_needs_it() {
    let bench = Bench::new().await;
    let operator = bench.operator();
    bench.create("order", read_only(&["http://a.svc/"])).await;
    let first = bench.current_revision("order").await;
    bench.run("pinned", "order", Some(&first)).await;
    operator.stop().await;
    // As when somebody empties a namespace by force.
    bench.patch_definition("order", json!({"metadata": {"finalizers": null}})).await;
    bench.definitions.delete("order", &DeleteParams::default()).await.expect("gone");
    bench.revisions.delete(&first, &DeleteParams::default()).await.expect("being deleted");
    let operator = bench.operator();
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let pinned = operator.definitions.pinned(&bench.namespace, "order", &first).await.expect("the run needs it");
    assert_eq!(pinned.revision, first);
    operator.stop().await;
    bench.finish("pinned").await;
    let operator = bench.operator();
    bench.revisions_become(&[]).await;
    bench.end(operator).await;
}
