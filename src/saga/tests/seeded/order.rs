//! In which order steps are done and undone.

use serde_json::Value;

use super::*;
use crate::saga::state::{End, Phase};

/// A step that can be undone.
fn step(name: &str, after: &str, more: &str) -> String {
    format!(
        "- {{name: {name}, dependsOn: [{after}], action: {{http: {{url: 'http://p.svc/'}}}}, \
         compensation: {{http: {{url: 'http://p.svc/'}}, retryPolicy: {{maxAttempts: 1}}{more}}}}}\n"
    )
}

/// A step that only reads.
fn read(name: &str, after: &str) -> String {
    format!("- {{name: {name}, role: ReadOnly, dependsOn: [{after}], action: {{http: {{url: 'http://p.svc/'}}}}}}\n")
}

fn of(steps: &[String]) -> Plan {
    saga(&format!("steps:\n{}", steps.concat()))
}

fn with(policy: &str, steps: &[String]) -> Plan {
    saga(&format!("compensationPolicy: {{{policy}}}\nsteps:\n{}", steps.concat()))
}

/// A fork, two branches, a join, and one more step.
fn diamond() -> Plan {
    of(&[step("a", "", ""), step("b", "a", ""), step("c", "a", ""), step("d", "b, c", ""), step("e", "d", "")])
}

fn undo(step: usize) -> CallId {
    CallId::compensate(step)
}

fn refuse(plan: &Plan, state: &State, step: usize) -> Transition {
    after(plan, state, CallId::forward(step), http(422, Value::Null))
}

#[test]
fn a_join_waits_for_all_that_it_depends_on() {
    let plan = diamond();
    let forked = after(&plan, &begun(&plan), CallId::forward(0), ok());
    assert_eq!(sends(&forked), [CallId::forward(1), CallId::forward(2)]);
    let half = after(&plan, &forked.state, CallId::forward(2), ok());
    assert_eq!(sends(&half), []);
    let joined = after(&plan, &half.state, CallId::forward(1), ok());
    assert_eq!(sends(&joined), [CallId::forward(3)]);
}

#[test]
fn a_join_is_undone_before_its_branches_and_they_before_the_fork() {
    let plan = diamond();
    let turned = refuse(&plan, &done(&plan, &[0, 1, 2, 3]), 4);
    assert_eq!(sends(&turned), [undo(3)]);
    let branches = after(&plan, &turned.state, undo(3), ok());
    assert_eq!(sends(&branches), [undo(1), undo(2)]);
    let half = after(&plan, &branches.state, undo(1), ok());
    assert_eq!(sends(&half), []);
    let fork = after(&plan, &half.state, undo(2), ok());
    assert_eq!(sends(&fork), [undo(0)]);
    assert_eq!(after(&plan, &fork.state, undo(0), ok()).state.stored.end, Some(End::Compensated));
}

#[test]
fn a_step_that_needs_no_undo_does_not_hide_those_behind_it() {
    let plan = of(&[step("a", "", ""), read("r", "a"), step("c", "r", ""), step("x", "c", "")]);
    let turned = refuse(&plan, &done(&plan, &[0, 1, 2]), 3);
    assert_eq!(sends(&turned), [undo(2)], "a waits for c, which depends on it through a step that only reads");
    assert_eq!(sends(&after(&plan, &turned.state, undo(2), ok())), [undo(0)]);
}

#[test]
fn other_branches_are_not_waited_for() {
    let plan = of(&[step("a", "", ""), step("b", "", ""), step("c", "b", ""), step("x", "a, c", "")]);
    let turned = refuse(&plan, &done(&plan, &[0, 1, 2]), 3);
    assert_eq!(sends(&turned), [undo(0), undo(2)]);
}

#[test]
fn an_action_on_the_wire_is_awaited_before_what_it_depends_on_is_undone() {
    let plan = of(&[step("a", "", ""), step("b", "a", ""), step("c", "a", "")]);
    let turned = refuse(&plan, &done(&plan, &[0]), 2);
    assert_eq!(sends(&turned), [], "b may still take effect");
    let answered = after(&plan, &turned.state, CallId::forward(1), ok());
    assert_eq!(sends(&answered), [undo(1)]);
}

