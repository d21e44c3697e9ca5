//! One decision of a run, until it is stored.

use std::sync::Arc;
use std::time::Duration;

use super::calls::Calls;
use super::{Definitions, Ports, Witness};
use crate::journal::{Class, Draft, Journal, JournalError, Landed, Loaded, Persisted, Version};
use crate::saga::{self, Effect, Event, Identity, Intent, Now, Plan, State, Transition};

/// Waits between attempts to reach the store: doubled from the first to the last.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LAST_WAIT: Duration = Duration::from_secs(10);

/// A run in the hands of this process.
pub(super) struct Driven<E: Ports> {
    pub(super) engine: Arc<E>,
    pub(super) run: Arc<Identity>,
    pub(super) plan: Plan,
    pub(super) state: State,
    pub(super) version: Version,
    pub(super) retained: bool,
    pub(super) calls: Calls,
    /// When to look again.
    pub(super) wake_at: Option<saga::Monotonic>,
}

/// Why a run is let go.
#[derive(Debug)]
pub(super) enum Stop {
    /// It is gone.
    Gone,
    /// Nothing more can be done by this process until the object changes; said in the log.
    Invalid(JournalError),
}

impl<E: Ports> Driven<E> {
    pub(super) fn now(&self) -> Now {
        self.engine.engine().clock.now()
    }

    /// Decides `events`, stores what was decided and performs it. Returns when nothing more is due at this moment.
    pub(super) async fn decide(&mut self, mut events: Vec<Event>) -> Result<(), Stop> {
        let mut wait = FIRST_WAIT;
        loop {
            self.resolve().await;
            let turn = saga::step(&self.plan, &self.state, &events, self.now());
            self.take_back(&turn);
            if !turn.changed {
                self.adopt(turn, Vec::new());
                return Ok(());
            }
            match self.store(&turn).await {
                Ok(landed) => {
                    self.version = landed.version.clone();
                    if self.pinned_in_vain(&turn, &landed).await {
                        self.adopt(turn, Vec::new());
                        events = vec![Event::RevisionGone];
                        continue;
                    }
                    self.adopt(turn, landed.intents);
                    return Ok(());
                }
                Err(error) => {
                    tracing::debug!(run = %self.run.name, %error, "a write did not land; deciding again");
                    self.state.not_landed(&turn);
                    self.after_failure(error, &mut events, &mut wait).await?;
                }
            }
        }
    }

    /// Takes back from the sender what the decision drops, before its write is begun.
    fn take_back(&mut self, turn: &Transition) {
        for effect in &turn.effects {
            match effect {
                Effect::Withdraw(call) => self.calls.withdraw(*call),
                Effect::Cut(call) => self.calls.cut(*call),
                Effect::Send(_) | Effect::Release => {}
            }
        }
    }

    /// Stores a decision; recognises its own write when the answer to it was lost.
    async fn store(&mut self, turn: &Transition) -> Result<Landed, JournalError> {
        let intents = intents(turn);
        let journal = &self.engine.engine().journal;
        if !intents.is_empty() && !self.retained {
            self.version = journal.retain(&self.run, &self.version).await?;
            self.retained = true;
        }
        let draft =
            Draft { run: self.run.clone(), version: self.version.clone(), stored: turn.state.stored.clone(), intents };
        match journal.persist(draft.clone()).await {
            Err(JournalError::Conflict | JournalError::Unclear(_)) => self.look_again(draft).await,
            other => other,
        }
    }

    /// Reads by quorum after a write whose fate is unclear.
    async fn look_again(&mut self, draft: Draft) -> Result<Landed, JournalError> {
        let read = self.read().await?;
        match draft.recognised(&read) {
            Ok(landed) => {
                self.retained = read.retained;
                Ok(landed)
            }
            Err(_) => Err(JournalError::Conflict),
        }
    }

    /// A quorum read of a run that must be there.
    async fn read(&self) -> Result<Loaded, JournalError> {
        self.engine.engine().journal.load(&self.run).await?.ok_or(JournalError::Gone)
    }

    /// Reads again what the store holds, so that the same events can be decided on it.
    async fn after_failure(
        &mut self,
        error: JournalError,
        events: &mut Vec<Event>,
        wait: &mut Duration,
    ) -> Result<(), Stop> {
        let mut error = error;
        loop {
            match error.class() {
                Class::Conflict => {}
                Class::Retry | Class::Fatal => {
                    if error.class() == Class::Fatal {
                        tracing::error!(run = %self.run.name, namespace = %self.run.namespace, %error, "the store refuses");
                    }
                    tokio::time::sleep(*wait).await;
                    *wait = wait.saturating_mul(2).min(LAST_WAIT);
                }
                Class::Invalid => match error {
                    JournalError::Gone => return Err(Stop::Gone),
                    JournalError::TooLarge(_) if !events.contains(&Event::TooLarge) => events.push(Event::TooLarge),
                    other => return Err(Stop::Invalid(other)),
                },
            }
            match self.read().await {
                Ok(read) => {
                    self.take_in(&read);
                    events.push(Event::Wished(read.wishes));
                    return Ok(());
                }
                Err(again) => {
                    // A read that fails changes nothing, whatever it says about writes.
                    error = match again {
                        JournalError::Conflict | JournalError::Unclear(_) => {
                            JournalError::Unavailable(again.to_string())
                        }
                        other => other,
                    };
                }
            }
        }
    }

