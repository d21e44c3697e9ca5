//! A file that cannot be a state file is refused with a sentence that says what to do, and is left as it is.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::path::Path;

use saga_operator::api::SagaRunSpec;
use saga_operator::journal::local::{LocalError, LocalJournal};

fn refused(path: &Path) -> LocalError {
    let error = LocalJournal::open(path).unwrap_err();
    assert!(error.to_string().contains(&*path.to_string_lossy()), "{error}");
    error
}

#[test]
fn a_missing_directory_is_not_made() {
    let directory = tempfile::tempdir().unwrap();
    let error = refused(&directory.path().join("no/state.redb"));
    assert!(matches!(error, LocalError::NoDirectory(_)), "{error}");
    assert!(!directory.path().join("no").exists());
}

#[test]
fn a_directory_is_not_a_state_file() {
    let directory = tempfile::tempdir().unwrap();
    let error = refused(directory.path());
    assert!(matches!(error, LocalError::Foreign { .. }), "{error}");
    let below = directory.path().join("file");
    std::fs::write(&below, "x").unwrap();
    let error = refused(&below.join("state.redb"));
    assert!(matches!(error, LocalError::NoDirectory(_)), "{error}");
}

#[test]
fn another_content_is_refused_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    for content in ["x".to_owned(), "my notes ".repeat(4000)] {
        std::fs::write(&path, &content).unwrap();
        let error = refused(&path);
        assert!(matches!(error, LocalError::Foreign { .. }), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
    }
    std::fs::write(&path, vec![0; 8192]).unwrap();
    assert!(refused(&path).to_string().contains("it can be deleted"));
}

#[test]
fn an_empty_file_becomes_a_state_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    std::fs::write(&path, "").unwrap();
    LocalJournal::open(&path).unwrap();
    LocalJournal::open(&path).unwrap();
}

#[test]
fn a_database_of_another_program_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("other.redb");
    let database = redb::Database::create(&path).unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(redb::TableDefinition::<&str, u64>::new("theirs")).unwrap().insert("a", 1).unwrap();
    write.commit().unwrap();
    drop(database);
    let error = refused(&path);
    assert!(matches!(error, LocalError::Foreign { .. }), "{error}");
}

#[test]
fn a_newer_format_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    drop(LocalJournal::open(&path).unwrap());
    let database = redb::Database::open(&path).unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(redb::TableDefinition::<&str, u64>::new("meta")).unwrap().insert("format", 99).unwrap();
    write.commit().unwrap();
    drop(database);
    let error = refused(&path);
    assert!(matches!(error, LocalError::Newer { found: 99, .. }), "{error}");
}

#[tokio::test]
async fn a_file_cut_short_is_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let journal = LocalJournal::open(&path).unwrap();
    for run in 0..20 {
        journal.submit(&format!("run-{run}"), &SagaRunSpec::default()).await.unwrap();
    }
    drop(journal);
    let length = std::fs::metadata(&path).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length / 2).unwrap();
    let error = refused(&path);
    assert!(matches!(error, LocalError::Damaged { .. }), "{error}");
}

#[cfg(unix)]
#[test]
fn a_state_file_is_for_its_user_alone() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    drop(LocalJournal::open(&path).unwrap());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[cfg(unix)]
#[test]
fn a_file_that_must_not_be_written_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    drop(LocalJournal::open(&path).unwrap());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
    if std::fs::OpenOptions::new().write(true).open(&path).is_ok() {
        return; // the superuser may write everything
    }
    let error = refused(&path);
    assert!(matches!(error, LocalError::Denied { .. }), "{error}");
}
