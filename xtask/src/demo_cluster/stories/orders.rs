//! What the examples of `examples/checkout` do not show: the point of no return, holds that are confirmed or cancelled,
//! and compensations that need a person. Told with the definitions of `saga-operator demo`.

use serde_json::{Value, json};

use super::{DemoError, NAMESPACE, Proof, Stage, reason, title, uid};
use crate::demo_cluster::actors::{ActorError, Ledger};
use crate::paths;

const DEFINITIONS: &str = "src/cli/demo/orders.yaml";

/// All of them.
pub(super) fn tell(stage: &Stage, proof: &mut Proof) -> Result<(), DemoError> {
    let text = std::fs::read_to_string(paths::workspace().join(DEFINITIONS)).map_err(ActorError::Io)?;
    stage.kubectl.apply(&text.replace("PARTICIPANTS", &stage.participants.base_url()), DEFINITIONS)?;
    let ready = ["--for=condition=Ready", "sagadefinition", "--all", "-n", NAMESPACE, "--timeout=60s"];
    stage.kubectl.run(&[&["wait"], &ready[..]].concat())?;
    forward(stage, proof)?;
    confirmed_or_cancelled(stage, proof)?;
    by_hand(stage, proof)
}

fn forward(stage: &Stage, proof: &mut Proof) -> Result<(), DemoError> {
    title("5. The point of no return", "The shipping is down after the payment: nothing is undone, it is asked again.");
    stage.participants.fault("shipping", "down", 3, "forward")?;
    let (run, ledger) = stage.order("order-1006", "prepaid", 2, "1 Harbour Street")?;
    let shipments = ledger.of_step("bookShipment");
    proof.claim("order-1006 Succeeded although its last step failed three times behind the Pivot", {
        reason(&run) == "Succeeded" && shipments.len() == 4
    });
    proof.claim("order-1006 undid nothing and gave the shipment as its output", {
        let shipment = &run["status"]["outputs"]["shipment"];
        ledger.standing() == (3, true) && shipment.is_string() && *shipment == shipments[3]["effectId"]
    });
    Ok(())
}

fn confirmed_or_cancelled(stage: &Stage, proof: &mut Proof) -> Result<(), DemoError> {
    title(
        "6. Try, then confirm or cancel",
        "Stock and money are held side by side, and taken when the shipment is booked.",
    );
    let (run, ledger) = stage.order("order-1007", "held", 2, "1 Harbour Street")?;
    let confirmed = ledger.effects.iter().filter(|effect| effect["state"] == "confirmed").count();
    let position = |change: &str, of: &Ledger| of.entries.iter().rposition(|entry| entry["change"] == change);
    proof.claim("order-1007 Succeeded; what it held was confirmed only after every step was done", {
        reason(&run) == "Succeeded" && confirmed == 2 && position("done", &ledger) < position("confirmed", &ledger)
    });
    let (run, ledger) = stage.order("order-1008", "held", 2, "nowhere")?;
    proof.claim("order-1008 ended Compensated, no confirm was sent, and no effect is left", {
        let confirms = ledger.entries.iter().any(|entry| entry["direction"] == "confirm");
        reason(&run) == "Compensated" && !confirms && ledger.standing() == (0, true)
    });
    Ok(())
}

fn by_hand(stage: &Stage, proof: &mut Proof) -> Result<(), DemoError> {
    title("7. A compensation that needs a person", "The payment is declined, and nobody takes anything back.");
    // Two attempts each, as the definition says.
    stage.participants.fault("shipping", "reject", 2, "compensate")?;
    stage.participants.fault("inventory", "down", 2, "compensate")?;
    let name = "order-1009";
    stage.submit_order(name, "impatient", 80, "1 Harbour Street")?;
    stage.stalled(name, "bookShipment")?;
    let retry = decision("1", "bookShipment", "Retry");
    stage.decide(name, &[&retry])?;
    stage.stalled(name, "reserveStock")?;
    stage.decide(name, &[&retry, &decision("2", "reserveStock", "MarkSucceeded")])?;
    let run = stage.ended(name)?;
    let ledger = stage.participants.ledger(&uid(&run))?;
    proof.claim("order-1009 stalled twice and ended CompensatedByHand, as two persons' words decided", {
        let judged: Vec<&Value> =
            run["status"]["interventions"].as_array().into_iter().flatten().map(|judged| &judged["outcome"]).collect();
        reason(&run) == "CompensatedByHand" && judged == ["Applied", "Applied"]
    });
    proof.claim("the cancellation that was asked for again came under the next key, and was made", {
        let last = ledger.of_step("bookShipment").pop();
        let key = last.and_then(|entry| entry["key"].as_str()).unwrap_or_default();
        key.ends_with("/bookShipment/compensate/2") && ledger.undone() == ["bookShipment"]
    });
    Ok(())
}

fn decision(id: &str, step: &str, action: &str) -> Value {
    json!({
        "id": id, "step": step, "direction": "Compensate", "action": action,
        "reason": "looked at the participant", "requestedBy": "demo",
    })
}

impl Stage {
    fn submit_order(&self, name: &str, definition: &str, quantity: u32, address: &str) -> Result<(), DemoError> {
        let input = json!({"sku": "teapot", "quantity": quantity, "address": address});
        let run = json!({
            "apiVersion": "sagas.dev/v1alpha1", "kind": "SagaRun", "metadata": {"name": name},
            "spec": {"definitionRef": {"name": definition}, "input": input},
        });
        Ok(self.kubectl.apply(&run.to_string(), &format!("- # {name}, a run of {definition}"))?)
    }

    /// Orders, waits for the end, and returns the run with what the participants saw.
    fn order(&self, name: &str, definition: &str, quantity: u32, address: &str) -> Result<(Value, Ledger), DemoError> {
        self.submit_order(name, definition, quantity, address)?;
        let run = self.ended(name)?;
        let ledger = self.participants.ledger(&uid(&run))?;
        Ok((run, ledger))
    }

    /// Waits until the compensation of a step needs a person.
    fn stalled(&self, name: &str, step: &str) -> Result<(), DemoError> {
        self.until(&format!("the compensation of {step} of {name} is stalled"), |stage| {
            let run = stage.kubectl.sagarun(name)?;
            let steps = run["status"]["steps"].as_array().cloned().unwrap_or_default();
            let stalled = |known: &Value| known["name"] == step && known["compensation"]["state"] == "Stalled";
            Ok(steps.iter().any(stalled).then_some(()))
        })
    }

    /// Says what is to be done about stalled calls.
    fn decide(&self, name: &str, decisions: &[&Value]) -> Result<(), DemoError> {
        let patch = json!({"spec": {"interventions": decisions}}).to_string();
        Ok(self.kubectl.show(&["patch", "sagarun", name, "-n", NAMESPACE, "--type=merge", "-p", &patch], "")?)
    }
}
