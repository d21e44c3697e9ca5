//! A decision lands on exactly what it was made from, or it does not land, and the journal knows which: against a real
//! API server.

mod common;
#[path = "kubernetes_journal/faulty.rs"]
mod faulty;
#[path = "kubernetes_journal/fixture.rs"]
mod fixture;

use faulty::Fault;
use fixture::{Bench, draft, intent};
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use saga_operator::clock::Clock;
use saga_operator::election::Claim;
use saga_operator::journal::kubernetes::{KubernetesJournal, MAX_STATUS_BYTES};
use saga_operator::journal::{Class, Journal, JournalError, Version};
use saga_operator::saga::Fence;
use serde_json::json;

#[tokio::test]
async fn a_decision_reads_back_as_it_was_stored() {
    let bench = Bench::new().await;
    let journal = bench.journal();
    let run = bench.create("a").await;
    let loaded = journal.load(&run).await.expect("readable").expect("there");
    assert!(!loaded.retained);
    let mut draft = draft(&loaded, 1);
    draft.intents = vec![intent(&loaded, 1), intent(&loaded, 0)];
    let stored = draft.stored.clone();
    let landed = journal.persist(draft, &Claim::unelected()).await.expect("landed");
    let fences: Vec<_> = landed.intents.iter().map(|intent| intent.get().fence).collect();
    assert_eq!(fences, [Fence(1)], "only the intents of this write are proven by it");
    let again = journal.load(&run).await.expect("readable").expect("there");
    assert_eq!((again.stored, &again.version), (stored, &landed.version));
    assert_eq!(again.spec, loaded.spec, "a status write leaves the rest as it is");
    assert_eq!((journal.writes(), journal.conflicts()), (1, 0));
    bench.end().await;
}

