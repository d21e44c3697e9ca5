//! Sagas as they must not be: a judge that finds nothing is not trusted. What [`crate::proof::forged`] forges is not repeated.

use std::sync::Arc;
use std::time::{Duration, Instant};

use saga_operator::cli::participants::Change;

use super::judge::Case;
use super::replica::Life;
use crate::common::proxy::Seen;

/// What is wrong, how the judge names it, and how it is done.
pub(crate) type Forgery = (&'static str, &'static str, fn(&mut Case));

pub(crate) const FORGERIES: [Forgery; 7] = [
    ("a call of a process that is gone", "after its process was gone", |case| {
        let first = case.wire[0].asked;
        change_lives(case, |life| life.over = Some(before(first, 5)));
    }),
    ("a call long after another process wrote the run", "came long after", |case| replaced_before_it_sent(case, 3)),
    ("two calls of a process that stood still, for one intent", "was sent twice", |case| {
        stood_still(case);
        replaced_before_it_sent(case, 3);
        let twin = case.wire[0].clone();
        case.wire.insert(1, twin);
    }),
    ("a call that was too old and took effect", "too old was accepted", |case| {
        let mut late = case.entries[0].clone();
        (late.call.fence, late.change) = (Some(0), Change::Done);
        case.entries.push(late);
    }),
    ("an effect that was made twice", "took effect 2 times", |case| case.effects[0].times = 2),
    ("a state that nobody asked for", "nobody asked for the state", |case| {
        let (_, write) = case.asked.iter_mut().find(|(_, seen)| is_status(seen)).expect("a write");
        (write.served, write.body) = (None, bytes::Bytes::from_static(b"{}"));
    }),
    ("an end that is another", "L1", |case| case.order.story.end = "Compensated"),
];

/// How evidence is forged.
type Forge = fn(&mut Case);

/// What looks wrong and is not: what it is, how many late calls are counted, and how it is done.
pub(crate) const INNOCENT: [(&str, usize, Forge); 2] = [
    ("a late call of a process that stood still", 1, |case| {
        stood_still(case);
        replaced_before_it_sent(case, 3);
        // The judge of the evidence is not to stumble over the writes that were moved.
        case.wire.truncate(1);
    }),
    ("a write whose answer died with the API server", 0, |case| {
        let (_, write) = case.asked.iter_mut().rev().find(|(_, seen)| is_status(seen)).expect("a write");
        write.served = None;
    }),
];

fn is_status(seen: &Seen) -> bool {
    seen.method == "PUT" && seen.is_run_write() && seen.landed().is_some()
}

fn before(at: Instant, seconds: u64) -> Instant {
    at.checked_sub(Duration::from_secs(seconds)).expect("the machine is up for longer")
}

fn change_lives(case: &mut Case, change: impl Fn(&mut Life)) {
    let mut lives = (*case.lives).clone();
    lives.iter_mut().flatten().for_each(change);
    case.lives = Arc::new(lives);
}

fn stood_still(case: &mut Case) {
    let first = case.wire[0].asked;
    change_lives(case, |life| life.stopped = vec![(before(first, 4), Some(first))]);
}

/// The first intents were stored, then another replica wrote the run, and so many seconds later came the call.
fn replaced_before_it_sent(case: &mut Case, seconds: u64) {
    let first = case.wire[0].asked;
    change_lives(case, |life| life.begun = before(first, 60));
    let writes = case.asked.iter_mut().filter(|(_, seen)| is_status(seen)).take(2);
    for (nth, (place, seen)) in writes.enumerate() {
        let at = before(first, if nth == 0 { seconds + 1 } else { seconds });
        seen.asked = at;
        if let Some(served) = &mut seen.served {
            served.at = at;
        }
        *place = nth;
    }
}
