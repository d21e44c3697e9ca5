//! What the demo claims, and whether it was seen to hold.

use super::actors::{ActorError, Participants};

/// Claims, each checked against the participants' ledger or a run's status.
#[derive(Debug, Default)]
pub(crate) struct Proof(Vec<(String, bool)>);

impl Proof {
    pub(crate) fn claim(&mut self, text: &str, holds: bool) {
        self.0.push((text.to_owned(), holds));
    }

    /// Every claim held, and there was one.
    pub(crate) fn holds(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|(_, holds)| *holds)
    }

    pub(crate) fn print(&self, participants: &Participants) -> Result<(), ActorError> {
        println!("\nWhat the participants saw\n{}", participants.ledger_text()?);
        println!("What was proved");
        for (text, holds) in &self.0 {
            println!("  {} {text}", if *holds { "ok    " } else { "FAILED" });
        }
        Ok(())
    }
}
