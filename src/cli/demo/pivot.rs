//! The story of the point of no return.

use super::proof::Proof;
use super::story::{Order, StoryError, effects, fault, of_step, tell, title};
use crate::cli::participants::{FaultMode, RunningServices};
use crate::saga::End;

/// A failure behind the Pivot: the run goes forward all the same.
pub(super) async fn forward(services: &RunningServices, proof: &mut Proof) -> Result<(), StoryError> {
    title(
        "5. The point of no return",
        "The payment decides. When the shipping is down behind it, nothing is undone: it is asked until it succeeds.",
    );
    fault(services, "shipping", FaultMode::Down, 3, "forward");
    let (uid, stored) = tell(services, Order { name: "order-5", definition: "prepaid", ..Order::default() }).await?;
    let shipments = of_step(services, &uid, "bookShipment");
    let failed = shipments.iter().take_while(|entry| entry.status == 503).count();
    proof.claim("order-5 Succeeded although its last step failed three times behind the Pivot", {
        stored.end == Some(End::Succeeded) && failed == 3 && shipments.len() == 4
    });
    proof.claim("order-5 undid nothing and gave the shipment as its output", {
        let shipment = shipments.last().and_then(|entry| entry.effect_id.clone());
        let output = stored.outputs.get("shipment").and_then(|output| output.as_str().map(str::to_owned));
        effects(services, &uid) == (3, 0, true) && shipment.is_some() && output == shipment
    });
    Ok(())
}
