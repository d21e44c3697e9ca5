//! The status of a run stays within 64 KiB, whatever happens: the API server and etcd refuse objects that are too large,
//! and a status that cannot be written is a run that cannot go on.
//!
//! The largest status that the schema and the operator's own promises allow is built here and measured. The promises, all
//! about what the operator writes:
//! - text is printable ASCII without `"`, `\`, `<`, `>` and `&`, so that one character is one byte in JSON;
//! - four conditions, with reasons from [`Reason::ALL`] and messages of at most 256 characters;
//! - at most 16 steps carry a `message`, for their action, their compensation or both;
//! - the outputs of all steps together have at most 16 KiB of JSON;
//! - a `digest` is kept until the outcome of its call: a step that is being compensated has none for its action any more;
//! - a call without outcome has no `completionTime`; `takeovers` are kept for open calls, 16 at most;
//! - `keySuffix` and `attemptsBefore` follow from an intervention, of which a run has at most 32.

use std::collections::BTreeMap;

use jiff::Timestamp;
use saga_operator::api::run::{
    CallState, CallStatus, Direction, Failure, InFlight, InterventionOutcome, InterventionStatus, Journal,
    SagaRunStatus, StepState, StepStatus,
};
use saga_operator::api::schema::crds;
use saga_operator::api::{Condition, ConditionStatus, Reason};
use serde_json::{Value, json};

const BUDGET: usize = 65_536;
const CONDITION_MESSAGE: usize = 256;
const STEPS_WITH_A_MESSAGE: usize = 16;
const OUTPUTS: usize = 16 * 1024;
const INTERVENTIONS: usize = 32;

/// Bounds read from the schema of the status of a run; a path is written `steps[].name`.
struct Bounds(Value);

