//! A number that is the same for two worlds in which the same can happen from now on.
//!
//! # Guarantees
//! Times count from now. Fences below the stored one count by their order and by gaps of 1, 2 or more; those above it
//! count exactly, because the next write may be given one of them. A process is told by its place, and places are
//! exchangeable where nothing tells them apart. Versions count from the newest. What nobody reads again is left out:
//! times that are for people only.
//!
//! # Caveats
//! 64 bits: among ten million worlds two different ones share a number with a probability of 3 in a million.

use std::collections::BTreeMap;

use jiff::Timestamp;
use saga_operator::api::Reason;
use saga_operator::saga::{
    Answer, CallId, CallRecord, Effect, Event, EventKind, Fence, Holder, Intent, Local, Monotonic, Now, Open, Polling,
    State, StepRecord, Stored, Wishes,
};

use super::process::{Decided, Process, Word, Writing};
use super::world::World;

/// Ages and waits beyond it count as equal: no timer of a scenario is longer.
const HORIZON_MILLIS: i64 = 120_000;

/// Of a world.
pub fn fingerprint(world: &World) -> u64 {
    let mut reader = Reader { world, words: Vec::with_capacity(512), fences: Vec::new(), seats: Vec::new() };
    let cuts = reader.world();
    reader.rank_fences();
    let one = hash(&[&reader.words]);
    if world.processes.len() < 2 || world.skew[0] != world.skew[1] {
        return one;
    }
    for seat in &reader.seats {
        reader.words[*seat] = 1 - reader.words[*seat];
    }
    let words = &reader.words;
    one.min(hash(&[&words[..cuts[0]], &words[cuts[1]..cuts[2]], &words[cuts[0]..cuts[1]], &words[cuts[2]..]]))
}

fn hash(parts: &[&[u64]]) -> u64 {
    let mut hash: u64 = 0x9e37_79b9_7f4a_7c15;
    for part in parts {
        for word in *part {
            hash = (hash ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
            hash ^= hash >> 32;
        }
    }
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 29)
}

/// Reads a world as a list of numbers.
struct Reader<'a> {
    world: &'a World,
    words: Vec<u64>,
    /// Where fences stand.
    fences: Vec<usize>,
    /// Where places stand.
    seats: Vec<usize>,
}

