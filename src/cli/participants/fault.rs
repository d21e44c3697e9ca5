//! How a service misbehaves on purpose.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Longest `slow`, `hang` and `async`.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(60 * 60);

/// A kind of misbehaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FaultMode {
    /// 503, without effect.
    Down,
    /// 422, without effect; the refusal is remembered for the key.
    Reject,
    /// 500, without effect.
    Error,
    /// Takes effect and never answers.
    Hang,
    /// Waits `milliseconds`, then takes effect and answers.
    Slow,
    /// Answers 202 and where to ask, and takes effect after `milliseconds`.
    Async,
}

/// One misbehaviour, as it is given in `PUT /faults/SERVICE`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// Which.
    pub mode: FaultMode,
    /// For how many requests; until it is taken back when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// Of `slow` and `async`; 1000 when absent, at most an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub milliseconds: Option<u64>,
    /// Only requests of this `Saga-Direction`: `forward`, `confirm` or `compensate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
}

impl Fault {
    /// For every request until it is taken back.
    pub const fn new(mode: FaultMode) -> Self {
        Self { mode, times: None, milliseconds: None, direction: None }
    }

    /// How long `slow` and `async` take.
    pub(super) fn wait(&self) -> Duration {
        Duration::from_millis(self.milliseconds.unwrap_or(1000)).min(MAX_WAIT)
    }
}

/// The misbehaviour of each service, at most one.
#[derive(Debug, Default)]
pub struct Faults {
    faults: Mutex<BTreeMap<String, Fault>>,
}

impl Faults {
    /// Sets or replaces.
    pub fn set(&self, service: &str, fault: Fault) {
        self.lock().insert(service.to_owned(), fault);
    }

    /// Takes back.
    pub fn clear(&self, service: &str) {
        self.lock().remove(service);
    }

    /// All of them.
    pub fn all(&self) -> BTreeMap<String, Fault> {
        self.lock().clone()
    }

    /// The misbehaviour that a request meets; counts it.
    pub(super) fn meet(&self, service: &str, direction: Option<&str>) -> Option<Fault> {
        let mut faults = self.lock();
        let fault = faults.get_mut(service)?;
        if fault.direction.as_deref().is_some_and(|wanted| Some(wanted) != direction) {
            return None;
        }
        let met = fault.clone();
        match &mut fault.times {
            Some(0 | 1) => drop(faults.remove(service)),
            Some(times) => *times -= 1,
            None => {}
        }
        (met.times != Some(0)).then_some(met)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Fault>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