#[tokio::test]
async fn the_second_of_two_decisions_on_one_version_is_refused() {
    let bench = Bench::new().await;
    let (first, second) = (bench.journal(), bench.journal());
    let run = bench.create("a").await;
    let loaded = first.load(&run).await.expect("readable").expect("there");
    first.persist(draft(&loaded, 1), &Claim::unelected()).await.expect("landed");
    let refused = second.persist(draft(&loaded, 2), &Claim::unelected()).await.expect_err("stale");
    assert!(matches!(refused, JournalError::Conflict), "{refused}");
    assert_eq!((second.writes(), second.conflicts()), (1, 1));
    let stored = first.load(&run).await.expect("readable").expect("there").stored;
    assert_eq!(stored.fence, Fence(1));
    bench.end().await;
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_recognised_by_its_fence() {
    let bench = Bench::new().await;
    let (journal, faults) = bench.faulty();
    let run = bench.create("a").await;
    let loaded = journal.load(&run).await.expect("readable").expect("there");
    let mut first = draft(&loaded, 7);
    first.intents = vec![intent(&loaded, 7)];
    faults.next(Fault::LoseAnswer);
    let unclear = journal.persist(first.clone(), &Claim::unelected()).await.expect_err("no answer");
    assert_eq!((matches!(unclear, JournalError::Unclear(_)), unclear.class()), (true, Class::Conflict), "{unclear}");
    let read = journal.load(&run).await.expect("readable").expect("there");
    let landed = first.recognised(&read).expect("it landed");
    assert_eq!((landed.version, landed.intents.len()), (read.version.clone(), 1));

    let second = draft(&read, 8);
    faults.next(Fault::LoseRequest);
    let unclear = journal.persist(second.clone(), &Claim::unelected()).await.expect_err("no answer");
    assert!(matches!(unclear, JournalError::Unclear(_)), "{unclear}");
    let read = journal.load(&run).await.expect("readable").expect("there");
    second.recognised(&read).expect_err("it did not land");
    bench.end().await;
}

#[tokio::test]
async fn a_write_is_sent_once_whatever_the_server_answers() {
    for (status, unclear) in [(503, true), (504, true), (429, false)] {
        let (clients, requests) = faulty::refusing_server(status).await;
        let journal = KubernetesJournal::new(clients, Clock::start());
        let error = journal.persist(fixture::unstored_draft(), &Claim::unelected()).await.expect_err("refused");
        assert_eq!(matches!(error, JournalError::Unclear(_)), unclear, "{status}: {error}");
        assert_eq!(requests.load(std::sync::atomic::Ordering::SeqCst), 1, "{status}");
        if status == 429 {
            assert!(error.to_string().contains("Retry-After 7"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_process_that_does_not_lead_writes_nothing() {
    let (clients, requests) = faulty::refusing_server(503).await;
    let clock = Clock::start();
    let journal = KubernetesJournal::new(clients, clock);
    let error = journal.persist(fixture::unstored_draft(), &Claim::vain(clock)).await.expect_err("refused");
    assert!(matches!(error, JournalError::NotLeading), "{error}");
    assert_eq!(requests.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test]
async fn without_a_server_nothing_was_written() {
    let journal = KubernetesJournal::new(faulty::nobody(), Clock::start());
    let error = journal.persist(fixture::unstored_draft(), &Claim::unelected()).await.expect_err("refused");
    assert_eq!((matches!(error, JournalError::Unavailable(_)), error.class()), (true, Class::Retry), "{error}");
}

#[tokio::test]
async fn what_is_too_large_is_told_from_what_may_work_later() {
    let bench = Bench::new().await;
    let journal = bench.journal();
    let run = bench.create("guard").await;
    let loaded = journal.load(&run).await.expect("readable").expect("there");
    let mut large = draft(&loaded, 1);
    fixture::fill(&mut large.stored, MAX_STATUS_BYTES);
    let error = journal.persist(large, &Claim::unelected()).await.expect_err("too large");
    assert_eq!((matches!(error, JournalError::TooLarge(_)), journal.writes()), (true, 0), "{error}");

    // The object as a whole is more than etcd takes, which the API server reports as a 500.
    let run = bench.create_with("etcd", json!({"big": "x".repeat(1_400_000)})).await;
    let loaded = journal.load(&run).await.expect("readable").expect("there");
    let mut large = draft(&loaded, 1);
    fixture::fill(&mut large.stored, 220_000);
    let error = journal.persist(large, &Claim::unelected()).await.expect_err("too large");
    assert_eq!((matches!(error, JournalError::TooLarge(_)), error.class()), (true, Class::Invalid), "{error}");

    let mut many = draft(&loaded, 1);
    fixture::too_many_steps(&mut many.stored);
    let error = journal.persist(many, &Claim::unelected()).await.expect_err("against the schema");
    assert!(matches!(error, JournalError::TooLarge(_)), "{error}");
    bench.end().await;
}

#[tokio::test]
async fn a_run_of_the_same_name_is_another_run() {
    let bench = Bench::new().await;
    let journal = bench.journal();
    let old = bench.create("a").await;
    let loaded = journal.load(&old).await.expect("readable").expect("there");
    bench.runs.delete("a", &DeleteParams::default()).await.expect("deleted");
    let gone = journal.persist(draft(&loaded, 1), &Claim::unelected()).await.expect_err("gone");
    assert!(matches!(gone, JournalError::Gone), "{gone}");
    let new = bench.create("a").await;
    assert_ne!(old.uid, new.uid);
    assert_eq!(journal.load(&old).await.expect("readable"), None);
    let gone = journal.persist(draft(&loaded, 1), &Claim::unelected()).await.expect_err("gone");
    assert!(matches!(gone, JournalError::Gone), "{gone}");
    journal.retain(&old, &loaded.version, &Claim::unelected()).await.expect_err("gone");
    journal.release(&old, &loaded.version, &Claim::unelected()).await.expect("done already");
    let fresh = journal.load(&new).await.expect("readable").expect("there");
    assert_eq!((fresh.stored.fence, fresh.retained), (Fence(0), false));
    bench.end().await;
}

#[tokio::test]
async fn finalizers_of_others_are_kept() {
    let bench = Bench::new().await;
    let run = bench.create("a").await;
    bench.patch("a", json!({"metadata": {"finalizers": ["other.dev/one"]}})).await;
    // One journal remembers the object, the other has to read it.
    let (journal, forgetful) = (bench.journal(), bench.journal());
    let loaded = journal.load(&run).await.expect("readable").expect("there");
    let retained = journal.retain(&run, &loaded.version, &Claim::unelected()).await.expect("retained");
    let (finalizers, labels) = bench.metadata("a").await;
    assert_eq!(finalizers, ["other.dev/one", "sagas.dev/compensate"]);
    assert_eq!(labels.get("sagas.dev/definition").map(String::as_str), Some("order"));
    assert_eq!(
        journal.retain(&run, &retained, &Claim::unelected()).await.expect("is on"),
        retained,
        "nothing to write"
    );

    bench
        .patch("a", json!({"metadata": {"finalizers": ["other.dev/one", "sagas.dev/compensate", "other.dev/two"]}}))
        .await;
    let stale = journal.release(&run, &retained, &Claim::unelected()).await.expect_err("changed meanwhile");
    assert!(matches!(stale, JournalError::Conflict), "{stale}");
    let read = journal.load(&run).await.expect("readable").expect("there");
    assert!(read.retained);
    let landed = journal.persist(draft(&read, 1), &Claim::unelected()).await.expect("landed");
    forgetful.release(&run, &landed.version, &Claim::unelected()).await.expect("released");
    assert_eq!(bench.metadata("a").await.0, ["other.dev/one", "other.dev/two"]);
    forgetful
        .release(&run, &landed.version, &Claim::unelected())
        .await
        .expect("done already: a watch that is behind may ask again");
    let read = forgetful.load(&run).await.expect("readable").expect("there");
    forgetful.release(&run, &read.version, &Claim::unelected()).await.expect("done already");
    assert_eq!(forgetful.writes(), 1);
    bench.end().await;
}

#[tokio::test]
async fn a_run_that_a_watch_showed_is_taken_up_as_it_is_now() {
    let bench = Bench::new().await;
    let run = bench.create("a").await;
    let shown = bench.runs.get("a").await.expect("there");
    let (fast, late) = (bench.journal(), bench.journal());
    fast.noticed(&shown);
    late.noticed(&shown);
    let version = Version(shown.resource_version().expect("a version"));
    bench.patch("a", json!({"metadata": {"finalizers": ["other.dev/one"]}})).await;
    let stale = late.retain(&run, &version, &Claim::unelected()).await.expect_err("changed since it was shown");
    assert!(matches!(stale, JournalError::Conflict), "{stale}");
    let read = fast.load(&run).await.expect("readable").expect("there");
    fast.noticed(&shown);
    fast.retain(&run, &read.version, &Claim::unelected()).await.expect("retained");
    assert_eq!(bench.metadata("a").await.0, ["other.dev/one", "sagas.dev/compensate"]);
    bench.end().await;
}

#[tokio::test]
async fn a_run_that_is_already_being_deleted_is_never_started() {
    let bench = Bench::new().await;
    let journal = bench.journal();
    let run = bench.create("a").await;
    bench.patch("a", json!({"metadata": {"finalizers": ["other.dev/one"]}})).await;
    bench.runs.delete("a", &DeleteParams::default()).await.expect("being deleted");
    let loaded = journal.load(&run).await.expect("readable").expect("held by the other's finalizer");
    assert!(loaded.wishes.deletion.is_some());
    let gone = journal.retain(&run, &loaded.version, &Claim::unelected()).await.expect_err("too late");
    assert!(matches!(gone, JournalError::Gone), "{gone}");
    bench.patch("a", json!({"metadata": {"finalizers": null}})).await;
    bench.end().await;
}

#[tokio::test]
async fn a_deleted_run_goes_when_it_is_released() {
    let bench = Bench::new().await;
    let journal = bench.journal();
    let run = bench.create("a").await;
    let loaded = journal.load(&run).await.expect("readable").expect("there");
    let retained = journal.retain(&run, &loaded.version, &Claim::unelected()).await.expect("retained");
    bench.runs.delete("a", &DeleteParams::default()).await.expect("being deleted");
    journal.persist(draft(&loaded, 1), &Claim::unelected()).await.expect_err("the deletion changed the run");
    let read = journal.load(&run).await.expect("readable").expect("still there");
    assert!(read.version.newer_than(&retained).expect("numbers"));
    let landed = journal
        .persist(draft(&read, 1), &Claim::unelected())
        .await
        .expect("a run being deleted is written as any other");
    journal.release(&run, &landed.version, &Claim::unelected()).await.expect("released");
    assert_eq!(journal.load(&run).await.expect("readable"), None);
    journal.release(&run, &landed.version, &Claim::unelected()).await.expect("done already");
    bench.end().await;
}

#[tokio::test]
async fn a_status_of_a_later_version_is_left_alone() {
    let bench = Bench::new().await;
    let journal = bench.journal();
    let run = bench.create("a").await;
    let status = json!({"status": {"failure": {"reason": "InventedLater"}}});
    bench.runs.patch_status("a", &PatchParams::default(), &Patch::Merge(status)).await.expect("written");
    let error = journal.load(&run).await.expect_err("unknown reason");
    assert_eq!((matches!(error, JournalError::Unreadable(_)), error.class()), (true, Class::Invalid), "{error}");
    bench.end().await;
}

#[tokio::test]
async fn a_missing_right_is_named() {
    let bench = Bench::new().await;
    let run = bench.create("a").await;
    let journal = bench.journal_as("system:serviceaccount:nobody:nobody");
    let error = journal.load(&run).await.expect_err("no right");
    assert_eq!(error.class(), Class::Fatal);
    assert!(error.to_string().contains("RBAC"), "{error}");
    bench.end().await;
}
