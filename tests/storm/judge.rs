//! What must be true of every saga when it is over, from every state that was stored and every request that was made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use saga_operator::cli::participants::{Change, Effect, Entry};
use serde_json::Value;

use super::replica::Life;
use super::world::{Order, World, is_over, stands};
use crate::common::proxy::{Seen, Served};
use crate::proof::oracle::Evidence;

/// A call of a process that stood still may come any time later. Of one that did not, so late at most: it was about to be sent
/// when the process lost its leadership, on a machine that does other things.
const ABOUT_TO_BE_SENT: Duration = Duration::from_secs(1);

/// All that is known of one saga.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) order: Order,
    /// Of each replica.
    pub(crate) lives: Arc<Vec<Vec<Life>>>,
    /// Every state that was stored, in order.
    pub(crate) states: Vec<Value>,
    /// What the API server was asked about the run, with the replica that asked.
    pub(crate) asked: Vec<(usize, Seen)>,
    /// What participants were asked.
    pub(crate) wire: Vec<Seen>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) entries: Vec<Entry>,
}

/// What was found of one saga.
#[derive(Default)]
pub(crate) struct Judged {
    /// Every promise that is broken, in words.
    pub(crate) found: Vec<String>,
    /// Calls of processes that did not own the run any more.
    pub(crate) late: usize,
    pub(crate) doubles: usize,
    pub(crate) inversions: usize,
    /// The whole story, if anything is broken.
    pub(crate) told: String,
}

/// Judges sagas; what is wrong goes to the tally.
pub(crate) fn judge(world: &World, orders: &[Order]) {
    for case in cases(world, orders) {
        let name = format!("{} {}, {}", world.lease(), case.order.name, case.order.story.name);
        let last = case.states.last().cloned().unwrap_or_default();
        if !is_over(&last) {
            world.tally.count(|count| {
                count.lost += 1;
                count.wrong.push(format!("{name} is lost: {}", last["status"]));
            });
            continue;
        }
        let Judged { found, late, doubles, inversions, told } = case.judged();
        world.tally.count(|count| {
            count.sagas += 1;
            count.late += late;
            count.doubles += doubles;
            count.inversions += inversions;
            count.unsent += found.iter().filter(|found| found.starts_with("I1")).count();
            if !found.is_empty() {
                count.wrong.push(format!("{name}: {found:#?}\n{told}"));
            }
        });
    }
}

/// All that is known of sagas. The history forgets them.
pub(crate) fn cases(world: &World, orders: &[Order]) -> Vec<Case> {
    let names: BTreeSet<_> = orders.iter().map(|order| order.name.as_str()).collect();
    let mut asked = BTreeMap::<String, Vec<(usize, Seen)>>::new();
    for (place, replica) in world.replicas.iter().enumerate() {
        for seen in replica.proxy.seen() {
            let name = seen.path.split_once("/sagaruns/").and_then(|(_, rest)| rest.split('/').next());
            if let Some(name) = name.filter(|name| names.contains(name)).map(str::to_owned) {
                asked.entry(name).or_default().push((place, seen));
            }
        }
    }
    let ledger = world.shop.services.ledger();
    let wire = by_run(world.wire.seen(), |seen| seen.header("saga-run-uid"));
    let effects = by_run(ledger.effects(), |effect| effect.run_uid.as_deref());
    let entries = by_run(ledger.entries(), |entry| entry.call.run_uid.as_deref());
    let lives = Arc::new(world.replicas.iter().map(|replica| replica.lives.clone()).collect());
    let of_order = |order: &Order| {
        let states = world.history.take(&order.name);
        let uid = states.first().and_then(|state| state["metadata"]["uid"].as_str()).unwrap_or_default();
        let mut asked = asked.get(&order.name).cloned().unwrap_or_default();
        asked.sort_by_key(|(_, seen)| seen.asked);
        Case {
            order: order.clone(),
            lives: Arc::clone(&lives),
            asked,
            wire: wire.get(uid).cloned().unwrap_or_default(),
            effects: effects.get(uid).cloned().unwrap_or_default(),
            entries: entries.get(uid).cloned().unwrap_or_default(),
            states,
        }
    };
    orders.iter().map(of_order).collect()
}

fn by_run<T>(all: Vec<T>, uid: impl Fn(&T) -> Option<&str>) -> BTreeMap<String, Vec<T>> {
    let mut sorted = BTreeMap::<String, Vec<T>>::new();
    for one in all {
        sorted.entry(uid(&one).unwrap_or_default().to_owned()).or_default().push(one);
    }
    sorted
}