impl Reader<'_> {
    fn put(&mut self, word: impl Into<u64>) {
        self.words.push(word.into());
    }

    fn signed(&mut self, word: i64) {
        self.words.push(word.cast_unsigned());
    }

    fn count(&mut self, count: usize) {
        self.words.push(count as u64);
    }

    fn fence(&mut self, fence: Fence) {
        self.fences.push(self.words.len());
        self.words.push(fence.0);
    }

    /// Replaces fences by their distance from the stored one. Below it, gaps above 3 are closed to 3.
    fn rank_fences(&mut self) {
        let base = self.world.store.stored.fence.0;
        let mut below: Vec<u64> = self.fences.iter().map(|at| self.words[*at]).filter(|fence| *fence < base).collect();
        below.sort_unstable();
        below.dedup();
        let (mut ranks, mut above, mut distance) = (vec![0; below.len()], base, 0);
        for (index, fence) in below.iter().enumerate().rev() {
            distance += (above - fence).min(3);
            (ranks[index], above) = (distance, *fence);
        }
        for at in &self.fences {
            let fence = self.words[*at];
            self.words[*at] = match below.binary_search(&fence) {
                Ok(index) => ranks[index] << 32,
                Err(_) => fence - base,
            };
        }
    }

    fn seat(&mut self, place: usize) {
        self.seats.push(self.words.len());
        self.count(place);
    }

    fn version(&mut self, version: u32) {
        let age = self.world.store.version.saturating_sub(version).min(2);
        self.put(if version == 0 { 9 } else { age });
    }

    fn moment(&mut self, at: Monotonic) {
        let millis = at.0.as_millis() as i64 - self.world.clock as i64;
        self.signed(millis.clamp(-HORIZON_MILLIS, HORIZON_MILLIS));
    }

    fn wall(&mut self, at: Timestamp) {
        let millis = at.as_millisecond() - self.world.setup.beginning.as_millisecond() - self.world.clock as i64;
        // Clocks may be an hour wrong.
        self.signed(millis.clamp(-3_600_000 - HORIZON_MILLIS, 3_600_000 + HORIZON_MILLIS));
    }

    fn now(&mut self, now: Now) {
        let Now { wall, monotonic } = now;
        self.wall(wall);
        self.moment(monotonic);
    }

    fn reason(&mut self, reason: Reason) {
        self.put(reason as u32);
    }

    fn call_id(&mut self, call: CallId) {
        self.count(call.step * 4 + call.direction as usize);
    }

    fn some<T>(&mut self, value: Option<T>, read: impl FnOnce(&mut Self, T)) {
        self.put(value.is_some());
        if let Some(value) = value {
            read(self, value);
        }
    }

    /// Gives where the processes begin and end.
    fn world(&mut self) -> [usize; 3] {
        let world = self.world;
        self.stored(&world.store.stored);
        self.wishes(&world.store.wishes);
        self.some(world.store.previous.as_ref(), |reader, (version, stored)| {
            // Only who knows even less may still read it.
            let read = world.processes.iter().any(|process| process.version < *version);
            reader.put(read);
            if read {
                reader.stored(stored);
            }
        });
        self.some(world.store.taken_at, |reader, at| reader.put((world.clock - at).min(HORIZON_MILLIS as u64)));
        self.count(world.store.late.len());
        for late in &world.store.late {
            self.seat(late.place);
            self.put(world.processes[late.place].life == late.life);
            self.decided(&late.decided);
        }
        self.count(world.packets.len());
        for packet in &world.packets {
            let alive = world.processes[packet.from].life == packet.life;
            self.put(alive);
            self.put(packet.late);
            if alive {
                self.seat(packet.from);
            }
            self.intent(&packet.intent);
        }
        for service in world.services.iter() {
            self.signed(service.effect.into());
            self.put(service.undone);
            self.put(service.confirmed);
            self.put(service.working.is_some());
            self.count(service.given.len());
            service.given.values().for_each(|status| self.put(*status));
            self.count(service.anomalies.len());
            service.anomalies.iter().for_each(|anomaly| self.put(*anomaly as u32));
            self.fence(service.highest);
        }
        self.count(world.ledger.unsent.len());
        for (place, call, fence) in &world.ledger.unsent {
            self.seat(*place);
            self.call_id(*call);
            self.fence(*fence);
        }
        self.count(world.ledger.keys.len());
        let mut cuts = [self.words.len(); 3];
        for (place, process) in world.processes.iter().enumerate() {
            self.signed(world.skew[place]);
            self.process(process);
            cuts[place + 1] = self.words.len();
        }
        cuts
    }

    fn stored(&mut self, stored: &Stored) {
        let Stored {
            observed_generation,
            start_time,
            completion_time: _,
            revision,
            failure,
            end,
            revision_lost,
            steps,
            outputs,
            judged,
            fence,
            holder,
            conditions,
        } = stored;
        self.signed(observed_generation - self.world.store.wishes.generation);
        self.put(start_time.is_some());
        if self.world.setup.definition.active_deadline.is_some() {
            self.some(*start_time, Self::wall);
        }
        self.put(revision.is_some());
        self.put(*revision_lost);
        self.some(*end, |reader, end| reader.reason(end.reason()));
        self.some(failure.as_ref(), |reader, failure| {
            // The message is made from the same things.
            reader.reason(failure.reason);
            reader.put(failure.http_status.unwrap_or_default());
            reader.text(failure.step.as_deref());
        });
        steps.iter().for_each(|step| self.step(step));
        self.count(outputs.len());
        self.count(judged.len());
        judged.iter().for_each(|judged| self.put(judged.outcome as u32));
        self.fence(*fence);
        self.some(holder.as_ref(), Self::holder);
        // The messages and the other conditions are made from the same things.
        self.text(conditions.first().map(|condition| condition.reason.as_str()));
    }

    /// Texts that are told apart by their length and their first letter.
    fn text(&mut self, text: Option<&str>) {
        self.count(text.map_or(0, |text| text.len() << 8 | usize::from(text.as_bytes().first().copied().unwrap_or(0))));
    }

    fn holder(&mut self, holder: &Holder) {
        let place = self.world.processes.iter().position(|process| process.plan.owner.id == *holder);
        self.some(place, Self::seat);
    }

    fn step(&mut self, step: &StepRecord) {
        let StepRecord { name: _, forward, outputs, compensation, confirm } = step;
        self.call(forward);
        self.count(outputs.len());
        self.some(compensation.as_ref(), Self::call);
        self.some(confirm.as_ref(), Self::call);
    }

    fn call(&mut self, call: &CallRecord) {
        let CallRecord {
            phase,
            attempts,
            doubtful,
            takeovers,
            attempts_before,
            key_suffix,
            digest,
            open,
            start_time: _,
            completion_time: _,
            http_status,
            reason,
            message,
        } = call;
        self.put(*phase as u32);
        [attempts, doubtful, takeovers, attempts_before, key_suffix].into_iter().for_each(|number| self.put(*number));
        self.put(digest.is_some());
        self.put(message.is_some());
        self.put(http_status.unwrap_or_default());
        self.some(*reason, Self::reason);
        self.some(open.as_ref(), |reader, open| {
            let Open { fence, deadline, not_before, location } = open;
            reader.put(location.is_some());
            reader.fence(*fence);
            reader.wall(*deadline);
            reader.some(*not_before, Self::wall);
        });
    }

    fn wishes(&mut self, wishes: &Wishes) {
        let Wishes { generation, suspend, cancellation, deletion, active_deadline: _, interventions } = wishes;
        self.count(interventions.len());
        for one in interventions {
            self.put(one.action as u32);
            self.put(one.direction as u32);
            self.text(Some(&one.step));
        }
        self.signed(generation - self.world.store.wishes.generation);
        self.put(*suspend);
        self.some(deletion.as_ref(), |reader, policy| reader.put(*policy as u32));
        self.some(cancellation.as_ref(), |reader, wish| reader.put(wish.policy as u32));
    }

    fn state(&mut self, state: &State) {
        let State { stored, local } = state;
        self.stored(stored);
        let Local {
            tried,
            owned,
            owned_once,
            taking_over,
            took_over,
            unchanged_since,
            draining,
            due_since,
            waiting_since,
            wishes,
            own,
        } = local;
        self.fence(*tried);
        [owned, owned_once, taking_over, draining].into_iter().for_each(|flag| self.put(*flag));
        self.some(*took_over, Self::moment);
        self.some(*unchanged_since, Self::now);
        self.some(*due_since, Self::moment);
        self.some(*waiting_since, Self::moment);
        self.some(wishes.as_ref(), Self::wishes);
        self.count(own.len());
        for (call, own) in own {
            self.call_id(*call);
            self.put(own.sent);
            self.put(own.counted);
            self.moment(own.since);
            self.some(own.polled_until, Self::moment);
        }
    }

    fn process(&mut self, process: &Process) {
        self.state(&process.state);
        self.version(process.version);
        self.count(process.scheduled.len());
        process.scheduled.values().for_each(|intent| self.intent(intent));
        self.some(process.wake_at, Self::moment);
        self.count(process.outbox.len());
        process.outbox.iter().for_each(|intent| self.intent(intent));
        self.awaited(&process.awaited);
        self.count(process.followed.len());
        for (polling, due) in process.followed.values() {
            self.polling(polling);
            self.some(*due, Self::moment);
        }
        self.events(&process.inbox);
        match &process.writing {
            Writing::No => self.put(0_u32),
            Writing::Sent(decided) => {
                self.put(1_u32);
                self.decided(decided);
            }
            Writing::Answered(decided, word) => {
                self.put(2_u32);
                self.decided(decided);
                match word {
                    Word::Landed(version) => self.version(*version),
                    Word::Conflict => self.put(11_u32),
                    Word::Unclear => self.put(12_u32),
                    Word::TooLarge => self.put(13_u32),
                }
            }
        }
        [process.paused, process.turned, process.ended].into_iter().for_each(|flag| self.put(flag));
    }

    fn awaited(&mut self, awaited: &BTreeMap<(CallId, Fence), Monotonic>) {
        self.count(awaited.len());
        for ((call, fence), until) in awaited {
            self.call_id(*call);
            self.fence(*fence);
            self.moment(*until);
        }
    }

    fn decided(&mut self, decided: &Decided) {
        self.state(&decided.turn.state);
        self.put(decided.known.0);
        self.put(decided.known.1);
        self.some(decided.turn.wake_at, Self::moment);
        self.count(decided.turn.effects.len());
        for effect in &decided.turn.effects {
            match effect {
                Effect::Withdraw(call) | Effect::Cut(call) => self.call_id(*call),
                Effect::Send(intent) => self.intent(intent),
                Effect::Poll(polling) => self.polling(polling),
                Effect::PollAgain { call, fence, at } => {
                    self.call_id(*call);
                    self.fence(*fence);
                    self.moment(*at);
                }
                Effect::Release => self.put(99_u32),
            }
        }
        self.events(&decided.events);
    }

    fn events(&mut self, events: &[Event]) {
        self.count(events.len());
        for event in events {
            self.put(EventKind::ALL.iter().position(|kind| *kind == event.kind()).unwrap_or(99) as u64);
            match event {
                Event::Wished(wishes) => self.wishes(wishes),
                Event::Answered { call, fence, answer } | Event::Polled { call, fence, answer } => {
                    self.call_id(*call);
                    self.fence(*fence);
                    self.answer(answer);
                }
                Event::RevisionGone | Event::TooLarge | Event::Tick => {}
            }
        }
    }

    fn answer(&mut self, answer: &Answer) {
        match answer {
            Answer::Response(response) => {
                self.put(response.status);
                self.some(response.retry_after, |reader, wait| reader.put(wait.as_secs()));
            }
            Answer::Lost { reason, message: _ } => {
                self.put(1_u32);
                self.reason(*reason);
            }
            Answer::NotSent { reason, message: _ } => {
                self.put(2_u32);
                self.reason(*reason);
            }
        }
    }

    fn polling(&mut self, polling: &Polling) {
        self.call_id(polling.call);
        self.fence(polling.fence);
        self.put(polling.attempt);
        self.moment(polling.first);
        self.moment(polling.expires);
    }

    fn intent(&mut self, intent: &Intent) {
        // Run, step and request follow from the call and its key, which has a number from the second on.
        let Intent {
            run: _,
            call,
            step: _,
            attempt,
            fence,
            key,
            request: _,
            timeout: _,
            not_before,
            deadline,
            expires,
            forward_outcome,
        } = intent;
        self.call_id(*call);
        self.put(*attempt);
        self.count(key.as_str().len());
        self.fence(*fence);
        self.some(*not_before, Self::moment);
        self.wall(*deadline);
        self.moment(*expires);
        self.some(*forward_outcome, |reader, outcome| reader.count(outcome.as_str().len()));
    }
}
