//! The story of compensations that cannot be made, and of the person who sees to them.

use super::proof::Proof;
use super::story::{Order, StoryError, fault, of_step, on_stage, title};
use crate::api::Reason;
use crate::api::run::{Direction, Intervention, InterventionAction};
use crate::cli::participants::{EffectState, FaultMode, RunningServices};
use crate::cli::timeline::line;
use crate::saga::{End, Phase, Stored};

/// A compensation is asked for again, and another one is done by hand.
pub(super) async fn decides(services: &RunningServices, proof: &mut Proof) -> Result<(), StoryError> {
    title(
        "7. A compensation that needs a person",
        "The payment is declined, and neither the shipping nor the stock takes anything back. The run stalls, and says so.",
    );
    // Two attempts each, as the definition says: refused, and remembered; broken, and nobody knows what it did.
    fault(services, "shipping", FaultMode::Reject, 2, "compensate");
    fault(services, "inventory", FaultMode::Down, 2, "compensate");
    let order = Order { name: "order-8", definition: "impatient", quantity: 80, ..Order::default() };
    let (stage, mut spec) = (on_stage(services, order).await?, order.spec()?);
    let run = stage.submit(order.name, &spec).await?;
    let uid = run.run.uid.clone();
    let where_it_stands = || stage.stored(&uid).ok_or(StoryError::Untold("the run was never stored"));

    stage.drive(vec![run]).await;
    let first = where_it_stands()?;
    line("           the shipping works again: a person asks for the cancellation once more");
    spec.interventions.push(decision("1", "bookShipment", InterventionAction::Retry));
    stage.drive(vec![stage.submit(order.name, &spec).await?]).await;
    let second = where_it_stands()?;
    line("           the stock does not: a person puts the teapots back on the shelf");
    spec.interventions.push(decision("2", "reserveStock", InterventionAction::MarkSucceeded));
    stage.drive(vec![stage.submit(order.name, &spec).await?]).await;
    let last = where_it_stands()?;

    proof.claim("order-8 stalled twice, and sent nothing meanwhile", {
        stalled(&first) == Some("bookShipment")
            && stalled(&second) == Some("reserveStock")
            && of_step(services, &uid, "reserveStock").len() == 3
    });
    proof.claim("the cancellation that was asked for again came under the next key, and was made", {
        let asked = of_step(services, &uid, "bookShipment");
        let keys: Vec<_> = asked.iter().skip(1).filter_map(|entry| entry.call.key.clone()).collect();
        let again = format!("{uid}/bookShipment/compensate/2");
        keys.len() == 3 && keys[0] == keys[1] && keys[2] == again && {
            let shipment = services.ledger().effects_of_key(&format!("{uid}/bookShipment/forward"));
            shipment.iter().all(|effect| effect.state == EffectState::Undone) && shipment.len() == 1
        }
    });
    proof.claim("order-8 ended CompensatedByHand: for the stock a person's word stands", {
        let record = last.steps.iter().find(|step| step.name == "reserveStock");
        let resolved = record.and_then(|step| step.compensation.as_ref()).map(|call| call.phase);
        last.end == Some(End::CompensatedByHand) && resolved == Some(Phase::Resolved)
    });
    Ok(())
}

fn decision(id: &str, step: &str, action: InterventionAction) -> Intervention {
    Intervention {
        id: id.to_owned(),
        step: step.to_owned(),
        direction: Direction::Compensate,
        action,
        reason: "looked at the participant".to_owned(),
        requested_by: "demo".to_owned(),
    }
}

/// The step whose compensation is used up.
fn stalled(stored: &Stored) -> Option<&str> {
    let (call, record) = stored.stalled()?;
    let compensation = call.direction == Direction::Compensate && record.reason == Some(Reason::CompensationExhausted);
    stored.steps.get(call.step).filter(|_| compensation).map(|step| step.name.as_str())
}
