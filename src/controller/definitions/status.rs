//! What users are told about a definition.

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::PostParams;

use super::verdict::Verdict;
use super::{Context, DefinitionError};
use crate::api::condition::{READY, STALLED};
use crate::api::names::CONTROLLER;
use crate::api::{Condition, ConditionStatus, Reason, SagaDefinition, SagaDefinitionStatus};
use crate::controller::call::call;
use crate::saga::Problem;

/// Longest message of a condition, in characters.
const MAX_MESSAGE: usize = 1024;

/// The status that belongs to a verdict. Pure: equal to the old one when there is nothing new to say.
pub(super) fn next(
    definition: &SagaDefinition,
    verdict: &Verdict,
    active: Option<i32>,
    now: Timestamp,
) -> SagaDefinitionStatus {
    let old = definition.status.clone().unwrap_or_default();
    let generation = definition.metadata.generation;
    let (ready, reason, message) = match verdict {
        Verdict::Accepted(_) => (ConditionStatus::True, Reason::Accepted, String::new()),
        Verdict::Refused(problems) => (ConditionStatus::False, first_reason(problems), sentence(problems)),
    };
    let stalled = match ready {
        ConditionStatus::True => ConditionStatus::False,
        ConditionStatus::False | ConditionStatus::Unknown => ConditionStatus::True,
    };
    let condition = |type_: &str, status: ConditionStatus| Condition {
        type_: type_.to_owned(),
        status,
        observed_generation: generation,
        last_transition_time: unchanged_since(&old, type_, status).unwrap_or(now),
        reason: reason.as_str().to_owned(),
        message: message.clone(),
    };
    SagaDefinitionStatus {
        conditions: vec![condition(READY, ready), condition(STALLED, stalled)],
        observed_generation: generation,
        current_revision: verdict.revision().map(str::to_owned),
        step_count: i32::try_from(definition.spec.steps.len()).ok(),
        active_runs: active.or(old.active_runs),
    }
}

/// The status of a definition that is being deleted: only the number of its runs goes on.
pub(super) fn counted(definition: &SagaDefinition, active: Option<i32>) -> SagaDefinitionStatus {
    let old = definition.status.clone().unwrap_or_default();
    SagaDefinitionStatus { active_runs: active.or(old.active_runs), ..old }
}

/// Replaces the status of exactly the version that was seen, if there is anything new.
pub(super) async fn write(
    context: &Context,
    definition: &SagaDefinition,
    next: SagaDefinitionStatus,
) -> Result<(), DefinitionError> {
    if definition.status.as_ref() == Some(&next) {
        return Ok(());
    }
    let api = context.write_definitions(&definition.namespace().unwrap_or_default());
    let params = PostParams { field_manager: Some(CONTROLLER.to_owned()), dry_run: false };
    let definition = SagaDefinition { status: Some(next), ..definition.clone() };
    let name = definition.name_any();
    call("write the status of a definition", api.replace_status(&name, &params, &definition)).await?;
    Ok(())
}

fn first_reason(problems: &[Problem]) -> Reason {
    problems.first().map_or(Reason::InvalidGraph, |problem| problem.reason)
}

/// The first mistake, and how many more there are.
fn sentence(problems: &[Problem]) -> String {
    let first = problems.first().map(ToString::to_string).unwrap_or_default();
    let more = match problems.len() {
        0 | 1 => String::new(),
        count => format!(" (+{} more)", count - 1),
    };
    let first: String = first.chars().take(MAX_MESSAGE - more.len()).collect();
    first + &more
}

fn unchanged_since(old: &SagaDefinitionStatus, type_: &str, status: ConditionStatus) -> Option<Timestamp> {
    let old = old.conditions.iter().find(|condition| condition.type_ == type_)?;
    (old.status == status).then_some(old.last_transition_time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::SagaDefinitionSpec;

    fn refused(count: usize) -> Verdict {
        let field = |index| format!("spec.steps[{index}].when");
        Verdict::Refused(
            (0..count).map(|i| Problem::new(field(i), Reason::InvalidExpression, "must be a bool")).collect(),
        )
    }

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    #[test]
    fn the_message_names_the_first_field_and_counts_the_rest() {
        let definition = SagaDefinition::new("order", SagaDefinitionSpec::default());
        let status = next(&definition, &refused(3), None, time(0));
        let [ready, stalled] = &status.conditions[..] else { unreachable!("two conditions") };
        assert_eq!(ready.message, "spec.steps[0].when: must be a bool (+2 more)");
        assert_eq!((ready.status, stalled.status), (ConditionStatus::False, ConditionStatus::True));
        assert_eq!((ready.reason.as_str(), stalled.reason.as_str()), ("InvalidExpression", "InvalidExpression"));
        assert_eq!(status.current_revision, None);
    }

    #[test]
    fn the_same_verdict_later_is_the_same_status() {
        let mut definition = SagaDefinition::new("order", SagaDefinitionSpec::default());
        definition.status = Some(next(&definition, &refused(1), Some(4), time(0)));
        let again = next(&definition, &refused(1), None, time(60));
        assert_eq!(definition.status.as_ref(), Some(&again), "an unknown number of runs is not news either");
        let accepted = next(&definition, &Verdict::Accepted("order-1".to_owned()), Some(0), time(60));
        assert_eq!(accepted.conditions[0].last_transition_time, time(60));
        assert_eq!(accepted.current_revision.as_deref(), Some("order-1"));
        assert_eq!(accepted.active_runs, Some(0));
    }
}
