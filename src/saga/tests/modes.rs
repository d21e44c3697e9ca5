//! Every change of mode that a write may bring, each proved by a run that goes through it. docs/semantics.md shows them
//! ([`super::docs`]).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::fixtures::*;
use super::golden;
use crate::api::run::{Direction, InterventionAction};
use crate::saga::state::Stored;
use crate::saga::{CallId, Event, Mode, Plan, State, Tenure, Transition, Unready, step};

/// A mode, or the end of a run, as it is called in the documentation.
pub fn name(stored: &Stored) -> String {
    stored.end.map_or_else(|| format!("{:?}", stored.mode()), |end| end.reason().to_string())
}

macro_rules! changes {
    ($($name:ident: $from:ident => $to:ident, $why:literal, $change:expr)+) => {
        $(
            #[test]
            fn $name() {
                let change: fn() -> (State, Transition) = $change;
                let (before, after) = change();
                assert!(after.changed, "a change of mode is a write");
                assert_eq!(name(&before.stored), stringify!($from));
                assert_eq!(name(&after.state.stored), stringify!($to));
            }
        )+

        /// From, to, and why.
        pub const CHANGES: &[(&str, &str, &str)] = &[$((stringify!($from), stringify!($to), $why)),+];
    };
}

fn from(plan: &Plan, before: State, event: Event, millis: u64) -> (State, Transition) {
    let after = step(plan, &before, &[event], at(millis));
    (before, after)
}

fn hears(plan: &Plan, before: State, call: CallId, status: u16) -> (State, Transition) {
    let event = answered(&before, call, http(status, json!({"id": "x", "percent": 1})));
    from(plan, before, event, 5000)
}

/// Starts a run whose definition is not there, or whose input is wrong, and waits.
fn starts(plan: &Plan) -> (State, Transition) {
    let waiting = step(plan, &State::default(), &[wished()], at(0)).state;
    from(plan, waiting, Event::Tick, 60_000)
}

/// A run whose compensation needs a person.
fn stalled(plan: &Plan) -> State {
    let mut state = turned(plan, 1);
    for attempt in 1..=3 {
        let event = answered(&state, CallId::compensate(0), http(500, Value::Null));
        state = land(plan, &state, &[event], at(2000 * attempt)).state;
    }
    state
}

changes! {
    the_first_write_pins_the_definition: Pending => Forward, "the definition is Ready", || {
        from(&order(), State::default(), wished(), 0)
    }
    an_input_against_the_schema_ends_the_run: Pending => InvalidInput, "the input violates the schema", || {
        let mut plan = order();
        plan.input = std::sync::Arc::new(json!({}));
        from(&plan, State::default(), wished(), 0)
    }
    a_definition_that_does_not_come_ends_the_run: Pending => DefinitionNotFound, "nobody creates the definition", || {
        starts(&plan(Err(Unready::NotFound), "a", Tenure::Exclusive))
    }
    a_definition_that_does_not_get_ready_ends_the_run: Pending => DefinitionNotReady, "nobody mends the definition", || {
        starts(&plan(Err(Unready::NotReady("no step".into())), "a", Tenure::Exclusive))
    }
    a_run_that_is_cancelled_before_it_starts_has_nothing_to_undo: Pending => Compensated, "cancelled, deleted or late before it starts", || {
        from(&order(), State::default(), cancelled(1), 0)
    }
    a_run_is_abandoned_before_it_starts: Pending => Abandoned, "a person abandons it", || {
        from(&order(), State::default(), abandoned(1), 0)
    }
    the_last_step_of_a_run_with_confirms_begins_them: Forward => Confirming, "every step is done, and some are to be confirmed", || {
        let plan = trip();
        let state = paid(&plan);
        let state = land(&plan, &state, &[answered(&state, CallId::forward(3), http(200, json!({"number": 1})))], at(400));
        hears(&plan, state.state, CallId::forward(4), 200)
    }
    the_last_step_of_a_run_without_confirms_ends_it: Forward => Succeeded, "every step is done", || {
        let plan = order();
        let state = forward(&plan, 2);
        hears(&plan, state, CallId::forward(3), 200)
    }
    a_refusal_before_the_commit_point_turns_the_run: Forward => Compensating, "a step fails, a wish or the deadline, before the commit point", || {
        let plan = order();
        let state = forward(&plan, 1);
        hears(&plan, state, CallId::forward(1), 422)
    }
    a_run_without_effects_ends_when_it_turns: Forward => Compensated, "the same, and there is nothing to undo", || {
        let plan = order();
        let state = forward(&plan, 0);
        hears(&plan, state, CallId::forward(0), 422)
    }
    a_run_is_abandoned_as_it_goes_forward: Forward => Abandoned, "a person abandons it", || {
        let plan = order();
        let state = forward(&plan, 1);
        from(&plan, state, abandoned(2), 5000)
    }
    the_last_confirm_ends_the_run: Confirming => Succeeded, "every confirm is done", || {
        let plan = trip();
        let state = confirming(&plan);
        hears(&plan, state, CallId::confirm(0), 200)
    }
    a_run_is_abandoned_as_it_confirms: Confirming => Abandoned, "a person abandons it", || {
        let plan = trip();
        let state = confirming(&plan);
        from(&plan, state, abandoned(2), 5000)
    }
    the_last_compensation_ends_a_run_that_turned: Compensating => Compensated, "everything is undone", || {
        let plan = order();
        let state = turned(&plan, 1);
        hears(&plan, state, CallId::compensate(0), 200)
    }
    a_compensation_done_by_hand_ends_the_run: Compensating => CompensatedByHand, "the same, some of it by hand", || {
        let plan = order();
        let done = decision("ask", "reserve", Direction::Compensate, InterventionAction::MarkSucceeded);
        from(&plan, stalled(&plan), intervened(2, vec![done]), 9000)
    }
    a_run_is_abandoned_as_it_compensates: Compensating => Abandoned, "a person abandons it", || {
        let plan = order();
        from(&plan, stalled(&plan), abandoned(2), 9000)
    }
}

#[test]
fn no_story_changes_the_mode_in_another_way() {
    let known: BTreeSet<(String, String)> =
        CHANGES.iter().map(|(from, to, _)| ((*from).to_owned(), (*to).to_owned())).collect();
    let mut seen = BTreeSet::new();
    for history in golden::histories() {
        let names: Vec<String> =
            std::iter::once("Pending".to_owned()).chain(history.iter().map(|landing| name(&landing.stored))).collect();
        seen.extend(names.windows(2).filter(|pair| pair[0] != pair[1]).map(|pair| (pair[0].clone(), pair[1].clone())));
    }
    let unknown: Vec<_> = seen.difference(&known).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    assert!(seen.len() > CHANGES.len() / 2, "the stories go through {} of {} changes", seen.len(), CHANGES.len());
}

#[test]
fn every_mode_is_left_and_every_end_is_reached() {
    for mode in Mode::ALL.into_iter().filter(|mode| *mode != Mode::Ended) {
        assert!(CHANGES.iter().any(|(from, _, _)| *from == format!("{mode:?}")), "{mode:?} is never left");
    }
    for end in crate::saga::End::ALL {
        assert!(CHANGES.iter().any(|(_, to, _)| *to == end.reason().as_str()), "{end:?} is never reached");
    }
}
