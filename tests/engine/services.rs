//! Participants that keep P1 to P5 of what the operator asks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use saga_operator::api::run::Direction;
use saga_operator::saga::{Answer, Fence, Intent, Response};
use serde_json::{Value, json};

use super::fate::{Fate, Source, lock};
use super::process::Process;
use super::store::Store;

/// What one call is to suffer, instead of what chance has for it.
#[derive(Clone, Debug)]
pub enum Part {
    Status(u16, Duration),
    Lost(Duration),
    Panic,
    Hang,
}

/// What a participant does with a request that it takes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Does it and says so.
    Does,
    /// Refuses for good, without effect.
    Refuses(u16),
    /// Has no time now, without effect.
    Declines(u16, Option<Duration>),
    /// Breaks before the effect.
    Breaks(Option<Duration>),
    /// Breaks after the effect.
    DoesAndBreaks,
    /// Does it, and says something that the operator cannot use.
    DoesAndSays(u16),
    /// Does it, and answers without what the definition wants to pick.
    DoesWithoutOutput,
}

/// One participant, as it stands for one step of one run.
#[derive(Debug, Default)]
struct Service {
    effect: bool,
    highest: Fence,
    /// The first final answer to each key.
    finals: BTreeMap<String, u16>,
    running: BTreeSet<String>,
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
}

impl Services {
    pub fn effect(&self, uid: &str, step: &str) -> bool {
        lock(&self.services).get(&(uid.to_owned(), step.to_owned())).is_some_and(|service| service.effect)
    }

    /// Calls of a run, in the order in which they were handed to the sender.
    pub fn calls(&self, uid: &str) -> Vec<Intent> {
        lock(&self.ledger).iter().filter(|left| left.intent.run.uid == uid).map(|left| left.intent.clone()).collect()
    }

    /// All calls, a line for each.
    pub fn story(&self) -> Vec<String> {
        lock(&self.ledger).iter().map(|left| format!("{} {}", left.process, line(&left.intent))).collect()
    }

    fn with<T>(&self, intent: &Intent, work: impl FnOnce(&mut Service) -> T) -> T {
        let mut services = lock(&self.services);
        work(services.entry((intent.run.uid.clone(), intent.step.to_string())).or_default())
    }

    /// P2: the same key is refused while it is worked on.
    pub fn begin(&self, intent: &Intent) -> bool {
        self.with(intent, |service| service.running.insert(intent.key.as_str().to_owned()))
    }

    /// P1, P3, P4 and P5: check, memory and effect, all at once.
    pub fn commit(&self, intent: &Intent, manner: Manner) -> Answer {
        let forward = intent.call.direction == Direction::Forward;
        self.with(intent, |service| {
            service.running.remove(intent.key.as_str());
            if forward && intent.fence < service.highest {
                return http(412);
            }
            service.highest = service.highest.max(intent.fence);
            if let Some(status) = service.finals.get(intent.key.as_str()) {
                return http(*status);
            }
            // The answer, and what a repeated key gets.
            let (says, remembered) = match manner {
                Manner::Refuses(status) => {
                    service.finals.insert(intent.key.as_str().to_owned(), status);
                    return http(status);
                }
                Manner::Declines(status, retry_after) => return http_after(status, retry_after),
                Manner::Breaks(retry_after) => return http_after(503, retry_after),
                Manner::Does => (http(200), 200),
                Manner::DoesWithoutOutput => (empty(), 200),
                Manner::DoesAndSays(410) => (http(410), 410),
                Manner::DoesAndSays(status) => (http(status), 200),
                Manner::DoesAndBreaks => (http(500), 200),
            };
            service.effect = forward;
            service.finals.insert(intent.key.as_str().to_owned(), remembered);
            says
        })
    }

    /// I1, I3, I5 and I7 where a request leaves.
    pub fn leaves(&self, fate: &Fate, store: &Store, process: &Process, intent: &Intent) {
        fate.tell(|| format!("{} sends {}", process.name, line(intent)));
        let uid = &intent.run.uid;
        let says = |what: &str| {
            lock(&self.broken).push(format!("{what}: {} sends {}", process.name, line(intent)));
        };
        if !store.with_history(uid, |history| {
            let at = history.binary_search_by_key(&intent.fence, |write| write.stored.fence);
            at.is_ok_and(|at| {
                let holder = history[at].stored.holder.as_ref().map_or("", |holder| holder.as_str());
                let own = holder.strip_prefix(&process.name).is_some_and(|rest| rest.starts_with('-'));
                own && history[at].intents.contains(intent)
            })
        }) {
            says("I1: not stored by its sender");
        }
        let mut ledger = lock(&self.ledger);
        let mut of_step = ledger
            .iter()
            .filter(|left| left.intent.run.uid == *uid && left.intent.call.step == intent.call.step)
            .peekable();
        if of_step.peek().is_some() {
            let all: Vec<&Left> = of_step.collect();
            if all.iter().any(|left| (left.intent.fence, left.intent.call) == (intent.fence, intent.call)) {
                says("I1: sent twice");
            }
            if all.iter().any(|left| left.process == process.name && left.intent.fence > intent.fence) {
                says("I5: its sender sent a later decision of the step before");
            }
        }
        let known = lock(&process.known).get(uid).copied().unwrap_or_default();
        if known.turned && intent.call.direction == Direction::Forward {
            says("I3: its sender began or saw the turn");
        }
        if known.ended {
            says("I7: its sender began or saw the end");
        }
        ledger.push(Left { process: process.name.clone(), intent: intent.clone() });
    }
}

impl Manner {
    /// As chance has it: mostly it does it. What a participant may answer to an action it may not always answer to an
    /// undo: that is never refused for good.
    pub fn drawn(fate: &Fate, intent: &Intent) -> Self {
        let forward = intent.call.direction == Direction::Forward;
        let later = || Some(fate.millis(Source::Wire, 8000));
        let manner = match fate.mishap(Source::Wire, 26) {
            1 => Self::Breaks(None),
            2 => Self::Declines(429, None),
            3 => Self::Declines(409, None),
            4 | 5 if forward => return Self::Refuses(422),
            6 | 7 => Self::DoesAndBreaks,
            8 => Self::Breaks(later()),
            9 => Self::Declines(409, later()),
            10 => Self::Declines(429, later()),
            11 if forward => return Self::Refuses(410),
            11 => Self::DoesAndSays(410),
            12 => Self::DoesAndSays(302),
            13 if forward => Self::DoesWithoutOutput,
            14 => Self::DoesAndSays(202),
            15 => Self::Declines(408, None),
            _ => return Self::Does,
        };
        fate.fault(manner.word(), || line(intent));
        manner
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Does => "done",
            Self::Refuses(_) => "refused",
            Self::Declines(..) => "participant has no time",
            Self::Breaks(_) => "participant breaks before the effect",
            Self::DoesAndBreaks => "participant breaks after the effect",
            Self::DoesAndSays(_) => "participant does it and says something else",
            Self::DoesWithoutOutput => "participant answers without the output",
        }
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

/// What came back, in a word.
pub fn answer_told(answer: &Answer) -> String {
    match answer {
        Answer::Response(response) => match response.retry_after {
            Some(after) => format!("HTTP {}, again after {after:?}", response.status),
            None => format!("HTTP {}", response.status),
        },
        Answer::Lost { reason, .. } => format!("no answer ({reason})"),
        Answer::NotSent { reason, .. } => format!("not sent ({reason})"),
    }
}
