//! The participant of one step, as far as it keeps its promises.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use saga_operator::api::run::Direction;
use saga_operator::saga::{Answer, Fence, IdempotencyKey, Intent, Response};
use serde_json::{Value, json};

use super::scenario::{Null, Scenario};

/// What may go wrong at a participant that does not keep its promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Anomaly {
    /// A call took effect twice.
    Duplicate,
    /// An action took effect after its compensation.
    Hanging,
    /// A compensation of something that was never done is refused.
    NullRefused,
    /// A compensation took something away that was never given.
    Harm,
}

/// Who serves one step.
#[derive(Clone, Default)]
pub struct Service {
    /// How often the action took effect, less how often it was undone.
    pub effect: i8,
    pub highest: Fence,
    /// The final answers given.
    pub given: BTreeMap<String, u16>,
    /// A compensation was accepted.
    pub undone: bool,
    pub anomalies: BTreeSet<Anomaly>,
}

impl Service {
    /// Does nothing, and says so in a way that proves nothing.
    pub fn error() -> Answer {
        answer(500)
    }

    /// Serves a request at a time.
    pub fn serve(&mut self, scenario: &Scenario, intent: &Intent, now: Timestamp) -> Answer {
        let keeps = &scenario.keeps;
        if keeps.punctual && now >= intent.deadline {
            return answer(503);
        }
        if keeps.remembers
            && let Some(status) = self.given.get(intent.key.as_str())
        {
            return answer(*status);
        }
        let status = match intent.call.direction {
            Direction::Forward if keeps.fences && intent.fence < self.highest => return answer(409),
            Direction::Forward if scenario.refuses == Some(intent.call.step) => 422,
            Direction::Forward => self.take(),
            Direction::Compensate => self.undo(keeps.null),
        };
        self.highest = self.highest.max(intent.fence);
        if keeps.remembers && status != 404 {
            self.given.insert(intent.key.as_str().to_owned(), status);
        }
        if keeps.bars && intent.call.direction == Direction::Compensate {
            let action = IdempotencyKey::new(&intent.run.uid, &intent.step, Direction::Forward, 1);
            self.given.entry(action.as_str().to_owned()).or_insert(410);
        }
        answer(status)
    }

    fn take(&mut self) -> u16 {
        if self.effect > 0 {
            self.anomalies.insert(Anomaly::Duplicate);
        }
        if self.undone {
            self.anomalies.insert(Anomaly::Hanging);
        }
        self.effect += 1;
        200
    }

    fn undo(&mut self, null: Null) -> u16 {
        if self.effect <= 0 {
            match null {
                Null::Accepted => {}
                Null::Refused => {
                    self.anomalies.insert(Anomaly::NullRefused);
                    return 404;
                }
                Null::Harmful => {
                    self.anomalies.insert(Anomaly::Harm);
                    self.effect -= 1;
                }
            }
        } else {
            self.effect -= 1;
        }
        self.undone = true;
        200
    }
}

fn answer(status: u16) -> Answer {
    let body = if status == 200 { json!({"id": "x"}) } else { Value::Null };
    Answer::Response(Response { status, headers: BTreeMap::new(), body, retry_after: None })
}
