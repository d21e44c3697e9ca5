//! Participants that keep P1 to P5 of what the operator asks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use saga_operator::api::run::Direction;
use saga_operator::saga::{Answer, Fence, Intent, Response};
use serde_json::{Value, json};

use super::fate::lock;
use super::manner::Manner;

/// What one call is to suffer, instead of what chance has for it.
#[derive(Clone, Debug)]
pub enum Part {
    Status(u16, Duration),
    Lost(Duration),
    Panic,
    Hang,
}

/// One participant, as it stands for one step of one run.
#[derive(Debug, Default)]
struct Service {
    /// How often the action was done and not undone.
    effects: u32,
    confirmed: bool,
    highest: Fence,
    /// The first final answer to each key.
    finals: BTreeMap<String, u16>,
    /// Keys that are worked on.
    running: BTreeSet<String>,
    /// Keys that were accepted, to be asked for.
    accepted: BTreeSet<String>,
    /// A person took the matter in hand: what actions are told from then on.
    closed: Option<u16>,
}

/// A call that left a process.
#[derive(Clone, Debug, PartialEq)]
pub struct Left {
    pub process: String,
    pub intent: Intent,
}

/// All participants, what was sent to them, and what must not have been.
#[derive(Default)]
pub struct Services {
    services: Mutex<BTreeMap<(String, String), Service>>,
    pub ledger: Mutex<Vec<Left>>,
    pub broken: Mutex<Vec<String>>,
    pub script: Mutex<Vec<Part>>,
    /// A promise that no participant keeps, to see that the oracle finds it.
    pub weakness: Option<Weakness>,
}

/// What goes wrong on purpose, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weakness {
    /// Not P1.
    ForgetsKeys,
    /// Not P3.
    IgnoresFences,
    /// The sender sends again what it has sent.
    SendsTwice,
}

impl Services {
    pub fn weak(weakness: Option<Weakness>) -> Self {
        Self { weakness, ..Self::default() }
    }

    /// How often the action was done and not undone.
    pub fn effects(&self, uid: &str, step: &str) -> u32 {
        self.of(uid, step, |service| service.effects)
    }

    pub fn confirmed(&self, uid: &str, step: &str) -> bool {
        self.of(uid, step, |service| service.confirmed)
    }

    /// Calls of a run, in the order in which they were handed to the sender.
    pub fn calls(&self, uid: &str) -> Vec<Intent> {
        lock(&self.ledger).iter().filter(|left| left.intent.run.uid == uid).map(|left| left.intent.clone()).collect()
    }

    /// All calls, a line for each.
    pub fn story(&self) -> Vec<String> {
        lock(&self.ledger).iter().map(|left| format!("{} {}", left.process, line(&left.intent))).collect()
    }

    /// A person does what a call was to do; nothing comes after it.
    pub fn by_hand(&self, uid: &str, step: &str, direction: Direction) {
        self.of(uid, step, |service| match direction {
            Direction::Forward => (service.effects, service.closed) = (1, Some(200)),
            Direction::Compensate => (service.effects, service.closed) = (0, Some(422)),
            Direction::Confirm => service.confirmed = true,
        });
    }

    /// A person sees to it that an action that had no effect has none later.
    pub fn closed_by_hand(&self, uid: &str, step: &str) {
        self.of(uid, step, |service| service.closed = Some(422));
    }

    /// P2: a key that is worked on is not begun again. What was accepted says where to ask.
    pub fn begin(&self, intent: &Intent) -> Result<(), Answer> {
        let key = intent.key.as_str();
        self.with(intent, |service| {
            if service.running.insert(key.to_owned()) {
                Ok(())
            } else if service.accepted.contains(key) {
                Err(accepted(key, None))
            } else {
                Err(http(409))
            }
        })
    }

    /// Takes a request in, to be worked on later; `Err`: it is answered already.
    pub fn accept(&self, intent: &Intent, retry_after: Option<Duration>) -> Result<Answer, Answer> {
        let key = intent.key.as_str();
        self.with(intent, |service| {
            if let Some(answer) = service.known(intent) {
                service.running.remove(key);
                return Err(answer);
            }
            self.note_fence(service, intent);
            service.accepted.insert(key.to_owned());
            Ok(accepted(key, retry_after))
        })
    }

