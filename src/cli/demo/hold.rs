//! The story of things that are held first, and taken or let go together (Try-Confirm/Cancel).

use super::proof::Proof;
use super::story::{Order, StoryError, effects, entries, tell, title};
use crate::cli::participants::{Change, EffectState, RunningServices};
use crate::saga::End;

/// Tried and confirmed, then tried and cancelled.
pub(super) async fn try_confirm_cancel(services: &RunningServices, proof: &mut Proof) -> Result<(), StoryError> {
    title(
        "6. Try, then confirm or cancel",
        "Stock and money are held side by side. When the shipment is booked both are taken for good.",
    );
    let held = Order { definition: "held", ..Order::default() };
    let (uid, stored) = tell(services, Order { name: "order-6", ..held }).await?;
    let seen = entries(services, &uid);
    let confirmed = seen.iter().filter(|entry| entry.change == Change::Confirmed).count();
    let last_done = seen.iter().rposition(|entry| entry.change == Change::Done);
    let first_confirmed = seen.iter().position(|entry| entry.change == Change::Confirmed);
    proof.claim("order-6 Succeeded; stock and money were confirmed only after every step was done", {
        stored.end == Some(End::Succeeded) && confirmed == 2 && last_done.is_some() && last_done < first_confirmed
    });
    proof.claim("order-6 holds nothing any more: what it held is final", {
        let mut of_run = services.ledger().net_effects(&uid);
        of_run.retain(|effect| effect.step.as_deref() != Some("bookShipment"));
        of_run.len() == 2 && of_run.iter().all(|effect| effect.state == EffectState::Confirmed)
    });

    title(
        "",
        "Nobody can be found at the next address: both holds are cancelled, and nothing was ever taken for good.",
    );
    let (uid, stored) = tell(services, Order { name: "order-7", address: "nowhere", ..held }).await?;
    let seen = entries(services, &uid);
    proof.claim("order-7 ended Compensated, no confirm was sent, and no effect is left", {
        stored.end == Some(End::Compensated)
            && !seen.iter().any(|entry| entry.call.direction.as_deref() == Some("confirm"))
            && effects(services, &uid) == (0, 2, true)
    });
    Ok(())
}
