//! The local journal keeps what it acknowledged, and nothing that was decided from something else.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::sync::Arc;

use saga_operator::api::definition::{Call, HttpCall, Step};
use saga_operator::api::run::{Cancellation, DefinitionRef, EndPolicy};
use saga_operator::api::{SagaDefinitionSpec, SagaRunSpec};
use saga_operator::election::Claim;
use saga_operator::engine::Definitions;
use saga_operator::journal::local::{LocalError, LocalJournal};
use saga_operator::journal::{Draft, Journal, JournalError, Landed, Loaded, Version};
use saga_operator::saga::{Fence, Holder, Identity, Stored, Unready};

fn definition() -> SagaDefinitionSpec {
    let call = |url: &str| Call { http: HttpCall { url: url.to_owned(), ..HttpCall::default() }, ..Call::default() };
    let step = Step {
        name: "reserve".to_owned(),
        action: call("http://stock.example/reservations"),
        compensation: Some(call("http://stock.example/cancellations").into()),
        ..Step::default()
    };
    SagaDefinitionSpec { steps: vec![step], ..SagaDefinitionSpec::default() }
}

fn spec(definition: &str) -> SagaRunSpec {
    SagaRunSpec { definition_ref: DefinitionRef { name: definition.to_owned() }, ..SagaRunSpec::default() }
}

/// A decision made from what was read.
fn next(read: &Loaded) -> Draft {
    let stored = Stored { fence: read.stored.fence.next(), holder: Some(Holder::new("me")), ..read.stored.clone() };
    Draft { run: read.run.clone(), version: read.version.clone(), stored, intents: Vec::new(), polls: Vec::new() }
}

async fn persist(journal: &LocalJournal, read: &Loaded) -> Result<Landed, JournalError> {
    journal.persist(next(read), &Claim::unelected()).await
}

async fn load(journal: &LocalJournal, run: &Identity) -> Loaded {
    journal.load(run).await.unwrap().unwrap()
}

fn file(directory: &tempfile::TempDir) -> std::path::PathBuf {
    directory.path().join("state.redb")
}

#[tokio::test]
async fn a_decision_is_read_back_after_the_file_was_closed_and_opened() {
    let directory = tempfile::tempdir().unwrap();
    let journal = LocalJournal::open(&file(&directory)).unwrap();
    let run = journal.submit("order", &spec("buy")).await.unwrap();
    let landed = persist(&journal, &run).await.unwrap();
    drop(journal);

    let journal = LocalJournal::open(&file(&directory)).unwrap();
    let read = load(&journal, &run.run).await;
    assert_eq!(read.stored, next(&run).stored);
    assert_eq!(read.version, landed.version);
    assert_eq!(read.version.newer_than(&run.version), Some(true));
}

#[tokio::test]
async fn a_decision_made_from_an_older_version_is_refused_and_changes_nothing() {
    let journal = LocalJournal::temporary().unwrap();
    let run = journal.submit("order", &spec("buy")).await.unwrap();
    persist(&journal, &run).await.unwrap();
    let before = load(&journal, &run.run).await;

    let late = persist(&journal, &run).await;
    assert!(matches!(late, Err(JournalError::Conflict)), "{late:?}");
    let strange = journal.persist(Draft { version: Version("x".to_owned()), ..next(&run) }, &Claim::unelected()).await;
    assert!(matches!(strange, Err(JournalError::Conflict)), "{strange:?}");
    assert_eq!(load(&journal, &run.run).await, before);
}

#[tokio::test]
async fn of_many_decisions_made_from_one_version_exactly_one_lands() {
    let journal = LocalJournal::temporary().unwrap();
    let run = journal.submit("order", &spec("buy")).await.unwrap();
    let tries = (0..32).map(|_| persist(&journal, &run));
    let landed = futures::future::join_all(tries).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(landed, 1);
}

#[tokio::test]
async fn an_unknown_run_is_gone_and_releasing_it_succeeds() {
    let journal = LocalJournal::temporary().unwrap();
    let run = journal.submit("order", &spec("buy")).await.unwrap();
    let other = Arc::new(Identity { uid: "another".to_owned(), ..(*run.run).clone() });
    assert!(journal.load(&other).await.unwrap().is_none());
    let gone = journal.persist(Draft { run: other.clone(), ..next(&run) }, &Claim::unelected()).await;
    assert!(matches!(gone, Err(JournalError::Gone)), "{gone:?}");
    journal.release(&other, &run.version, &Claim::unelected()).await.unwrap();
}

#[tokio::test]
async fn a_released_run_is_over_stays_readable_and_can_be_released_again() {
    let journal = LocalJournal::temporary().unwrap();
    let run = journal.submit("order", &spec("buy")).await.unwrap();
    assert!(run.retained);
    assert_eq!(journal.retain(&run.run, &run.version, &Claim::unelected()).await.unwrap(), run.version);
    let early = journal.release(&run.run, &Version("7".to_owned()), &Claim::unelected()).await;
    assert!(matches!(early, Err(JournalError::Conflict)), "{early:?}");
    journal.release(&run.run, &run.version, &Claim::unelected()).await.unwrap();
    journal.release(&run.run, &run.version, &Claim::unelected()).await.unwrap();
    assert!(!load(&journal, &run.run).await.retained);
    assert_eq!(journal.runs().unwrap().len(), 1);
}

