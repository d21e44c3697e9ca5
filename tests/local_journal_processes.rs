//! What the local journal keeps when its process dies, when another one wants the file, and when there is no room.
//!
//! The test binary starts itself: a test named `child_...` does its part only when told so by the environment.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, missing_docs)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use saga_operator::api::SagaRunSpec;
use saga_operator::election::Claim;
use saga_operator::journal::local::{LocalError, LocalJournal};
use saga_operator::journal::{Draft, Journal, JournalError, Loaded};
use saga_operator::saga::{Holder, Stored};

const FILE: &str = "LOCAL_JOURNAL_TEST_FILE";

/// The child's file, when this process is one.
fn told() -> Option<PathBuf> {
    std::env::var_os(FILE).map(PathBuf::from)
}

/// A part of this binary as a process of its own.
fn child(part: &str, file: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([part, "--exact", "--ignored", "--nocapture"]).env(FILE, file);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

fn lines(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let out: ChildStdout = child.stdout.take().unwrap();
    BufReader::new(out).lines().map_while(Result::ok)
}

fn next(read: &Loaded) -> Draft {
    let stored = Stored { fence: read.stored.fence.next(), holder: Some(Holder::new("me")), ..read.stored.clone() };
    Draft { run: read.run.clone(), version: read.version.clone(), stored, intents: Vec::new(), polls: Vec::new() }
}

/// Persists and says so, until an error.
async fn write_on(journal: LocalJournal, name: String) -> JournalError {
    let mut run = journal.submit(&name, &SagaRunSpec::default()).await.unwrap();
    loop {
        let draft = next(&run);
        run.stored = draft.stored.clone();
        match journal.persist(draft, &Claim::unelected()).await {
            Ok(landed) => run.version = landed.version,
            Err(error) => return error,
        }
        println!("stored {name} {}", run.stored.fence);
    }
}

/// `stored <name> <fence>`
fn acknowledged(line: &str) -> Option<(String, u64)> {
    let mut words = line.split(' ').skip_while(|word| !word.ends_with("stored")).skip(1);
    Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a part of another test"]
async fn child_writes_until_it_is_killed() {
    let Some(file) = told() else { return };
    let journal = LocalJournal::open(&file).unwrap();
    let runs = (0..4).map(|run| tokio::spawn(write_on(journal.clone(), format!("run-{run}"))));
    futures::future::join_all(runs).await;
}

#[test]
fn every_acknowledged_decision_outlives_a_kill_at_any_time() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("state.redb");
    let mut last = BTreeMap::new();
    for _ in 0..20 {
        let mut process = child("child_writes_until_it_is_killed", &file).spawn().unwrap();
        let lines = lines(&mut process);
        let reader = std::thread::spawn(move || lines.filter_map(|line| acknowledged(&line)).collect::<Vec<_>>());
        let wait = uuid::Uuid::new_v4().as_u128() % 200;
        std::thread::sleep(Duration::from_millis(u64::try_from(wait).unwrap()));
        process.kill().unwrap();
        process.wait().unwrap();
        last.extend(reader.join().unwrap());

        let journal = LocalJournal::open(&file).unwrap();
        let runs = journal.runs().unwrap();
        for (name, fence) in &last {
            let run = runs.iter().find(|run| run.run.name == *name).unwrap_or_else(|| panic!("{name} is lost"));
            let found = run.stored.fence.0;
            assert!(found == *fence || found == fence + 1, "{name}: {fence} was acknowledged, {found} is there");
        }
        last = runs.iter().map(|run| (run.run.name.clone(), run.stored.fence.0)).collect();
    }
    assert!(last.values().sum::<u64>() > 0, "no child came to write");
}

#[test]
#[ignore = "a part of another test"]
fn child_holds_the_file() {
    let Some(file) = told() else { return };
    let _journal = LocalJournal::open(&file).unwrap();
    println!("held");
    std::thread::sleep(Duration::from_secs(60)); // until it is killed
}

#[test]
fn a_file_is_refused_while_another_process_holds_it_and_free_once_that_is_dead() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("state.redb");
    let mut process = child("child_holds_the_file", &file).spawn().unwrap();
    assert!(lines(&mut process).any(|line| line.ends_with("held")));

    let error = LocalJournal::open(&file).unwrap_err();
    assert!(matches!(&error, LocalError::Locked(path) if *path == file), "{error}");
    assert!(error.to_string().contains("another process holds it"), "{error}");

    process.kill().unwrap();
    process.wait().unwrap();
    LocalJournal::open(&file).unwrap();
}

#[test]
fn a_file_is_refused_to_a_second_user_in_the_same_process() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("state.redb");
    let journal = LocalJournal::open(&file).unwrap();
    assert!(matches!(LocalJournal::open(&file), Err(LocalError::Locked(_))));
    assert!(matches!(LocalJournal::open(&file), Err(LocalError::Locked(_))));
    drop(journal);
    LocalJournal::open(&file).unwrap();
}

#[tokio::test]
#[ignore = "a part of another test"]
async fn child_writes_until_there_is_no_room() {
    let Some(file) = told() else { return };
    let journal = LocalJournal::open(&file).unwrap();
    for run in 0.. {
        let name = format!("run-{run}");
        let input = [("text".to_owned(), "x".repeat(20_000).into())].into_iter().collect();
        let spec = SagaRunSpec { input, ..SagaRunSpec::default() };
        match journal.submit(&name, &spec).await {
            Ok(_) => println!("stored {name} 0"),
            Err(error) => {
                println!("failed {error}");
                return;
            }
        }
    }
}

#[test]
fn no_room_is_said_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("state.redb");
    LocalJournal::open(&file).unwrap();
    // Files of at most 2,000 blocks, and no signal when they would become larger: the write fails instead.
    let inner = child("child_writes_until_there_is_no_room", &file);
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 2000; exec \"$0\" \"$@\""]).arg(inner.get_program());
    limited.args(inner.get_args()).env(FILE, &file).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = limited.spawn().unwrap();
    let said: Vec<String> = lines(&mut process).collect();
    process.wait().unwrap();

    let stored: Vec<String> = said.iter().filter_map(|line| acknowledged(line)).map(|(name, _)| name).collect();
    assert!(!stored.is_empty(), "{said:?}");
    let failed = said.iter().find(|line| line.contains("failed ")).unwrap_or_else(|| panic!("{said:?}"));
    assert!(failed.contains("no room is left") && failed.contains(&*file.to_string_lossy()), "{failed}");

    let journal = LocalJournal::open(&file).unwrap();
    for name in stored {
        journal.run(&name).unwrap();
    }
}
