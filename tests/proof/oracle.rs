//! What must be true of every history, whatever happened: I1 to I8 of the semantics, from the states that the API server
//! stored and from what participants were asked.
//!
//! Nothing here is shared with the operator: states are read as JSON, requests as headers and bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use saga_operator::cli::participants::{Effect, EffectState};
use serde_json::Value;

use super::graph::Graph;
use super::history::version;
use super::order;
use super::point::is_poll;
use crate::common::proxy::Seen;

/// Headers that may differ from attempt to attempt.
const MAY_DIFFER: [&str; 4] = ["saga-attempt", "saga-fence", "saga-deadline", "traceparent"];

/// All that is known of one run.
#[derive(Clone)]
pub(crate) struct Evidence {
    /// The definition.
    pub(crate) spec: Value,
    /// Every state that was stored, in order, from the creation on.
    pub(crate) states: Vec<Value>,
    /// What the API server was asked, by all operators.
    pub(crate) api: Vec<Seen>,
    /// What participants were asked, by all operators.
    pub(crate) wire: Vec<Seen>,
    pub(crate) effects: Vec<Effect>,
    /// When an operator was gone and the next one not there yet.
    pub(crate) replaced: Vec<Instant>,
}

/// An intent as it was first stored.
pub(super) struct Intent {
    pub(super) step: String,
    pub(super) direction: String,
    attempt: u64,
    fence: u64,
    /// Which state.
    pub(super) state: usize,
    stored: Option<Instant>,
}

/// A request as a participant got it.
struct Request<'a> {
    seen: &'a Seen,
    key: &'a str,
    step: &'a str,
    direction: &'a str,
    attempt: u64,
    fence: u64,
    poll: bool,
}

impl Evidence {
    /// Every promise that is broken, in words; an empty list is a pass.
    pub(crate) fn violations(&self) -> Vec<String> {
        let mut found = Vec::new();
        let intents = self.intents(&mut found);
        let requests = self.requests(&mut found);
        self.the_history_is_whole(&mut found);
        self.nothing_unstored_is_sent(&intents, &requests, &mut found);
        self.outcomes_stay(&mut found);
        self.nothing_goes_forward_after_the_turn(&intents, &requests, &mut found);
        self.fences_rise(&intents, &mut found);
        for effect in self.effects.iter().filter(|effect| effect.times != 1) {
            found.push(format!("I6: '{}' took effect {} times", effect.key, effect.times));
        }
        order::judge(self, &intents, &mut found);
        self.the_end_is_the_end(&requests, &mut found);
        a_key_means_one_request(&requests, &mut found);
        found
    }

