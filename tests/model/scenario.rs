//! What is explored: who owns the run, which promises participants keep, and what may go wrong.

use std::sync::Arc;

use jiff::Timestamp;
use saga_operator::api::SagaDefinitionSpec;
use saga_operator::api::run::InterventionAction;
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
    /// The step whose participant refuses its compensation for good.
    pub stuck: Option<usize>,
    /// The step whose participant answers 202 and works on.
    pub works_on: Option<usize>,
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
    /// Two processes that both believe that they were elected.
    Elected,
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
    /// P4 that closes the door: the action of a compensation is refused from then on, by its key.
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
    /// A request arrives late, and a proxy has answered 502.
    Proxy,
    /// A participant answers 500 or 429.
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
    /// An intervention on the first stalled call.
    Person(InterventionAction),
}

/// P1 to P5.
pub const STRONG: Keeps = Keeps { remembers: true, fences: true, null: Null::Accepted, bars: false, punctual: false };

/// Everything but clocks and sizes.
pub const USUAL: &[Kind] = &[Kind::Crash, Kind::Pause, Kind::Write, Kind::Net, Kind::Late, Kind::Proxy, Kind::Error];

/// What people may do with the spec.
pub const WISHES: &[Wish] = &[Wish::Suspend, Wish::Resume, Wish::Cancel, Wish::Abandon, Wish::Delete];

/// What people may do about a stalled call.
pub const PEOPLE: &[Wish] = &[
    Wish::Person(InterventionAction::Retry),
    Wish::Person(InterventionAction::MarkSucceeded),
    Wish::Person(InterventionAction::MarkFailed),
];

impl Scenario {
    /// Two owners, good participants, the usual faults, no wishes.
    pub fn new(name: &'static str, definition: String) -> Self {
        Self {
            name,
            definition,
            tenancy: Tenancy::Contended,
            keeps: STRONG,
            refuses: None,
            stuck: None,
            works_on: None,
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
            Tenancy::Elected => Tenure::Elected,
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

/// A step: `a`, then ` Pivot`, ` Retriable`, ` ReadOnly` or ` confirm` where it is one, ` <b,c` for what it depends on where that is not the
/// step before it, ` !5` for a priority.
fn step(words: &str, attempts: u32) -> String {
    let mut parts = words.split(' ');
    let name = parts.next().unwrap();
    let parts: Vec<&str> = parts.collect();
    let call = |path: &str| {
        format!(
            "{{http: {{url: 'http://p.svc/{path}/{name}', timeoutSeconds: 2}}, polling: {{intervalSeconds: 15, \
             timeoutSeconds: 40}}, retryPolicy: {{maxAttempts: {attempts}, initialBackoffMilliseconds: 1000, \
             jitterPercent: 0}}"
        )
    };
    let mut text = format!("- name: {name}\n  action: {}}}\n", call("do"));
    match parts.iter().find(|part| ["Pivot", "Retriable", "ReadOnly"].contains(part)) {
        Some(role) => text += &format!("  role: {role}\n"),
        None => {
            let priority = parts.iter().find_map(|part| part.strip_prefix('!')).unwrap_or("0");
            text += &format!("  compensation: {}, priority: {priority}}}\n", call("undo"));
        }
    }
    if parts.contains(&"confirm") {
        text += &format!("  confirm: {}}}\n", call("confirm"));
    }
    if let Some(names) = parts.iter().find_map(|part| part.strip_prefix('<')) {
        text += &format!("  dependsOn: [{names}]\n");
    }
    text
}

/// A definition, a line for each step, with so many attempts for each call, and some fields more.
pub fn saga(steps: &[&str], attempts: u32, more: &str) -> String {
    let steps: String = steps.iter().map(|words| step(words, attempts)).collect();
    format!("{more}\nsteps:\n{steps}")
}
