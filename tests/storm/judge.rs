//! What must be true of every saga when it is over, from every state that was stored and every request that was made.

use std::collections::{BTreeMap, BTreeSet};
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

/// By name or uid of the run.
#[derive(Default)]
struct Records {
    /// With the replica that asked.
    api: BTreeMap<String, Vec<(usize, Seen)>>,
    wire: BTreeMap<String, Vec<Seen>>,
    effects: BTreeMap<String, Vec<Effect>>,
    entries: BTreeMap<String, Vec<Entry>>,
}

/// Judges sagas; what is wrong goes to the tally.
pub(crate) fn judge(world: &World, orders: &[Order]) {
    let records = Records::of(world, orders);
    for order in orders {
        let over = world.history.is(&order.name, is_over);
        let states = world.history.take(&order.name);
        if !over {
            let last = states.last().map(|state| state["status"].to_string());
            world.tally.count(|count| {
                count.lost += 1;
                count.wrong.push(format!("{} {} is lost: {last:?}", world.lease(), order.name));
            });
            continue;
        }
        records.judge(world, order, states);
        world.tally.count(|count| count.sagas += 1);
    }
}

impl Records {
    fn of(world: &World, orders: &[Order]) -> Self {
        let names: BTreeSet<_> = orders.iter().map(|order| order.name.as_str()).collect();
        let mut records = Self::default();
        for (place, replica) in world.replicas.iter().enumerate() {
            for seen in replica.proxy.seen() {
                let name = seen.path.split_once("/sagaruns/").and_then(|(_, rest)| rest.split('/').next());
                if let Some(name) = name.filter(|name| names.contains(name)).map(str::to_owned) {
                    records.api.entry(name).or_default().push((place, seen));
                }
            }
        }
        for seen in world.wire.seen() {
            let uid = seen.header("saga-run-uid").unwrap_or_default().to_owned();
            records.wire.entry(uid).or_default().push(seen);
        }
        for effect in world.shop.services.ledger().effects() {
            records.effects.entry(effect.run_uid.clone().unwrap_or_default()).or_default().push(effect);
        }
        for entry in world.shop.services.ledger().entries() {
            records.entries.entry(entry.call.run_uid.clone().unwrap_or_default()).or_default().push(entry);
        }
        records
    }

    fn judge(&self, world: &World, order: &Order, states: Vec<Value>) {
        let uid = states[0]["metadata"]["uid"].as_str().unwrap_or_default();
        let mut asked = self.api.get(&order.name).cloned().unwrap_or_default();
        asked.sort_by_key(|(_, seen)| seen.asked);
        unheard(&mut asked, &states);
        let wire = self.wire.get(uid).cloned().unwrap_or_default();
        let mut found = Vec::new();
        let (wire, late) = part(world, &asked, &states, wire, &mut found);
        let end = states.last().map(|state| stands(state).to_owned()).unwrap_or_default();
        let api = asked.into_iter().map(|(_, seen)| seen).collect();
        let effects = self.effects.get(uid).cloned().unwrap_or_default();
        let doubles = effects.iter().filter(|effect| effect.times != 1).count();
        let inversions = inversions(self.entries.get(uid).map(Vec::as_slice).unwrap_or_default());
        let evidence = Evidence { spec: (*order.spec).clone(), states, api, wire, effects, replaced: Vec::new() };
        found.extend(evidence.violations());
        found.extend(inversions.iter().map(|entry| format!("I5: a late call was accepted: {entry:?}")));
        if end != order.story.end {
            found.push(format!("L1: it ended {end}"));
        }
        if evidence.standing() != order.story.standing {
            found.push(format!("I6: {:?} stands", evidence.standing()));
        }
        world.tally.count(|count| {
            count.late += late;
            count.doubles += doubles;
            count.inversions += inversions.len();
            count.unsent += found.iter().filter(|found| found.starts_with("I1")).count();
            if !found.is_empty() {
                let told = evidence.told();
                count.wrong.push(format!("{} {}: {found:#?}\n{told}", world.lease(), order.story.name));
            }
        });
    }
}

