//! What the demo claims, and whether it was seen to hold.

use anstyle::{AnsiColor, Style};

use crate::cli::participants::{EffectState, Entry, RunningServices};
use crate::cli::timeline::line;

/// Claims, each checked against the participants' ledger or the state of a run.
#[derive(Debug, Default)]
pub(super) struct Proof {
    claims: Vec<(String, bool)>,
}

impl Proof {
    /// Adds a claim.
    pub(super) fn claim(&mut self, text: &str, holds: bool) {
        self.claims.push((text.to_owned(), holds));
    }

    /// Every claim held, and there was one.
    pub(super) fn holds(&self) -> bool {
        !self.claims.is_empty() && self.claims.iter().all(|(_, holds)| *holds)
    }

    /// Prints the ledger and the claims.
    pub(super) fn print(&self, services: &RunningServices) {
        let bold = Style::new().bold();
        line(&format!("\n{bold}What the participants saw{bold:#}"));
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_header(["RUN", "STEP", "DIRECTION", "ATTEMPT", "FENCE", "ANSWER", "WHAT IT DID"]);
        for entry in services.ledger().entries() {
            table.add_row(row(&entry));
        }
        line(&table.to_string());
        line(&format!("\n{bold}Effects{bold:#}"));
        for effect in services.ledger().effects() {
            let state = match effect.state {
                EffectState::Done => "there",
                EffectState::Confirmed => "final",
                EffectState::Undone => "undone",
            };
            line(&format!("  {:<14} {:<7} made {} time(s)  {}", effect.id, state, effect.times, effect.key));
        }
        line(&format!("\n{bold}What was proved{bold:#}"));
        for (text, holds) in &self.claims {
            let (style, word) = match holds {
                true => (AnsiColor::Green.on_default(), "ok    "),
                false => (AnsiColor::Red.on_default(), "FAILED"),
            };
            line(&format!("  {style}{word}{style:#} {text}"));
        }
    }
}

fn row(entry: &Entry) -> [String; 7] {
    let call = &entry.call;
    let run = call.run.as_deref().and_then(|run| run.split_once('/')).map_or("-", |(_, name)| name);
    let fault = entry.fault.map(|fault| format!(" (fault: {fault:?})").to_lowercase()).unwrap_or_default();
    let did =
        if entry.replay { "the first answer again".to_owned() } else { format!("{:?}", entry.change).to_lowercase() };
    [
        run.to_owned(),
        call.step.clone().unwrap_or_default(),
        call.direction.clone().unwrap_or_default(),
        call.attempt.map(|attempt| attempt.to_string()).unwrap_or_default(),
        call.fence.map(|fence| fence.to_string()).unwrap_or_default(),
        entry.status.to_string(),
        format!("{did}{fault}"),
    ]
}
