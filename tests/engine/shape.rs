//! The definitions of a world.

use std::sync::Arc;

use saga_operator::api::definition::{
    Call, Compensation, CompensationOrder, CompensationPolicy, HttpCall, OnExhausted, Output, Polling, ResponseRule,
    RetryPolicy, Role, RuleOutcome, SagaDefinitionSpec, Step,
};
use saga_operator::saga::Definition;
use serde_json::json;

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
        compensation: (index % 4 != 3).then(|| call(format!("undo/{index}"), timeout, attempts + 2, backoff).into()),
        outputs: vec![id()],
        ..Step::default()
    };
    compile(SagaDefinitionSpec { steps: (0..steps).map(step).collect(), ..SagaDefinitionSpec::default() }, revision)
}

/// A definition as chance has it. All zeros: one step that can be undone.
pub fn drawn(fate: &Fate, revision: &str) -> Arc<Saga> {
    Draw { fate }.saga(revision)
}

struct Draw<'a> {
    fate: &'a Fate,
}

impl Draw<'_> {
    fn saga(&self, revision: &str) -> Arc<Saga> {
        let count = 1 + self.below(8);
        let pivot = if self.one_in(2) { Some(self.below(count)) } else { None };
        let branches = !self.one_in(3);
        let mut steps: Vec<Step> = Vec::new();
        for index in 0..count {
            let step = self.step(index, pivot, branches, &steps);
            steps.push(step);
        }
        let spec = SagaDefinitionSpec {
            outputs: if steps[0].outputs.is_empty() { Vec::new() } else { vec![of_run()] },
            steps,
            active_deadline_seconds: self.one_in(4).then(|| self.number(1, 120)),
            compensation_policy: self.one_in(2).then(|| self.policy()),
            ..SagaDefinitionSpec::default()
        };
        compile(spec, revision)
    }

    fn step(&self, index: u32, pivot: Option<u32>, branches: bool, earlier: &[Step]) -> Step {
        let role = match pivot {
            Some(pivot) if index == pivot => Role::Pivot,
            _ if self.one_in(6) => Role::ReadOnly,
            Some(pivot) if index > pivot => Role::Retriable,
            Some(_) | None => Role::Compensatable,
        };
        let compensation = || Compensation { call: self.call(format!("undo/{index}"), 1), priority: self.number(0, 3) };
        let undone = role == Role::Compensatable;
        Step {
            name: format!("s{index}"),
            role,
            depends_on: branches.then(|| self.dependencies(index, pivot)),
            when: (role != Role::Pivot && self.one_in(8)).then(|| "${input.wanted}".to_owned()),
            action: self.action(index, pivot, branches, earlier),
            compensation: undone.then(compensation),
            confirm: (undone && self.one_in(3)).then(|| self.call(format!("confirm/{index}"), 1)),
            outputs: if self.one_in(2) { vec![id()] } else { Vec::new() },
        }
    }

    /// Every other step is an ancestor or a descendant of the Pivot.
    fn dependencies(&self, index: u32, pivot: Option<u32>) -> Vec<String> {
        let after = pivot.filter(|pivot| index > *pivot);
        let chosen = |other: &u32| pivot == Some(index) || self.one_in(2) || after == Some(*other);
        (0..index).filter(chosen).map(|other| format!("s{other}")).collect()
    }

    /// It may use the output of a step that is certainly before it.
    fn action(&self, index: u32, pivot: Option<u32>, branches: bool, earlier: &[Step]) -> Call {
        let mut call = self.call(format!("do/{index}"), 0);
        let source = if branches { pivot.filter(|pivot| index > *pivot) } else { index.checked_sub(1) };
        let source = source.and_then(|source| earlier.get(source as usize)).filter(|step| !step.outputs.is_empty());
        if let Some(source) = source {
            call.http.body = Some(json!({"of": format!("${{steps.{}.outputs.id}}", source.name)}));
        }
        call
    }

    fn policy(&self) -> CompensationPolicy {
        let order = if self.one_in(2) { CompensationOrder::Parallel } else { CompensationOrder::Reverse };
        let on_exhausted = if self.one_in(2) { OnExhausted::Continue } else { OnExhausted::Halt };
        CompensationPolicy { order, on_exhausted }
    }

    fn call(&self, path: String, more: i32) -> Call {
        let call = call(path, self.number(1, 12), self.number(1, 4) + more, self.number(50, 3000));
        let refused = ResponseRule { when: "${response.status == 418}".to_owned(), outcome: RuleOutcome::Rejected };
        let polling = Polling { interval_seconds: self.number(1, 3), timeout_seconds: self.number(1, 40) };
        let responses = if self.one_in(4) { vec![refused] } else { Vec::new() };
        Call { polling: Some(polling), responses, ..call }
    }

    fn below(&self, bound: u32) -> u32 {
        self.fate.below(Source::Shape, bound)
    }

    fn number(&self, from: i32, below: u32) -> i32 {
        from + i32::try_from(self.below(below)).unwrap()
    }

    fn one_in(&self, count: u32) -> bool {
        self.below(count) == count - 1
    }
}

fn id() -> Output {
    Output { name: "id".into(), value: "${response.body.id}".into() }
}

fn of_run() -> Output {
    Output { name: "first".into(), value: "${steps.s0.outputs.id}".into() }
}

fn call(path: String, timeout: i32, attempts: i32, backoff: i32) -> Call {
    Call {
        http: HttpCall { url: format!("http://p.svc/{path}"), timeout_seconds: timeout, ..HttpCall::default() },
        retry_policy: Some(RetryPolicy {
            max_attempts: Some(attempts),
            initial_backoff_milliseconds: Some(backoff),
            ..RetryPolicy::default()
        }),
        ..Call::default()
    }
}

fn compile(spec: SagaDefinitionSpec, revision: &str) -> Arc<Saga> {
    let definition = Definition::compile(&spec, revision).unwrap_or_else(|problems| panic!("{problems:?}"));
    Arc::new(Saga { spec, definition: Arc::new(definition) })
}
