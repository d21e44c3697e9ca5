//! One decision of a run, until it is stored.

use std::sync::Arc;

use super::calls::Calls;
use super::patience::Patience;
use super::{Definitions, Engine, Ports, Witness};
use crate::journal::{Class, Draft, Journal, JournalError, Landed, Loaded, Persisted, Version};
use crate::saga::{self, Effect, Event, Identity, Intent, Now, Plan, Polling, State, Transition, Wishes};

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
    /// When to try again to prove that the run is still this process's own.
    pub(super) prove_at: Option<saga::Monotonic>,
    pub(super) unproven: Patience,
}

/// Why a run is let go.
#[derive(Debug)]
pub(super) enum Stop {
    /// It is gone.
    Gone,
    /// This process does not lead any more: whoever does takes the run over.
    NotLeading,
    /// Nothing more can be done by this process until the object changes; said in the log.
    Invalid(JournalError),
}

impl From<JournalError> for Stop {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Gone => Self::Gone,
            JournalError::NotLeading => Self::NotLeading,
            other => Self::Invalid(other),
        }
    }
}

impl<E: Ports> Driven<E> {
    pub(super) fn now(&self) -> Now {
        self.engine.engine().clock.now()
    }

    /// Decides `events`, stores what was decided and performs it. Returns when nothing more is due at this moment.
    pub(super) async fn decide(&mut self, mut events: Vec<Event>) -> Result<(), Stop> {
        let mut patience = Patience::default();
        loop {
            if !self.state.may_pin_afresh() {
                // Only who stored the first intents, and sent none, may pin another revision; for everyone else the run goes by
                // the one that it has.
                events.retain(|event| *event != Event::RevisionGone);
            }
            let afresh = events.contains(&Event::RevisionGone);
            self.resolve(afresh).await;
            self.state.local.draining |= self.is_draining();
            let turn = saga::step(&self.plan, &self.state, &events, self.now());
            self.take_back(&turn);
            if !turn.changed {
                self.adopt(turn, Vec::new(), Vec::new(), false);
                return Ok(());
            }
            let Some((landed, wishes)) = self.store(&turn, &mut events, &mut patience).await? else { continue };
            self.version = landed.version.clone();
            // The read that showed the write may show a newer spec as well, and nobody will tell of it again.
            let news = wishes.filter(|wishes| turn.state.local.wishes.as_ref() != Some(wishes));
            let in_vain = self.pinned_in_vain(&turn, &landed, afresh).await;
            // What was pinned in vain is only kept: the next decision takes it back, or keeps the revision and sends it.
            let wait = in_vain || news.is_some() || self.is_draining();
            self.adopt(turn, landed.intents, landed.polls, wait);
            events = if in_vain { vec![Event::RevisionGone] } else { Vec::new() };
            if in_vain && afresh {
                patience.pause().await;
            }
            events.extend(news.map(Event::Wished));
            if events.is_empty() {
                return Ok(());
            }
        }
    }

    pub(super) fn is_draining(&self) -> bool {
        self.engine.engine().drain.is_cancelled()
    }

    /// Takes back from the sender what the decision drops, before its write is begun.
    fn take_back(&mut self, turn: &Transition) {
        for effect in &turn.effects {
            match effect {
                Effect::Withdraw(call) => self.calls.withdraw(*call),
                Effect::Cut(call) => self.calls.cut(*call),
                Effect::Send(_) | Effect::Poll(_) | Effect::PollAgain { .. } | Effect::Release => {}
            }
        }
    }

