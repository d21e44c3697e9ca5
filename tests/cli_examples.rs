//! The examples of branches, the Pivot, confirms, polling and people do what their READMEs say, run by `local` against
//! the participants that they name.
#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "cli_local/support.rs"]
mod support;

use std::collections::BTreeSet;

use saga_operator::cli::participants::{
    Change, DemoServices, Effect, EffectState, Entry, Fault, FaultMode, RunningServices,
};
use support::{Desk, Said, local};

/// The services, and a place for copies of an example.
struct Stage {
    services: RunningServices,
    desk: Desk,
    folder: &'static str,
}

impl Stage {
    async fn of(folder: &'static str) -> Self {
        let services = DemoServices::new().start("127.0.0.1:0".parse().unwrap()).await.unwrap();
        Self { services, desk: Desk::new(), folder }
    }

    fn manifests(&self, run: &str) -> Vec<String> {
        self.desk.example(self.folder, &["definition.yaml", run], self.services.address().port())
    }

    async fn run(&self, run: &str) -> Said {
        let manifests = self.manifests(run);
        local(&manifests.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    fn fault(&self, service: &str, fault: Fault) {
        self.services.faults().set(service, fault);
    }

    fn entries(&self) -> Vec<Entry> {
        self.services.ledger().entries()
    }

    /// The entries of a step, by what they changed.
    fn changes(&self, step: &str) -> Vec<Change> {
        let entries = self.entries();
        entries.iter().filter(|entry| entry.call.step.as_deref() == Some(step)).map(|entry| entry.change).collect()
    }

    fn number(&self, step: &str, change: Change) -> u64 {
        let entries = self.entries();
        let found = entries.iter().find(|entry| entry.call.step.as_deref() == Some(step) && entry.change == change);
        found.unwrap().number
    }

    /// How the effects stand; each was made once.
    fn effects(&self) -> Vec<(String, EffectState)> {
        let effects = self.services.ledger().effects();
        assert!(effects.iter().all(|effect| effect.times == 1), "{effects:?}");
        effects.into_iter().map(|Effect { step, state, .. }| (step.unwrap(), state)).collect()
    }

    fn all_effects_are(&self, wanted: EffectState, steps: &[&str]) {
        let found: BTreeSet<_> = self.effects().into_iter().map(|(step, _)| step).collect();
        assert_eq!(found, steps.iter().map(|step| (*step).to_owned()).collect());
        assert!(self.effects().iter().all(|(_, state)| *state == wanted), "{:?}", self.effects());
    }
}

fn ended(said: &Said, code: i32, reason: &str) {
    assert_eq!(said.code, Some(code), "{}{}", said.out, said.err);
    // `RUN SUCCEEDED REASON ...`; the outputs of the run stand below it.
    let row =
        said.out.lines().find(|line| matches!(line.split_whitespace().nth(1), Some("True" | "False" | "Unknown")));
    assert_eq!(row.and_then(|row| row.split_whitespace().nth(2)), Some(reason), "{}", said.out);
}

const TRIP: [&str; 5] = ["bookSeats", "bookTransfer", "payFare", "sendTicket", "tellDriver"];

#[tokio::test]
async fn a_trip_goes_through_and_pays_when_both_branches_are_done() {
    let stage = Stage::of("trip").await;
    ended(&stage.run("run.yaml").await, 0, "Succeeded");
    stage.all_effects_are(EffectState::Done, &TRIP);
    let done = |step| stage.number(step, Change::Done);
    assert!(done("bookSeats").max(done("bookTransfer")) < done("payFare"));
    assert!(done("payFare") < done("sendTicket").min(done("tellDriver")));
}

#[tokio::test]
async fn a_trip_whose_pivot_is_refused_is_undone_in_both_branches() {
    let stage = Stage::of("trip").await;
    ended(&stage.run("run-declined.yaml").await, 1, "Compensated");
    stage.all_effects_are(EffectState::Undone, &["bookSeats", "bookTransfer"]);
    assert_eq!(stage.changes("payFare"), [Change::None]);
}

#[tokio::test]
async fn a_trip_with_a_refused_branch_never_asks_for_the_money() {
    let stage = Stage::of("trip").await;
    ended(&stage.run("run-no-transfer.yaml").await, 1, "Compensated");
    assert!(stage.effects().iter().all(|(_, state)| *state == EffectState::Undone), "{:?}", stage.effects());
    assert_eq!(stage.changes("payFare"), []);
}

#[tokio::test]
async fn a_trip_goes_forward_whatever_fails_after_the_pivot() {
    let stage = Stage::of("trip").await;
    stage.fault("notification", Fault { times: Some(6), ..Fault::new(FaultMode::Down) });
    ended(&stage.run("run.yaml").await, 0, "Succeeded");
    stage.all_effects_are(EffectState::Done, &TRIP);
    assert_eq!(stage.changes("sendTicket").len() + stage.changes("tellDriver").len(), 2 + 6);
}

#[tokio::test]
async fn a_trip_whose_pivot_is_in_doubt_asks_again_and_pays_once() {
    let stage = Stage::of("trip").await;
    let manifests = stage.manifests("run.yaml");
    let charge = "/payment/charges\n";
    let text = std::fs::read_to_string(&manifests[0]).unwrap();
    assert_eq!(text.matches(charge).count(), 1);
    let sooner =
        stage.desk.file("sooner.yaml", &text.replace(charge, &format!("{charge}          timeoutSeconds: 1\n")));
    stage.fault("payment", Fault { times: Some(1), ..Fault::new(FaultMode::Hang) });
    ended(&local(&[&sooner, &manifests[1]]).await, 0, "Succeeded");
    stage.all_effects_are(EffectState::Done, &TRIP);
    assert_eq!(stage.changes("payFare"), [Change::Done, Change::None], "the second was the first answer again");
}

#[tokio::test]
async fn what_is_tried_is_confirmed_when_everything_was_tried() {
    let stage = Stage::of("try-confirm").await;
    stage.fault(
        "payment",
        Fault { times: Some(4), direction: Some("confirm".to_owned()), ..Fault::new(FaultMode::Down) },
    );
    ended(&stage.run("run.yaml").await, 0, "Succeeded");
    stage.all_effects_are(EffectState::Confirmed, &["reserveStock", "authorise"]);
    let last_try = stage.number("reserveStock", Change::Done).max(stage.number("authorise", Change::Done));
    let first_confirm =
        stage.number("reserveStock", Change::Confirmed).min(stage.number("authorise", Change::Confirmed));
    assert!(last_try < first_confirm);
    assert_eq!(stage.changes("authorise").len(), 1 + 5);
}

#[tokio::test]
async fn what_is_tried_is_cancelled_when_something_is_refused() {
    let stage = Stage::of("try-confirm").await;
    ended(&stage.run("run-declined.yaml").await, 1, "Compensated");
    assert!(stage.effects().iter().all(|(_, state)| *state == EffectState::Undone), "{:?}", stage.effects());
    assert!(!stage.entries().iter().any(|entry| entry.change == Change::Confirmed));
}

/// As in the README, for less time.
fn takes(milliseconds: u64) -> Fault {
    let direction = Some("forward".to_owned());
    Fault { milliseconds: Some(milliseconds), direction, ..Fault::new(FaultMode::Async) }
}

#[tokio::test]
async fn work_that_takes_long_is_asked_for_until_it_is_done() {
    let stage = Stage::of("async").await;
    ended(&stage.run("run.yaml").await, 0, "Succeeded");
    assert_eq!(stage.changes("packParcel"), [Change::Done], "who answers at once is not asked again");

    let stage = Stage::of("async").await;
    stage.fault("shipping", takes(2_500));
    ended(&stage.run("run.yaml").await, 0, "Succeeded");
    stage.all_effects_are(EffectState::Done, &["reserveStock", "packParcel"]);
    let entries = stage.entries();
    let polls = entries.iter().filter(|entry| entry.call.path.starts_with("/operations/") && !entry.finish).count();
    assert!(polls >= 2, "{entries:?}");
    let packing = entries.iter().filter(|entry| entry.call.path == "/shipping/shipments" && !entry.finish);
    assert_eq!(packing.map(|entry| entry.status).collect::<Vec<_>>(), [202], "the work is begun once");
}

#[tokio::test]
async fn work_that_takes_too_long_is_undone_when_it_is_done() {
    let stage = Stage::of("async").await;
    stage.fault("shipping", takes(5_000));
    let said = stage.run("run-impatient.yaml").await;
    ended(&said, 1, "Compensated");
    assert!(said.out.contains("DeadlineExceeded"), "{}", said.out);
    stage.all_effects_are(EffectState::Undone, &["reserveStock", "packParcel"]);
    assert!(stage.number("packParcel", Change::Done) < stage.number("packParcel", Change::Undone));
}

/// The run of `interventions`, with a decision in its manifest.
fn decided(manifest: &str, action: &str) -> String {
    let text = std::fs::read_to_string(manifest).unwrap();
    format!(
        "{text}  interventions:\n    - id: inc-17-1\n      step: reserveStock\n      direction: Compensate\n      action: \
         {action}\n      reason: \"INC-17: decided\"\n      requestedBy: alice@example.com\n"
    )
}

async fn stalled_then(action: &str) -> (Stage, Said) {
    let stage = Stage::of("interventions").await;
    let down = Fault { direction: Some("compensate".to_owned()), ..Fault::new(FaultMode::Down) };
    stage.fault("inventory", down);
    let (manifests, state) = (stage.manifests("run.yaml"), stage.desk.path("fragile.redb"));
    let said = local(&["--state", &state, &manifests[0], &manifests[1]]).await;
    ended(&said, 1, "CompensationExhausted");
    stage.services.faults().clear("inventory");
    let decision = stage.desk.file("decided.yaml", &decided(&manifests[1], action));
    let said = local(&["--state", &state, &decision]).await;
    (stage, said)
}

#[tokio::test]
async fn a_stalled_compensation_goes_on_when_a_person_asks_for_it() {
    let (stage, said) = stalled_then("Retry").await;
    ended(&said, 1, "Compensated");
    stage.all_effects_are(EffectState::Undone, &["reserveStock"]);
}

#[tokio::test]
async fn a_stalled_compensation_that_was_done_by_hand_is_not_sent_again() {
    let (stage, said) = stalled_then("MarkSucceeded").await;
    ended(&said, 1, "CompensatedByHand");
    let releases: Vec<Entry> =
        stage.entries().into_iter().filter(|entry| entry.call.path == "/inventory/releases").collect();
    assert!(releases.len() == 2 && releases.iter().all(|entry| entry.status == 503), "{releases:?}");
}
