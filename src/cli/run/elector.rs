//! The elector at work beside everything else, if there is one.
//!
//! It has a thread and a runtime of its own: a renewal waits for no task of the work, however busy that is.

use kube::{Client, Config};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::serve::RunError;
use crate::election::{Deposed, MAX_SHARDS, Member, Shard};
use crate::engine::{Fleets, Ports};

/// A member of the election in a thread of its own; nobody, where nobody is elected.
pub(super) struct Elector {
    leave: CancellationToken,
    ended: Option<oneshot::Receiver<Result<(), RunError>>>,
}

impl Elector {
    /// Lets the member stand. Gives where to tell it which shards are drained.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(member: Option<(Member, Config)>) -> std::io::Result<(Self, Option<mpsc::Sender<Shard>>)> {
        let leave = CancellationToken::new();
        let Some((member, config)) = member else { return Ok((Self { leave, ended: None }, None)) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (drained, receiver) = mpsc::channel(MAX_SHARDS.into());
        let (end, ended) = oneshot::channel();
        let left = leave.clone();
        std::thread::Builder::new().name("elector".to_owned()).spawn(move || {
            // Nobody listens only when the process is about to end.
            let _ = end.send(runtime.block_on(stand(member, config, receiver, left)));
        })?;
        Ok((Self { leave, ended: Some(ended) }, Some(drained)))
    }

    /// Why it ended, though nobody asked it to: a leadership was lost. Else it does not come back.
    pub(super) async fn ended(&mut self) -> RunError {
        match &mut self.ended {
            Some(ended) => why(ended.await).err().unwrap_or(RunError::Deposed),
            None => std::future::pending().await,
        }
    }

    /// Gives back every Lease, each as soon as its runs are let go; another process may act on them from then on. Comes back
    /// once all are.
    pub(super) async fn leave<E: Ports>(&mut self, fleets: &Fleets<E>) -> Result<(), RunError> {
        self.leave.cancel();
        match &mut self.ended {
            Some(ended) => why(ended.await),
            None => {
                fleets.idle().await;
                Ok(())
            }
        }
    }
}

/// The client is made here: what works for it runs where it is made.
async fn stand(
    member: Member,
    config: Config,
    drained: mpsc::Receiver<Shard>,
    leave: CancellationToken,
) -> Result<(), RunError> {
    let client = Client::try_from(config)?;
    member.run(client, drained, leave).await.map_err(|error: Deposed| {
        tracing::error!(%error, "the elector ended");
        RunError::Deposed
    })
}

/// A thread that ended without a word has panicked.
fn why(ended: Result<Result<(), RunError>, oneshot::error::RecvError>) -> Result<(), RunError> {
    ended.unwrap_or_else(|_| {
        tracing::error!("the elector failed");
        Err(RunError::Deposed)
    })
}