    /// Stores a decision. `None`: it did not land; the same events are to be decided on what was read. Wishes come with a
    /// write that was seen to have landed by reading.
    async fn store(
        &mut self,
        turn: &Transition,
        events: &mut Vec<Event>,
        patience: &mut Patience,
    ) -> Result<Option<(Landed, Option<Wishes>)>, Stop> {
        let stored = turn.state.stored.clone();
        let (intents, polls) = to_prove(turn);
        let draft = Draft { run: self.run.clone(), version: self.version.clone(), stored, intents, polls };
        let error = match self.write(draft.clone()).await {
            Ok(landed) => return Ok(Some((landed, None))),
            Err(error) => error,
        };
        tracing::debug!(run = %self.run.name, %error, "no word that a write landed; reading again");
        let read = self.read_after(error, events, patience).await?;
        let read_wishes = read.wishes.clone();
        match draft.recognised(&read) {
            Ok(landed) => {
                self.retained = read.retained;
                Ok(Some((landed, Some(read_wishes))))
            }
            Err(_) => {
                self.state.not_landed(turn);
                self.take_in(&read);
                events.retain(|event| !matches!(event, Event::Wished(_)));
                events.push(Event::Wished(read_wishes));
                Ok(None)
            }
        }
    }

    /// One attempt to write.
    async fn write(&mut self, mut draft: Draft) -> Result<Landed, JournalError> {
        let Engine { journal, claim, .. } = self.engine.engine();
        if !draft.intents.is_empty() && !self.retained {
            self.version = journal.retain(&self.run, &self.version, claim).await?;
            self.retained = true;
            draft.version = self.version.clone();
        }
        journal.persist(draft, claim).await
    }

    /// A quorum read of a run that must be there.
    async fn read(&self) -> Result<Loaded, JournalError> {
        self.engine.engine().journal.load(&self.run).await?.ok_or(JournalError::Gone)
    }

    /// Reads what the store holds after a write that failed, however long that takes: until then nobody knows whether the
    /// write landed.
    async fn read_after(
        &self,
        mut error: JournalError,
        events: &mut Vec<Event>,
        patience: &mut Patience,
    ) -> Result<Loaded, Stop> {
        loop {
            match error.class() {
                Class::Conflict => patience.pause_unless_first().await,
                Class::Retry | Class::Fatal => {
                    if error.class() == Class::Fatal {
                        tracing::error!(run = %self.run.name, namespace = %self.run.namespace, %error, "the store refuses");
                    }
                    patience.pause().await;
                }
                Class::Invalid => match error {
                    JournalError::Gone => return Err(Stop::Gone),
                    JournalError::NotLeading => return Err(Stop::NotLeading),
                    JournalError::TooLarge(_) if !events.contains(&Event::TooLarge) => events.push(Event::TooLarge),
                    other => return Err(Stop::Invalid(other)),
                },
            }
            error = match self.read().await {
                Ok(read) => return Ok(read),
                // A read that fails changes nothing, whatever it says about writes.
                Err(again @ (JournalError::Conflict | JournalError::Unclear(_))) => {
                    JournalError::Unavailable(again.to_string())
                }
                Err(other) => other,
            };
        }
    }