impl Bounds {
    fn of_the_status_of_a_run() -> Self {
        let crd = serde_json::to_value(&crds()[1]).expect("a CRD is plain data");
        Self(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"].clone())
    }

    fn schema(&self, path: &str) -> &Value {
        path.split('.').fold(&self.0, |schema, name| match name.strip_suffix("[]") {
            Some(list) => &schema["properties"][list]["items"],
            None => &schema["properties"][name],
        })
    }

    /// The longest text.
    fn text(&self, path: &str) -> String {
        let length = self.schema(path)["maxLength"].as_u64().expect("a string has a maxLength");
        "x".repeat(usize::try_from(length).expect("a length is small"))
    }

    /// The number with the most digits.
    fn int(&self, path: &str) -> i32 {
        i32::try_from(self.long(path)).expect("the field is an int32")
    }

    fn long(&self, path: &str) -> i64 {
        self.schema(path)["maximum"].as_f64().expect("an integer has a maximum") as i64
    }

    fn items(&self, path: &str) -> usize {
        let items = self.schema(path)["maxItems"].as_u64().expect("a list has a maxItems");
        usize::try_from(items).expect("a length is small")
    }

    /// The instant with the longest text.
    fn time(&self, path: &str) -> Timestamp {
        let time: Timestamp = "2026-11-21T11:22:33.123456789Z".parse().expect("this is an instant");
        let length = self.schema(path)["maxLength"].as_u64().expect("a string has a maxLength");
        assert_eq!(time.to_string().len() as u64, length, "{path} must hold nanoseconds and no more");
        time
    }
}

fn longest_reason() -> String {
    Reason::ALL.iter().map(|reason| reason.as_str()).max_by_key(|reason| reason.len()).unwrap_or_default().to_owned()
}

fn largest_status(bounds: &Bounds) -> SagaRunStatus {
    let condition = |type_: &str| Condition {
        type_: type_.to_owned(),
        status: ConditionStatus::Unknown,
        observed_generation: Some(bounds.long("conditions[].observedGeneration")),
        last_transition_time: bounds.time("conditions[].lastTransitionTime"),
        reason: longest_reason(),
        message: "x".repeat(CONDITION_MESSAGE),
    };
    let in_flight = InFlight {
        step: bounds.text("journal.inFlight[].step"),
        direction: Direction::Compensate,
        attempt: bounds.int("journal.inFlight[].attempt"),
        fence: bounds.long("journal.inFlight[].fence"),
        deadline_time: bounds.time("journal.inFlight[].deadlineTime"),
        not_before_time: None,
        location: Some(bounds.text("journal.inFlight[].location")),
    };
    let judged = InterventionStatus {
        id: bounds.text("interventions[].id"),
        outcome: InterventionOutcome::Refused,
        time: bounds.time("interventions[].time"),
    };
    SagaRunStatus {
        conditions: ["Succeeded", "Completed", "Reconciling", "Stalled"].map(condition).into(),
        observed_generation: Some(bounds.long("observedGeneration")),
        start_time: Some(bounds.time("startTime")),
        completion_time: Some(bounds.time("completionTime")),
        definition_revision: Some(bounds.text("definitionRevision")),
        progress: Some(bounds.text("progress")),
        failure: Some(Failure {
            step: Some(bounds.text("failure.step")),
            reason: bounds.text("failure.reason"),
            message: bounds.text("failure.message"),
            http_status_code: Some(bounds.int("failure.httpStatusCode")),
        }),
        steps: (0..bounds.items("steps")).map(|index| largest_step(bounds, index)).collect(),
        outputs: BTreeMap::new(),
        interventions: vec![judged; bounds.items("interventions")],
        journal: Some(Journal {
            fence: bounds.long("journal.fence"),
            holder: Some(bounds.text("journal.holder")),
            in_flight: vec![in_flight; bounds.items("journal.inFlight")],
        }),
    }
}

/// A step whose action ended in doubt and whose compensation is open or stalled: no other step says more.
fn largest_step(bounds: &Bounds, index: usize) -> StepStatus {
    let has_message = index < STEPS_WITH_A_MESSAGE;
    let asked_for = index < INTERVENTIONS;
    let open = index < bounds.items("journal.inFlight");
    StepStatus {
        name: bounds.text("steps[].name"),
        state: StepState::Succeeded,
        attempts: Some(bounds.int("steps[].attempts")),
        doubtful_attempts: Some(bounds.int("steps[].doubtfulAttempts")),
        start_time: Some(bounds.time("steps[].startTime")),
        completion_time: Some(bounds.time("steps[].completionTime")),
        http_status_code: open.then(|| bounds.int("steps[].httpStatusCode")),
        reason: open.then(|| bounds.text("steps[].reason")),
        message: has_message.then(|| bounds.text("steps[].message")),
        outputs: if index == 0 { largest_outputs() } else { BTreeMap::new() },
        key_suffix: None,
        digest: None,
        attempts_before: None,
        takeovers: None,
        compensation: Some(CallStatus {
            state: CallState::Stalled,
            attempts: Some(bounds.int("steps[].compensation.attempts")),
            doubtful_attempts: Some(bounds.int("steps[].compensation.doubtfulAttempts")),
            completion_time: None,
            http_status_code: open.then(|| bounds.int("steps[].compensation.httpStatusCode")),
            reason: open.then(|| bounds.text("steps[].compensation.reason")),
            message: None,
            key_suffix: asked_for.then(|| bounds.int("steps[].compensation.keySuffix")),
            digest: open.then(|| bounds.text("steps[].compensation.digest")),
            attempts_before: asked_for.then(|| bounds.int("steps[].compensation.attemptsBefore")),
            takeovers: open.then(|| bounds.int("steps[].compensation.takeovers")),
        }),
        confirm: None,
    }
}

/// All outputs that a run may have, names, quotes and commas counted.
fn largest_outputs() -> BTreeMap<String, Value> {
    let mut outputs = BTreeMap::from([("a".to_owned(), Value::Null)]);
    let around = json!(outputs).to_string().len() - "null".len() + "\"\"".len();
    outputs.insert("a".to_owned(), json!("x".repeat(OUTPUTS - around)));
    assert_eq!(json!(outputs).to_string().len(), OUTPUTS);
    outputs
}

#[test]
fn the_largest_status_of_a_run_has_at_most_64_kib() {
    let status = largest_status(&Bounds::of_the_status_of_a_run());
    let json = serde_json::to_string(&status).expect("a status is plain data");
    assert!(json.len() <= BUDGET, "the largest status has {} bytes", json.len());
    println!("largest status: {} bytes", json.len());
}

#[test]
fn a_status_of_five_steps_without_trouble_has_less_than_2_5_kib() {
    let time: Timestamp = "2026-11-21T11:22:33.123Z".parse().expect("this is an instant");
    let condition = |type_: &str| Condition {
        type_: type_.to_owned(),
        status: ConditionStatus::True,
        observed_generation: Some(1),
        last_transition_time: time,
        reason: "Succeeded".to_owned(),
        message: "x".repeat(64),
    };
    let step = |index: usize| StepStatus {
        name: format!("reserveStock{index}"),
        state: StepState::Succeeded,
        start_time: Some(time),
        completion_time: Some(time),
        outputs: BTreeMap::from([("id".to_owned(), json!("x".repeat(36)))]),
        ..StepStatus::default()
    };
    let status = SagaRunStatus {
        conditions: ["Succeeded", "Completed", "Reconciling", "Stalled"].map(condition).into(),
        observed_generation: Some(1),
        start_time: Some(time),
        completion_time: Some(time),
        definition_revision: Some("order-7c9f8b6d5".to_owned()),
        progress: Some("5/5".to_owned()),
        failure: None,
        steps: (0..5).map(step).collect(),
        outputs: BTreeMap::new(),
        interventions: Vec::new(),
        journal: Some(Journal { fence: 8, holder: Some("x".repeat(32)), in_flight: Vec::new() }),
    };
    let json = serde_json::to_string(&status).expect("a status is plain data");
    assert!(json.len() < 2560, "a typical status has {} bytes", json.len());
}

#[test]
fn every_reason_fits_where_reasons_are_stored() {
    let bounds = Bounds::of_the_status_of_a_run();
    for path in ["failure.reason", "steps[].reason", "steps[].compensation.reason", "conditions[].reason"] {
        assert!(longest_reason().len() <= bounds.text(path).len(), "{path}");
    }
}
