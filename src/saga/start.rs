//! From Pending to the first intents, or to an end before anything was sent.

use super::advance::asked_to_end;
use super::definition::Definition;
use super::key::CallId;
use super::mode::Mode;
use super::note::{Level, Occasion};
use super::plan::{Plan, Unready};
use super::state::{End, Failure, StepRecord};
use super::text;
use super::turn::Turn;
use super::wishes::Wishes;
use crate::api::Reason;

impl Turn<'_> {
    /// Pins the definition, or waits, or ends the run.
    pub(super) fn start(&mut self, wishes: &Wishes) {
        if let Some(failure) = asked_to_end(wishes) {
            return self.refuse(End::Compensated, failure);
        }
        match &self.plan.definition {
            Err(unready) => self.await_definition(wishes, unready),
            Ok(definition) => self.start_with(wishes, definition),
        }
    }

    fn start_with(&mut self, wishes: &Wishes, definition: &Definition) {
        self.state.local.waiting_since = None;
        if let Err(violation) = definition.check_input(&self.plan.input) {
            return self.refuse(End::InvalidInput, failure(Reason::InvalidInput, &violation));
        }
        if let Some(failure) = self.overdue() {
            return self.refuse(End::Compensated, failure);
        }
        // A process that is about to end pins nothing either: it may be here because what it pinned goes away.
        if self.holds(wishes) {
            self.state.stored.start_time.get_or_insert(self.now.wall);
            if let Some(deadline) = self.run_deadline() {
                self.wake(self.now.monotonic_at(deadline));
            }
            return;
        }
        self.pin(definition);
    }

    fn pin(&mut self, definition: &Definition) {
        self.state.stored.start_time.get_or_insert(self.now.wall);
        self.state.stored.revision = Some(definition.revision.clone());
        self.state.stored.steps = definition.steps.iter().map(|step| StepRecord::new(&step.name)).collect();
        self.own_run();
        let text = format!("revision '{}', {}", definition.revision, text::count(definition.steps.len(), "step"));
        self.note(Level::Detail, Occasion::Started, text);
    }

    /// Whether the definition is only just missing, and nothing else is wished: then nothing is said yet.
    pub(super) fn waits_silently(&mut self, wishes: &Wishes) -> bool {
        let waits = self.mode() == Mode::Pending && self.plan.definition.is_err() && asked_to_end(wishes).is_none();
        if !waits || self.stored().start_time.is_some() {
            return false;
        }
        let since = *self.state.local.waiting_since.get_or_insert(self.now.monotonic);
        let say_at =
            since.after(wishes.active_deadline.map_or(Plan::SILENT_START, |limit| limit.min(Plan::SILENT_START)));
        if say_at <= self.now.monotonic {
            return false;
        }
        self.wake(say_at);
        true
    }

    fn await_definition(&mut self, wishes: &Wishes, unready: &Unready) {
        let since = *self.state.local.waiting_since.get_or_insert(self.now.monotonic);
        let until = since.after(wishes.active_deadline.unwrap_or(Plan::START_PATIENCE));
        if until > self.now.monotonic {
            if self.state.stored.start_time.is_none() {
                let text = text::waiting_for(&self.plan.definition_name, unready);
                self.note(Level::Warning, Occasion::WaitingToStart, text);
            }
            self.state.stored.start_time.get_or_insert(self.now.wall);
            return self.wake(until);
        }
        let end = match unready {
            Unready::NotFound | Unready::RevisionNotFound(_) => End::DefinitionNotFound,
            Unready::NotReady(_) => End::DefinitionNotReady,
        };
        self.refuse(end, failure(end.reason(), &text::waiting_for(&self.plan.definition_name, unready)));
    }

    /// Ends a run that never sent anything.
    fn refuse(&mut self, end: End, failure: Failure) {
        self.note(Level::Warning, Occasion::Refused, format!("{}: {}", failure.reason, failure.message));
        self.state.stored.failure = Some(failure);
        self.end(end);
    }

    /// Starts afresh with the current revision. Only for who stored the first intents and sent none of them.
    pub(super) fn repin(&mut self) {
        if !self.state.may_pin_afresh() {
            let text = "the revision went away after the first call: the run keeps it".to_owned();
            return self.note(Level::Trace, Occasion::Ignored, text);
        }
        let open: Vec<CallId> = self.stored().open_calls().map(|(call, ..)| call).collect();
        for call in open {
            self.drop_attempt(call);
        }
        self.state.stored.steps.clear();
        self.state.stored.revision = None;
        let text = "the revision was collected before anything was sent; taking the current one".to_owned();
        self.note(Level::Detail, Occasion::RevisionGone, text);
    }
}

fn failure(reason: Reason, message: &str) -> Failure {
    Failure { step: None, reason, message: text::message(message), http_status: None }
}