#[test]
fn an_awaited_action_that_would_be_asked_again_is_closed_instead() {
    let plan = of(&[step("a", "", ""), step("b", "", "")]);
    for (answer, phase) in [
        (http(429, Value::Null), Phase::Failed),
        (http(503, Value::Null), Phase::Unknown),
        (accepted("/jobs/1"), Phase::Unknown),
    ] {
        let turned = refuse(&plan, &begun(&plan), 1).state;
        let closed = after(&plan, &turned, CallId::forward(0), answer);
        assert_eq!(record(&closed.state, CallId::forward(0)).phase, phase);
        assert_eq!(sends(&closed), if phase == Phase::Unknown { vec![undo(0)] } else { Vec::new() });
    }
}

#[test]
fn what_was_skipped_or_only_read_is_not_undone() {
    let when = step("w", "", "").replace("dependsOn", "when: '${input.gift}', dependsOn");
    let plan = of(&[step("a", "", ""), when, read("r", ""), step("x", "a, w, r", "")]);
    let state = done(&plan, &[0, 2]);
    assert_eq!(record(&state, CallId::forward(1)).phase, Phase::Skipped);
    let turned = refuse(&plan, &state, 3);
    assert_eq!(sends(&turned), [undo(0)]);
    let ended = after(&plan, &turned.state, undo(0), ok()).state;
    assert_eq!(ended.stored.end, Some(End::Compensated));
    assert!(ended.stored.steps[1..].iter().all(|step| step.compensation.is_none()));
}

#[test]
fn what_may_have_taken_effect_is_undone_as_well() {
    let plan = saga(&step("a", "", "").replacen("- ", "steps:\n- ", 1));
    let lost = after(&plan, &begun(&plan), CallId::forward(0), lost()).state;
    let turned = refuse(&plan, &lost, 0);
    assert_eq!(record(&turned.state, CallId::forward(0)).phase, Phase::Unknown);
    assert_eq!(sends(&turned), [undo(0)]);
}

#[test]
fn in_parallel_one_priority_after_the_other_is_undone_whatever_depends_on_what() {
    let plan = with(
        "order: Parallel",
        &[step("a", "", ", priority: 10"), step("b", "a", ""), step("c", "b", ""), step("x", "c", "")],
    );
    let turned = refuse(&plan, &done(&plan, &[0, 1, 2]), 3);
    assert_eq!(sends(&turned), [undo(0)]);
    assert_eq!(sends(&after(&plan, &turned.state, undo(0), ok())), [undo(1), undo(2)]);
}

#[test]
fn while_one_undo_is_stalled_no_other_is_begun_unless_the_policy_says_so() {
    let steps = [step("a", "", ""), step("b", "a", ""), step("x", "b", "")];
    for (policy, next) in [("onExhausted: Halt", vec![]), ("onExhausted: Continue", vec![undo(0)])] {
        let plan = with(policy, &steps);
        let turned = refuse(&plan, &done(&plan, &[0, 1]), 2).state;
        let stalled = after(&plan, &turned, undo(1), http(500, Value::Null));
        assert_eq!(record(&stalled.state, undo(1)).phase, Phase::Stalled);
        assert_eq!(sends(&stalled), next, "{policy}");
        if next.is_empty() {
            continue;
        }
        let left = after(&plan, &stalled.state, undo(0), ok()).state;
        assert_eq!(left.stored.end, None, "a stalled undo is not done");
    }
}

#[test]
fn at_most_sixteen_calls_of_a_run_are_open() {
    let steps: Vec<String> = (0..20).map(|index| step(&format!("s{index}"), "", "")).collect();
    let plan = of(&steps);
    let first = land(&plan, &State::default(), &[wished()], at(0));
    assert_eq!(sends(&first), (0..16).map(CallId::forward).collect::<Vec<_>>());
    let next = after(&plan, &first.state, CallId::forward(3), ok());
    assert_eq!(sends(&next), [CallId::forward(16)]);
}

#[test]
fn a_halt_holds_other_branches_as_well() {
    let steps = [step("a", "", ""), step("b", "", ""), step("c", "b", ""), step("x", "a, c", "")];
    for (policy, next) in [("onExhausted: Halt", vec![]), ("onExhausted: Continue", vec![undo(1)])] {
        let plan = with(policy, &steps);
        let turned = refuse(&plan, &done(&plan, &[0, 1, 2]), 3);
        assert_eq!(sends(&turned), [undo(0), undo(2)]);
        let stalled = after(&plan, &turned.state, undo(0), http(500, Value::Null)).state;
        assert_eq!(record(&stalled, undo(0)).phase, Phase::Stalled);
        assert_eq!(sends(&after(&plan, &stalled, undo(2), ok())), next, "{policy}");
    }
}
