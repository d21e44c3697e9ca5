//! What is seen where requests leave a process: I1, I3, I5 and I7.

use saga_operator::api::run::Direction;
use saga_operator::saga::{Intent, Polling};

use super::fate::{Fate, lock};
use super::process::{Known, Process};
use super::services::{Left, Services, line};
use super::store::Store;

/// A call leaves.
pub fn calls(services: &Services, fate: &Fate, store: &Store, process: &Process, intent: &Intent) {
    fate.tell(|| format!("{} sends {}", process.name, line(intent)));
    let uid = &intent.run.uid;
    let says = |what: &str| {
        lock(&services.broken).push(format!("{what}: {} sends {}", process.name, line(intent)));
    };
    if !stored_by(store, process, intent) {
        says("I1: not stored by its sender");
    }
    let mut ledger = lock(&services.ledger);
    let of_step = ledger.iter().filter(|left| left.intent.run.uid == *uid && left.intent.call.step == intent.call.step);
    for left in of_step {
        if (left.intent.fence, left.intent.call) == (intent.fence, intent.call) {
            says("I1: sent twice");
        }
        if left.process == process.name && left.intent.fence > intent.fence {
            says("I5: its sender sent a later decision of the step before");
        }
    }
    let known = known(process, uid);
    if known.turned && intent.call.direction == Direction::Forward {
        says("I3: its sender began or saw the turn");
    }
    if known.ended {
        says("I7: its sender began or saw the end");
    }
    ledger.push(Left { process: process.name.clone(), intent: intent.clone() });
}

/// A look at a call in progress leaves.
pub fn looks(services: &Services, fate: &Fate, process: &Process, polling: &Polling) {
    let what = || format!("{} asks at {} of fence {}", process.name, polling.url, polling.fence);
    fate.tell(what);
    let known = known(process, &polling.run.uid);
    if known.ended || (known.turned && polling.call.direction == Direction::Forward) {
        lock(&services.broken).push(format!("I7: it began or saw the end or the turn: {}", what()));
    }
    let followed = |left: &Left| {
        (&left.intent.run.uid, left.intent.call) == (&polling.run.uid, polling.call)
            && left.intent.attempt == polling.attempt
    };
    if !lock(&services.ledger).iter().any(followed) {
        lock(&services.broken).push(format!("I1: it follows an attempt that was never sent: {}", what()));
    }
}

fn known(process: &Process, uid: &str) -> Known {
    lock(&process.known).get(uid).copied().unwrap_or_default()
}

fn stored_by(store: &Store, process: &Process, intent: &Intent) -> bool {
    store.with_history(&intent.run.uid, |history| {
        let at = history.binary_search_by_key(&intent.fence, |write| write.stored.fence);
        at.is_ok_and(|at| {
            let holder = history[at].stored.holder.as_ref().map_or("", |holder| holder.as_str());
            let own = holder.strip_prefix(&process.name).is_some_and(|rest| rest.starts_with('-'));
            own && history[at].intents.contains(intent)
        })
    })
}
