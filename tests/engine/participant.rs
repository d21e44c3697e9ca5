//! Participants that keep P1 to P5 of what the operator asks, behind a network and a sender that fail.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use saga_operator::api::Reason;
use saga_operator::api::run::Direction;
use saga_operator::clock::Clock;
use saga_operator::journal::Persisted;
use saga_operator::participant::Participant;
use saga_operator::saga::{Answer, Fence, Intent, Polling, Response};
use serde_json::{Value, json};

use super::chance::Chance;
use super::store::{Process, Store};

/// What one call is to suffer, instead of what chance has for it.
#[derive(Clone, Debug)]
pub enum Part {
    Status(u16, Duration),
    Lost(Duration),
    Panic,
    Hang,
}

#[derive(Debug, Default)]
struct Service {
    effect: bool,
    highest: Fence,
    finals: BTreeMap<String, bool>,
}

/// All participants, what was sent to them, and what must not have been.
#[derive(Default)]
pub struct Services {
    services: Mutex<BTreeMap<(String, usize), Service>>,
    pub ledger: Mutex<Vec<(String, Intent)>>,
    pub broken: Mutex<Vec<String>>,
    pub script: Mutex<Vec<Part>>,
}

impl Services {
    pub fn effect(&self, uid: &str, step: usize) -> bool {
        self.services.lock().unwrap().get(&(uid.to_owned(), step)).is_some_and(|service| service.effect)
    }

    /// Calls of a run, in the order in which they were handed to the sender.
    pub fn calls(&self, uid: &str) -> Vec<Intent> {
        let ledger = self.ledger.lock().unwrap();
        ledger.iter().filter(|(_, intent)| intent.run.uid == uid).map(|(_, intent)| intent.clone()).collect()
    }

    /// All calls, a line for each.
    pub fn story(&self) -> Vec<String> {
        let line = |(process, intent): &(String, Intent)| {
            format!(
                "{process} {} {} attempt {} fence {}",
                intent.run.uid,
                intent.key.as_str(),
                intent.attempt,
                intent.fence
            )
        };
        self.ledger.lock().unwrap().iter().map(line).collect()
    }

    fn serve(&self, intent: &Intent, choice: u64) -> Answer {
        let mut services = self.services.lock().unwrap();
        let service = services.entry((intent.run.uid.clone(), intent.call.step)).or_default();
        let forward = intent.call.direction == Direction::Forward;
        if forward && intent.fence < service.highest {
            return http(412);
        }
        service.highest = service.highest.max(intent.fence);
        match service.finals.get(intent.key.as_str()) {
            Some(true) => return http(200),
            Some(false) => return http(422),
            None => {}
        }
        match choice {
            1 => return http(500),
            2 => return http(429),
            3 => return http(409),
            4 if forward => {
                service.finals.insert(intent.key.as_str().to_owned(), false);
                return http(422);
            }
            _ => {}
        }
        service.effect = forward;
        service.finals.insert(intent.key.as_str().to_owned(), true);
        if choice == 5 { http(500) } else { http(200) }
    }

    /// I1, I3 and I7 where a request leaves.
    fn leaves(&self, store: &Store, process: &Process, intent: &Intent) {
        let uid = &intent.run.uid;
        let mine = format!("{}-", process.name);
        let stored = store.history(uid).iter().any(|write| {
            write.stored.holder.as_ref().is_some_and(|holder| holder.as_str().starts_with(&mine))
                && write.intents.contains(intent)
        });
        let known = process.known.lock().unwrap().get(uid).copied().unwrap_or_default();
        let mut ledger = self.ledger.lock().unwrap();
        let twice = ledger
            .iter()
            .any(|(_, sent)| sent.run.uid == *uid && (sent.fence, sent.call) == (intent.fence, intent.call));
        let says = |what: &str| {
            let text = format!("{what}: {} sends {:?} {} of {uid}", process.name, intent.call, intent.fence);
            self.broken.lock().unwrap().push(text);
        };
        if !stored {
            says("I1: not stored by its sender");
        }
        if twice {
            says("I1: sent twice");
        }
        let overtaken = ledger.iter().any(|(who, sent)| {
            *who == process.name
                && sent.run.uid == *uid
                && sent.call.step == intent.call.step
                && sent.fence > intent.fence
        });
        if overtaken {
            says("I5: its sender sent a later decision of the step before");
        }
        if known.turned && intent.call.direction == Direction::Forward {
            says("I3: its sender began or saw the turn");
        }
        if known.ended {
            says("I7: its sender began or saw the end");
        }
        ledger.push((process.name.clone(), intent.clone()));
    }
}

pub fn http(status: u16) -> Answer {
    let body = if status == 200 { json!({"id": "x-1"}) } else { Value::Null };
    Answer::Response(Response { status, headers: BTreeMap::new(), body, retry_after: None })
}

fn lost() -> Answer {
    Answer::Lost { reason: Reason::Timeout, message: "no answer".to_owned() }
}

/// The sender of one process.
pub struct ProcessParticipant {
    pub services: Arc<Services>,
    pub store: Store,
    pub process: Arc<Process>,
    pub chance: Arc<Chance>,
    pub clock: Clock,
}

impl Participant for ProcessParticipant {
    async fn call(&self, intent: Persisted<Intent>) -> Answer {
        let intent = intent.into_inner();
        self.process.while_alive(self.send(intent)).await
    }

    async fn poll(&self, _polling: Arc<Persisted<Polling>>) -> Answer {
        lost()
    }
}

impl ProcessParticipant {
    async fn send(&self, intent: Intent) -> Answer {
        self.services.leaves(&self.store, &self.process, &intent);
        let expires = self.clock.instant(intent.expires);
        if tokio::time::Instant::now() >= expires {
            return Answer::NotSent { reason: Reason::Timeout, message: "too late".to_owned() };
        }
        let scripted = {
            let mut script = self.services.script.lock().unwrap();
            if script.is_empty() { None } else { Some(script.remove(0)) }
        };
        match scripted {
            Some(Part::Status(status, after)) => {
                tokio::time::sleep(after).await;
                return http(status);
            }
            Some(Part::Lost(after)) => {
                tokio::time::sleep(after).await;
                return lost();
            }
            Some(Part::Panic) => panic!("the sender was told to"),
            Some(Part::Hang) => return std::future::pending().await,
            None => {}
        }
        let mut travels = self.chance.millis(60);
        match self.chance.mishap(30) {
            1 => {
                let message = "no route".to_owned();
                return Answer::NotSent { reason: Reason::ConnectionFailed, message };
            }
            2 => {
                tokio::time::sleep_until(expires).await;
                return lost();
            }
            3 => travels = self.chance.millis(40_000),
            4 => panic!("chance had it so"),
            5 => {
                // Breaks its word: answers long after the deadline.
                tokio::time::sleep_until(expires + self.chance.millis(60_000)).await;
            }
            _ => {}
        }
        let (answered, answer) = tokio::sync::oneshot::channel();
        let (services, choice, returns) = (self.services.clone(), self.chance.mishap(14), self.chance.millis(60));
        // Once it left, it arrives, whatever becomes of who sent it.
        tokio::spawn(async move {
            tokio::time::sleep(travels).await;
            let answer = services.serve(&intent, choice);
            tokio::time::sleep(returns).await;
            let _nobody_waits = answered.send(answer);
        });
        tokio::time::timeout_at(expires, answer)
            .await
            .map_or_else(|_| lost(), |answer| answer.unwrap_or_else(|_| lost()))
    }
}
