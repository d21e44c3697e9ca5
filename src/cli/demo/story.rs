//! The stories of the demo.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anstyle::Style;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::proof::Proof;
use crate::api::{Reason, SagaRunSpec};
use crate::cli::manifest::{self, ManifestErrors};
use crate::cli::participants::{Change, EffectState, Entry, Fault, FaultMode, ParticipantsError, RunningServices};
use crate::cli::stage::Stage;
use crate::cli::timeline::{Timeline, line};
use crate::journal::local::{LocalError, LocalJournal};
use crate::participant::{HttpError, StaticCredentials};
use crate::saga::{End, Stored};

const CHECKOUT: &str = include_str!("checkout.yaml");
const ORDERS: &str = include_str!("orders.yaml");

/// Why a story could not be told.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoryError {
    #[error(transparent)]
    Participants(#[from] ParticipantsError),
    #[error(transparent)]
    State(#[from] LocalError),
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error(transparent)]
    Manifest(#[from] ManifestErrors),
    #[error("failed to run the engine in a process of its own: {0}")]
    Process(#[from] std::io::Error),
    #[error("failed to tell the story: {0}")]
    Untold(&'static str),
}

/// Everything works.
pub(super) async fn success(services: &RunningServices, proof: &mut Proof) -> Result<(), StoryError> {
    title(
        "1. A saga that succeeds",
        "Quote, reserve, ship, charge: one after the other, each stored before it is sent.",
    );
    let (uid, stored) = tell(services, Order { name: "order-1", ..Order::default() }).await?;
    let entries = entries(services, &uid);
    proof.claim("order-1 Succeeded with one request a step", stored.end == Some(End::Succeeded) && entries.len() == 4);
    proof.claim("order-1 took effect at three participants, once each", effects(services, &uid) == (3, 0, true));
    Ok(())
}

/// The payment is declined.
pub(super) async fn declined(services: &RunningServices, proof: &mut Proof) -> Result<(), StoryError> {
    title(
        "2. A saga that fails at the payment",
        "2000 is declined: the shipment and the reservation are undone, in reverse.",
    );
    let (uid, stored) = tell(services, Order { name: "order-2", quantity: 80, ..Order::default() }).await?;
    let undone: Vec<String> = entries(services, &uid)
        .iter()
        .filter(|entry| entry.change == Change::Undone)
        .filter_map(|entry| entry.call.step.clone())
        .collect();
    let reason = stored.failure.as_ref().map(|failure| failure.reason);
    proof.claim("order-2 was Rejected at the payment and ended Compensated", {
        stored.end == Some(End::Compensated) && reason == Some(Reason::Rejected)
    });
    proof.claim(
        "order-2 was undone in reverse: bookShipment, then reserveStock",
        undone == ["bookShipment", "reserveStock"],
    );
    proof.claim("order-2 left no effect", effects(services, &uid) == (0, 2, true));
    Ok(())
}

/// The payment service is down for a while.
pub(super) async fn down(services: &RunningServices, proof: &mut Proof) -> Result<(), StoryError> {
    title(
        "3. A participant that is down",
        "The payment answers 503 three times; it is asked again, with growing waits and the same key.",
    );
    fault(services, "payment", FaultMode::Down, 3, "forward");
    let (uid, stored) = tell(services, Order { name: "order-3", quantity: 3, ..Order::default() }).await?;
    let charges: Vec<Entry> = of_step(services, &uid, "chargeCard");
    let keys: std::collections::BTreeSet<_> = charges.iter().map(|entry| entry.call.key.clone()).collect();
    let bodies: std::collections::BTreeSet<_> = charges.iter().map(|entry| entry.call.digest.clone()).collect();
    proof.claim("order-3 Succeeded at the fourth attempt of the payment", {
        stored.end == Some(End::Succeeded) && charges.len() == 4
    });
    proof.claim("the four requests had one key and one body", keys.len() == 1 && bodies.len() == 1);
    Ok(())
}

/// The engine is killed while the payment is on its way.
pub(super) async fn crash(services: &RunningServices, proof: &mut Proof) -> Result<(), StoryError> {
    title("4. A crash", "The engine is killed (kill -9) after the payment took effect and before it heard of it.");
    let directory = Directory::new()?;
    let (manifest, state) = (directory.0.join("order-4.yaml"), directory.0.join("state.redb"));
    std::fs::write(&manifest, format!("{}---\n{}", checkout(services), run_manifest("order-4", 4)))?;
    fault(services, "payment", FaultMode::Hang, 1, "forward");

    let mut first = engine(&state, &manifest)?;
    let told = relay(&mut first, "engine 1");
    while !services.ledger().entries().iter().any(|entry| entry.fault == Some(FaultMode::Hang)) {
        if first.try_wait()?.is_some() {
            return Err(StoryError::Untold("the first engine ended before it could be killed"));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    first.start_kill()?;
    let killed = first.wait().await?;
    told.await.map_err(|_| StoryError::Untold("the first engine's output could not be read"))?;
    line("           engine 1 was killed; engine 2 opens the same state file");

    let mut second = engine(&state, &manifest)?;
    let told = relay(&mut second, "engine 2");
    let ended = second.wait().await?;
    told.await.map_err(|_| StoryError::Untold("the second engine's output could not be read"))?;

    let uid = services.ledger().entries().iter().rev().find_map(|entry| entry.call.run_uid.clone());
    let uid = uid.ok_or(StoryError::Untold("no participant saw the run"))?;
    let charges = of_step(services, &uid, "chargeCard");
    let keys: std::collections::BTreeSet<_> = charges.iter().map(|entry| entry.call.key.clone()).collect();
    let fences: Vec<_> = charges.iter().map(|entry| entry.call.fence).collect();
    proof.claim(
        "engine 1 was killed, engine 2 finished order-4 with Succeeded",
        killed.code().is_none() && ended.success(),
    );
    proof.claim("the payment was sent again under the same key with a higher fence", {
        charges.len() == 2 && keys.len() == 1 && fences.is_sorted_by(|a, b| a < b)
    });
    proof.claim("order-4 took effect at three participants, once each", effects(services, &uid) == (3, 0, true));
    Ok(())
}

pub(super) fn title(name: &str, text: &str) {
    let bold = Style::new().bold();
    let name = if name.is_empty() { String::new() } else { format!("{bold}{name}{bold:#}\n") };
    line(&format!("\n{name}{text}"));
}

/// What a story is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order<'a> {
    pub(super) name: &'a str,
    pub(super) definition: &'a str,
    pub(super) quantity: u32,
    pub(super) address: &'a str,
}

impl Default for Order<'_> {
    fn default() -> Self {
        Self { name: "order", definition: "checkout", quantity: 2, address: "1 Harbour Street" }
    }
}

impl Order<'_> {
    pub(super) fn spec(&self) -> Result<SagaRunSpec, StoryError> {
        serde_json::from_value(json!({
            "definitionRef": {"name": self.definition},
            "input": {"sku": "teapot", "quantity": self.quantity, "address": self.address},
        }))
        .map_err(|_| StoryError::Untold("the demo's run is not a SagaRun"))
    }
}

/// An engine in this process that knows what an order follows.
pub(super) async fn on_stage(services: &RunningServices, order: Order<'_>) -> Result<Stage, StoryError> {
    let journal = LocalJournal::temporary()?;
    let stage = Stage::new(journal, StaticCredentials::default(), Arc::new(Timeline::new("  ")))?;
    let orders = ORDERS.replace("PARTICIPANTS", &services.base_url());
    for text in [checkout(services), orders] {
        let definitions = manifest::parse("the demo's definitions", &text)?.definitions;
        for definition in definitions.iter().filter(|definition| definition.name == order.definition) {
            stage.define(&definition.name, &definition.spec).await?;
        }
    }
    Ok(stage)
}

/// Runs one order in this process, and returns how it ended.
pub(super) async fn tell(services: &RunningServices, order: Order<'_>) -> Result<(String, Stored), StoryError> {
    let stage = on_stage(services, order).await?;
    let run = stage.submit(order.name, &order.spec()?).await?;
    stage.drive(vec![run.clone()]).await;
    let stored = stage.stored(&run.run.uid).ok_or(StoryError::Untold("the run was never stored"))?;
    Ok((run.run.uid.clone(), stored))
}

fn checkout(services: &RunningServices) -> String {
    CHECKOUT.replace("PARTICIPANTS", &services.base_url())
}

fn run_manifest(name: &str, quantity: u32) -> String {
    format!(
        "apiVersion: sagas.dev/v1alpha1\nkind: SagaRun\nmetadata:\n  name: {name}\nspec:\n  definitionRef: {{name: checkout}}\n  \
         input: {{sku: teapot, quantity: {quantity}, address: 1 Harbour Street}}\n"
    )
}

pub(super) fn fault(services: &RunningServices, service: &str, mode: FaultMode, times: u32, direction: &str) {
    let fault = Fault { times: Some(times), direction: Some(direction.to_owned()), ..Fault::new(mode) };
    services.faults().set(service, fault);
}

pub(super) fn entries(services: &RunningServices, uid: &str) -> Vec<Entry> {
    let all = services.ledger().entries();
    all.into_iter().filter(|entry| entry.call.run_uid.as_deref() == Some(uid)).collect()
}

pub(super) fn of_step(services: &RunningServices, uid: &str, step: &str) -> Vec<Entry> {
    entries(services, uid).into_iter().filter(|entry| entry.call.step.as_deref() == Some(step)).collect()
}

/// Effects that stand, effects that are undone, and whether none was made twice.
pub(super) fn effects(services: &RunningServices, uid: &str) -> (usize, usize, bool) {
    let all: Vec<_> =
        services.ledger().effects().into_iter().filter(|effect| effect.run_uid.as_deref() == Some(uid)).collect();
    let undone = all.iter().filter(|effect| effect.state == EffectState::Undone).count();
    (all.len() - undone, undone, all.iter().all(|effect| effect.times == 1))
}

/// The engine in a process of its own.
fn engine(state: &Path, manifest: &Path) -> Result<Child, StoryError> {
    let child = Command::new(std::env::current_exe()?)
        .args(["--log", "error", "local", "--state"])
        .arg(state)
        .arg(manifest)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    Ok(child)
}

/// Passes on what a child says.
fn relay(child: &mut Child, who: &'static str) -> tokio::task::JoinHandle<()> {
    let output = child.stdout.take();
    tokio::spawn(async move {
        let Some(output) = output else { return };
        let mut lines = BufReader::new(output).lines();
        while let Ok(Some(text)) = lines.next_line().await {
            // The child's own table would only repeat what is said here.
            if text.contains("s  order-") {
                line(&format!("  {who} {text}"));
            }
        }
    })
}

/// A directory that goes with the story.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Result<Self, StoryError> {
        let path = std::env::temp_dir().join(format!("saga-operator-demo-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // It lies in the system's directory for such.
        drop(std::fs::remove_dir_all(&self.0));
    }
}
