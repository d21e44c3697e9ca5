//! The elector at work beside everything else, if there is one.

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use super::serve::RunError;
use crate::election::{Deposed, MAX_SHARDS, Member, Shard};
use crate::engine::{Fleets, Ports};

/// A member of the election in a task of its own; nobody, where nobody is elected.
pub(super) struct Elector {
    leave: CancellationToken,
    task: Option<JoinHandle<Result<(), Deposed>>>,
}

impl Elector {
    /// Lets the member stand. Gives where to tell it which shards are drained.
    pub(super) fn start(member: Option<Member>) -> (Self, Option<mpsc::Sender<Shard>>) {
        let leave = CancellationToken::new();
        let (drained, receiver) = mpsc::channel(MAX_SHARDS.into());
        let task = member.map(|member| tokio::spawn(member.run(receiver, leave.clone())));
        let drained = task.is_some().then_some(drained);
        (Self { leave, task }, drained)
    }

    /// Why it ended, though nobody asked it to: a leadership was lost. Else it does not come back.
    pub(super) async fn ended(&mut self) -> RunError {
        match &mut self.task {
            Some(task) => why(task.await),
            None => std::future::pending().await,
        }
    }

    /// Gives back every Lease, each as soon as its runs are let go; another process may act on them from then on. Comes back
    /// once all are.
    pub(super) async fn leave<E: Ports>(self, fleets: &Fleets<E>) -> Result<(), RunError> {
        self.leave.cancel();
        let Some(task) = self.task else {
            fleets.idle().await;
            return Ok(());
        };
        match task.await {
            Ok(Ok(())) => Ok(()),
            lost => Err(why(lost)),
        }
    }
}

fn why(ended: Result<Result<(), Deposed>, JoinError>) -> RunError {
    match ended {
        Ok(Err(error)) => tracing::error!(%error, "the elector ended"),
        Err(error) => tracing::error!(%error, "the elector failed"),
        Ok(Ok(())) => {}
    }
    RunError::Deposed
}
