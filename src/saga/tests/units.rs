//! The small parts: time, keys, digests, texts, sets, records.

use std::time::Duration;

use jiff::Timestamp;

use super::fixtures::{at, http, order};
use crate::api::run::{Direction, InFlight, SagaRunStatus};
use crate::api::{Condition, ConditionStatus, Reason};
use crate::saga::definition::HeaderPlan;
use crate::saga::state::{CallRecord, Open, Phase, StepRecord};
use crate::saga::{
    Digest, Failure, Fence, HeaderValue, Holder, IdempotencyKey, Monotonic, Now, Request, Steps, Stored, text,
};

#[test]
fn wall_time_is_cut_to_milliseconds_so_that_it_reads_back_the_same() {
    let fine: Timestamp = "2026-01-01T00:00:00.123456789Z".parse().unwrap();
    let now = Now::new(fine, Monotonic::default());
    assert_eq!(now.wall.to_string(), "2026-01-01T00:00:00.123Z");
    assert_eq!(now.wall_after(Duration::from_micros(1_999)).to_string(), "2026-01-01T00:00:00.124Z");
}

#[test]
fn time_never_overflows() {
    assert_eq!(at(0).wall_after(Duration::MAX), Timestamp::MAX);
    assert_eq!(Monotonic(Duration::MAX).after(Duration::MAX), Monotonic(Duration::MAX));
    assert_eq!(at(5).monotonic.since(at(9).monotonic), Duration::ZERO);
}

#[test]
fn a_wall_time_in_the_past_is_due_now() {
    let now = at(5_000);
    assert_eq!(now.monotonic_at(at(1_000).wall), now.monotonic);
    assert_eq!(now.monotonic_at(at(9_000).wall), at(9_000).monotonic);
}

#[test]
fn a_key_is_the_same_for_every_attempt_and_has_a_number_from_the_second_on() {
    let key = |suffix| IdempotencyKey::new("uid", "reserve", Direction::Forward, suffix).as_str().to_owned();
    assert_eq!(key(0), "uid/reserve/forward");
    assert_eq!(key(1), "uid/reserve/forward");
    assert_eq!(key(2), "uid/reserve/forward/2");
    assert_eq!(IdempotencyKey::new("uid", "a", Direction::Compensate, 1).as_str(), "uid/a/compensate");
}

#[test]
fn a_holder_is_at_most_32_characters() {
    assert_eq!(Holder::new(&"ä".repeat(40)).as_str().chars().count(), 32);
}

#[test]
fn a_fence_rises_and_stays_at_the_top() {
    assert!(Fence(1).next() > Fence(1));
    assert_eq!(Fence(u64::MAX).next(), Fence(u64::MAX));
}

#[test]
fn a_digest_has_22_characters_and_tells_parts_apart_by_their_lengths() {
    let digest = |parts: &[&str]| Digest::over(parts.iter().map(|part| part.as_bytes()));
    assert_eq!(digest(&["a", "b"]).as_str().len(), 22);
    assert_eq!(digest(&["a", "b"]), digest(&["a", "b"]));
    assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
    assert_ne!(digest(&["ab"]), digest(&["ab", ""]));
}

#[test]
fn the_digest_of_a_request_sees_method_url_headers_secrets_and_body() {
    let base = Request {
        method: crate::api::definition::Method::Post,
        url: "http://a/".into(),
        headers: vec![("x".into(), HeaderValue::Literal("1".into()))],
        body: None,
    };
    let secret = crate::api::definition::SecretKeyRef { name: "1".into(), key: String::new() };
    let others = [
        Request { method: crate::api::definition::Method::Put, ..base.clone() },
        Request { url: "http://b/".into(), ..base.clone() },
        Request { headers: Vec::new(), ..base.clone() },
        Request { headers: vec![("x".into(), HeaderValue::Literal("2".into()))], ..base.clone() },
        Request { headers: vec![("x".into(), HeaderValue::Secret(secret))], ..base.clone() },
        Request { body: Some(Vec::new()), ..base.clone() },
    ];
    for other in others {
        assert_ne!(other.digest(), base.digest(), "{other:?}");
    }
}

#[test]
fn messages_are_bounded_printable_and_need_no_escapes() {
    let nasty = "a\"b`c<d>e&f\\g\n\u{0}\u{7f}ä\u{2028}".repeat(40);
    for (text, limit) in [(text::message(&nasty), 256), (text::step_message(&nasty), 128)] {
        assert_eq!(text.len(), limit);
        assert!(text.ends_with("..."));
        assert_eq!(serde_json::to_string(&text).unwrap().len(), limit + 2, "nothing is escaped");
        assert!(!text.contains(['<', '>', '&', '"', '\\']));
    }
    assert_eq!(text::message("as it is"), "as it is");
    assert_eq!(text::message(&"x".repeat(256)).len(), 256);
    assert_eq!(text::message(&"ä".repeat(200)).len(), 200, "characters count, not bytes");
}

#[test]
fn a_wait_is_told_in_milliseconds_or_tenths_of_seconds() {
    assert_eq!(text::wait(Duration::from_millis(999)), "999 ms");
    assert_eq!(text::wait(Duration::from_millis(1500)), "1.5 s");
}

#[test]
fn a_set_of_steps_holds_what_was_put_in_and_nothing_beyond_its_capacity() {
    let mut steps = Steps::default();
    for step in [0, 5, 63, 64, usize::MAX] {
        steps.insert(step);
    }
    assert_eq!(steps.iter().collect::<Vec<_>>(), [0, 5, 63]);
    assert!(!steps.contains(64) && !steps.contains(1));
    let mut other = Steps::default();
    other.insert(1);
    assert_eq!(steps.union(other).iter().collect::<Vec<_>>(), [0, 1, 5, 63]);
}

