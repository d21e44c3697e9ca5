//! The life of one run in the hands of this process: decide, wait, decide again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, watch};

use super::decide::{Driven, Stop};
use super::patience::Patience;
use super::{Engine, Ports, Witness};
use crate::clock::Clock;
use crate::engine::calls::Calls;
use crate::journal::{Journal, JournalError, Loaded, Version};
use crate::saga::{Event, Level, Note, Occasion, Owner, Plan, State, Unready};

/// How often a missing definition is looked for when nobody says that it is there.
const LOOK_FOR_DEFINITION: Duration = Duration::from_secs(5);
/// Between two looks for which nothing happened.
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);
/// How long a run keeps its place among those that are taken up: the store may refuse some runs for as long as it likes (a
/// namespace without rights), and the others must not wait for them.
const LONGEST_PLACE: Duration = Duration::from_secs(1);
/// How often a lost revision is looked for.
const LOOK_FOR_REVISION: Duration = Duration::from_secs(60);

/// The newest reading of a run; `None`: it is gone.
pub(super) type Inbox = watch::Receiver<Option<Loaded>>;

/// Drives a run until it ended, or is gone, or cannot be helped by this process. `inbox` always holds the newest reading;
/// `time`: how many runs this process took up by now, each with an empty memory of it; `place`: kept until the first
/// decision is stored, or for [`LONGEST_PLACE`].
/// Comes back with the version that this process knew last: what is not newer is no news.
pub(super) async fn drive<E: Ports>(
    engine: Arc<E>,
    time: u64,
    place: Option<OwnedSemaphorePermit>,
    mut inbox: Inbox,
) -> (Inbox, Option<Version>) {
    let Some(first) = inbox.borrow_and_update().clone() else { return (inbox, None) };
    let mut run = Driven::new(engine, time, &first);
    let outcome = run.live(first, place, &mut inbox).await;
    match outcome {
        Ok(()) | Err(Stop::Gone | Stop::NotLeading) => {}
        Err(Stop::Invalid(error)) => run.leave_alone(&error),
    }
    (inbox, Some(run.version))
}

impl<E: Ports> Driven<E> {
    fn new(engine: Arc<E>, time: u64, first: &Loaded) -> Self {
        let Owner { id, tenure } = &engine.engine().owner;
        let owner = Owner { id: id.incarnation(time), tenure: *tenure };
        let plan = Plan {
            run: first.run.clone(),
            definition_name: first.spec.definition_ref.name.clone(),
            input: Arc::new(serde_json::Value::Object(first.spec.input.clone())),
            definition: Err(Unready::NotFound),
            owner,
        };
        let mut driven = Self {
            engine,
            run: first.run.clone(),
            plan,
            state: State::default(),
            version: first.version.clone(),
            retained: first.retained,
            calls: Calls::default(),
            wake_at: None,
            prove_at: None,
            unproven: Patience::default(),
        };
        driven.take_in(first);
        driven
    }

    /// Says that this process cannot help the run.
    fn leave_alone(&self, error: &JournalError) {
        tracing::error!(
            namespace = %self.run.namespace, run = %self.run.name, %error,
            "the run is left alone until it changes"
        );
        if let JournalError::TooLarge(_) = error {
            let text = "the store refuses the status even without messages and times: nothing more is sent until the \
                        object changes; make it smaller, as by removing annotations";
            let note = Note { level: Level::Warning, occasion: Occasion::TooLarge, text: text.to_owned() };
            self.engine.engine().witness.noted(&self.run, &note);
        }
    }

    async fn live(
        &mut self,
        first: Loaded,
        place: Option<OwnedSemaphorePermit>,
        inbox: &mut Inbox,
    ) -> Result<(), Stop> {
        {
            let mut decision = std::pin::pin!(self.decide(vec![Event::Wished(first.wishes)]));
            let early = tokio::time::timeout(LONGEST_PLACE, &mut decision).await;
            drop(place);
            match early {
                Ok(decided) => decided?,
                Err(_) => decision.await?,
            }
        }
        while self.state.stored.end.is_none() && !self.is_handed_over() {
            let events = self.happenings(inbox).await?;
            if !events.is_empty() {
                self.decide(events).await?;
            }
        }
        if self.retained && self.state.stored.end.is_some() {
            self.release().await?;
        }
        Ok(())
    }

