//! The sender of one process, and the network between it and the participants.

use std::sync::Arc;

use saga_operator::api::Reason;
use saga_operator::clock::Clock;
use saga_operator::election::Claim;
use saga_operator::journal::Persisted;
use saga_operator::participant::Participant;
use saga_operator::saga::{Answer, Intent, Polling};
use tokio::time::Instant;

use super::fate::{Fate, Source, lock};
use super::manner::Manner;
use super::process::Process;
use super::services::{Part, Services, Weakness, answer_told, http, line};
use super::store::Store;
use super::wire;

pub struct ProcessParticipant {
    pub services: Arc<Services>,
    pub store: Store,
    pub process: Arc<Process>,
    pub fate: Arc<Fate>,
    pub clock: Clock,
}

/// What becomes of a request on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Straight,
    /// It never leaves.
    Unsent,
    /// It never arrives.
    Lost,
    /// It arrives much later.
    Slow,
    /// The connection breaks before the answer is back.
    Unheard,
    /// The sender breaks its word: it answers long after the time is up.
    Late,
    /// A proxy on the way sends it once more.
    Twice,
    /// The sender fails.
    Panic,
}

impl Participant for ProcessParticipant {
    async fn call(&self, intent: Persisted<Intent>, _claim: &Claim) -> Answer {
        let intent = intent.into_inner();
        let name = line(&intent);
        let answer = self.process.while_alive(self.send(intent)).await;
        self.fate.tell(|| format!("{} hears of {name}: {}", self.process.name, answer_told(&answer)));
        answer
    }

    async fn poll(&self, polling: Arc<Persisted<Polling>>) -> Answer {
        let polling = (*polling).get();
        let answer = self.process.while_alive(self.look(polling)).await;
        self.fate.tell(|| format!("{} sees at {}: {}", self.process.name, polling.url, answer_told(&answer)));
        answer
    }
}

impl ProcessParticipant {
    async fn look(&self, polling: &Polling) -> Answer {
        wire::looks(&self.services, &self.fate, &self.process, polling);
        let until = Instant::now() + polling.timeout;
        self.process.thaw().await;
        let wire = |bound| self.fate.millis(Source::Wire, bound);
        let kind = match self.fate.mishap(Source::Wire, 7) {
            1 => "look lost",
            2 => "look delayed",
            3 => "participant has lost the operation for a while",
            4 => "look cannot be sent",
            _ => "",
        };
        if !kind.is_empty() {
            self.fate.fault(kind, || polling.url.clone());
        }
        match kind {
            "look lost" => tokio::time::sleep_until(until).await,
            "look delayed" => tokio::time::sleep(wire(20_000)).await,
            "participant has lost the operation for a while" => return http(404),
            "look cannot be sent" => {
                return Answer::NotSent { reason: Reason::ConnectionFailed, message: "no route".to_owned() };
            }
            _ => tokio::time::sleep(wire(100)).await,
        }
        if Instant::now() >= until {
            return lost();
        }
        let key = polling.url.strip_prefix("http://p.svc/operations/").unwrap_or_default();
        let later = (self.fate.mishap(Source::Wire, 4) == 1).then(|| wire(9000));
        self.services.look(&polling.run.uid, &polling.step, key, later)
    }

    async fn send(&self, intent: Intent) -> Answer {
        wire::calls(&self.services, &self.fate, &self.store, &self.process, &intent);
        if self.services.weakness == Some(Weakness::SendsTwice) && intent.attempt > 1 {
            wire::calls(&self.services, &self.fate, &self.store, &self.process, &intent);
        }
        let expires = self.clock.instant(intent.expires);
        if Instant::now() >= expires {
            return Answer::NotSent { reason: Reason::Timeout, message: "too late".to_owned() };
        }
        let scripted = {
            let mut script = lock(&self.services.script);
            if script.is_empty() { None } else { Some(script.remove(0)) }
        };
        if let Some(part) = scripted {
            return play(part).await;
        }
        // Between the last look at the clock and the socket a process may stand still for as long as it likes.
        self.process.thaw().await;
        let way = self.way(&intent);
        match way {
            Way::Unsent => {
                return Answer::NotSent { reason: Reason::ConnectionFailed, message: "no route".to_owned() };
            }
            Way::Lost => {
                tokio::time::sleep_until(expires).await;
                return lost();
            }
            // Not `panic!`, which prints.
            Way::Panic => std::panic::resume_unwind(Box::new("chance had it so")),
            Way::Late => tokio::time::sleep_until(expires + self.fate.millis(Source::Wire, 60_000)).await,
            Way::Straight | Way::Slow | Way::Unheard | Way::Twice => {}
        }
        let answer = self.put_on_the_way(intent, way);
        let heard = tokio::time::timeout_at(expires, answer).await;
        self.process.thaw().await;
        heard.map_or_else(|_| lost(), |answer| answer.unwrap_or_else(|_| broken_off()))
    }

