//! Whole sagas told as text. The files in `golden/` hold the script (lines that begin with `>`) and what came of it; a
//! reviewer reads behaviour in their diff. `UPDATE_GOLDEN=1 cargo test golden` writes them anew.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::fixtures::{self, definition, not_sent};
use super::host::{Done, Fault, Landing, Process, Store};
use super::told::{follows, scheduled, sent, wrote};
use crate::api::Reason;
use crate::api::run::{Direction, EndPolicy};
use crate::saga::{Answer, CallId, Cancellation, Event, Intervention, Now, Plan, Response, Tenure, Unready};

/// Two branches of different length that join again, all of it undoable.
const OFFICE: &str = include_str!("golden/office.yaml");

macro_rules! stories {
    ($($name:ident)+) => { $(
        #[test]
        fn $name() {
            tell(stringify!($name), include_str!(concat!("golden/", stringify!($name), ".txt")));
        }
    )+

    const TOLD: &[(&str, &str)] =
        &[$((stringify!($name), include_str!(concat!("golden/", stringify!($name), ".txt")))),+];
    };
}

stories! {
    a_saga_succeeds
    a_refused_payment_undoes_what_was_done_before
    a_participant_that_is_down_is_asked_again
    used_up_attempts_turn_the_run
    a_step_that_timed_out_is_compensated_because_it_may_have_happened
    a_conflict_while_in_doubt_is_sent_again_under_the_same_number
    a_crash_forward_is_taken_over_at_once_by_the_exclusive_owner
    a_crash_forward_is_taken_over_by_another_owner_after_silence
    a_crash_during_compensation_goes_on_compensating
    a_takeover_waits_before_it_compensates_what_may_be_on_its_way
    a_cancellation_in_a_backoff_acts_at_once
    a_deletion_in_the_middle_undoes_what_was_done
    an_abandoned_run_stays_as_it_stands
    a_suspended_run_sends_nothing_until_it_is_resumed
    a_deadline_turns_the_run
    a_missing_definition_is_waited_for
    a_definition_that_never_comes_ends_the_run
    invalid_input_ends_the_run_before_any_call
    an_output_that_is_too_large_turns_the_run
    a_failing_expression_turns_the_run
    a_last_step_without_its_output_undoes_the_run
    an_exhausted_compensation_needs_a_person
    a_forbidden_secret_is_a_refusal_without_effect
    a_redirect_is_refused_and_in_doubt
    an_unclear_write_is_recognised_by_its_fence
    a_status_that_is_too_large_turns_the_run
    a_lost_revision_stalls_until_it_is_there_again
    a_trip_succeeds_and_what_it_tried_is_confirmed
    a_branch_that_fails_is_undone_while_the_other_is_awaited
    a_diamond_is_undone_in_reverse
    in_parallel_order_groups_of_falling_priority_are_undone
    while_a_compensation_is_stalled_none_is_begun_where_the_policy_is_halt
    a_stalled_compensation_does_not_hold_the_others_where_the_policy_is_continue
    two_stalled_compensations_are_retried_one_after_the_other
    a_skipped_step_has_outputs_of_null
    a_pivot_that_is_refused_without_effect_turns_the_run
    a_pivot_in_doubt_is_marked_as_succeeded
    a_pivot_in_doubt_is_marked_as_failed
    a_pivot_in_doubt_is_asked_again_under_the_same_key
    a_pivot_used_up_in_doubt_needs_a_person
    a_refused_retriable_holds_only_what_depends_on_it
    a_retriable_used_up_without_doubt_is_retried_under_the_next_key
    a_retriable_used_up_in_doubt_keeps_its_key
    a_cancellation_while_the_pivot_is_open_is_refused_when_it_succeeds
    a_cancellation_while_the_pivot_is_open_waits_for_its_refusal
    a_cancellation_withdraws_a_pivot_that_is_only_scheduled
    a_deletion_while_the_pivot_is_open_is_followed_by_its_end
    a_deadline_while_the_pivot_is_open_waits_for_its_outcome
    a_deadline_withdraws_a_pivot_that_is_only_scheduled
    past_the_pivot_a_run_is_neither_cancelled_nor_late
    an_abandoned_run_leaves_an_open_pivot_unknown
    an_abandoned_run_takes_back_a_pivot_that_is_only_scheduled
    a_call_in_progress_is_polled_until_it_is_done
    a_call_that_is_in_progress_for_too_long_is_in_doubt_and_asked_again
    a_call_in_progress_is_left_when_the_run_turns
    a_compensation_in_progress_is_polled
    a_call_in_progress_is_polled_on_by_the_next_owner_without_doubt
    a_takeover_of_a_suspended_run_sends_nothing_and_polls_on
    an_owner_that_only_polls_shows_that_it_is_alive
    a_silent_owner_that_only_polled_is_waited_for
    a_confirm_that_is_refused_is_retried_by_a_person
    a_confirm_that_is_used_up_is_done_by_hand
    a_run_undone_by_hand_says_so
    of_two_contradicting_interventions_the_second_is_refused
    an_intervention_is_judged_while_the_run_is_suspended
    an_intervention_for_a_call_that_is_not_stalled_is_refused_for_good
    a_deleted_run_that_is_stalled_says_how_to_end_it
    a_compensation_that_cannot_be_rendered_needs_a_person
    a_compensation_whose_secret_is_forbidden_is_sent_once_that_is_mended
    an_output_of_the_run_that_fails_is_left_out
    an_output_that_is_too_large_at_the_pivot_is_null
    a_call_that_needs_an_output_left_out_after_the_pivot_stalls
    a_seventeenth_step_waits_for_room
}