#[test]
fn a_header_from_a_secret_is_compiled_to_its_name_only() {
    let plan = order();
    let headers = &plan.definition.unwrap().steps[1].action.headers;
    assert!(matches!(&headers[1].1, HeaderPlan::Secret(key) if key.name == "payment" && key.key == "token"));
}

/// A run in which every field says something.
fn full() -> Stored {
    let call = |phase| CallRecord {
        phase,
        attempts: 7,
        doubtful: 3,
        takeovers: 2,
        attempts_before: 4,
        key_suffix: 2,
        digest: Some(Digest::over([b"x".as_slice()])),
        open: Some(Open {
            fence: Fence(8),
            deadline: at(9).wall,
            not_before: Some(at(3).wall),
            location: Some("/jobs/7?a=b".into()),
        }),
        start_time: None,
        completion_time: Some(at(5).wall),
        http_status: Some(503),
        reason: Some(Reason::ServerError),
        message: Some("HTTP 503".into()),
    };
    let mut step = StepRecord::new("reserve");
    step.forward = CallRecord { start_time: Some(at(1).wall), ..call(Phase::Running) };
    step.outputs = [("id".to_owned(), serde_json::json!({"a": [1, null]}))].into();
    step.compensation = Some(call(Phase::Waiting));
    step.confirm = Some(call(Phase::Stalled));
    Stored {
        observed_generation: 4,
        start_time: Some(at(0).wall),
        completion_time: None,
        revision: Some("order-1".into()),
        failure: Some(Failure {
            step: Some("reserve".into()),
            reason: Reason::Rejected,
            message: "no".into(),
            http_status: Some(422),
        }),
        end: None,
        revision_lost: true,
        steps: vec![step, StepRecord::new("charge")],
        outputs: [("total".to_owned(), serde_json::json!(7))].into(),
        judged: vec![crate::saga::Judged {
            id: "ask-1".into(),
            outcome: crate::api::run::InterventionOutcome::Refused,
            time: at(6).wall,
        }],
        fence: Fence(9),
        holder: Some(Holder::new("a")),
        conditions: vec![Condition {
            type_: "Succeeded".into(),
            status: ConditionStatus::Unknown,
            observed_generation: Some(4),
            last_transition_time: at(0).wall,
            reason: "RevisionNotFound".into(),
            message: "gone".into(),
        }],
    }
}

fn through_json(stored: &Stored) -> Stored {
    let json = serde_json::to_string(&stored.to_status()).unwrap();
    let status: SagaRunStatus = serde_json::from_str(&json).unwrap();
    Stored::from_status(Some(&status)).unwrap()
}

#[test]
fn a_status_holds_everything_that_is_stored() {
    assert_eq!(through_json(&full()), full());
    for phase in [
        Phase::Pending,
        Phase::Running,
        Phase::Waiting,
        Phase::Stalled,
        Phase::Succeeded,
        Phase::Failed,
        Phase::Unknown,
        Phase::Skipped,
    ] {
        for attempts in [0, 1, 2] {
            let mut stored = full();
            stored.steps[1].forward = CallRecord { phase, attempts, ..CallRecord::default() };
            assert_eq!(through_json(&stored), stored, "{phase:?} {attempts}");
        }
    }
}

#[test]
fn a_lean_status_leaves_out_what_says_nothing() {
    let mut stored = Stored { steps: vec![StepRecord::new("a")], revision: Some("r".into()), ..Stored::default() };
    stored.fence = Fence(1);
    let json = serde_json::to_value(stored.to_status()).unwrap();
    assert_eq!(json["steps"], serde_json::json!([{"name": "a", "state": "Pending"}]));
    assert_eq!(json["journal"], serde_json::json!({"fence": 1}));
}

#[test]
fn a_run_without_status_was_never_observed() {
    let stored = Stored::from_status(None).unwrap();
    assert_eq!(stored.observed_generation, -1);
    assert_eq!(stored.mode(), crate::saga::Mode::Pending);
}

#[test]
fn a_status_that_this_version_cannot_have_written_is_refused_with_the_field() {
    let refuse = |change: &dyn Fn(&mut SagaRunStatus)| {
        let mut status = full().to_status();
        change(&mut status);
        Stored::from_status(Some(&status)).unwrap_err().to_string()
    };
    let orphan = |status: &mut SagaRunStatus| {
        let intent = InFlight { step: "nobody".into(), ..status.journal.as_ref().unwrap().in_flight[0].clone() };
        status.journal.as_mut().unwrap().in_flight = vec![intent];
    };
    assert!(refuse(&orphan).contains("'nobody'"));
    assert!(refuse(&|status| status.journal.as_mut().unwrap().fence = -1).contains("status.journal.fence"));
    assert!(refuse(&|status| status.steps[0].attempts = Some(-1)).contains("status.steps.attempts"));
    assert!(refuse(&|status| status.steps[0].reason = Some("Vexed".into())).contains("'Vexed'"));
    assert!(refuse(&|status| status.steps[0].http_status_code = Some(70_000)).contains("httpStatusCode"));
    let ended = |status: &mut SagaRunStatus| {
        let condition = &mut status.conditions[0];
        (condition.type_, condition.status) = ("Completed".into(), ConditionStatus::True);
        condition.reason = "Vanished".into();
    };
    assert!(refuse(&ended).contains("'Vanished'"));
    assert!(matches!(http(200, serde_json::Value::Null), crate::saga::Answer::Response(_)));
}
