//! The participant of one step, as far as it keeps its promises.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use saga_operator::api::run::Direction;
use saga_operator::saga::{Answer, Fence, IdempotencyKey, Intent, Response};
use serde_json::Value;

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
    /// Its effect is final.
    pub confirmed: bool,
    /// The key of the action that it works on, and that has no effect yet.
    pub working: Option<String>,
    pub anomalies: BTreeSet<Anomaly>,
}

impl Service {
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
            Direction::Forward if self.working.is_some() => 202,
            Direction::Forward if scenario.works_on == Some(intent.call.step) => {
                self.working = Some(intent.key.as_str().to_owned());
                202
            }
            Direction::Forward => self.take(),
            Direction::Compensate if scenario.stuck == Some(intent.call.step) => 404,
            Direction::Compensate => self.undo(keeps.null),
            Direction::Confirm => {
                self.confirmed = true;
                200
            }
        };
        self.highest = self.highest.max(intent.fence);
        if keeps.remembers && !matches!(status, 202 | 404) {
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

    /// What it works on takes effect.
    pub fn finish(&mut self) {
        if let Some(key) = self.working.take() {
            let status = self.take();
            self.given.insert(key, status);
        }
    }

    /// What a look at the work shows.
    pub fn shown(&self) -> Answer {
        answer(if self.working.is_some() { 202 } else { 200 })
    }

    fn undo(&mut self, null: Null) -> u16 {
        if self.working.take().is_some() {
            // The work is called off before it takes effect.
        } else if self.effect <= 0 {
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

/// An answer with a status, and the place of the work where it goes on.
pub fn answer(status: u16) -> Answer {
    let location = (status == 202).then(|| ("location".to_owned(), "/work".to_owned()));
    Answer::Response(Response { status, headers: location.into_iter().collect(), body: Value::Null, retry_after: None })
}
