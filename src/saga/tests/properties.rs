//! Random definitions in a world where everything goes wrong: the promises hold, and when nothing goes wrong any more, the
//! run ends or says why not.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use serde_json::json;

use super::model::World;
use super::promises;
use crate::api::definition::{
    Call, Compensation, CompensationOrder, CompensationPolicy, HttpCall, OnExhausted, Output, Polling, RetryPolicy,
    Role, SagaDefinitionSpec, Step,
};
use crate::saga::state::End;
use crate::saga::{Definition, Tenure, size};

#[derive(Clone, Debug)]
struct Shape {
    reads: bool,
    when: u8,
    timeout: i32,
    attempts: i32,
    undo_attempts: i32,
    backoff: i32,
    output: bool,
    looks_back: bool,
    /// Which of the steps before it depends on, as bits.
    after: u8,
    priority: i32,
    confirmed: bool,
    polling: i32,
}

fn shape() -> impl Strategy<Value = Shape> {
    let policy = (1..=4_i32, 1..=4_i32, 50..=3000_i32);
    let looks = (any::<bool>(), any::<bool>(), any::<bool>());
    let more = (any::<u8>(), -1..=2_i32, 1..=60_i32);
    (looks, 0..8_u8, 1..=20_i32, policy, any::<bool>(), more).prop_map(
        |((reads, looks_back, confirmed), when, timeout, (attempts, undo_attempts, backoff), output, more)| Shape {
            reads: reads && when != 2,
            when,
            timeout,
            attempts,
            undo_attempts,
            backoff,
            output,
            looks_back,
            after: more.0,
            priority: more.1,
            confirmed,
            polling: more.2,
        },
    )
}

/// What holds for a definition as a whole.
#[derive(Clone, Copy, Debug)]
struct Frame {
    deadline: Option<i32>,
    /// Place of the Pivot, if there are so many steps.
    pivot: Option<usize>,
    policy: CompensationPolicy,
}

fn frame() -> impl Strategy<Value = Frame> {
    let deadline = prop::option::of(5..=200_i32);
    let pivot = prop::option::of(0..8_usize);
    (deadline, pivot, any::<bool>(), any::<bool>()).prop_map(|(deadline, pivot, parallel, goes_on)| Frame {
        deadline,
        pivot,
        policy: CompensationPolicy {
            order: if parallel { CompensationOrder::Parallel } else { CompensationOrder::Reverse },
            on_exhausted: if goes_on { OnExhausted::Continue } else { OnExhausted::Halt },
        },
    })
}

fn call(path: String, shape: &Shape, attempts: i32, body: Option<serde_json::Value>) -> Call {
    let retry_policy = Some(RetryPolicy {
        max_attempts: Some(attempts),
        initial_backoff_milliseconds: Some(shape.backoff),
        ..RetryPolicy::default()
    });
    let http =
        HttpCall { url: format!("http://p.svc{path}"), body, timeout_seconds: shape.timeout, ..HttpCall::default() };
    let polling = Some(Polling { interval_seconds: 1 + shape.polling / 10, timeout_seconds: shape.polling });
    Call { http, retry_policy, responses: Vec::new(), polling }
}