impl Case {
    /// Holds it against everything that must be true.
    pub(crate) fn judged(&self) -> Judged {
        let mut judged = Judged::default();
        let asked = self.with_unheard();
        let wire = self.timely(&asked, &mut judged);
        let inversions = self.inversions();
        judged.inversions = inversions.len();
        judged.doubles = self.effects.iter().filter(|effect| effect.times != 1).count();
        let evidence = Evidence {
            spec: (*self.order.spec).clone(),
            states: self.states.clone(),
            api: asked.into_iter().map(|(_, seen)| seen).collect(),
            wire,
            effects: self.effects.clone(),
            replaced: Vec::new(),
        };
        let found = &mut judged.found;
        found.extend(evidence.violations());
        found.extend(inversions.iter().map(|entry| format!("I5: a call that was too old was accepted: {entry:?}")));
        let end = self.states.last().map(stands).unwrap_or_default();
        if end != self.order.story.end {
            found.push(format!("L1: it ended {end}"));
        }
        if evidence.standing() != self.order.story.standing {
            found.push(format!("I6: {:?} stands", evidence.standing()));
        }
        if !found.is_empty() {
            judged.told = evidence.told();
        }
        judged
    }

    /// With the writes that landed although the API server died before it said so: their fence is in the history, and no two
    /// writes of a run have the same. They count from when they were asked for: nothing that they forbid is sent from then on.
    fn with_unheard(&self) -> Vec<(usize, Seen)> {
        let mut asked = self.asked.clone();
        let heard: BTreeSet<String> = asked.iter().filter_map(|(_, seen)| seen.landed()?.version.clone()).collect();
        for state in &self.states {
            let version = state["metadata"]["resourceVersion"].as_str().unwrap_or_default();
            let journal = &state["status"]["journal"];
            if heard.contains(version) || journal["fence"].is_null() {
                continue;
            }
            let is_it = |seen: &Seen| {
                let written = &seen.json()["status"]["journal"];
                [&written["fence"], &written["holder"]] == [&journal["fence"], &journal["holder"]]
            };
            let lost = asked.iter_mut().find(|(_, seen)| seen.is_run_write() && seen.landed().is_none() && is_it(seen));
            if let Some((_, seen)) = lost {
                seen.served = Some(Served { status: 200, at: seen.asked, version: Some(version.to_owned()) });
            }
        }
        asked
    }

    /// The calls of processes that owned the run when they came. Those of processes that did not any more must have been stored
    /// by a process that was there then and stood still, or was about to send.
    fn timely(&self, asked: &[(usize, Seen)], judged: &mut Judged) -> Vec<Seen> {
        let writes: Vec<Write<'_>> = self.states.iter().filter_map(|state| self.write(asked, state)).collect();
        let (mut timely, mut late) = (Vec::<Seen>::new(), Vec::<Seen>::new());
        for seen in self.wire.iter().cloned() {
            let fence = seen.header("saga-fence").and_then(|fence| fence.parse().ok());
            // One without a write is named by the judge of the evidence.
            let Some(own) = writes.iter().find(|write| Some(write.fence) == fence) else {
                timely.push(seen);
                continue;
            };
            if own.life.over.is_some_and(|over| over + ABOUT_TO_BE_SENT < seen.asked) {
                judged.found.push(format!("I1: the call with fence {} was sent after its process was gone", own.fence));
            }
            let replaced = writes
                .iter()
                .find(|write| write.at < seen.asked && write.at > own.at && write.life.pod != own.life.pod);
            let Some(replaced) = replaced else {
                timely.push(seen);
                continue;
            };
            if !own.life.stood_still(own.at, seen.asked) && replaced.at + ABOUT_TO_BE_SENT < seen.asked {
                let after = &replaced.life.pod;
                judged.found.push(format!("I1: the call with fence {} came long after {after} took over", own.fence));
            }
            if late.iter().chain(&timely).any(|other| is_twin(other, &seen)) {
                judged.found.push(format!("I1: the intent with fence {} was sent twice", own.fence));
            }
            late.push(seen);
        }
        judged.late = late.len();
        timely
    }

    fn write<'a>(&'a self, asked: &[(usize, Seen)], state: &Value) -> Option<Write<'a>> {
        let version = state["metadata"]["resourceVersion"].as_str();
        let fence = state["status"]["journal"]["fence"].as_u64()?;
        let (place, at, asked) = asked.iter().find_map(|(place, seen)| {
            let served = seen.landed().filter(|served| seen.is_run_write() && served.version.as_deref() == version)?;
            Some((*place, served.at, seen.asked))
        })?;
        let life = self.lives[place].iter().rev().find(|life| life.begun <= asked)?;
        Some(Write { fence, life, at })
    }

    /// Calls that changed something although a later decision for the same step had been seen.
    fn inversions(&self) -> Vec<&Entry> {
        let mut highest = BTreeMap::<&str, u64>::new();
        let mut found = Vec::new();
        for entry in self.entries.iter().filter(|entry| !entry.finish) {
            let (Some(step), Some(fence)) = (entry.call.step.as_deref(), entry.call.fence) else { continue };
            let seen = highest.entry(step).or_default();
            if fence < *seen && entry.change != Change::None {
                found.push(entry);
            }
            *seen = fence.max(*seen);
        }
        found
    }
}

/// A state that an operator stored.
struct Write<'a> {
    fence: u64,
    life: &'a Life,
    at: Instant,
}

fn is_twin(one: &Seen, other: &Seen) -> bool {
    let same = |name| one.header(name) == other.header(name);
    one.method == other.method && ["saga-step", "saga-direction", "saga-fence"].into_iter().all(same)
}
