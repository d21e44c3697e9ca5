//! A run carried forward by the core itself: in virtual time, with answers that are made up.
//!
//! # Guarantees
//! What is sent, and in which order, is decided by [`step`] and nothing else. No participant is called, nothing is stored.
//!
//! # Assumptions
//! One owner, whose writes all land. Every call is answered as the caller says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::api::definition::{ResponseRule, RuleOutcome, SagaDefinitionSpec};
use crate::api::run::Direction;
use crate::saga::{
    Answer, CallId, Definition, Effect, Event, Fence, Holder, Identity, Intent, Monotonic, Note, Now, Owner, Plan,
    Problem, Response, State, Stored, Tenure, Transition, Wishes, state::OwnAttempt, step,
};

/// Status code of a refusal: [`stage`] has every call read it so, answers to polls too.
pub(super) const REFUSED: u16 = 422;
/// Status code of success.
pub(super) const DONE: u16 = 200;
/// Decisions of one rehearsal: far more than 64 steps need.
const LIMIT: usize = 10_000;

/// How long a call takes, and the status code that it is answered with.
pub(super) type Cast<'a> = &'a mut dyn FnMut(CallId) -> (Duration, u16);

/// A request of the rehearsal.
pub(super) struct Sent {
    /// As it would be sent.
    pub(super) intent: Intent,
    /// Since the beginning.
    pub(super) at: Duration,
}

/// A run on the stage.
pub(super) struct Rehearsal {
    pub(super) plan: Plan,
    pub(super) state: State,
    pub(super) wishes: Wishes,
    now: Now,
    begin: Monotonic,
    /// What comes at which time, in the order of its planning.
    due: BTreeMap<(Monotonic, u64), Due>,
    planned: u64,
    wake_at: Option<Monotonic>,
    /// In the order of sending.
    pub(super) sent: Vec<Sent>,
    /// Actions whose answers were made up.
    pub(super) assumed: BTreeSet<usize>,
    pub(super) notes: Vec<Note>,
    /// Whether the first decision turned the run; none before it.
    turned_at_once: Option<bool>,
}

enum Due {
    Send(Box<Intent>),
    Event(Event),
}

/// The definition as it is rehearsed: what it sends is the same, what it reads is not. An answer that is made up has no
/// body: an output that is picked from it is its own name (in characters that a URL leaves alone), and no rule looks at it but the one for [`REFUSED`].
pub(super) fn stage(spec: &SagaDefinitionSpec) -> SagaDefinitionSpec {
    let mut stage = spec.clone();
    stage.outputs.clear();
    for step in &mut stage.steps {
        for output in &mut step.outputs {
            output.value = format!("~steps.{}.outputs.{}~", step.name, output.name);
        }
        let compensation = step.compensation.as_mut().map(|compensation| &mut compensation.call);
        for call in std::iter::once(&mut step.action).chain(compensation).chain(&mut step.confirm) {
            let when = format!("${{response.status == {REFUSED}}}");
            call.responses = vec![ResponseRule { when, outcome: RuleOutcome::Rejected }];
        }
    }
    stage
}

impl Rehearsal {
    /// Takes a run up as its owner knows it, or as the next owner would find it where it has none.
    pub(super) fn new(
        (run, input, wishes): (Arc<Identity>, Value, Wishes),
        (spec, revision): (&SagaDefinitionSpec, &str),
        stored: Stored,
        now: Now,
    ) -> Result<Self, Vec<Problem>> {
        let owner = stored.holder.clone().unwrap_or_else(|| Holder::new("rehearsal"));
        let plan = Plan {
            run,
            definition_name: String::new(),
            input: Arc::new(input),
            definition: Ok(Arc::new(Definition::compile(spec, revision)?)),
            owner: Owner { id: owner, tenure: Tenure::Exclusive },
        };
        let owned = stored.holder.is_some();
        let mut state = State::default();
        state.observe(stored, now);
        state.local.owned = owned;
        let (due, sent, notes, assumed) = (BTreeMap::new(), Vec::new(), Vec::new(), BTreeSet::new());
        let begin = now.monotonic;
        Ok(Self {
            plan,
            state,
            wishes,
            now,
            begin,
            due,
            planned: 0,
            wake_at: None,
            sent,
            assumed,
            notes,
            turned_at_once: None,
        })
    }

