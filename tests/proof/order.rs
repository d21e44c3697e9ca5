//! What may be stored when: I4, and what the semantics say of dependencies, of the Pivot and of confirming.

use serde_json::Value;

use super::oracle::{Evidence, Intent, is_outcome, steps};

/// Names what was decided too early, or after it could not be decided any more.
pub(super) fn judge(evidence: &Evidence, intents: &[Intent], found: &mut Vec<String>) {
    let told = |what: &str, intent: &Intent, why: String| format!("{what} '{}' {why}", intent.step);
    for intent in intents {
        let state = &evidence.states[intent.state];
        match intent.direction.as_str() {
            "forward" => found.extend(early(evidence, intent, state).map(|why| told("order: forward of", intent, why))),
            "confirm" => {
                found.extend(unsettled(evidence, intent, state).map(|why| told("commit: confirm of", intent, why)))
            }
            _ => found.extend(undone_early(evidence, intent, state).into_iter().map(|why| told("I4:", intent, why))),
        }
    }
    the_pivot_decides(evidence, found);
}

/// Everything that a step depends on is done before it begins.
fn early(evidence: &Evidence, intent: &Intent, state: &Value) -> Option<String> {
    let ancestors = evidence.graph().ancestors(&intent.step);
    let open = ancestors.into_iter().find(|name| !is_done(&step(state, name)["state"]))?;
    Some(format!("was stored before '{open}' was done"))
}

/// Everything is done before anything is confirmed, and what a step depends on is confirmed before it.
fn unsettled(evidence: &Evidence, intent: &Intent, state: &Value) -> Option<String> {
    if !state["status"]["failure"].is_null() {
        return Some("was stored although the run turned".to_owned());
    }
    if let Some(open) = steps(state).iter().find(|step| !is_done(&step["state"])) {
        return Some(format!("was stored while {} was {}", open["name"], open["state"]));
    }
    let graph = evidence.graph();
    let mut before = graph.ancestors(&intent.step).into_iter().filter(|name| !graph.call(name, "confirm").is_null());
    let open = before.find(|name| !is_outcome(&step(state, name)["confirm"]["state"]))?;
    Some(format!("was stored before that of '{open}' was done"))
}

/// I4
fn undone_early(evidence: &Evidence, intent: &Intent, state: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let graph = evidence.graph();
    let own = step(state, &intent.step);
    if own["state"] != "Succeeded" && own["state"] != "Unknown" {
        found.push(format!("is compensated as {}", own["state"]));
    }
    for later in graph.dependents().get(&intent.step).into_iter().flatten() {
        let step = step(state, later);
        let closed = step["state"] == "Pending" || is_outcome(&step["state"]);
        let effect = step["state"] == "Succeeded" || step["state"] == "Unknown";
        let undone = is_outcome(&step["compensation"]["state"]);
        let undoable = !graph.call(later, "compensate").is_null();
        if !closed || (effect && undoable && !undone) {
            found.push(format!("is compensated before '{later}': {step}"));
        }
    }
    found
}

/// While the Pivot is open nothing turns the run, and nothing does once it succeeded.
fn the_pivot_decides(evidence: &Evidence, found: &mut Vec<String>) {
    let Some(pivot) = evidence.graph().pivot() else { return };
    let mut committed = false;
    for state in &evidence.states {
        let own = &step(state, pivot)["state"];
        committed |= own == "Succeeded";
        let open = own == "Running" || own == "Waiting";
        if !state["status"]["failure"].is_null() && (open || committed) {
            found.push(format!("commit: the run turned with its Pivot {own}"));
        }
    }
}

fn step(state: &Value, name: &str) -> Value {
    steps(state).iter().find(|step| step["name"] == name).cloned().unwrap_or_default()
}

fn is_done(state: &Value) -> bool {
    state == "Succeeded" || state == "Skipped"
}
