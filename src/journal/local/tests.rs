//! What callers are told when something below fails.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::atomic::Ordering::Release;

use super::*;
use crate::api::SagaRunSpec;
use crate::election::Claim;
use crate::saga::Stored;

fn next(read: &Loaded) -> Draft {
    let stored = Stored { fence: read.stored.fence.next(), ..read.stored.clone() };
    Draft { run: read.run.clone(), version: read.version.clone(), stored, intents: Vec::new(), polls: Vec::new() }
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_the_journal_goes_on_once_there_is_room() {
    let journal = LocalJournal::temporary().unwrap();
    let run = journal.submit("order", &SagaRunSpec::default()).await.unwrap();
    journal.persist(next(&run), &Claim::unelected()).await.unwrap();
    let before = journal.run("order").unwrap();

    let full = &journal.inner.store.faults.planned.full;
    full.store(true, Release);
    for _ in 0..3 {
        let error = journal.persist(next(&before), &Claim::unelected()).await.unwrap_err();
        assert!(matches!(error, JournalError::Unclear(_) | JournalError::Unavailable(_)), "{error}");
        assert!(error.to_string().contains("free some space"), "{error}");
    }
    full.store(false, Release);

    assert_eq!(journal.load(&run.run).await.unwrap().unwrap(), before);
    journal.persist(next(&before), &Claim::unelected()).await.unwrap();
    assert_eq!(journal.run("order").unwrap().stored, next(&before).stored);
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_trusted_any_more() {
    let journal = LocalJournal::temporary().unwrap();
    let run = journal.submit("order", &SagaRunSpec::default()).await.unwrap();
    journal.inner.store.faults.planned.unsynced.store(true, Release);

    let error = journal.persist(next(&run), &Claim::unelected()).await.unwrap_err();
    assert!(matches!(error, JournalError::Unclear(_)), "{error}");
    let error = journal.load(&run.run).await.unwrap_err();
    assert!(matches!(&error, JournalError::Fatal(text) if text.contains("check the disk")), "{error}");
    let error = journal.persist(next(&run), &Claim::unelected()).await.unwrap_err();
    assert!(matches!(error, JournalError::Fatal(_)), "{error}");
}

#[tokio::test]
async fn a_panic_of_the_writer_reaches_every_caller() {
    let journal = LocalJournal::temporary().unwrap();
    let run = journal.submit("order", &SagaRunSpec::default()).await.unwrap();
    journal.inner.store.faults.planned.panics.store(true, Release);

    let claim = Claim::unelected();
    let tries = (0..8).map(|_| journal.persist(next(&run), &claim));
    for error in futures::future::join_all(tries).await.into_iter().map(Result::unwrap_err) {
        assert!(matches!(&error, JournalError::Fatal(text) if text.contains("start again")), "{error}");
    }
    journal.inner.store.faults.planned.panics.store(false, Release);
    let error = journal.submit("other", &SagaRunSpec::default()).await.unwrap_err();
    assert!(matches!(error, LocalError::Stopped(_)), "{error}");
    let error = journal.runs().unwrap_err();
    assert!(matches!(error, LocalError::Stopped(_)), "{error}");
}

#[tokio::test]
async fn a_status_that_is_too_large_is_refused() {
    let journal = LocalJournal::temporary().unwrap();
    let run = journal.submit("order", &SagaRunSpec::default()).await.unwrap();
    let mut draft = next(&run);
    draft.stored.revision = Some("x".repeat(MAX_STATUS_BYTES));
    let error = journal.persist(draft, &Claim::unelected()).await.unwrap_err();
    assert!(matches!(error, JournalError::TooLarge(_)), "{error}");
}

#[tokio::test]
async fn a_file_that_is_gone_is_not_made_anew_behind_the_back_of_its_user() {
    let journal = LocalJournal::temporary().unwrap();
    let run = journal.submit("order", &SagaRunSpec::default()).await.unwrap();
    let full = &journal.inner.store.faults.planned.full;
    full.store(true, Release);
    journal.persist(next(&run), &Claim::unelected()).await.unwrap_err();
    full.store(false, Release);
    std::fs::rename(journal.path(), journal.path().with_extension("moved")).unwrap();

    let error = journal.persist(next(&run), &Claim::unelected()).await.unwrap_err();
    assert!(matches!(&error, JournalError::Fatal(text) if text.contains("put it back")), "{error}");
    assert!(!journal.path().exists());
}
