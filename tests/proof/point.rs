//! A place in a story where something happens, and all of them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use crate::common::proxy::{Seen, Stage, Verdict};

/// What a request is to a story: the n-th of a kind is the same one each time the story is played.
pub(crate) fn label(seen: &Seen) -> Option<String> {
    match (seen.header("saga-step"), seen.header("saga-direction")) {
        (Some(step), Some(direction)) if is_poll(seen) => Some(format!("poll of {direction} {step}")),
        (Some(step), Some(direction)) => Some(format!("{direction} {step}")),
        _ if seen.is_run_write() => Some(RUN.to_owned()),
        _ if is_definition_write(seen) => Some(DEFINITION.to_owned()),
        _ if seen.method != "GET" && seen.path.contains("/events") => Some(EVENT.to_owned()),
        _ => None,
    }
}

/// A question about a call that was accepted, not a call.
pub(crate) fn is_poll(seen: &Seen) -> bool {
    seen.method == "GET" && seen.header("idempotency-key").is_none()
}

/// A write on the run.
pub(crate) const RUN: &str = "write of the run";
/// A write on the definition or its revisions.
pub(crate) const DEFINITION: &str = "write of the definition";
/// A write of an Event.
pub(crate) const EVENT: &str = "write of an Event";

fn is_definition_write(seen: &Seen) -> bool {
    seen.is_write() && (seen.path.contains("/sagadefinitions/") || seen.path.contains("/controllerrevisions"))
}

/// One stage of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    /// What the request is.
    pub(crate) label: String,
    /// Which of those, from 0.
    pub(crate) nth: usize,
    pub(crate) stage: Stage,
}

impl fmt::Display for Point {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Asked => "before",
            Stage::Answered => "after, unheard,",
            Stage::Passed => "after",
        };
        write!(formatter, "{stage} {} {}", self.label, self.nth)
    }
}

/// All requests of an undisturbed play that bear a label, each with its number among its like.
pub(crate) fn places(seen: &[Seen]) -> Vec<(String, usize)> {
    let mut counts = BTreeMap::<String, usize>::new();
    let labels = seen.iter().filter_map(label);
    labels
        .map(|label| {
            let count = counts.entry(label.clone()).or_default();
            *count += 1;
            (label, *count - 1)
        })
        .collect()
}

/// Three points at each place: before the server knows, before the operator knows, and after.
pub(crate) fn points(places: &[(String, usize)]) -> Vec<Point> {
    let stages = [Stage::Asked, Stage::Answered, Stage::Passed];
    let of = |(label, nth): &(String, usize)| stages.map(|stage| Point { label: label.clone(), nth: *nth, stage });
    places.iter().flat_map(of).collect()
}

/// Does something at a point, once.
pub(crate) struct Trap<F> {
    point: Point,
    /// The requests with the point's label, by number.
    met: Mutex<Vec<usize>>,
    deed: F,
}

impl<F: Fn() -> Verdict> Trap<F> {
    pub(crate) const fn new(point: Point, deed: F) -> Self {
        Self { point, met: Mutex::new(Vec::new()), deed }
    }

    /// What becomes of a request that is at a stage; `None`: nothing unusual.
    pub(crate) fn look(&self, seen: &Seen, stage: Stage) -> Option<Verdict> {
        if label(seen).as_ref() != Some(&self.point.label) {
            return None;
        }
        let mut met = self.met.lock().expect("not poisoned");
        if stage == Stage::Asked {
            met.push(seen.number);
        }
        let here = met.iter().position(|number| *number == seen.number) == Some(self.point.nth);
        (here && stage == self.point.stage).then(|| (self.deed)())
    }
}
