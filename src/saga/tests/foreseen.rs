//! What `plan` and `plan --undo` foresee, told as text: of each definition before it runs, and of the runs of some stories
//! after every write. `UPDATE_GOLDEN=1 cargo test foreseen` writes the files in `golden/foreseen/` anew.

use std::fmt::Write as _;

use serde_json::json;

use super::fixtures::{ORDER, TRIP, compile, input, spec};
use super::golden::{self, Told};
use crate::saga::Now;
use crate::saga::preview::{Known, RequestPreview, Running, Undo, preview, undo};

/// Stories that together meet every state in which a cancellation means something else.
const STORIES: [&str; 20] = [
    "a_saga_succeeds",
    "a_refused_payment_undoes_what_was_done_before",
    "a_participant_that_is_down_is_asked_again",
    "a_step_that_timed_out_is_compensated_because_it_may_have_happened",
    "a_crash_during_compensation_goes_on_compensating",
    "a_cancellation_in_a_backoff_acts_at_once",
    "an_abandoned_run_stays_as_it_stands",
    "a_suspended_run_sends_nothing_until_it_is_resumed",
    "an_exhausted_compensation_needs_a_person",
    "a_forbidden_secret_is_a_refusal_without_effect",
    "a_trip_succeeds_and_what_it_tried_is_confirmed",
    "a_branch_that_fails_is_undone_while_the_other_is_awaited",
    "a_diamond_is_undone_in_reverse",
    "a_pivot_in_doubt_is_asked_again_under_the_same_key",
    "a_pivot_used_up_in_doubt_needs_a_person",
    "a_cancellation_withdraws_a_pivot_that_is_only_scheduled",
    "a_confirm_that_is_used_up_is_done_by_hand",
    "a_call_in_progress_is_polled_until_it_is_done",
    "a_compensation_in_progress_is_polled",
    "a_compensation_that_cannot_be_rendered_needs_a_person",
];

#[test]
fn what_a_run_would_do_is_foreseen() {
    let office = include_str!("golden/office.yaml");
    let done = json!({"reserve": {"id": "r-1"}, "hotel": {"id": "h-1"}});
    for (name, yaml) in [("order", ORDER), ("trip", TRIP), ("office", office)] {
        let (spec, definition) = (spec(yaml), compile(yaml).unwrap());
        let named = Known { run: Some("order-7".into()), namespace: Some("shop".into()), ..Known::default() };
        let outputs = serde_json::from_value(done.clone()).unwrap();
        let active_deadline = Some(std::time::Duration::from_secs(90));
        let given = Known { input: Some(input()), outputs, active_deadline, ..named };
        let mut told = String::new();
        for (title, known) in [("nothing is known", Known::default()), ("input and some outputs are known", given)] {
            let foreseen = preview(&spec, &definition, &known);
            let text = serde_json::to_string_pretty(&foreseen).unwrap();
            writeln!(told, "# {title}\n{text}\nfaults: {:#?}", foreseen.faults()).unwrap();
        }
        golden::settle(&format!("foreseen/{name}"), &told);
    }
}

#[test]
fn what_a_cancellation_would_do_is_foreseen_after_every_write_of_a_run() {
    for name in STORIES {
        golden::settle(&format!("foreseen/{name}"), &cancelled(&golden::story(name)));
    }
}

/// What a cancellation would do after each write; what it would do as before is left out.
fn cancelled(story: &Told) -> String {
    let (mut told, mut before) = (String::new(), String::new());
    for (number, landing) in story.store.history.iter().enumerate() {
        let running = Running {
            run: story.plan.run.clone(),
            input: (*story.plan.input).clone(),
            wishes: landing.wishes.clone(),
            stored: landing.stored.clone(),
        };
        for (when, now) in [("at once", landing.at), ("much later", later(landing.at))] {
            let text = match undo(&spec(&story.yaml), &running, now) {
                Ok(undo) => lines(&undo),
                Err(problems) => format!("  cannot be told: {problems:?}\n"),
            };
            if text != before {
                write!(told, "after write {} ({:?}), {when}\n{text}", number + 1, landing.stored.mode()).unwrap();
                before = text;
            }
        }
    }
    told
}

fn later(now: Now) -> Now {
    let more = std::time::Duration::from_secs(3600);
    Now { monotonic: now.monotonic.after(more), wall: now.wall + more }
}

fn lines(undo: &Undo) -> String {
    let mut text = format!("  {:?}: {}\n", undo.verdict, undo.message);
    if undo.suspended {
        text.push_str("  suspended\n");
    }
    for call in &undo.under_way {
        writeln!(text, "  {} {:?}, attempt {}: {}", call.step, call.direction, call.attempt, call.message).unwrap();
    }
    for planned in &undo.requests {
        let request = planned.request.as_ref().map_or_else(|| "not known yet".to_owned(), request);
        writeln!(text, "  {}. {} {:?}: {request}", planned.group, planned.step, planned.direction).unwrap();
        if !planned.depends_on.is_empty() {
            writeln!(text, "     depends on {:?}", planned.depends_on).unwrap();
        }
    }
    for step in &undo.not_undone {
        writeln!(text, "  not undone: {}: {}", step.step, step.why).unwrap();
    }
    for call in &undo.stalled {
        writeln!(text, "  stalled: {} {:?} {:?}: {}", call.step, call.direction, call.reason, call.message).unwrap();
    }
    writeln!(text, "  ends {:?}", undo.end).unwrap();
    text
}

fn request(request: &RequestPreview) -> String {
    let headers: Vec<String> = request.headers.iter().map(|header| serde_json::to_string(header).unwrap()).collect();
    let body = request.body.as_ref().map(ToString::to_string).unwrap_or_default();
    format!("{:?} {} {} {body}", request.method, request.url, headers.join(" "))
}