    /// A quorum read, tried until the store answers.
    pub(super) async fn read_patiently(&self) -> Result<Loaded, Stop> {
        match self.read().await {
            Ok(read) => Ok(read),
            Err(error @ (JournalError::Gone | JournalError::Unreadable(_))) => Err(Stop::from(error)),
            Err(error) => {
                let unread = JournalError::Unavailable(error.to_string());
                self.read_after(unread, &mut Vec::new(), &mut Patience::default()).await
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

    /// Right after pinning a revision, and before the first call: makes sure that it will stay. `afresh`: the one before
    /// did not, and this may be the same again.
    async fn pinned_in_vain(&self, turn: &Transition, landed: &Landed, afresh: bool) -> bool {
        let (before, after) = (&self.state.stored.revision, &turn.state.stored.revision);
        let Some(revision) = after.as_ref().filter(|_| afresh || before != after) else { return false };
        if landed.intents.is_empty() {
            return false;
        }
        let definitions = &self.engine.engine().definitions;
        let mut patience = Patience::default();
        loop {
            match definitions.holds(&self.run.namespace, revision).await {
                Ok(holds) => return !holds,
                Err(error) => {
                    tracing::debug!(run = %self.run.name, %error, "failed to read the pinned revision; trying again");
                    patience.pause().await;
                }
            }
        }
    }

    /// The decision is stored (or changed nothing): it is the state now, and its intents may be sent. `wait`: the next
    /// decision may take them back, so they are only kept.
    fn adopt(&mut self, turn: Transition, intents: Vec<Persisted<Intent>>, polls: Vec<Persisted<Polling>>, wait: bool) {
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
            if intent.get().not_before.is_some() || wait {
                self.calls.schedule(intent);
            } else {
                self.send(intent);
            }
        }
        polls.into_iter().for_each(|polling| self.calls.follow(polling));
        for effect in turn.effects {
            match effect {
                Effect::PollAgain { call, fence, at } => self.calls.look_again(call, fence, at),
                Effect::Withdraw(_) | Effect::Cut(_) | Effect::Send(_) | Effect::Poll(_) | Effect::Release => {}
            }
        }
        self.calls.follow_only(&self.state.stored);
    }

    /// Takes the looks at calls in progress that are due. They need no proof of ownership: they ask for nothing to be done.
    pub(super) fn look(&mut self) {
        let engine = self.engine.engine();
        self.calls.look(&engine.participant, engine.clock, engine.clock.now().monotonic);
    }

    /// Hands an attempt to the sender.
    pub(super) fn send(&mut self, intent: Persisted<Intent>) {
        self.state.sent(intent.get().call);
        let engine = self.engine.engine();
        self.calls.send(&engine.participant, engine.clock, &engine.claim, intent);
    }

    /// Sends the attempts whose time has come, after proving that the run is still this process's own.
    pub(super) async fn send_due(&mut self) -> Result<(), Stop> {
        let read = match self.read().await {
            Ok(read) => read,
            Err(error) if error.class() == Class::Invalid => return Err(Stop::from(error)),
            Err(error) => {
                tracing::debug!(run = %self.run.name, %error, "failed to prove ownership before a retry; trying again");
                let wait = self.unproven.next();
                self.prove_at = Some(self.now().monotonic.after(wait));
                return Ok(());
            }
        };
        (self.unproven, self.prove_at) = (Patience::default(), None);
        let wishes = read.wishes.clone();
        self.take_in(&read);
        let unchanged = self.state.local.wishes.as_ref() == Some(&wishes);
        if !self.state.local.owned || !unchanged {
            // Somebody else's now, or not wanted any more: decided on what was read.
            return self.decide(vec![Event::Wished(wishes)]).await;
        }
        if self.is_draining() {
            return Ok(()); // taken back by the next decision
        }
        let now = self.now().monotonic;
        for intent in self.calls.take_due(now) {
            self.send(intent);
        }
        Ok(())
    }

    /// When to send what waits; not before it is worth asking the store again.
    pub(super) fn next_due(&self) -> Option<saga::Monotonic> {
        let due = self.calls.next_due()?;
        Some(self.prove_at.map_or(due, |at| due.max(at)))
    }

    /// Finds the definition that the run follows, if it is not at hand. `afresh`: another revision is to be pinned.
    async fn resolve(&mut self, afresh: bool) {
        let definitions = &self.engine.engine().definitions;
        let (namespace, name) = (&self.run.namespace, &self.plan.definition_name);
        self.plan.definition = match (&self.state.stored.revision, &self.plan.definition) {
            (Some(_), _) if afresh => definitions.current(namespace, name).await,
            (Some(pinned), Ok(definition)) if *pinned == definition.revision => return,
            (Some(_), _) if self.state.stored.end.is_some() => return,
            (Some(pinned), _) => definitions.pinned(namespace, name, pinned).await,
            (None, _) => definitions.current(namespace, name).await,
        };
    }
}

/// What may be done only once the decision is stored.
fn to_prove(turn: &Transition) -> (Vec<Intent>, Vec<Polling>) {
    let (mut intents, mut polls) = (Vec::new(), Vec::new());
    for effect in &turn.effects {
        match effect {
            Effect::Send(intent) => intents.push((**intent).clone()),
            Effect::Poll(polling) => polls.push((**polling).clone()),
            Effect::Withdraw(_) | Effect::Cut(_) | Effect::PollAgain { .. } | Effect::Release => {}
        }
    }
    (intents, polls)
}
