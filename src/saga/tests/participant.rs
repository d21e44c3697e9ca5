//! A participant that keeps P1 to P5 of semantics.md, and is otherwise as unpleasant as chance has it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::fixtures::{accepted, http, http_after, lost};
use crate::api::run::Direction;
use crate::saga::{Answer, Fence, Intent, Polling};

/// Who serves one step.
#[derive(Debug, Default)]
pub struct Participant {
    effect: bool,
    confirmed: bool,
    highest: Fence,
    final_answers: BTreeMap<String, bool>,
    /// Work that goes on, by its place.
    jobs: BTreeMap<String, (String, Direction)>,
}

impl Participant {
    /// Whether the effect of the step stands.
    pub fn effect(&self) -> bool {
        self.effect
    }

    /// Whether it is final.
    pub fn confirmed(&self) -> bool {
        self.confirmed
    }

    /// Serves a request; `choice` below 24 says how, zero well.
    pub fn serve(&mut self, intent: &Intent, choice: u16) -> Answer {
        let (key, direction) = (intent.key.as_str(), intent.call.direction);
        let forward = direction == Direction::Forward;
        if forward && intent.fence < self.highest {
            return http(412, Value::Null);
        }
        self.highest = self.highest.max(intent.fence);
        match self.final_answers.get(key) {
            Some(true) => return http(200, json!({"id": "again"})),
            Some(false) => return http(422, Value::Null),
            None => {}
        }
        if let Some((place, _)) = self.jobs.iter().find(|(_, (of, _))| of == key) {
            return accepted(place);
        }
        match choice {
            // Without effect, and not remembered.
            1 => return http(500, Value::Null),
            2 => return http(429, Value::Null),
            3 => return http_after(409, 3),
            4 => return http_after(503, 9),
            // A refusal that is remembered. What must succeed in the end is refused for now only.
            5 => {
                if forward {
                    self.final_answers.insert(key.to_owned(), false);
                }
                return http(422, Value::Null);
            }
            6..=8 => {
                if direction == Direction::Compensate {
                    self.jobs.retain(|_, (_, of)| *of != Direction::Forward);
                }
                let place = format!("/jobs/{}/{}", direction.as_str(), intent.fence);
                self.jobs.insert(place.clone(), (key.to_owned(), direction));
                return accepted(&place);
            }
            0 | 9.. => {}
        }
        self.perform(key.to_owned(), direction);
        match choice {
            9 => http(500, Value::Null),
            10 => http(307, Value::Null),
            11 => http(202, Value::Null),
            12 => http(200, json!({})),
            13 => http(200, json!({"id": "x".repeat(2000)})),
            0..=8 | 14.. => http(200, json!({"id": "x-1"})),
        }
    }

    /// Tells of work that goes on; `choice` below 12 says what.
    pub fn look(&mut self, polling: &Polling, choice: u16) -> Answer {
        let Some(place) = self.jobs.keys().find(|place| polling.url.ends_with(place.as_str())).cloned() else {
            return http(404, Value::Null);
        };
        match choice {
            1 => http(202, Value::Null),
            2 => http_after(202, 7),
            3 => http(404, Value::Null),
            4 => http(500, Value::Null),
            5 => lost(),
            0 | 6.. => {
                let (key, direction) = self.jobs.remove(&place).unwrap();
                self.perform(key, direction);
                // The answer may be lost after the work is done: the next look finds nothing there.
                if choice == 6 { lost() } else { http(200, json!({"id": "x-1"})) }
            }
        }
    }

    fn perform(&mut self, key: String, direction: Direction) {
        match direction {
            Direction::Forward => self.effect = true,
            Direction::Confirm => {
                assert!(self.effect, "confirmed without having been tried");
                self.confirmed = true;
            }
            Direction::Compensate => {
                assert!(!self.confirmed, "compensated after it was made final");
                self.effect = false;
                self.jobs.retain(|_, (_, of)| *of != Direction::Forward);
            }
        }
        self.final_answers.insert(key, true);
    }
}
