//! One candidate for one Lease: everything it decides. Pure: no I/O, no clock, no randomness.
//!
//! # Flow
//! [`Machine::next`] says what to do: send a request, wait, or stop. What came of a request goes to [`Machine::answered`].
//! One request at a time. Between any two of these [`Machine::leadership`] says whether this candidate leads.
//!
//! # Guarantees
//! Two candidates never lead at the same time (see Assumptions). A Lease is taken only when it was given up, when it stood
//! unchanged on the own clock for the duration that it states or for ours, whichever is longer, or when it is what
//! this very process wrote; and always by a write that names the uid and version that were judged. A Lease that is missing is
//! created *vacant*: the leader may still lead, and so may one that came and went unseen, so everybody waits as if it had
//! just been renewed. A leadership ends `renew deadline` after the *sending* of the last renewal that was confirmed in
//! time, or when the Lease names somebody else; then the machine is over. After a write that may or may not have landed it
//! reads before it writes.
//!
//! # Assumptions
//! The store compares and swaps. Monotonic clocks differ in pace by less than lease duration / renew deadline; wall clocks
//! may show anything. No two processes have one identity. Nobody forges a Lease given up (no holder, one second) while
//! its leader leads. Where the Lease is edited or deleted by hand, the replicas have the same durations.
//!
//! # Caveats
//! A process that is paused after it asked for its leadership, or whose clock stands still with it (a virtual machine put
//! to sleep), acts on an old answer: what refuses it then is the store's compare-and-swap.
#![warn(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use super::config::Durations;
use super::identity::Identity;
use super::jitter::Jitter;
use super::leadership::Leadership;
use super::news::{End, Loss, News};
use super::record::{LeaseObject, Record};
use crate::saga::{Monotonic, Now};

/// A request about the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// By quorum.
    Read,
    /// Only if there is none.
    Create(Record),
    /// Only if it is still this very object at this very version.
    Replace { uid: String, version: String, record: Record },
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// To a read.
    Found(LeaseObject),
    /// To a read.
    Missing,
    /// To a write: it landed and the Lease is this now.
    Written(LeaseObject),
    /// To a write: it has not landed and never will.
    Conflict,
    /// The server did not do it, and says when to come back.
    Busy(Option<Duration>),
    /// Everything else, silence above all: a write may have landed, or may still.
    Unclear(String),
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Send it at once. Without an answer at that point it is [`Answer::Unclear`].
    Send(Request, Monotonic),
    /// Come back then.
    Wait(Monotonic),
    /// It is over.
    Ended(End),
}

/// What one candidate knows.
#[derive(Debug)]
pub(super) struct Machine {
    identity: Identity,
    durations: Durations,
    epoch: u64,
    jitter: Jitter,
    role: Role,
    /// Nothing is written before it was seen.
    seen: Option<Sighting>,
    /// A write may have landed since, or somebody else's did: look before the next write.
    doubt: bool,
    /// The last record by which a candidate tried to become the holder, unless it was refused.
    staked: Option<Record>,
    call: Option<Call>,
    /// When the next look or renewal is due.
    due: Monotonic,
    /// Nothing is sent before: the server asked for it, or something went wrong.
    gate: Monotonic,
    /// Conflicts in a row.
    conflicts: u32,
    trouble: Option<String>,
    news: Vec<News>,
}

#[derive(Clone, Debug)]
enum Role {
    Candidate,
    Leader {
        since: Monotonic,
        valid_until: Monotonic,
    },
    /// Leads no more; the Lease is to say so.
    Leaving {
        led: Option<Duration>,
        until: Monotonic,
    },
    Ended(End),
}

/// The Lease, or that there was none, and the own clock when that was first seen.
#[derive(Clone, Debug)]
struct Sighting {
    lease: Option<LeaseObject>,
    since: Monotonic,
}

#[derive(Clone, Debug)]
struct Call {
    request: Request,
    sent: Monotonic,
    answer_by: Monotonic,
}

impl Machine {
    /// A candidate that has seen nothing. `epoch`: which term of its process it stands for; `seed` spreads its waits.
    pub(super) fn new(identity: Identity, durations: Durations, epoch: u64, seed: u64) -> Self {
        Self {
            identity,
            durations,
            epoch,
            jitter: Jitter::seeded(seed),
            role: Role::Candidate,
            seen: None,
            doubt: true,
            staked: None,
            call: None,
            due: Monotonic::default(),
            gate: Monotonic::default(),
            conflicts: 0,
            trouble: None,
            news: Vec::new(),
        }
    }