fn tell(name: &str, golden: &str) {
    let script: Vec<&str> = golden.lines().filter(|line| line.starts_with('>') || line.starts_with('#')).collect();
    settle(name, &Story::new().tell(&script));
}

/// Compares with a file of `golden/`, or writes it anew where that is asked for.
pub fn settle(name: &str, told: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/saga/tests/golden/{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, told).unwrap();
        return;
    }
    let golden = std::fs::read_to_string(path).unwrap();
    let differs = golden.lines().zip(told.lines()).position(|(old, new)| old != new);
    let line = differs.map_or_else(|| golden.lines().count().min(told.lines().count()) + 1, |line| line + 1);
    assert!(golden == told, "{name} is told differently from line {line}; UPDATE_GOLDEN=1 writes it anew:\n{told}");
}

/// What a story came to.
pub struct Told {
    /// The definition as text.
    pub yaml: String,
    pub plan: Plan,
    pub store: Store,
}

/// Lives through a story.
pub fn story(name: &str) -> Told {
    let (_, golden) = TOLD.iter().find(|(known, _)| *known == name).unwrap();
    let script: Vec<&str> = golden.lines().filter(|line| line.starts_with('>')).collect();
    let Story { yaml, process, store, .. } = Story::new().live(&script);
    Told { yaml, plan: process.plan, store }
}

/// What each story wrote.
pub fn histories() -> Vec<Vec<Landing>> {
    TOLD.iter().map(|(name, _)| story(name).store.history).collect()
}

struct Story {
    store: Store,
    process: Process,
    millis: u64,
    faults: Vec<Fault>,
    /// The definition as text, so that a story can change it.
    yaml: String,
    /// Another story tells this part.
    quiet: bool,
    text: String,
}

impl Story {
    fn new() -> Self {
        Self {
            store: Store::new(),
            process: Process::new(fixtures::order()),
            millis: 0,
            faults: Vec::new(),
            yaml: fixtures::ORDER.to_owned(),
            quiet: false,
            text: String::new(),
        }
    }

    fn tell(self, script: &[&str]) -> String {
        self.live(script).text
    }

    fn live(mut self, script: &[&str]) -> Self {
        for line in script {
            writeln!(self.text, "{line}").unwrap();
            if let Some(command) = line.strip_prefix("> ") {
                self.perform(command);
            }
        }
        self
    }

    fn now(&self) -> Now {
        fixtures::at(self.millis)
    }

    fn perform(&mut self, command: &str) {
        let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
        match verb {
            "look" => self.look(),
            "quiet" => self.quiet = true,
            "loud" => self.quiet = false,
            "answer" => self.answer(rest),
            "lost" => self.decide(rest, fixtures::lost()),
            "poll" => self.poll(rest),
            "person" => self.intervene(rest),
            "unsent" => {
                let (call, reason) = rest.split_once(' ').unwrap();
                self.decide(call, not_sent(reason.parse::<Reason>().unwrap()));
            }
            "tick" => self.pass(seconds(rest)),
            "crash" => self.process.forget(),
            "process" => self.start_process(rest),
            "definition" => self.define(rest),
            "change" => self.change(rest),
            "input" => self.process.plan.input = serde_json::from_str::<serde_json::Value>(rest).unwrap().into(),
            "fault" => self.faults.push(fault(rest)),
            "wish" => {
                let (_, reason) = rest.split_once(' ').unwrap();
                let wish = Cancellation { policy: EndPolicy::Compensate, reason: reason.to_owned() };
                self.store.wish(|wishes| wishes.cancellation = Some(wish));
            }
            "suspend" => self.wish(|wishes| wishes.suspend = true),
            "resume" => self.wish(|wishes| wishes.suspend = false),
            "delete" if rest == "abandon" => self.wish(|wishes| wishes.deletion = Some(EndPolicy::Abandon)),
            "delete" => self.wish(|wishes| wishes.deletion = Some(EndPolicy::Compensate)),
            "cancel" => self.cancel(EndPolicy::Compensate, rest),
            "abandon" => self.cancel(EndPolicy::Abandon, rest),
            other => panic!("no such command: {other}"),
        }
    }