    /// Takes the open calls for the owner's own, and answers those that are on the wire.
    pub(super) fn answer_open_calls(&mut self, cast: Cast<'_>) {
        if !self.state.local.owned {
            return;
        }
        let open: Vec<_> = self
            .state
            .stored
            .open_calls()
            .map(|(call, record, open)| (call, record.takeovers > 0, open.clone()))
            .collect();
        for (call, counted, open) in open {
            let waits = open.not_before.map(|at| self.now.monotonic_at(at)).filter(|at| *at > self.now.monotonic);
            let located = open.location.is_some();
            let own = OwnAttempt {
                sent: waits.is_none(),
                counted,
                since: waits.unwrap_or(self.now.monotonic),
                polled_until: None,
            };
            self.state.local.own.insert(call, own);
            self.expect_answer((call, open.fence), waits.unwrap_or(self.now.monotonic), located, cast);
        }
    }

    /// Goes on until nothing happens by itself any more.
    pub(super) fn play(&mut self, cast: Cast<'_>) {
        self.decide(&[Event::Wished(self.wishes.clone())], cast);
        let turned = self.state.stored.failure.is_some();
        self.turned_at_once.get_or_insert(turned);
        for _ in 0..LIMIT {
            let next = self.due.keys().map(|(at, _)| *at).chain(self.wake_at).min();
            let Some(next) = next.filter(|_| self.state.stored.end.is_none()) else { return };
            self.pass(next);
            let mut events = Vec::new();
            while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= self.now.monotonic) {
                match entry.remove() {
                    Due::Event(event) => events.push(event),
                    Due::Send(intent) => self.send(*intent, cast),
                }
            }
            if events.is_empty() {
                events.push(Event::Tick);
            }
            self.decide(&events, cast);
        }
    }

    /// Whether the first decision turned the run.
    pub(super) fn turned_at_once(&self) -> bool {
        self.turned_at_once == Some(true)
    }

    /// How long it took so far.
    pub(super) const fn took(&self) -> Duration {
        self.now.monotonic.since(self.begin)
    }

    fn pass(&mut self, to: Monotonic) {
        let wait = to.since(self.now.monotonic);
        self.now = Now { wall: self.now.wall_after(wait), monotonic: self.now.monotonic.max(to) };
    }

    fn decide(&mut self, events: &[Event], cast: Cast<'_>) {
        let Transition { state, changed, effects, wake_at, notes } = step(&self.plan, &self.state, events, self.now);
        (self.state, self.wake_at) = (state, wake_at);
        if changed {
            self.state.landed(self.now);
        }
        self.notes.extend(notes);
        for effect in effects {
            match effect {
                Effect::Send(intent) => self.schedule(intent.not_before, Due::Send(intent)),
                Effect::Poll(polling) => {
                    self.expect_answer((polling.call, polling.fence), polling.first, true, cast);
                }
                Effect::PollAgain { call, fence, at } => self.expect_answer((call, fence), at, true, cast),
                // What comes of them is not the stored attempt's any more: the core ignores it.
                Effect::Withdraw(call) | Effect::Cut(call) => {
                    self.due.retain(|_, due| !matches!(due, Due::Send(intent) if intent.call == call));
                }
                Effect::Release => {}
            }
        }
    }

    fn send(&mut self, intent: Intent, cast: Cast<'_>) {
        self.state.sent(intent.call);
        self.expect_answer((intent.call, intent.fence), self.now.monotonic, false, cast);
        self.sent.push(Sent { intent, at: self.took() });
    }

    fn expect_answer(&mut self, (call, fence): (CallId, Fence), from: Monotonic, polled: bool, cast: Cast<'_>) {
        let (takes, status) = cast(call);
        if call.direction == Direction::Forward {
            self.assumed.insert(call.step);
        }
        let answer =
            Answer::Response(Response { status, headers: BTreeMap::new(), body: Value::Null, retry_after: None });
        let event =
            if polled { Event::Polled { call, fence, answer } } else { Event::Answered { call, fence, answer } };
        self.schedule(Some(from.after(takes)), Due::Event(event));
    }

    fn schedule(&mut self, at: Option<Monotonic>, due: Due) {
        self.planned += 1;
        self.due.insert((at.unwrap_or(self.now.monotonic), self.planned), due);
    }
}