    /// The same for one who has looked at the Lease already: so it stood since then, seen by the own clock.
    pub(super) fn informed(mut self, lease: Option<LeaseObject>, since: Monotonic) -> Self {
        self.doubt = false;
        self.sees(lease, since);
        self
    }

    /// The leadership, until it ends; whether it is current, it says itself.
    pub(super) fn leadership(&self) -> Option<Leadership> {
        match &self.role {
            Role::Leader { valid_until, .. } => Some(Leadership::until(self.epoch, *valid_until)),
            Role::Candidate | Role::Leaving { .. } | Role::Ended(_) => None,
        }
    }

    /// What happened since this was last asked.
    pub(super) fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// Gives up: stops leading now, and lets the Lease say so. Only after the work that the leadership guards has ended.
    pub(super) fn release(&mut self, now: Monotonic) {
        self.judge(now);
        let until = now.after(self.durations.answer_within() * 2);
        match &self.role {
            Role::Leader { since, .. } => {
                self.role = Role::Leaving { led: Some(now.since(*since)), until };
                self.gate = now;
            }
            // Its last write may have made it the holder.
            Role::Candidate if self.staked.is_some() => {
                self.role = Role::Leaving { led: None, until };
                self.doubt = true;
            }
            Role::Candidate => self.end(End::Withdrawn, None),
            Role::Leaving { .. } | Role::Ended(_) => {}
        }
    }

    /// What to do now.
    pub(super) fn next(&mut self, now: Now) -> Step {
        self.judge(now.monotonic);
        if let Role::Ended(end) = &self.role {
            return Step::Ended(end.clone());
        }
        if let Some(call) = &self.call {
            return Step::Wait(call.answer_by);
        }
        let (request, at) = self.plan(now);
        if now.monotonic < at {
            return Step::Wait(self.limit().map_or(at, |limit| at.min(limit)));
        }
        let answer_by = now.monotonic.after(self.durations.answer_within());
        let answer_by = self.limit().map_or(answer_by, |limit| answer_by.min(limit));
        if let (Role::Candidate, Request::Replace { record, .. }) = (&self.role, &request) {
            self.staked = Some(record.clone());
        }
        self.call = Some(Call { request: request.clone(), sent: now.monotonic, answer_by });
        Step::Send(request, answer_by)
    }

    /// Takes what came of the request that is under way. An answer to one that was given up goes nowhere.
    pub(super) fn answered(&mut self, answer: Answer, now: Monotonic) {
        let Some(call) = self.call.take() else { return };
        // Before anything else: a renewal that is confirmed too late is none, somebody else may have led meanwhile.
        self.judge(now);
        if !matches!(answer, Answer::Conflict) && !matches!(call.request, Request::Read) {
            self.conflicts = 0;
        }
        match answer {
            Answer::Found(lease) => self.looked(Some(lease), &call, now),
            Answer::Missing => self.looked(None, &call, now),
            Answer::Written(lease) => self.written(lease, &call, now),
            Answer::Conflict => self.conflicted(&call, now),
            Answer::Busy(wait) => self.busy(wait, &call, now),
            Answer::Unclear(what) => self.unclear(what, &call, now),
        }
    }

    /// A leader whose time is up has lost; so has the wish to leave in good order, after a while.
    fn judge(&mut self, now: Monotonic) {
        match &self.role {
            Role::Leader { since, valid_until } if now >= *valid_until => {
                let led = valid_until.since(*since);
                let what = self
                    .trouble
                    .clone()
                    .unwrap_or_else(|| "no answer came in time, or this process stood still".to_owned());
                self.end(End::Lost(Loss::NotRenewed(what)), Some(led));
            }
            Role::Leaving { led, until } if now >= *until => {
                let led = *led;
                let what = self.trouble.clone().unwrap_or_else(|| "no answer in time".to_owned());
                self.end(End::Unreleased(what), led);
            }
            Role::Leader { .. } | Role::Leaving { .. } | Role::Candidate | Role::Ended(_) => {}
        }
    }

    fn end(&mut self, end: End, led: Option<Duration>) {
        self.news.push(News::Ended { end: end.clone(), led });
        self.role = Role::Ended(end);
    }