    /// P1, P3, P4 and P5: check, memory and effect, all at once.
    pub fn commit(&self, intent: &Intent, manner: Manner) -> Answer {
        let key = intent.key.as_str();
        self.with(intent, |service| {
            service.running.remove(key);
            if let Some(answer) = service.known(intent) {
                return answer;
            }
            self.note_fence(service, intent);
            // The answer, and what a repeated key gets.
            let (says, remembered) = match manner {
                Manner::Refuses(status) => {
                    service.finals.insert(key.to_owned(), status);
                    return http(status);
                }
                Manner::Declines(status, retry_after) => return http_after(status, retry_after),
                Manner::Breaks(retry_after) => return http_after(503, retry_after),
                Manner::Does | Manner::Accepts { .. } => (http(200), 200),
                Manner::DoesWithoutOutput => (empty(), 200),
                Manner::DoesAndSays(410) => (http(410), 410),
                Manner::DoesAndSays(status) => (http(status), 200),
                Manner::DoesAndBreaks => (http(500), 200),
            };
            match intent.call.direction {
                Direction::Forward => service.effects += 1,
                Direction::Compensate => service.effects = service.effects.saturating_sub(1),
                Direction::Confirm => service.confirmed = true,
            }
            if self.weakness != Some(Weakness::ForgetsKeys) {
                service.finals.insert(key.to_owned(), remembered);
            }
            says
        })
    }

    /// A look at what was accepted. A refusal is told as 418, which a rule of the definition may know.
    pub fn look(&self, uid: &str, step: &str, key: &str, retry_after: Option<Duration>) -> Answer {
        self.of(uid, step, |service| {
            if service.running.contains(key) {
                return http_after(202, retry_after);
            }
            match service.finals.get(key) {
                Some(200) => http(200),
                Some(_) => http(418),
                None => http(404),
            }
        })
    }

    fn note_fence(&self, service: &mut Service, intent: &Intent) {
        if self.weakness != Some(Weakness::IgnoresFences) {
            service.highest = service.highest.max(intent.fence);
        }
    }

    fn with<T>(&self, intent: &Intent, work: impl FnOnce(&mut Service) -> T) -> T {
        self.of(&intent.run.uid, &intent.step, work)
    }

    fn of<T>(&self, uid: &str, step: &str, work: impl FnOnce(&mut Service) -> T) -> T {
        work(lock(&self.services).entry((uid.to_owned(), step.to_owned())).or_default())
    }
}

impl Service {
    /// The answer to a request that changes nothing.
    fn known(&self, intent: &Intent) -> Option<Answer> {
        if intent.call.direction == Direction::Forward {
            if intent.fence < self.highest {
                return Some(http(412));
            }
            if let Some(status) = self.closed {
                return Some(http(status));
            }
        }
        self.finals.get(intent.key.as_str()).map(|status| http(*status))
    }
}

pub fn line(intent: &Intent) -> String {
    format!("{} attempt {} fence {}", intent.key.as_str(), intent.attempt, intent.fence)
}

pub fn http(status: u16) -> Answer {
    http_after(status, None)
}

fn http_after(status: u16, retry_after: Option<Duration>) -> Answer {
    let body = if status == 200 { json!({"id": "x-1"}) } else { Value::Null };
    Answer::Response(Response { status, headers: BTreeMap::new(), body, retry_after })
}

fn empty() -> Answer {
    Answer::Response(Response { status: 200, headers: BTreeMap::new(), body: json!({}), retry_after: None })
}

fn accepted(key: &str, retry_after: Option<Duration>) -> Answer {
    let headers = BTreeMap::from([("location".to_owned(), format!("/operations/{key}"))]);
    Answer::Response(Response { status: 202, headers, body: Value::Null, retry_after })
}

/// What came back, in a word.
pub fn answer_told(answer: &Answer) -> String {
    match answer {
        Answer::Response(response) => {
            let place = response.headers.get("location").map(|place| format!(", to be asked at {place}"));
            let after = response.retry_after.map(|after| format!(", again after {after:?}"));
            format!("HTTP {}{}{}", response.status, place.unwrap_or_default(), after.unwrap_or_default())
        }
        Answer::Lost { reason, .. } => format!("no answer ({reason})"),
        Answer::NotSent { reason, .. } => format!("not sent ({reason})"),
    }
}