#[tokio::test]
async fn a_run_put_in_again_is_resumed_and_one_that_asks_for_something_else_is_refused() {
    let journal = LocalJournal::temporary().unwrap();
    let run = journal.submit("order", &spec("buy")).await.unwrap();
    persist(&journal, &run).await.unwrap();

    let again = journal.submit("order", &spec("buy")).await.unwrap();
    assert_eq!(again.run, run.run);
    assert_eq!(again.stored.fence, Fence(1));
    assert_eq!(again.wishes.generation, 1);

    let other = journal.submit("order", &spec("sell")).await.unwrap_err();
    assert!(matches!(&other, LocalError::NameTaken { field: "definitionRef", .. }), "{other}");
    assert!(other.to_string().contains("give the new run another name, or name another state file"), "{other}");
}

#[tokio::test]
async fn a_wish_raises_the_generation_and_makes_decisions_under_way_read_again() {
    let journal = LocalJournal::temporary().unwrap();
    let run = journal.submit("order", &spec("buy")).await.unwrap();
    let asked = journal.set_wishes("order", |wish| wish.spec.suspend = true).await.unwrap();
    assert!(asked.wishes.suspend);
    assert_eq!(asked.wishes.generation, 2);
    assert!(matches!(persist(&journal, &run).await, Err(JournalError::Conflict)));

    let same = journal.set_wishes("order", |wish| wish.spec.suspend = true).await.unwrap();
    assert_eq!(same, asked);
    let resumed = journal.submit("order", &spec("buy")).await.unwrap();
    assert!(!resumed.wishes.suspend);
    let deleted = journal.set_wishes("order", |wish| wish.deleted = true).await.unwrap();
    assert_eq!(deleted.wishes.deletion, Some(EndPolicy::Compensate));
}

#[tokio::test]
async fn wishes_follow_the_rules_of_the_api_server() {
    let journal = LocalJournal::temporary().unwrap();
    journal.submit("order", &spec("buy")).await.unwrap();
    let cancel = |policy| Some(Cancellation { policy, reason: None });
    let set = async |policy| journal.set_wishes("order", |wish| wish.spec.cancellation = cancel(policy)).await;
    set(EndPolicy::Compensate).await.unwrap();
    set(EndPolicy::Abandon).await.unwrap();
    assert!(matches!(set(EndPolicy::Compensate).await, Err(LocalError::NotAllowed { .. })));
    let input = journal.set_wishes("order", |wish| wish.spec.definition_ref.name = "sell".to_owned()).await;
    assert!(matches!(input, Err(LocalError::NotAllowed { .. })), "{input:?}");
    let kept = journal.submit("order", &spec("buy")).await.unwrap();
    assert_eq!(kept.spec.cancellation, cancel(EndPolicy::Abandon));
    let missing = journal.set_wishes("other", |_| ()).await;
    assert!(matches!(missing, Err(LocalError::NoSuchRun { .. })), "{missing:?}");
}

#[tokio::test]
async fn a_run_keeps_its_revision_when_the_definition_changes() {
    let directory = tempfile::tempdir().unwrap();
    let journal = LocalJournal::open(&file(&directory)).unwrap();
    let first = journal.apply_definition("buy", &definition()).await.unwrap();
    assert_eq!(journal.apply_definition("buy", &definition()).await.unwrap(), first);
    let changed = SagaDefinitionSpec { description: Some("changed".to_owned()), ..definition() };
    let second = journal.apply_definition("buy", &changed).await.unwrap();
    assert_ne!(first, second);
    drop(journal);

    let journal = LocalJournal::open(&file(&directory)).unwrap();
    assert_eq!(journal.current("local", "buy").await.unwrap().revision, second);
    assert_eq!(journal.pinned("local", "buy", &first).await.unwrap().revision, first);
    assert_eq!(journal.current("local", "sell").await.unwrap_err(), Unready::NotFound);
    assert_eq!(journal.current("default", "buy").await.unwrap_err(), Unready::NotFound);
    let gone = journal.pinned("local", "buy", "buy-0").await.unwrap_err();
    assert!(matches!(gone, Unready::RevisionNotFound(_)), "{gone:?}");
    assert!(journal.holds("local", &first).await.unwrap());
}

#[tokio::test]
async fn the_order_of_keys_in_a_manifest_does_not_make_a_revision() {
    let journal = LocalJournal::temporary().unwrap();
    let with_body = |body: &str| {
        let mut spec = definition();
        spec.steps[0].action.http.body = Some(serde_json::from_str(body).unwrap());
        spec
    };
    let one = journal.apply_definition("buy", &with_body(r#"{"a": 1, "b": {"c": 2, "d": 3}}"#)).await.unwrap();
    let two = journal.apply_definition("buy", &with_body(r#"{"b": {"d": 3, "c": 2}, "a": 1}"#)).await.unwrap();
    assert_eq!(one, two);
}

#[tokio::test]
async fn a_wrong_definition_is_refused_with_its_mistakes() {
    let journal = LocalJournal::temporary().unwrap();
    let mut wrong = definition();
    wrong.steps[0].action.http.url = "http://stock.example/${steps.pay.outputs.id}".to_owned();
    let error = journal.apply_definition("buy", &wrong).await.unwrap_err();
    assert!(error.to_string().contains("spec.steps[0]"), "{error}");
    assert_eq!(journal.current("local", "buy").await.unwrap_err(), Unready::NotFound);
}

#[test]
fn a_temporary_state_file_is_gone_afterwards() {
    let journal = LocalJournal::temporary().unwrap();
    let directory = journal.path().parent().unwrap().to_owned();
    assert!(directory.exists());
    drop(journal);
    assert!(!directory.exists());
}