    /// When this role ends by itself.
    fn limit(&self) -> Option<Monotonic> {
        match &self.role {
            Role::Leader { valid_until, .. } => Some(*valid_until),
            Role::Leaving { until, .. } => Some(*until),
            Role::Candidate | Role::Ended(_) => None,
        }
    }

    /// The next request, and when it is due.
    fn plan(&self, now: Now) -> (Request, Monotonic) {
        let Some(seen) = self.seen.as_ref().filter(|_| !self.doubt) else { return (Request::Read, self.gate) };
        let (identity, duration) = (&self.identity, self.durations.lease());
        match (&self.role, &seen.lease) {
            (Role::Leader { .. }, Some(lease)) => {
                (lease.replaced_by(lease.record.renewed(identity, duration, now.wall)), self.due.max(self.gate))
            }
            (Role::Leader { .. }, None) => {
                (Request::Create(Record::default().taken(identity, duration, now.wall)), self.gate)
            }
            (Role::Leaving { .. }, Some(lease)) if lease.record.names(identity) => {
                (lease.replaced_by(lease.record.given_up(now.wall)), self.gate)
            }
            (Role::Candidate, None) => (Request::Create(Record::vacant(duration, now.wall)), self.gate),
            (Role::Candidate, Some(lease)) => {
                let free = self.free_at(lease, seen.since).max(self.gate);
                let due = self.due.max(self.gate);
                // The write finds out by itself whether the Lease has changed since it was seen.
                if free <= due {
                    (lease.replaced_by(lease.record.taken(identity, duration, now.wall)), free)
                } else {
                    (Request::Read, due)
                }
            }
            (Role::Leaving { .. } | Role::Ended(_), _) => (Request::Read, self.gate),
        }
    }

    /// When a candidate may take this Lease, seen unchanged since then. That it names us is not enough: only what we wrote
    /// ourselves is ours.
    fn free_at(&self, lease: &LeaseObject, since: Monotonic) -> Monotonic {
        let record = &lease.record;
        if record.is_given_up() || self.staked.as_ref() == Some(record) {
            return since;
        }
        since.after(record.believed(self.durations.lease()))
    }

    fn looked(&mut self, lease: Option<LeaseObject>, call: &Call, now: Monotonic) {
        if let (Role::Candidate, Some(_)) = (&self.role, self.trouble.take()) {
            self.news.push(News::Recovered);
        }
        self.doubt = false;
        self.sees(lease, now);
        self.due = match self.role {
            // It reads only after something went wrong, and has to renew.
            Role::Leader { .. } => now,
            Role::Candidate | Role::Leaving { .. } | Role::Ended(_) => self.after(call, self.durations.look_period()),
        };
    }

    fn written(&mut self, lease: LeaseObject, call: &Call, now: Monotonic) {
        let (record, old_version) = match &call.request {
            Request::Read => return self.unclear("the API server answered a read as a write".to_owned(), call, now),
            Request::Create(record) => (record, None),
            Request::Replace { record, version, .. } => (record, Some(version)),
        };
        // An object that did not change was not stored again, and rivals see no renewal.
        if old_version == Some(&lease.version) || lease.record.holder() != record.holder() {
            return self.unclear("the API server took the write, but shows another record".to_owned(), call, now);
        }
        if self.trouble.take().is_some() {
            self.news.push(News::Recovered);
        }
        let before = self.seen.as_ref().and_then(|seen| seen.lease.clone());
        let ours = lease.record.names(&self.identity);
        let transitions = lease.record.transitions.unwrap_or_default();
        self.doubt = false;
        self.sees(Some(lease), now);
        let valid_until = call.sent.after(self.durations.renew_deadline());
        match self.role {
            Role::Leader { since, .. } => self.role = Role::Leader { since, valid_until },
            Role::Candidate if ours && now < valid_until => {
                self.staked = None;
                self.role = Role::Leader { since: call.sent, valid_until };
                self.news.push(News::Leads { after: self.predecessor(before.as_ref()), transitions });
            }
            Role::Candidate | Role::Leaving { .. } | Role::Ended(_) => {}
        }
        self.due = match self.role {
            Role::Leader { .. } => self.after(call, self.durations.retry_period()),
            Role::Candidate | Role::Leaving { .. } | Role::Ended(_) => self.after(call, self.durations.look_period()),
        };
    }

