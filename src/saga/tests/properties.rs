//! Random definitions in a world where everything goes wrong: the promises hold, and when nothing goes wrong any more, the
//! run ends or says why not.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use serde_json::json;

use super::model::World;
use super::promises;
use crate::api::definition::{Call, HttpCall, Output, RetryPolicy, Role, SagaDefinitionSpec, Step};
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
}

fn shape() -> impl Strategy<Value = Shape> {
    let policy = (1..=4_i32, 1..=4_i32, 50..=3000_i32);
    (any::<bool>(), 0..8_u8, 1..=20_i32, policy, any::<bool>(), any::<bool>()).prop_map(
        |(reads, when, timeout, (attempts, undo_attempts, backoff), output, looks_back)| Shape {
            reads: reads && when != 2,
            when,
            timeout,
            attempts,
            undo_attempts,
            backoff,
            output,
            looks_back,
        },
    )
}

fn call(path: String, shape: &Shape, attempts: i32, body: Option<serde_json::Value>) -> Call {
    let retry_policy = Some(RetryPolicy {
        max_attempts: Some(attempts),
        initial_backoff_milliseconds: Some(shape.backoff),
        ..RetryPolicy::default()
    });
    let http =
        HttpCall { url: format!("http://p.svc{path}"), body, timeout_seconds: shape.timeout, ..HttpCall::default() };
    Call { http, retry_policy, responses: Vec::new(), polling: None }
}

/// The definition, and the bytes that a status of its runs may have.
fn build(shapes: &[Shape], deadline: Option<i32>) -> (Arc<Definition>, usize) {
    let steps = shapes.iter().enumerate().map(|(index, shape)| {
        let before = shapes[..index].iter().rposition(|shape| shape.output);
        let body = before.filter(|_| shape.looks_back).map(|before| json!(format!("${{steps.s{before}.outputs.id}}")));
        let undo = call("/undo/${call.forwardKey}".into(), shape, shape.undo_attempts, body.clone());
        Step {
            name: format!("s{index}"),
            role: if shape.reads { Role::ReadOnly } else { Role::Compensatable },
            when: match shape.when {
                0 => Some("${input.n > 3}".into()),
                1 => Some("${input.n > 9}".into()),
                2 => Some("${run.name == call.key}".into()),
                3 if index == 3 => Some("${input.missing}".into()),
                3.. => None,
            },
            action: call(format!("/do/{index}"), shape, shape.attempts, body),
            compensation: (!shape.reads).then(|| undo.into()),
            outputs: if shape.output {
                vec![Output { name: "id".into(), value: "${response.body.id}".into() }]
            } else {
                Vec::new()
            },
            ..Step::default()
        }
    });
    let spec = SagaDefinitionSpec { active_deadline_seconds: deadline, steps: steps.collect(), ..Default::default() };
    let definition = Definition::compile(&spec, "r-1").unwrap_or_else(|problems| panic!("{problems:?}"));
    (Arc::new(definition), size::worst_case(&spec))
}

fn config(cases: u32) -> Config {
    Config {
        cases,
        rng_seed: RngSeed::Fixed(7),
        failure_persistence: None,
        max_shrink_iters: 4000,
        ..Config::default()
    }
}

fn live(shapes: &[Shape], deadline: Option<i32>, tenure: Tenure, processes: usize, tape: Vec<u16>) {
    let (definition, bound) = build(shapes, deadline);
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
        deadline in prop::option::of(5..=200_i32),
        processes in 2..=3_usize,
        tape in prop::collection::vec(any::<u16>(), 0..400),
    ) {
        live(&shapes, deadline, Tenure::Contended, processes, tape);
    }

    #[test]
    fn one_owner_that_crashes_and_restarts_keeps_every_promise(
        shapes in prop::collection::vec(shape(), 1..=8),
        deadline in prop::option::of(5..=200_i32),
        tape in prop::collection::vec(any::<u16>(), 0..400),
    ) {
        live(&shapes, deadline, Tenure::Exclusive, 1, tape);
    }
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn a_run_without_faults_succeeds_with_one_write_for_each_step_and_one_more(
        mut shapes in prop::collection::vec(shape(), 1..=8),
    ) {
        for shape in &mut shapes {
            shape.when = 9;
        }
        let (definition, bound) = build(&shapes, None);
        let mut world = World::new(definition, Tenure::Contended, 1, Vec::new());
        world.run();
        prop_assert_eq!(world.store.load().end, Some(End::Succeeded));
        prop_assert_eq!(world.store.history.len(), shapes.len() + 1);
        promises::check(&world.definition, &world.store.history, bound);
        promises::check_end(&world);
    }
}