    fn look(&mut self) {
        let (now, faults) = (self.now(), &mut self.faults);
        let done = self.process.look(&mut self.store, now, &mut || faults.pop().unwrap_or(Fault::None));
        self.show(done);
    }

    fn wish(&mut self, change: impl FnOnce(&mut crate::saga::Wishes)) {
        self.store.wish(change);
        self.look();
    }

    fn cancel(&mut self, policy: EndPolicy, reason: &str) {
        let wish = Cancellation { policy, reason: reason.to_owned() };
        self.wish(|wishes| wishes.cancellation = Some(wish));
    }

    /// `reserve 409 retry-after 2s`, `undo:reserve 200 {...}`, `reserve 202 location /jobs/1`
    fn answer(&mut self, rest: &str) {
        let (call, answer) = response(rest);
        self.decide(call, answer);
    }

    fn decide(&mut self, call: &str, answer: Answer) {
        let event = fixtures::answered(&self.process.state, self.call(call), answer);
        let (now, faults) = (self.now(), &mut self.faults);
        let mut fault = || faults.pop().unwrap_or(Fault::None);
        let done = self.process.decide(&mut self.store, vec![event], now, &mut fault);
        self.show(done);
    }

    /// `hotel 202 retry-after 5s`, `hotel 200 {...}`: the look that is due brings this.
    fn poll(&mut self, rest: &str) {
        let now = self.now();
        let looks = self.process.looks_due(now);
        let (name, answer) = response(rest);
        let call = self.call(name);
        let look = looks.into_iter().find(|look| look.call == call).expect("a look at the call is due");
        writeln!(self.text, "           {}: looks at {}", self.process.id().as_str(), look.url).unwrap();
        let event = Event::Polled { call, fence: look.fence, answer };
        let faults = &mut self.faults;
        let mut fault = || faults.pop().unwrap_or(Fault::None);
        let done = self.process.decide(&mut self.store, vec![event], now, &mut fault);
        self.show(done);
    }

    /// `ask-1 Retry undo:hotel, ask-2 MarkSucceeded undo:hotel`: decisions about stalled calls.
    fn intervene(&mut self, rest: &str) {
        let decisions: Vec<Intervention> = rest.split(", ").map(|decision| self.decision(decision)).collect();
        self.wish(|wishes| wishes.interventions.extend(decisions));
    }

    fn decision(&self, text: &str) -> Intervention {
        let words: Vec<&str> = text.split(' ').collect();
        let [id, action, name] = words[..] else { panic!("id, action and call") };
        let CallId { step, direction } = self.call(name);
        Intervention {
            id: id.to_owned(),
            step: self.process.state.stored.steps[step].name.clone(),
            direction,
            action: serde_json::from_value(action.into()).unwrap(),
            reason: "looked at it".to_owned(),
            requested_by: "jane".to_owned(),
        }
    }

    /// `reserve`, `undo:reserve`, `confirm:reserve`
    fn call(&self, name: &str) -> CallId {
        let (name, direction) = match name.split_once(':') {
            Some(("undo", name)) => (name, Direction::Compensate),
            Some(("confirm", name)) => (name, Direction::Confirm),
            Some((other, _)) => panic!("no such direction: {other}"),
            None => (name, Direction::Forward),
        };
        let step = self.process.state.stored.steps.iter().position(|step| step.name == name).unwrap();
        CallId { step, direction }
    }

    /// Time passes, and what falls due by then is done when it is due. Looks at calls in progress wait for `poll`.
    fn pass(&mut self, millis: u64) {
        let end = self.millis + millis;
        while let Some(next) = self.process.next_decision() {
            let next = u64::try_from(next.0.as_millis()).unwrap();
            if next > end {
                break;
            }
            let stuck = next <= self.millis && !self.process.is_due(self.now());
            self.millis = next.max(self.millis);
            let (now, faults) = (self.now(), &mut self.faults);
            let mut fault = || faults.pop().unwrap_or(Fault::None);
            let done = if self.process.is_due(now) {
                self.process.send_due(&mut self.store, now, &mut fault)
            } else {
                self.process.decide(&mut self.store, vec![Event::Tick], now, &mut fault)
            };
            self.show(done);
            assert!(!stuck || self.process.next_decision() != Some(now.monotonic), "a wake that changes nothing");
        }
        self.millis = end;
    }

