//! Writes, requests and looks in the words of the stories.

use std::fmt::Write as _;

use super::fixtures;
use crate::saga::{HeaderValue, Intent, Polling, Stored};

pub fn wrote(stored: &Stored) -> String {
    let mut line = format!("writes fence {}", stored.fence);
    for condition in stored.conditions.iter().filter(|condition| condition.type_ == "Succeeded") {
        write!(line, ", {:?}/{} '{}'", condition.status, condition.reason, condition.message).unwrap();
    }
    let status = stored.to_status();
    for step in &status.steps {
        write!(line, "\n{:14}{} {:?}", "", step.name, step.state).unwrap();
        let attempts = |attempts: Option<i32>, doubt: Option<i32>| {
            let attempts = attempts.map_or(String::new(), |number| format!(" attempts {number}"));
            let doubt = doubt.map_or(String::new(), |number| format!(" in doubt {number}"));
            attempts + &doubt
        };
        line.push_str(&attempts(step.attempts, step.doubtful_attempts));
        if let Some(suffix) = step.key_suffix {
            write!(line, " key /{suffix}").unwrap();
        }
        for (name, value) in &step.outputs {
            write!(line, " {name}={value}").unwrap();
        }
        if let Some(reason) = &step.reason {
            write!(line, " {reason} '{}'", step.message.as_deref().unwrap_or("")).unwrap();
        }
        for (what, call) in [("compensation", &step.compensation), ("confirm", &step.confirm)] {
            let Some(call) = call else { continue };
            write!(line, "; {what} {:?}", call.state).unwrap();
            line.push_str(&attempts(call.attempts, call.doubtful_attempts));
            if let Some(suffix) = call.key_suffix {
                write!(line, " key /{suffix}").unwrap();
            }
            if let Some(reason) = &call.reason {
                write!(line, " {reason} '{}'", call.message.as_deref().unwrap_or("")).unwrap();
            }
        }
    }
    for (name, value) in &status.outputs {
        write!(line, "\n{:14}output {name}={value}", "").unwrap();
    }
    for judged in &status.interventions {
        write!(line, "\n{:14}intervention '{}' {:?}", "", judged.id, judged.outcome).unwrap();
    }
    for intent in status.journal.iter().flat_map(|journal| &journal.in_flight) {
        let InFlightText(text) = InFlightText::of(intent);
        write!(line, "\n{:14}in flight: {text}", "").unwrap();
    }
    line
}

struct InFlightText(String);

impl InFlightText {
    fn of(intent: &crate::api::run::InFlight) -> Self {
        let zero = fixtures::at(0).wall;
        let since = |time: jiff::Timestamp| format!("+{:.1}s", time.duration_since(zero).as_secs_f64());
        let direction = intent.direction.as_str();
        let wait = intent.not_before_time.map_or(String::new(), |at| format!(" not before {}", since(at)));
        let (attempt, fence, until) = (intent.attempt, intent.fence, since(intent.deadline_time));
        let at = intent.location.as_ref().map_or(String::new(), |location| format!(" at {location}"));
        Self(format!("{}/{direction} attempt {attempt} fence {fence}{wait}{at} until {until}", intent.step))
    }
}

pub fn scheduled(intent: &Intent) -> String {
    let at = intent.not_before.map_or(0.0, |at| at.0.as_secs_f64());
    let direction = intent.call.direction.as_str();
    format!("{}/{direction} attempt {} fence {} for +{at:.1}s", intent.step, intent.attempt, intent.fence)
}

pub fn follows(polling: &Polling) -> String {
    let (step, direction) = (&polling.step, polling.call.direction.as_str());
    let (first, until) = (polling.first.0.as_secs_f64(), polling.expires.0.as_secs_f64());
    format!("follows {step}/{direction} fence {} at {} from +{first:.1}s to +{until:.1}s", polling.fence, polling.url)
}

pub fn sent(intent: &Intent) -> String {
    let request = &intent.request;
    let mut line = format!(
        "{}/{} attempt {} fence {} for {:?}: {} {}",
        intent.step,
        intent.call.direction.as_str(),
        intent.attempt,
        intent.fence,
        intent.timeout,
        request.method.as_str(),
        request.url
    );
    for (name, value) in &request.headers {
        match value {
            HeaderValue::Literal(text) => write!(line, ", {name}: {text}").unwrap(),
            HeaderValue::Secret(key) => write!(line, ", {name}: <Secret {}/{}>", key.name, key.key).unwrap(),
        }
    }
    if let Some(body) = &request.body {
        write!(line, ", {}", String::from_utf8_lossy(body)).unwrap();
    }
    if let Some(outcome) = intent.forward_outcome {
        write!(line, ", forward {}", outcome.as_str()).unwrap();
    }
    write!(line, ", key {}", intent.key.as_str()).unwrap();
    line
}
