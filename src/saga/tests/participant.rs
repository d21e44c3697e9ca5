//! A participant that keeps P1 to P5 of semantics.md, and is otherwise as unpleasant as chance has it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::fixtures::{http, http_after};
use crate::api::run::Direction;
use crate::saga::{Answer, Fence, Intent};

/// Who serves one step.
#[derive(Debug, Default)]
pub struct Participant {
    effect: bool,
    highest: Fence,
    final_answers: BTreeMap<String, bool>,
}

impl Participant {
    /// Whether the effect of the step stands.
    pub fn effect(&self) -> bool {
        self.effect
    }

    /// Serves a request; `choice` below 20 says how, zero well.
    pub fn serve(&mut self, intent: &Intent, choice: u16) -> Answer {
        let key = intent.key.as_str();
        let forward = intent.call.direction == Direction::Forward;
        if forward && intent.fence < self.highest {
            return http(412, Value::Null);
        }
        self.highest = self.highest.max(intent.fence);
        match self.final_answers.get(key) {
            Some(true) => return http(200, json!({"id": "again"})),
            Some(false) => return http(422, Value::Null),
            None => {}
        }
        match choice {
            // Without effect, and not remembered.
            1 => return http(500, Value::Null),
            2 => return http(429, Value::Null),
            3 => return http_after(409, 3),
            4 => return http_after(503, 9),
            // A refusal that is remembered. A compensation is refused for now only.
            5 => {
                if forward {
                    self.final_answers.insert(key.to_owned(), false);
                }
                return http(422, Value::Null);
            }
            0 | 6.. => {}
        }
        self.effect = forward;
        self.final_answers.insert(key.to_owned(), true);
        match choice {
            6 => http(500, Value::Null),
            7 => http(307, Value::Null),
            8 => http(202, Value::Null),
            9 => http(200, json!({})),
            10 => http(200, json!({"id": "x".repeat(2000)})),
            0..=5 | 11.. => http(200, json!({"id": "x-1"})),
        }
    }
}