/// The definition, and the bytes that a status of its runs may have.
fn build(shapes: &[Shape], frame: Frame) -> (Arc<Definition>, usize) {
    let pivot = frame.pivot.filter(|pivot| *pivot < shapes.len());
    // Everything before the Pivot is its ancestor, everything after it depends on it.
    let depends_on = |index: usize| -> Vec<usize> {
        let first = pivot.filter(|pivot| index > *pivot);
        let free = (first.map_or(0, |pivot| pivot + 1)..index).filter(|at| shapes[index].after & (1 << (at % 8)) != 0);
        if pivot == Some(index) { (0..index).collect() } else { first.into_iter().chain(free).collect() }
    };
    let mut ancestors: Vec<BTreeSet<usize>> = Vec::new();
    for index in 0..shapes.len() {
        let direct = depends_on(index);
        let all = direct.iter().flat_map(|before| ancestors[*before].iter().copied());
        ancestors.push(direct.iter().copied().chain(all).collect());
    }
    let steps = shapes.iter().enumerate().map(|(index, shape)| {
        let before = ancestors[index].iter().rev().find(|before| shapes[**before].output);
        let body = before.filter(|_| shape.looks_back).map(|before| json!(format!("${{steps.s{before}.outputs.id}}")));
        let undo = call("/undo/${call.forwardKey}".into(), shape, shape.undo_attempts, body.clone());
        let role = match pivot.map(|pivot| index.cmp(&pivot)) {
            Some(Ordering::Equal) => Role::Pivot,
            None | Some(Ordering::Less) if !shape.reads => Role::Compensatable,
            Some(Ordering::Greater) if !shape.reads => Role::Retriable,
            None | Some(Ordering::Less | Ordering::Greater) => Role::ReadOnly,
        };
        let undoable = role == Role::Compensatable;
        Step {
            name: format!("s{index}"),
            role,
            depends_on: Some(depends_on(index).iter().map(|before| format!("s{before}")).collect()),
            when: match shape.when {
                _ if role == Role::Pivot => None,
                0 => Some("${input.n > 3}".into()),
                1 => Some("${input.n > 9}".into()),
                2 => Some("${run.name == call.key}".into()),
                3 if index == 3 => Some("${input.missing}".into()),
                3.. => None,
            },
            action: call(format!("/do/{index}"), shape, shape.attempts, body),
            compensation: undoable.then_some(Compensation { call: undo, priority: shape.priority }),
            confirm: (undoable && shape.confirmed)
                .then(|| call(format!("/confirm/{index}"), shape, shape.undo_attempts, None)),
            outputs: if shape.output {
                vec![Output { name: "id".into(), value: "${response.body.id}".into() }]
            } else {
                Vec::new()
            },
        }
    });
    let spec = SagaDefinitionSpec {
        active_deadline_seconds: frame.deadline,
        compensation_policy: Some(frame.policy),
        steps: steps.collect(),
        ..Default::default()
    };
    let definition = Definition::compile(&spec, "r-1").unwrap_or_else(|problems| panic!("{problems:?}"));
    (Arc::new(definition), size::worst_case(&spec))
}

fn config(cases: u32) -> Config {
    Config { cases, rng_seed: RngSeed::Fixed(7), failure_persistence: None, max_shrink_iters: 500, ..Config::default() }
}

fn live(shapes: &[Shape], frame: Frame, tenure: Tenure, processes: usize, tape: Vec<u16>) {
    let (definition, bound) = build(shapes, frame);
    let mut world = World::new(definition, tenure, processes, tape);
    world.run();
    promises::check(&world.definition, &world.store.history, bound);
    promises::check_fences(&world.store.history);
    promises::check_end(&world);
}

proptest! {
    #![proptest_config(config(250))]

    #[test]
    fn several_owners_keep_every_promise_whatever_goes_wrong(
        shapes in prop::collection::vec(shape(), 1..=8),
        frame in frame(),
        processes in 2..=3_usize,
        tape in prop::collection::vec(any::<u16>(), 0..400),
    ) {
        live(&shapes, frame, Tenure::Contended, processes, tape);
    }

    #[test]
    fn one_owner_that_crashes_and_restarts_keeps_every_promise(
        shapes in prop::collection::vec(shape(), 1..=8),
        frame in frame(),
        tape in prop::collection::vec(any::<u16>(), 0..400),
    ) {
        live(&shapes, frame, Tenure::Exclusive, 1, tape);
    }
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn a_run_without_faults_succeeds_with_one_write_for_each_call_and_one_more(
        mut shapes in prop::collection::vec(shape(), 1..=8),
        frame in frame(),
    ) {
        for shape in &mut shapes {
            shape.when = 9;
        }
        let (definition, bound) = build(&shapes, Frame { deadline: None, ..frame });
        let mut world = World::new(definition, Tenure::Contended, 1, Vec::new());
        world.run();
        prop_assert_eq!(world.store.load().end, Some(End::Succeeded));
        let confirms = world.definition.steps.iter().filter(|step| step.confirm.is_some()).count();
        prop_assert_eq!(world.store.history.len(), shapes.len() + confirms + 1);
        promises::check(&world.definition, &world.store.history, bound);
        promises::check_end(&world);
    }
}
