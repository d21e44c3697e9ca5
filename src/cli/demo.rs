//! `demo`: seven stories in half a minute, without a cluster.
//!
//! The participants run in this process; the sagas are driven by the same engine as in a cluster, on a state file. One
//! story kills the engine for real: it runs in a process of its own.

mod hold;
mod person;
mod pivot;
mod proof;
mod story;

use std::process::ExitCode;
use std::time::Duration;

use self::proof::Proof;
use super::participants::DemoServices;
use super::timeline::{complain, line};

/// Longest the whole demo may take; something hangs if it does not end by then.
const LIMIT: Duration = Duration::from_secs(60);

/// Shows sagas that succeed, compensate, retry, survive a crash, confirm, and wait for a person. No cluster is needed.
///
/// Exit status: 0 when everything that the demo claims was seen to hold, else 1.
#[derive(Debug, clap::Args)]
pub(super) struct Demo {}

impl Demo {
    pub(super) async fn run(self) -> ExitCode {
        match tokio::time::timeout(LIMIT, perform()).await {
            Ok(Ok(true)) => ExitCode::SUCCESS,
            Ok(Ok(false)) => {
                complain("error: not every claim of the demo held; please report this");
                ExitCode::FAILURE
            }
            Ok(Err(error)) => {
                complain(&format!("error: {error}"));
                ExitCode::FAILURE
            }
            Err(_) => {
                complain(&format!("error: failed to finish the demo within {} s", LIMIT.as_secs()));
                ExitCode::FAILURE
            }
        }
    }
}

async fn perform() -> Result<bool, story::StoryError> {
    let services = DemoServices::new().start(([127, 0, 0, 1], 0).into()).await?;
    line(&format!("Participants (pricing, inventory, shipping, payment) listen on {}.", services.base_url()));
    let mut proof = Proof::default();
    story::success(&services, &mut proof).await?;
    story::declined(&services, &mut proof).await?;
    story::down(&services, &mut proof).await?;
    story::crash(&services, &mut proof).await?;
    pivot::forward(&services, &mut proof).await?;
    hold::try_confirm_cancel(&services, &mut proof).await?;
    person::decides(&services, &mut proof).await?;
    proof.print(&services);
    services.shutdown().await;
    Ok(proof.holds())
}
