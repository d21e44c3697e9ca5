//! The definitions of a world.

use std::sync::Arc;

use saga_operator::api::definition::{Call, HttpCall, Output, RetryPolicy, Role, SagaDefinitionSpec, Step};
use saga_operator::saga::Definition;

use super::fate::{Fate, Source};

/// A definition, as it was written and as it is run.
pub struct Saga {
    pub spec: SagaDefinitionSpec,
    pub definition: Arc<Definition>,
}

/// A definition of that many steps.
pub fn definition(steps: usize, timeout: i32, attempts: i32, backoff: i32) -> Arc<Saga> {
    definition_named("order-1", steps, timeout, attempts, backoff)
}

pub fn definition_named(revision: &str, steps: usize, timeout: i32, attempts: i32, backoff: i32) -> Arc<Saga> {
    let step = |index: usize| Step {
        name: format!("s{index}"),
        role: if index % 4 == 3 { Role::ReadOnly } else { Role::Compensatable },
        action: call(format!("do/{index}"), timeout, attempts, backoff),
        compensation: (index % 4 != 3).then(|| call(format!("undo/{index}"), timeout, attempts + 2, backoff)),
        outputs: vec![Output { name: "id".into(), value: "${response.body.id}".into() }],
        ..Step::default()
    };
    compile(SagaDefinitionSpec { steps: (0..steps).map(step).collect(), ..SagaDefinitionSpec::default() }, revision)
}

/// A definition as chance has it.
pub fn drawn(fate: &Fate, revision: &str) -> Arc<Saga> {
    let number = |from: i32, below: u32| from + i32::try_from(fate.below(Source::Shape, below)).unwrap();
    let steps = 1 + number(0, 6);
    let any_call = |path: String, more: i32| call(path, number(1, 12), number(1, 4) + more, number(50, 3000));
    let step = |index: i32| {
        let role = if fate.below(Source::Shape, 5) == 4 { Role::ReadOnly } else { Role::Compensatable };
        Step {
            name: format!("s{index}"),
            role,
            action: any_call(format!("do/{index}"), 0),
            compensation: (role == Role::Compensatable).then(|| any_call(format!("undo/{index}"), 2)),
            outputs: if fate.below(Source::Shape, 2) == 1 {
                vec![Output { name: "id".into(), value: "${response.body.id}".into() }]
            } else {
                Vec::new()
            },
            ..Step::default()
        }
    };
    let spec = SagaDefinitionSpec {
        steps: (0..steps).map(step).collect(),
        active_deadline_seconds: (fate.below(Source::Shape, 4) == 3).then(|| number(1, 120)),
        ..SagaDefinitionSpec::default()
    };
    compile(spec, revision)
}

fn call(path: String, timeout: i32, attempts: i32, backoff: i32) -> Call {
    Call {
        http: HttpCall { url: format!("http://p.svc/{path}"), timeout_seconds: timeout, ..HttpCall::default() },
        retry_policy: Some(RetryPolicy {
            max_attempts: Some(attempts),
            initial_backoff_milliseconds: Some(backoff),
            ..RetryPolicy::default()
        }),
        responses: Vec::new(),
    }
}

fn compile(spec: SagaDefinitionSpec, revision: &str) -> Arc<Saga> {
    let definition = Definition::compile(&spec, revision).unwrap_or_else(|problems| panic!("{problems:?}"));
    Arc::new(Saga { spec, definition: Arc::new(definition) })
}