    fn way(&self, intent: &Intent) -> Way {
        let (way, kind) = match self.fate.mishap(Source::Wire, 14) {
            1 => (Way::Unsent, "no route to the participant"),
            2 | 3 => (Way::Lost, "request lost"),
            4 | 5 => (Way::Slow, "request delayed"),
            6 | 7 => (Way::Unheard, "answer lost"),
            8 => (Way::Late, "sender answers late"),
            9 | 10 => (Way::Twice, "request duplicated"),
            11 => (Way::Panic, "sender panics"),
            _ => return Way::Straight,
        };
        self.fate.fault(kind, || line(intent));
        way
    }

    /// Once it left, it arrives, whatever becomes of who sent it.
    fn put_on_the_way(&self, intent: Intent, way: Way) -> tokio::sync::oneshot::Receiver<Answer> {
        let (answered, answer) = tokio::sync::oneshot::channel();
        let (services, fate) = (self.services.clone(), self.fate.clone());
        let wire = |bound| fate.millis(Source::Wire, bound);
        let travels = wire(if way == Way::Slow { 40_000 } else { 60 });
        let (manner, returns) = (Manner::drawn(&fate, &intent), wire(60));
        let works = wire(if fate.mishap(Source::Wire, 12) == 1 { 20_000 } else { 20 });
        let again = (way == Way::Twice).then(|| wire(60_000));
        tokio::spawn(async move {
            tokio::time::sleep(travels).await;
            let answer = match (services.begin(&intent), manner) {
                (Err(busy), _) => busy,
                (Ok(()), Manner::Accepts { work, refuses, retry_after }) => {
                    let accepted = services.accept(&intent, retry_after);
                    if accepted.is_ok() {
                        let (services, intent, fate) = (services.clone(), intent.clone(), fate.clone());
                        tokio::spawn(async move {
                            tokio::time::sleep(work).await;
                            let manner = if refuses { Manner::Refuses(422) } else { Manner::Does };
                            let done = services.commit(&intent, manner);
                            fate.tell(|| format!("  {} is worked off: {}", line(&intent), answer_told(&done)));
                        });
                    }
                    accepted.unwrap_or_else(|known| known)
                }
                (Ok(()), manner) => {
                    tokio::time::sleep(works).await;
                    services.commit(&intent, manner)
                }
            };
            fate.tell(|| format!("  {} arrives ({manner:?}): {}", line(&intent), answer_told(&answer)));
            if way == Way::Unheard {
                return;
            }
            tokio::time::sleep(returns).await;
            // Who has no time has promised that nothing happens: no proxy repeats that request.
            let again = again.filter(|_| is_final(&answer));
            let _nobody_waits = answered.send(answer);
            if let Some(later) = again {
                tokio::time::sleep(later).await;
                let answer = services.commit(&intent, Manner::Does);
                fate.tell(|| format!("  {} arrives again: {}", line(&intent), answer_told(&answer)));
            }
        });
        answer
    }
}

/// Nothing that the answer promises not to happen can happen by a repetition.
const fn is_final(answer: &Answer) -> bool {
    match answer {
        Answer::Response(response) => !matches!(response.status, 202 | 408 | 409 | 425 | 429),
        Answer::Lost { .. } | Answer::NotSent { .. } => false,
    }
}

async fn play(part: Part) -> Answer {
    match part {
        Part::Status(status, after) => {
            tokio::time::sleep(after).await;
            http(status)
        }
        Part::Lost(after) => {
            tokio::time::sleep(after).await;
            lost()
        }
        Part::Panic => panic!("the sender was told to"),
        Part::Hang => std::future::pending().await,
    }
}

fn lost() -> Answer {
    Answer::Lost { reason: Reason::Timeout, message: "no answer".to_owned() }
}

fn broken_off() -> Answer {
    Answer::Lost { reason: Reason::ConnectionFailed, message: "the connection broke".to_owned() }
}