    pub(super) const fn graph(&self) -> Graph<'_> {
        Graph::new(&self.spec)
    }

    /// The steps whose effect stands, in the order of their names.
    pub(crate) fn standing(&self) -> Vec<(&str, EffectState)> {
        let standing = self.effects.iter().filter(|effect| effect.state != EffectState::Undone);
        let mut standing: Vec<_> =
            standing.map(|effect| (effect.step.as_deref().unwrap_or_default(), effect.state)).collect();
        standing.sort_by_key(|(step, _)| *step);
        standing
    }

    /// The evidence for people, in the order of time.
    pub(crate) fn told(&self) -> String {
        let stored = |state: &Value| {
            let told = |step: &Value| {
                let undo = [&step["compensation"]["state"], &step["confirm"]["state"]];
                format!("{}={} {} {}", step["name"], step["state"], undo[0], undo[1])
                    .replace(" null", "")
                    .replace('"', "")
            };
            let steps: Vec<_> = steps(state).iter().map(told).collect();
            format!("stored {} {} {}", version(state), steps.join(", "), state["status"]["journal"])
        };
        let said = |seen: &Seen| {
            let known = ["saga-direction", "saga-step", "saga-attempt", "saga-fence"];
            let known: Vec<_> = known.iter().filter_map(|name| seen.header(name)).collect();
            let served = seen.served.as_ref().map(|served| served.status);
            format!("asked {} {} {} -> {served:?} {:?}", seen.method, seen.path, known.join(" "), seen.status)
        };
        let states = self.states.iter().map(|state| (self.stored(state), stored(state)));
        let seen = self.api.iter().filter(|seen| seen.is_write() || seen.is_run_read()).chain(&self.wire);
        let mut lines: Vec<_> = states.chain(seen.map(|seen| (Some(seen.asked), said(seen)))).collect();
        lines.extend(self.replaced.iter().map(|at| (Some(*at), "replaced".to_owned())));
        lines.sort_by_key(|(at, _)| *at);
        lines.into_iter().map(|(_, line)| line).collect::<Vec<_>>().join("\n")
    }

    /// When a state was stored, if an operator did it.
    fn stored(&self, state: &Value) -> Option<Instant> {
        let version = version(state);
        let mut landed = self.api.iter().filter(|seen| seen.is_run_write()).filter_map(Seen::landed);
        landed.find(|served| served.version.as_ref() == Some(&version)).map(|served| served.at)
    }

    fn intents(&self, found: &mut Vec<String>) -> Vec<Intent> {
        let (mut intents, mut known) = (Vec::new(), BTreeSet::new());
        for (place, state) in self.states.iter().enumerate() {
            let journal = &state["status"]["journal"];
            for call in journal["inFlight"].as_array().into_iter().flatten() {
                let step = call["step"].as_str().unwrap_or_default().to_owned();
                let direction = call["direction"].as_str().unwrap_or_default().to_lowercase();
                let (attempt, fence) = (number(&call["attempt"]), number(&call["fence"]));
                if !known.insert((step.clone(), direction.clone(), attempt, fence)) {
                    continue;
                }
                if fence != number(&journal["fence"]) {
                    found.push(format!("I5: {direction} of '{step}' appears with fence {fence} in {journal}"));
                }
                intents.push(Intent { step, direction, attempt, fence, state: place, stored: self.stored(state) });
            }
        }
        intents
    }

    fn requests(&self, found: &mut Vec<String>) -> Vec<Request<'_>> {
        let mut requests = Vec::new();
        for seen in &self.wire {
            let digits = |name| seen.header(name).and_then(|text| text.parse().ok());
            let (Some(key), Some(step), Some(direction), Some(attempt), Some(fence)) = (
                seen.header("idempotency-key").or(is_poll(seen).then_some("")),
                seen.header("saga-step"),
                seen.header("saga-direction"),
                digits("saga-attempt"),
                digits("saga-fence"),
            ) else {
                found.push(format!("{} {} lacks a header: {:?}", seen.method, seen.path, seen.headers));
                continue;
            };
            requests.push(Request { seen, key, step, direction, attempt, fence, poll: is_poll(seen) });
        }
        requests
    }

    /// Every write that the API server took stands in the history, and every state is a write that an operator asked for, or
    /// leaves the status as it was: else the history would prove nothing.
    fn the_history_is_whole(&self, found: &mut Vec<String>) {
        let known: BTreeSet<_> = self.states.iter().map(version).collect();
        let writes = self.api.iter().filter(|seen| seen.is_run_write());
        let landed: BTreeSet<_> = writes.filter_map(Seen::landed).filter_map(|served| served.version.clone()).collect();
        for version in landed.difference(&known) {
            found.push(format!("a write landed as {version} and is not in the history"));
        }
        for pair in self.states.windows(2) {
            if pair[0]["status"] != pair[1]["status"] && !landed.contains(&version(&pair[1])) {
                found.push(format!("nobody asked for the state {}", version(&pair[1])));
            }
        }
    }

    /// I1
    fn nothing_unstored_is_sent(&self, intents: &[Intent], requests: &[Request<'_>], found: &mut Vec<String>) {
        let mut calls = BTreeMap::new();
        for request in requests {
            let named = request.named();
            let intent = intents.iter().find(|intent| {
                (intent.step.as_str(), intent.direction.as_str()) == (request.step, request.direction)
                    && (intent.attempt, intent.fence) == (request.attempt, request.fence)
            });
            let Some(stored) = intent.and_then(|intent| intent.stored) else {
                found.push(format!("I1: no operator stored {named}"));
                continue;
            };
            if stored > request.seen.asked {
                found.push(format!("I1: {named} was sent before it was stored"));
            }
            if self.replaced.iter().any(|at| stored < *at && *at < request.seen.asked) {
                found.push(format!("I1: {named} was stored by one operator and sent by another"));
            }
            let sent = calls.entry((request.step, request.direction, request.fence)).or_insert(0);
            *sent += usize::from(!request.poll);
            if *sent > 1 {
                found.push(format!("I1: {named} was sent {sent} times for one intent"));
            }
        }
    }

    /// I2
    fn outcomes_stay(&self, found: &mut Vec<String>) {
        for pair in self.states.windows(2) {
            for (before, after) in steps(&pair[0]).iter().zip(steps(&pair[1])) {
                for (direction, field) in [("forward", ""), ("compensate", "/compensation"), ("confirm", "/confirm")] {
                    let state = |step: &Value| step.pointer(&format!("{field}/state")).cloned();
                    let (old, new) = (state(before), state(after));
                    if old.as_ref().is_some_and(is_outcome) && old != new {
                        found.push(format!("I2: {direction} of {} went from {old:?} to {new:?}", before["name"]));
                    }
                }
            }
        }
    }

    /// I3
    fn nothing_goes_forward_after_the_turn(
        &self,
        intents: &[Intent],
        requests: &[Request<'_>],
        found: &mut Vec<String>,
    ) {
        for intent in intents.iter().filter(|intent| intent.direction == "forward") {
            if !self.states[intent.state]["status"]["failure"].is_null() {
                found.push(format!("I3: forward of '{}' was stored after the run turned", intent.step));
            }
            let mut undone =
                intents.iter().filter(|other| other.step == intent.step && other.direction == "compensate");
            if undone.any(|other| other.state <= intent.state) {
                found.push(format!("I3: forward of '{}' was stored after its compensation", intent.step));
            }
        }
        let turned = self.states.iter().find(|state| !state["status"]["failure"].is_null());
        let Some(at) = turned.and_then(|state| self.stored(state)) else { return };
        for request in requests.iter().filter(|request| request.direction == "forward" && request.seen.asked > at) {
            found.push(format!("I3: {} was sent after the run turned", request.named()));
        }
    }

    /// I5
    fn fences_rise(&self, intents: &[Intent], found: &mut Vec<String>) {
        for pair in self.states.windows(2) {
            let (before, after) = (&pair[0]["status"], &pair[1]["status"]);
            let fences = [number(&before["journal"]["fence"]), number(&after["journal"]["fence"])];
            if before != after && fences[0] >= fences[1] {
                found.push(format!("I5: a write took the fence from {} to {}", fences[0], fences[1]));
            }
        }
        for undo in intents.iter().filter(|intent| intent.direction == "compensate") {
            let mut forward = intents.iter().filter(|other| other.step == undo.step && other.direction == "forward");
            if forward.any(|forward| forward.fence >= undo.fence) {
                found.push(format!("I5: the compensation of '{}' has fence {}", undo.step, undo.fence));
            }
        }
    }

    /// I7
    fn the_end_is_the_end(&self, requests: &[Request<'_>], found: &mut Vec<String>) {
        let Some(end) = self.states.iter().position(has_ended) else { return };
        let status = &self.states[end]["status"];
        if status["journal"]["inFlight"].as_array().is_some_and(|open| !open.is_empty()) {
            found.push(format!("I7: calls are open at the end: {}", status["journal"]));
        }
        for later in &self.states[end..] {
            let said = |status: &Value| [status["steps"].clone(), status["failure"].clone(), status["outputs"].clone()];
            if said(&later["status"]) != said(status) || !has_ended(later) {
                found.push(format!("I7: the state {} changed after the end", version(later)));
            }
        }
        let Some(at) = self.stored(&self.states[end]) else {
            found.push("I7: no operator ended the run".to_owned());
            return;
        };
        for request in requests.iter().filter(|request| request.seen.asked > at) {
            found.push(format!("I7: {} was sent after the end", request.named()));
        }
    }
}

impl Request<'_> {
    fn named(&self) -> String {
        let Self { step, direction, attempt, fence, .. } = self;
        format!("{direction} of '{step}', attempt {attempt}, fence {fence}")
    }

    /// What must be the same in every request of a key.
    fn constant(&self) -> (String, String, Vec<String>, Vec<u8>) {
        let Seen { method, path, query, headers, body, .. } = self.seen;
        let own = headers.iter().filter(|(name, _)| !MAY_DIFFER.contains(&name.as_str()));
        (method.clone(), format!("{path}?{query}"), own.map(|header| format!("{header:?}")).collect(), body.to_vec())
    }
}

/// I8
fn a_key_means_one_request(requests: &[Request<'_>], found: &mut Vec<String>) {
    let mut known = BTreeMap::new();
    for request in requests.iter().filter(|request| !request.poll) {
        let constant = request.constant();
        let first = known.entry(request.key).or_insert_with(|| constant.clone());
        if *first != constant {
            found.push(format!("I8: the key {} came as {first:?} and as {constant:?}", request.key));
        }
    }
}

pub(super) fn steps(state: &Value) -> &[Value] {
    state["status"]["steps"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

/// Of an action, a compensation or a confirmation.
pub(super) fn is_outcome(state: &Value) -> bool {
    ["Succeeded", "Failed", "Unknown", "Skipped", "Resolved"].iter().any(|outcome| state == outcome)
}

fn has_ended(state: &Value) -> bool {
    let mut conditions = state["status"]["conditions"].as_array().into_iter().flatten();
    conditions.any(|condition| condition["type"] == "Completed" && condition["status"] == "True")
}