/// Writes that landed although the API server died before it said so: their fence is in the history, and no two writes of a run
/// have the same. They count from when they were asked for: nothing that they forbid may be sent from then on.
fn unheard(asked: &mut [(usize, Seen)], states: &[Value]) {
    let heard: BTreeSet<String> = asked.iter().filter_map(|(_, seen)| seen.landed()?.version.clone()).collect();
    for state in states {
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
}

/// Parts the calls of processes that owned the run when they came from those of processes that did not any more. The latter
/// must have been stored by a process that was there then and stood still, or was about to send.
fn part(
    world: &World,
    asked: &[(usize, Seen)],
    states: &[Value],
    wire: Vec<Seen>,
    found: &mut Vec<String>,
) -> (Vec<Seen>, usize) {
    let writes: Vec<Write<'_>> = states.iter().filter_map(|state| Write::find(world, asked, state)).collect();
    let (mut timely, mut late) = (Vec::new(), Vec::new());
    for seen in wire {
        let fence = seen.header("saga-fence").and_then(|fence| fence.parse().ok());
        // One without a write is named by the judge of the evidence.
        let Some(own) = writes.iter().find(|write| Some(write.fence) == fence) else {
            timely.push(seen);
            continue;
        };
        let gone = own.life.over.is_some_and(|over| over + ABOUT_TO_BE_SENT < seen.asked);
        if gone {
            found.push(format!("I1: the call with fence {} was sent after its process was gone", own.fence));
        }
        let of_others =
            |write: &&Write<'_>| write.at < seen.asked && write.at > own.at && write.life.pod != own.life.pod;
        let Some(replaced) = writes.iter().find(of_others) else {
            timely.push(seen);
            continue;
        };
        let stood_still = own.life.stood_still(own.at, seen.asked);
        if !stood_still && replaced.at + ABOUT_TO_BE_SENT < seen.asked {
            found.push(format!("the call with fence {} came long after {} took over", own.fence, replaced.life.pod));
        }
        if let Some(twin) = late.iter().chain(&timely).find(|other| is_twin(other, &seen)) {
            found.push(format!("I1: one intent was sent twice: {:?} and {:?}", twin.headers, seen.headers));
        }
        late.push(seen);
    }
    (timely, late.len())
}

/// A state that an operator stored.
struct Write<'a> {
    fence: u64,
    life: &'a Life,
    at: Instant,
}

impl<'a> Write<'a> {
    fn find(world: &'a World, asked: &[(usize, Seen)], state: &Value) -> Option<Self> {
        let version = state["metadata"]["resourceVersion"].as_str();
        let fence = state["status"]["journal"]["fence"].as_u64()?;
        let landed = asked.iter().find_map(|(place, seen)| {
            let served = seen.landed().filter(|served| seen.is_run_write() && served.version.as_deref() == version)?;
            Some((place, served.at, seen.asked))
        });
        let (place, at, asked) = landed?;
        Some(Self { fence, at, life: world.replicas[*place].life_at(asked)? })
    }
}

fn is_twin(one: &Seen, other: &Seen) -> bool {
    let same = |name| one.header(name) == other.header(name);
    one.method == other.method && ["saga-step", "saga-direction", "saga-fence"].into_iter().all(same)
}

/// Calls that changed something although a later decision for the same step had been seen.
fn inversions(entries: &[Entry]) -> Vec<&Entry> {
    let mut highest = BTreeMap::<&str, u64>::new();
    let mut found = Vec::new();
    for entry in entries.iter().filter(|entry| !entry.finish) {
        let (Some(step), Some(fence)) = (entry.call.step.as_deref(), entry.call.fence) else { continue };
        let seen = highest.entry(step).or_default();
        if fence < *seen && entry.change != Change::None {
            found.push(entry);
        }
        *seen = fence.max(*seen);
    }
    found
}
