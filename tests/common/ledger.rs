//! What must be true of a run's participants, whatever happened on the way.

use std::collections::BTreeMap;

use saga_operator::api::SagaRun;
use saga_operator::cli::participants::{Effect, EffectState, Entry};

use super::shop::Shop;

/// What participants saw of one run.
pub(crate) struct Account {
    pub(crate) entries: Vec<Entry>,
    pub(crate) effects: Vec<Effect>,
}

/// The account of a run.
pub(crate) fn account(shop: &Shop, run: &SagaRun) -> Account {
    let uid = run.metadata.uid.as_deref();
    let mut entries = shop.services.ledger().entries();
    entries.retain(|entry| entry.call.run_uid.as_deref() == uid);
    let mut effects = shop.services.ledger().effects();
    effects.retain(|effect| effect.run_uid.as_deref() == uid);
    Account { entries, effects }
}

impl Account {
    /// Steps whose effect stands, in the order it was made.
    pub(crate) fn standing(&self) -> Vec<&str> {
        let standing = self.effects.iter().filter(|effect| effect.state != EffectState::Undone);
        standing.filter_map(|effect| effect.step.as_deref()).collect()
    }

    /// Steps that were asked in a direction, in order, repetitions left out.
    pub(crate) fn asked(&self, direction: &str) -> Vec<&str> {
        let of_direction = self.entries.iter().filter(|entry| entry.call.direction.as_deref() == Some(direction));
        let mut steps: Vec<_> = of_direction.filter_map(|entry| entry.call.step.as_deref()).collect();
        steps.dedup();
        steps
    }

    /// What holds of every history of an ended run; an empty list is a pass.
    ///
    /// `ended`: its last status, to compare attempts with; `None` when the run is gone.
    pub(crate) fn violations(&self, ended: Option<&SagaRun>) -> Vec<String> {
        let mut found = Vec::new();
        for effect in self.effects.iter().filter(|effect| effect.times != 1) {
            found.push(format!("'{}' took effect {} times", effect.key, effect.times));
        }
        let mut bodies: BTreeMap<(&str, &str), &str> = BTreeMap::new();
        let mut fences: BTreeMap<&str, u64> = BTreeMap::new();
        for Entry { call, number, .. } in &self.entries {
            let (Some(key), Some(step), Some(direction), Some(attempt), Some(fence)) =
                (&call.key, &call.step, &call.direction, call.attempt, call.fence)
            else {
                found.push(format!("request {number} lacks a header: {call:?}"));
                continue;
            };
            if *bodies.entry((&call.path, key)).or_insert(&call.digest) != call.digest {
                found.push(format!("the key '{key}' came with two bodies"));
            }
            let highest = fences.entry(step).or_default();
            if fence < *highest {
                found.push(format!("request {number} to '{step}' has fence {fence} after {highest}"));
            }
            *highest = fence.max(*highest);
            let stored = ended.map_or(u32::MAX, |ended| stored_attempts(ended, step, direction));
            if attempt > stored {
                found.push(format!(
                    "request {number}: {direction} of '{step}' has attempt {attempt} of {stored} stored"
                ));
            }
        }
        found
    }

    /// Fails with the whole account when something that holds of every history does not, or another effect stands.
    pub(crate) fn check(&self, ended: &SagaRun, standing: &[&str]) {
        self.check_both(Some(ended), standing);
    }

    /// The same for a run that is gone.
    pub(crate) fn check_gone(&self, standing: &[&str]) {
        self.check_both(None, standing);
    }

    fn check_both(&self, ended: Option<&SagaRun>, standing: &[&str]) {
        let mut found = self.violations(ended);
        if self.standing() != standing {
            found.push(format!("standing: {:?}, expected: {standing:?}", self.standing()));
        }
        assert!(found.is_empty(), "{found:#?}\n{:#?}\n{:#?}", ended.map(|run| &run.status), self.entries);
    }
}

fn stored_attempts(run: &SagaRun, step: &str, direction: &str) -> u32 {
    let steps = run.status.iter().flat_map(|status| &status.steps);
    let Some(step) = steps.into_iter().find(|candidate| candidate.name == step) else { return 0 };
    // Left out when there was one.
    let attempts = match direction {
        "forward" => Some(step.attempts.unwrap_or(1)),
        "compensate" => step.compensation.as_ref().map(|undo| undo.attempts.unwrap_or(1)),
        _ => None,
    };
    attempts.and_then(|attempts| u32::try_from(attempts).ok()).unwrap_or_default()
}