    /// The process is about to end, and the run has nothing on the wire.
    const fn is_handed_over(&self) -> bool {
        self.state.local.draining && !self.state.local.owned
    }

    /// Waits for something to decide, and takes everything that is there by then.
    async fn happenings(&mut self, inbox: &mut Inbox) -> Result<Vec<Event>, Stop> {
        let engine = self.engine.clone();
        let (clock, drain) = (engine.engine().clock, &engine.engine().drain);
        let wake = self.next_wake();
        let mut events = Vec::new();
        if !self.state.local.draining && drain.is_cancelled() {
            // Before anything else: nothing new is sent from now on.
            return Ok(vec![Event::Tick]);
        }
        tokio::select! {
            // In this order, and not in one by chance: the same happenings give the same decisions.
            biased;
            event = self.calls.answer() => events.push(event),
            changed = inbox.changed() => {
                let read = inbox.borrow_and_update().clone();
                let Some(read) = changed.ok().and(read) else { return Err(Stop::Gone) };
                events.extend(self.noticed(read).await?);
            }
            () = drain.cancelled(), if !self.state.local.draining => events.push(Event::Tick),
            () = sleep_until(clock, wake) => {
                let now = clock.now().monotonic;
                if self.calls.next_look().is_some_and(|due| due <= now) {
                    self.look();
                } else if self.next_due().is_some_and(|due| due <= clock.now().monotonic) {
                    self.send_due().await?;
                } else {
                    events.push(Event::Tick);
                }
            }
        }
        while let Some(event) = self.calls.answer_at_hand() {
            events.push(event);
        }
        Ok(events)
    }

    fn next_wake(&self) -> Option<crate::saga::Monotonic> {
        let look = match &self.plan.definition {
            Ok(_) => None,
            Err(Unready::NotFound | Unready::NotReady(_)) => Some(LOOK_FOR_DEFINITION),
            Err(Unready::RevisionNotFound(_)) => Some(LOOK_FOR_REVISION),
        };
        let look = look.map(|wait| self.now().monotonic.after(wait));
        let wake = [self.wake_at, self.next_due(), self.calls.next_look(), look].into_iter().flatten().min()?;
        // A wake that is overdue and changes nothing must not keep a processor busy.
        Some(wake.max(self.now().monotonic.after(SHORTEST_SLEEP)))
    }

    /// The run changed, or somebody thinks that it should be looked at.
    async fn noticed(&mut self, read: Loaded) -> Result<Option<Event>, Stop> {
        if read.version == self.version {
            // An echo of this process's own write, unless somebody says that the missing definition is there now.
            return Ok(self.plan.definition.is_err().then_some(Event::Tick));
        }
        match read.version.newer_than(&self.version) {
            // Older than what this process wrote: never acted on.
            Some(false) => Ok(None),
            Some(true) => {
                self.take_in(&read);
                Ok(Some(Event::Wished(read.wishes)))
            }
            None => {
                let read = self.read_patiently().await?;
                self.take_in(&read);
                Ok(Some(Event::Wished(read.wishes)))
            }
        }
    }

    /// Lets the ended run go, after a read that showed the end at the version that is released.
    async fn release(&mut self) -> Result<(), Stop> {
        let engine = self.engine.clone();
        let Engine { journal, claim, .. } = engine.engine();
        let mut patience = Patience::default();
        loop {
            match journal.release(&self.run, &self.version, claim).await {
                Ok(()) | Err(JournalError::Gone | JournalError::NotLeading) => return Ok(()),
                Err(error) => tracing::debug!(run = %self.run.name, %error, "failed to release the run; trying again"),
            }
            patience.pause().await;
            match journal.load(&self.run).await {
                Ok(Some(read)) if !read.retained => return Ok(()),
                Ok(Some(read)) if read.stored.end.is_some() => self.version = read.version,
                Ok(Some(read)) => {
                    let message = format!("the end of the run at version {} is not there any more", read.version);
                    return Err(Stop::Invalid(JournalError::Fatal(message)));
                }
                Ok(None) => return Ok(()),
                Err(error) => tracing::debug!(run = %self.run.name, %error, "failed to read an ended run"),
            }
        }
    }
}

async fn sleep_until(clock: Clock, at: Option<crate::saga::Monotonic>) {
    match at {
        Some(at) => tokio::time::sleep_until(clock.instant(at)).await,
        None => std::future::pending().await,
    }
}