    /// Takes in a run as read. Plans for a run that is another's now are dropped.
    pub(super) fn take_in(&mut self, read: &Loaded) {
        self.version = read.version.clone();
        self.retained = read.retained;
        let now = self.now();
        self.state.observe(read.stored.clone(), now);
        if !self.state.local.owned {
            self.calls.drop_scheduled();
        }
    }

    /// Right after pinning a revision, and before the first call: makes sure that it will stay.
    async fn pinned_in_vain(&mut self, turn: &Transition, landed: &Landed) -> bool {
        let (before, after) = (&self.state.stored.revision, &turn.state.stored.revision);
        let Some(revision) = after.as_ref().filter(|after| before.as_ref() != Some(*after)) else { return false };
        if landed.intents.is_empty() {
            return false;
        }
        let definitions = &self.engine.engine().definitions;
        let mut wait = FIRST_WAIT;
        loop {
            match definitions.holds(&self.run.namespace, revision).await {
                Ok(holds) => return !holds,
                Err(error) => {
                    tracing::debug!(run = %self.run.name, %error, "failed to read the pinned revision; trying again");
                    tokio::time::sleep(wait).await;
                    wait = wait.saturating_mul(2).min(LAST_WAIT);
                }
            }
        }
    }

    /// The decision is stored (or changed nothing): it is the state now, and its intents may be sent.
    fn adopt(&mut self, turn: Transition, intents: Vec<Persisted<Intent>>) {
        let changed = turn.changed;
        self.state = turn.state;
        self.wake_at = turn.wake_at;
        let now = self.now();
        let engine = self.engine.clone();
        let engine = engine.engine();
        if changed {
            self.state.landed(now);
        }
        for note in &turn.notes {
            engine.witness.noted(&self.run, note);
        }
        if changed {
            engine.witness.stored(&self.run, &self.state.stored);
        }
        for intent in intents {
            if intent.get().not_before.is_some() {
                self.calls.schedule(intent);
            } else {
                self.send(intent);
            }
        }
    }

    /// Hands an attempt to the sender.
    pub(super) fn send(&mut self, intent: Persisted<Intent>) {
        self.state.sent(intent.get().call);
        let participant = self.engine.engine().participant.clone();
        self.calls.send(&participant, intent);
    }

    /// Sends the attempts whose time has come, after proving that the run is still this process's own.
    pub(super) async fn send_due(&mut self) -> Result<(), Stop> {
        let read = match self.read().await {
            Ok(read) => read,
            Err(JournalError::Gone) => return Err(Stop::Gone),
            Err(error) => {
                tracing::debug!(run = %self.run.name, %error, "failed to prove ownership before a retry; trying again");
                tokio::time::sleep(FIRST_WAIT).await;
                return Ok(());
            }
        };
        let wishes = read.wishes.clone();
        self.take_in(&read);
        let unchanged = self.state.local.wishes.as_ref() == Some(&wishes);
        if !self.state.local.owned || !unchanged {
            // Somebody else's now, or not wanted any more: decided on what was read.
            return self.decide(vec![Event::Wished(wishes)]).await;
        }
        let now = self.now().monotonic;
        for intent in self.calls.take_due(now) {
            self.send(intent);
        }
        Ok(())
    }

    /// Finds the definition that the run follows, if it is not at hand.
    async fn resolve(&mut self) {
        let definitions = &self.engine.engine().definitions;
        let (namespace, name) = (&self.run.namespace, &self.plan.definition_name);
        self.plan.definition = match (&self.state.stored.revision, &self.plan.definition) {
            (Some(pinned), Ok(definition)) if *pinned == definition.revision => return,
            (Some(_), _) if self.state.stored.end.is_some() => return,
            (Some(pinned), _) => definitions.pinned(namespace, name, pinned).await,
            (None, _) => definitions.current(namespace, name).await,
        };
    }
}

fn intents(turn: &Transition) -> Vec<Intent> {
    let intent = |effect: &Effect| match effect {
        Effect::Send(intent) => Some((**intent).clone()),
        Effect::Withdraw(_) | Effect::Cut(_) | Effect::Release => None,
    };
    turn.effects.iter().filter_map(intent).collect()
}