    /// What was there before, in words.
    fn predecessor(&self, before: Option<&LeaseObject>) -> String {
        match before.map(|lease| (lease.record.holder(), lease.record.is_given_up())) {
            Some((Some(holder), _)) if holder == self.identity.as_str() => {
                "a first write that got no answer".to_owned()
            }
            Some((Some(holder), _)) => format!("`{holder}`, which did not renew for its lease duration"),
            Some((None, true)) => "the Lease was given up".to_owned(),
            Some((None, false)) | None => "a Lease without holder".to_owned(),
        }
    }

    /// Takes note of the Lease, and of what that means for the role.
    fn sees(&mut self, lease: Option<LeaseObject>, now: Monotonic) {
        if self.seen.as_ref().is_none_or(|seen| seen.lease != lease) {
            self.tell(lease.as_ref());
            self.seen = Some(Sighting { lease: lease.clone(), since: now });
        }
        let holder = lease.as_ref().and_then(|lease| lease.record.holder());
        let ours = holder == Some(self.identity.as_str());
        match (&self.role, holder) {
            (Role::Leader { since, .. }, Some(holder)) if !ours => {
                let (end, led) = (End::Lost(Loss::Taken(holder.to_owned())), now.since(*since));
                self.end(end, Some(led));
            }
            // The last write of a leader who leaves gave the Lease up, or somebody else has it.
            (Role::Leaving { led, .. }, _) if !ours => {
                let led = *led;
                self.end(if led.is_some() { End::Released } else { End::Withdrawn }, led);
            }
            (Role::Leader { .. } | Role::Leaving { .. } | Role::Candidate | Role::Ended(_), _) => {}
        }
    }

    /// Tells a candidate's user who leads, when that changes.
    fn tell(&mut self, lease: Option<&LeaseObject>) {
        let Role::Candidate = self.role else { return };
        let before = self.seen.as_ref().and_then(|seen| seen.lease.as_ref());
        let Some(lease) = lease else { return self.news.push(News::Missing) };
        let record = &lease.record;
        match record.holder() {
            Some(holder) if before.and_then(|before| before.record.holder()) != Some(holder) => {
                if !record.names(&self.identity) {
                    let transitions = record.transitions.unwrap_or_default();
                    self.news.push(News::Follows { holder: holder.to_owned(), transitions });
                }
            }
            None if !record.is_given_up() => self.news.push(News::Vacant),
            Some(_) | None => {}
        }
    }

    /// Somebody was faster, or changed a label. The first time it is looked at once.
    fn conflicted(&mut self, call: &Call, now: Monotonic) {
        self.conflicts = self.conflicts.saturating_add(1);
        self.doubt = true;
        self.staked = None;
        self.gate = if self.conflicts > 1 { self.after(call, self.durations.retry_period()) } else { now };
    }

    /// A leader waits as long as it is asked to, but not so long that it could not try once more.
    fn busy(&mut self, wait: Option<Duration>, call: &Call, now: Monotonic) {
        let wait = wait.unwrap_or(self.durations.retry_period()).min(self.durations.lease());
        let earliest = self.after(call, self.durations.retry_period());
        let asked = now.after(wait).max(earliest);
        self.gate = match self.limit() {
            Some(limit) => asked.min(earliest.max(Monotonic(limit.since(Monotonic(self.durations.answer_within()))))),
            None => asked,
        };
        self.troubled("the API server is busy (429)".to_owned(), now);
    }

    /// No renewal, and no reason to believe that nothing happened.
    fn unclear(&mut self, what: String, call: &Call, now: Monotonic) {
        self.doubt = true;
        self.gate = self.after(call, self.durations.retry_period()).max(now);
        self.troubled(what, now);
    }

    fn troubled(&mut self, what: String, now: Monotonic) {
        match &self.role {
            Role::Leader { valid_until, .. } => {
                self.news.push(News::Trouble { what: what.clone(), left: valid_until.since(now) });
            }
            // Once is enough for one who only waits.
            Role::Candidate if self.trouble.is_none() => self.news.push(News::Blind(what.clone())),
            Role::Candidate | Role::Leaving { .. } | Role::Ended(_) => {}
        }
        self.trouble = Some(what);
    }

    /// A period after the sending of a call, and up to a fifth more.
    fn after(&mut self, call: &Call, period: Duration) -> Monotonic {
        call.sent.after(self.jitter.stretch(period))
    }
}

impl LeaseObject {
    fn replaced_by(&self, record: Record) -> Request {
        Request::Replace { uid: self.uid.clone(), version: self.version.clone(), record }
    }
}