    fn start_process(&mut self, rest: &str) {
        let (id, tenure) = rest.split_once(' ').unwrap();
        let tenure = if tenure == "exclusive" { Tenure::Exclusive } else { Tenure::Contended };
        let definition = self.process.plan.definition.clone();
        self.process = Process::new(fixtures::plan(definition, id, tenure));
        self.look();
    }

    fn define(&mut self, which: &str) {
        let yaml = match which {
            "missing" => return self.process.plan.definition = Err(Unready::NotFound),
            "gone" => return self.process.plan.definition = Err(Unready::RevisionNotFound("order-1".into())),
            "order" => fixtures::ORDER.to_owned(),
            "trip" => fixtures::TRIP.to_owned(),
            "office" => OFFICE.to_owned(),
            "eighteen" => eighteen(),
            yaml => fixtures::ORDER.replace("- name: wrap", &format!("- {yaml}\n    name: wrap")),
        };
        self.process.plan.definition = Ok(definition(&yaml));
        self.yaml = yaml;
    }

    /// `text => other text`: in the definition, wherever it stands; `\n` begins a line.
    fn change(&mut self, rest: &str) {
        let rest = rest.replace("\\n", "\n");
        let (from, to) = rest.split_once(" => ").unwrap();
        assert!(self.yaml.contains(from), "'{from}' is not in the definition");
        self.yaml = self.yaml.replace(from, to);
        self.process.plan.definition = Ok(definition(&self.yaml));
    }

    fn show(&mut self, done: Vec<Done>) {
        if self.quiet {
            return;
        }
        for one in done {
            let line = match one {
                Done::Note(note) => format!("{:?}: {note}", note.level),
                Done::Withdrew(call) => format!("withdraws {}", self.name(call)),
                Done::Cut(call) => format!("cuts {}", self.name(call)),
                Done::Refused(fault) => format!("the write meets {fault:?}"),
                Done::Conflicted => "the write meets another write".to_owned(),
                Done::Wrote(stored) => wrote(&stored),
                Done::Scheduled(intent) => format!("schedules {}", scheduled(&intent)),
                Done::Sent(intent) => format!("sends {}", sent(&intent)),
                Done::Follows(polling) => follows(&polling),
                Done::LooksAgain(call, at) => {
                    format!("looks at {} again at +{:.1}s", self.name(call), at.0.as_secs_f64())
                }
                Done::Released => "lets the run go".to_owned(),
            };
            let time = format!("+{:.1}s", self.millis as f64 / 1000.0);
            writeln!(self.text, "  {time:>8} {}: {line}", self.process.id().as_str()).unwrap();
        }
    }

    fn name(&self, call: CallId) -> String {
        format!("{}/{}", self.process.state.stored.steps[call.step].name, call.direction.as_str())
    }
}

/// More steps than may be in flight, all of them ready at once.
fn eighteen() -> String {
    let step = |index: usize| {
        format!(
            "- name: s{index}\n  dependsOn: []\n  action: {{http: {{url: \"http://p.svc/{index}\"}}}}\n  compensation: \
             {{http: {{url: \"http://p.svc/{index}/undo\"}}, priority: {index}}}\n"
        )
    };
    format!("steps:\n{}", (1..=18).map(step).collect::<String>())
}

/// `reserve 409 retry-after 2s`: who answered, and what.
fn response(text: &str) -> (&str, Answer) {
    let mut words = text.splitn(3, ' ');
    let call = words.next().unwrap();
    let status = words.next().unwrap().parse().unwrap();
    let more = words.next().unwrap_or("null");
    let (retry_after, body) = match more.strip_prefix("retry-after ") {
        Some(wait) => (Some(Duration::from_millis(seconds(wait))), serde_json::Value::Null),
        None if more.starts_with("location ") => (None, serde_json::Value::Null),
        None => (None, serde_json::from_str(&more.replace("<2 KiB>", &"x".repeat(2048))).unwrap()),
    };
    let location = more.strip_prefix("location ").map(|location| ("location".to_owned(), location.to_owned()));
    let headers = location.into_iter().collect();
    (call, Answer::Response(Response { status, headers, body, retry_after }))
}

/// In milliseconds.
fn seconds(text: &str) -> u64 {
    let number: f64 = text.trim().strip_suffix('s').unwrap().parse().unwrap();
    (number * 1000.0) as u64
}

fn fault(name: &str) -> Fault {
    match name {
        "UnclearLanded" => Fault::UnclearLanded,
        "UnclearLost" => Fault::UnclearLost,
        "TooLarge" => Fault::TooLarge,
        other => panic!("no such fault: {other}"),
    }
}

/// The plan a story begins with.
#[test]
fn stories_are_told_of_a_definition_that_compiles() {
    let plan: Plan = fixtures::order();
    assert!(plan.definition.is_ok());
}
