//! The one thread that writes: group commit.
//!
//! # Flow
//! Callers put changes into a bounded queue. The thread takes all that wait, commits them in one transaction, and
//! answers each. While it waits for the disk, the next batch gathers: the more runs, the larger the batches.
//!
//! # Guarantees
//! Every caller is answered, also when the thread ends by a defect: then with [`LocalError::Stopped`].

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use tokio::sync::{mpsc, oneshot};

use super::change::{Change, Refusal, Verdict};
use super::error::LocalError;
use super::store::{Failure, Store};

/// Changes that may wait; more callers wait for a place.
const QUEUE: usize = 1024;
/// Changes in one transaction: bounds what one failure makes unclear.
const BATCH: usize = 256;

/// The way to the thread. When the last one is gone, the thread writes what waits and ends.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Job>>,
    thread: Option<thread::JoinHandle<()>>,
    store: Arc<Store>,
}

#[derive(Debug)]
struct Job {
    change: Change,
    answer: oneshot::Sender<Result<u64, NotWritten>>,
}

/// Why a change did not land, or may not have.
#[derive(Clone, Debug)]
pub(super) enum NotWritten {
    /// It was refused.
    Refused(Refusal),
    /// The batch that it was in was not written.
    Nothing(Arc<LocalError>),
    /// The batch may have landed.
    Unclear(Arc<LocalError>),
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(store: Arc<Store>) -> io::Result<Self> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let writing = store.clone();
        let thread = thread::Builder::new().name("journal".to_owned()).spawn(move || run(&writing, jobs))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), store })
    }

    /// Makes a change; durable when this returns.
    pub(super) async fn write(&self, change: Change) -> Result<u64, NotWritten> {
        let stopped = || NotWritten::Nothing(Arc::new(LocalError::Stopped(self.store.path().to_owned())));
        let Some(queue) = &self.queue else { return Err(stopped()) };
        let (answer, answered) = oneshot::channel();
        queue.send(Job { change, answer }).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}

impl Drop for Writer {
    /// Waits until the file is closed, so that it can be opened again at once.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

fn run(store: &Store, mut jobs: mpsc::Receiver<Job>) {
    while let Some(first) = jobs.blocking_recv() {
        let (mut changes, mut answers) = (vec![first.change], vec![first.answer]);
        while changes.len() < BATCH
            && let Ok(job) = jobs.try_recv()
        {
            changes.push(job.change);
            answers.push(job.answer);
        }
        let Ok(result) = catch_unwind(AssertUnwindSafe(|| store.write(&changes))) else {
            store.abandon();
            return; // and so tells everyone who waits
        };
        answer(result, answers);
    }
}

fn answer(result: Result<Vec<Verdict>, Failure>, answers: Vec<oneshot::Sender<Result<u64, NotWritten>>>) {
    let failed = match result {
        Ok(verdicts) => {
            for (verdict, answer) in verdicts.into_iter().zip(answers) {
                let _gone = answer.send(verdict.map_err(NotWritten::Refused));
            }
            return;
        }
        Err(Failure::Nothing(error)) => NotWritten::Nothing(Arc::new(error)),
        Err(Failure::Unclear(error)) => NotWritten::Unclear(Arc::new(error)),
    };
    for answer in answers {
        let _gone = answer.send(Err(failed.clone()));
    }
}
