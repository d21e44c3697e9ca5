//! What is explored: definitions, owners, participants, and what may go wrong.

use std::sync::Arc;

use jiff::Timestamp;
use saga_operator::api::SagaDefinitionSpec;
use saga_operator::saga::{Definition, Holder, Identity, Owner, Plan, Tenure};

use super::service::Anomaly;

/// One small world to be explored.
#[derive(Clone)]
pub struct Scenario {
    pub name: &'static str,
    pub definition: String,
    pub tenancy: Tenancy,
    pub keeps: Keeps,
    /// The step whose participant refuses its action for good.
    pub refuses: Option<usize>,
    /// Errors of the wall clocks, in milliseconds.
    pub skew: [i64; 2],
    pub kinds: &'static [Kind],
    pub wishes: &'static [Wish],
    /// What breaks, and nothing else.
    pub anomalies: &'static [Anomaly],
}

/// Who owns the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenancy {
    /// One process, that finds its own run after a restart.
    Exclusive,
    /// Two processes without an election.
    Contended,
}

/// Which of its promises a participant keeps.
#[derive(Clone, Copy, Debug)]
pub struct Keeps {
    /// P1
    pub remembers: bool,
    /// P3
    pub fences: bool,
    /// P4
    pub null: Null,
    /// P4 as participants.md has it: the action of a null compensation is refused from then on.
    pub bars: bool,
    /// P6
    pub punctual: bool,
}

/// What becomes of a compensation of something that was never done.
#[derive(Clone, Copy, Debug)]
pub enum Null {
    /// Success (P4).
    Accepted,
    /// It answers 404.
    Refused,
    /// It takes away what was never given.
    Harmful,
}

/// What may go wrong. Each time counts as one fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A process dies, and another one takes its place.
    Crash,
    /// A process stands still for as long as it likes.
    Pause,
    /// A write is not answered.
    Write,
    /// A write is refused for its size.
    Size,
    /// A request, or its answer, is lost, refused or doubled.
    Net,
    /// A request arrives late.
    Late,
    /// A participant answers 500.
    Error,
    /// A wall clock is set back.
    Jump,
}

/// What users may ask for. Each time counts as one fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Suspend,
    Resume,
    Cancel,
    Abandon,
    Delete,
}

/// P1 to P5.
pub const STRONG: Keeps = Keeps { remembers: true, fences: true, null: Null::Accepted, bars: false, punctual: false };

/// Everything but clocks and sizes.
pub const USUAL: &[Kind] = &[Kind::Crash, Kind::Pause, Kind::Write, Kind::Net, Kind::Late, Kind::Error];

impl Scenario {
    /// Two owners, good participants, the usual faults, no wishes.
    pub fn new(name: &'static str, definition: String) -> Self {
        Self {
            name,
            definition,
            tenancy: Tenancy::Contended,
            keeps: STRONG,
            refuses: None,
            skew: [0, 0],
            kinds: USUAL,
            wishes: &[],
            anomalies: &[],
        }
    }
}

/// A scenario, ready to be lived.
pub struct Setup {
    pub scenario: Scenario,
    pub definition: Arc<Definition>,
    pub beginning: Timestamp,
    run: Arc<Identity>,
    input: Arc<serde_json::Value>,
}

impl Setup {
    pub fn new(scenario: Scenario) -> Self {
        let spec: SagaDefinitionSpec = serde_saphyr::from_str(&scenario.definition).unwrap();
        let definition = Definition::compile(&spec, "r-1").unwrap_or_else(|problems| panic!("{problems:?}"));
        Self {
            scenario,
            definition: Arc::new(definition),
            beginning: "2026-01-01T00:00:00Z".parse().unwrap(),
            run: Arc::new(Identity { namespace: "shop".into(), name: "order".into(), uid: "u".into() }),
            input: Arc::new(serde_json::json!({})),
        }
    }

    /// The plan of the process that lives for the n-th time at a place.
    pub fn plan(&self, place: usize, life: u32) -> Arc<Plan> {
        let tenure = match self.scenario.tenancy {
            Tenancy::Exclusive => Tenure::Exclusive,
            Tenancy::Contended => Tenure::Contended,
        };
        let name = ["A", "B"][place];
        Arc::new(Plan {
            run: self.run.clone(),
            definition_name: "order".into(),
            input: self.input.clone(),
            definition: Ok(self.definition.clone()),
            owner: Owner { id: Holder::new(&format!("{name}{life}")), tenure },
        })
    }
}

/// A sequence of so many steps, `attempts` for each call.
pub fn sequence(steps: usize, attempts: u32) -> String {
    let retry = format!("{{maxAttempts: {attempts}, initialBackoffMilliseconds: 1000, jitterPercent: 0}}");
    let step = |name: &str| {
        format!(
            "- name: {name}\n  action: {{http: {{url: 'http://p.svc/{name}', timeoutSeconds: 2}}, retryPolicy: \
             {retry}}}\n  compensation: {{http: {{url: 'http://p.svc/undo/{name}', timeoutSeconds: 2}}, retryPolicy: \
             {retry}}}\n"
        )
    };
    let steps: String = ["a", "b", "c"][..steps].iter().map(|name| step(name)).collect();
    format!("steps:\n{steps}")
}
