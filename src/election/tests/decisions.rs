//! One candidate, asked step by step.

use std::time::Duration;

use jiff::Timestamp;

use crate::election::config::Durations;
use crate::election::identity::Identity;
use crate::election::machine::{Answer, Machine, Request, Step};
use crate::election::news::{End, Loss};
use crate::election::record::{LeaseObject, Record};
use crate::saga::{Monotonic, Now};

fn at(millis: u64) -> Now {
    Now::new(Timestamp::UNIX_EPOCH, Monotonic(Duration::from_millis(millis)))
}

fn machine() -> Machine {
    Machine::new(identity(), Durations::default(), 1, 7)
}

fn identity() -> Identity {
    Identity::fresh("me", 7 << 64)
}

fn lease(version: u64, record: Record) -> LeaseObject {
    LeaseObject { uid: "u".to_owned(), version: version.to_string(), record }
}

fn held_by(holder: &str, seconds: i32) -> Record {
    Record { holder: Some(holder.to_owned()), duration_seconds: Some(seconds), ..Record::default() }
}

fn given_up() -> Record {
    held_by("", 1)
}

/// What it sends now.
#[track_caller]
fn sends(machine: &mut Machine, millis: u64) -> Request {
    match machine.next(at(millis)) {
        Step::Send(request, _) => request,
        step => panic!("{step:?} at {millis} ms"),
    }
}

/// Until when it waits, in milliseconds.
#[track_caller]
fn waits(machine: &mut Machine, millis: u64) -> u64 {
    match machine.next(at(millis)) {
        Step::Wait(until) => u64::try_from(until.0.as_millis()).unwrap(),
        step => panic!("{step:?} at {millis} ms"),
    }
}

fn answer(machine: &mut Machine, answer: Answer, millis: u64) {
    machine.answered(answer, at(millis).monotonic);
}

fn leads_until(machine: &Machine) -> Option<u64> {
    let end = machine.leadership()?.valid_until()?;
    Some(u64::try_from(end.0.as_millis()).unwrap())
}

/// Answers a write as the API server does.
#[track_caller]
fn lands(machine: &mut Machine, request: Request, version: u64, millis: u64) {
    let (Request::Create(record) | Request::Replace { record, .. }) = request else { panic!("{request:?}") };
    answer(machine, Answer::Written(lease(version, record)), millis);
}

/// One that leads since the write it sent at 10 ms, heard of at 20 ms.
fn leader() -> Machine {
    let mut machine = machine();
    assert_eq!(sends(&mut machine, 0), Request::Read);
    answer(&mut machine, Answer::Found(lease(1, given_up())), 5);
    let take = sends(&mut machine, 10);
    lands(&mut machine, take, 2, 20);
    machine
}

#[test]
fn a_leadership_lasts_from_the_sending_of_its_write() {
    assert_eq!(leads_until(&leader()), Some(10_010));
}

#[test]
fn a_lease_given_up_is_taken_at_once_by_a_write_that_names_its_version() {
    let mut machine = machine();
    sends(&mut machine, 0);
    answer(&mut machine, Answer::Found(lease(41, given_up())), 5);
    let Request::Replace { uid, version, record } = sends(&mut machine, 5) else { panic!() };
    assert_eq!((uid.as_str(), version.as_str()), ("u", "41"));
    assert_eq!(record.holder(), Some(identity().as_str()));
    assert_eq!((record.duration_seconds, record.transitions), (Some(15), Some(1)));
}

#[test]
fn a_lease_of_another_is_looked_at_again_and_taken_when_it_stood_still_for_its_duration() {
    for (stated, free) in [(15, 15_005), (3, 15_005), (60, 60_005), (-1, 15_005), (i32::MAX, 600_005)] {
        let mut machine = machine();
        let held = Answer::Found(lease(1, held_by("other", stated)));
        let mut now = 0;
        let taken = loop {
            match machine.next(at(now)) {
                Step::Wait(until) => now = u64::try_from(until.0.as_millis()).unwrap(),
                Step::Send(Request::Read, _) => {
                    now += 5;
                    answer(&mut machine, held.clone(), now);
                }
                Step::Send(..) => break now,
                step @ Step::Ended(_) => panic!("{step:?}"),
            }
        };
        assert_eq!(taken, free, "states {stated} s");
    }
}

#[test]
fn a_missing_lease_is_created_vacant_and_waited_for() {
    let mut machine = machine();
    sends(&mut machine, 0);
    answer(&mut machine, Answer::Missing, 5);
    let create = sends(&mut machine, 5);
    let Request::Create(record) = &create else { panic!("{create:?}") };
    assert!(record.holder().is_none() && !record.is_given_up());
    lands(&mut machine, create, 1, 10);
    assert_eq!(machine.leadership(), None);
    assert!(waits(&mut machine, 10) <= 2_500);
}

#[test]
fn an_unclear_write_is_no_leadership_and_is_read_before_the_next() {
    let mut machine = machine();
    sends(&mut machine, 0);
    answer(&mut machine, Answer::Found(lease(1, given_up())), 5);
    let Request::Replace { record, .. } = sends(&mut machine, 10) else { panic!() };
    answer(&mut machine, Answer::Unclear("504".to_owned()), 20);
    assert_eq!(machine.leadership(), None);
    let again = waits(&mut machine, 20);
    assert_eq!(sends(&mut machine, again), Request::Read);
    // It had landed: it is ours, and taken again to know since when.
    answer(&mut machine, Answer::Found(lease(2, record)), again + 5);
    assert_eq!(machine.leadership(), None);
    let take = sends(&mut machine, again + 5);
    lands(&mut machine, take, 3, again + 10);
    assert_eq!(leads_until(&machine), Some(again + 5 + 10_000));
}

#[test]
fn a_lease_that_names_this_process_without_its_doing_is_waited_for() {
    let mut machine = machine();
    sends(&mut machine, 0);
    answer(&mut machine, Answer::Found(lease(1, held_by(identity().as_str(), 15))), 5);
    assert!(waits(&mut machine, 5) > 5);
}

#[test]
fn a_write_that_changed_nothing_is_no_renewal() {
    let mut machine = leader();
    let due = waits(&mut machine, 20);
    let Request::Replace { version, record, .. } = sends(&mut machine, due) else { panic!() };
    answer(&mut machine, Answer::Written(LeaseObject { uid: "u".to_owned(), version, record }), due + 5);
    assert_eq!(leads_until(&machine), Some(10_010));
}

#[test]
fn a_leader_that_cannot_renew_has_lost_at_its_deadline_and_for_good() {
    let mut machine = leader();
    let mut now = 20;
    let end = loop {
        match machine.next(at(now)) {
            Step::Wait(until) => now = u64::try_from(until.0.as_millis()).unwrap(),
            Step::Send(_, answer_by) => {
                now = u64::try_from(answer_by.0.as_millis()).unwrap();
                answer(&mut machine, Answer::Unclear("no answer".to_owned()), now);
            }
            Step::Ended(end) => break end,
        }
    };
    assert_eq!((now, end), (10_010, End::Lost(Loss::NotRenewed("no answer".to_owned()))));
    assert_eq!(machine.leadership(), None);
}

#[test]
fn a_renewal_confirmed_after_the_deadline_comes_too_late() {
    let mut machine = leader();
    let due = waits(&mut machine, 20);
    let renewal = sends(&mut machine, due);
    lands(&mut machine, renewal, 3, 10_010);
    assert!(matches!(machine.next(at(10_010)), Step::Ended(End::Lost(Loss::NotRenewed(_)))));
}

#[test]
fn a_leader_whose_lease_names_somebody_else_has_lost() {
    let mut machine = leader();
    let due = waits(&mut machine, 20);
    sends(&mut machine, due);
    answer(&mut machine, Answer::Conflict, due + 5);
    assert_eq!(sends(&mut machine, due + 5), Request::Read);
    answer(&mut machine, Answer::Found(lease(3, held_by("other", 15))), due + 10);
    assert_eq!(machine.next(at(due + 10)), Step::Ended(End::Lost(Loss::Taken("other".to_owned()))));
    assert_eq!(machine.leadership(), None);
}

#[test]
fn a_leader_whose_lease_was_deleted_or_emptied_takes_it_again() {
    for found in [Answer::Missing, Answer::Found(lease(9, Record::default()))] {
        let mut machine = leader();
        let due = waits(&mut machine, 20);
        sends(&mut machine, due);
        answer(&mut machine, Answer::Conflict, due + 5);
        sends(&mut machine, due + 5);
        answer(&mut machine, found, due + 10);
        let again = sends(&mut machine, due + 10);
        lands(&mut machine, again, 10, due + 15);
        assert_eq!(leads_until(&machine), Some(due + 10 + 10_000));
    }
}

#[test]
fn conflicts_in_a_row_are_not_answered_in_a_storm() {
    let mut machine = leader();
    let mut now = waits(&mut machine, 20);
    let mut sent = 0;
    while now < 10_010 {
        match machine.next(at(now)) {
            Step::Wait(until) => now = u64::try_from(until.0.as_millis()).unwrap(),
            Step::Send(Request::Read, _) => {
                sent += 1;
                let ours = held_by(identity().as_str(), 15);
                answer(&mut machine, Answer::Found(lease(100 + sent, ours)), now);
            }
            Step::Send(..) => {
                sent += 1;
                answer(&mut machine, Answer::Conflict, now);
            }
            Step::Ended(_) => break,
        }
    }
    assert!(sent <= 12, "{sent} requests within a deadline");
}

#[test]
fn a_busy_server_is_left_alone_as_long_as_it_asks_but_asked_once_more_before_the_end() {
    let mut machine = leader();
    let due = waits(&mut machine, 20);
    sends(&mut machine, due);
    answer(&mut machine, Answer::Busy(Some(Duration::from_secs(3))), due + 5);
    assert_eq!(waits(&mut machine, due + 5), due + 5 + 3_000);
    let again = due + 5 + 3_000;
    sends(&mut machine, again);
    answer(&mut machine, Answer::Busy(Some(Duration::from_secs(3600))), again + 5);
    let last = waits(&mut machine, again + 5);
    assert!(last >= again + 2_000 && last < 10_010, "{last}");
    let renewal = sends(&mut machine, last);
    assert!(matches!(renewal, Request::Replace { .. }), "what was refused for sure needs no look");
}

#[test]
fn giving_up_ends_the_leadership_first_and_then_says_so() {
    let mut machine = leader();
    machine.release(at(30).monotonic);
    assert_eq!(machine.leadership(), None);
    let Request::Replace { version, record, .. } = sends(&mut machine, 30) else { panic!() };
    assert!(record.is_given_up());
    assert_eq!(version, "2");
    answer(&mut machine, Answer::Written(lease(3, record)), 40);
    assert_eq!(machine.next(at(40)), Step::Ended(End::Released));
}

#[test]
fn giving_up_is_tried_for_a_while_and_then_left_to_time() {
    let mut machine = leader();
    machine.release(at(30).monotonic);
    let mut now = 30;
    let end = loop {
        match machine.next(at(now)) {
            Step::Wait(until) => now = u64::try_from(until.0.as_millis()).unwrap(),
            Step::Send(..) => answer(&mut machine, Answer::Unclear("500".to_owned()), now),
            Step::Ended(end) => break end,
        }
    };
    assert_eq!((now, end), (8_030, End::Unreleased("500".to_owned())));
}

#[test]
fn one_who_leaves_never_writes_over_the_lease_of_another() {
    let mut machine = machine();
    sends(&mut machine, 0);
    answer(&mut machine, Answer::Found(lease(1, given_up())), 5);
    sends(&mut machine, 10);
    answer(&mut machine, Answer::Unclear("504".to_owned()), 20);
    machine.release(at(20).monotonic);
    let again = waits(&mut machine, 20);
    assert_eq!(sends(&mut machine, again), Request::Read);
    answer(&mut machine, Answer::Found(lease(3, held_by("other", 15))), again + 5);
    assert_eq!(machine.next(at(again + 5)), Step::Ended(End::Withdrawn));
}

#[test]
fn what_happened_is_told_once_each() {
    let mut machine = machine();
    sends(&mut machine, 0);
    answer(&mut machine, Answer::Unclear("connection refused".to_owned()), 5);
    let again = waits(&mut machine, 5);
    sends(&mut machine, again);
    answer(&mut machine, Answer::Unclear("connection refused".to_owned()), again + 5);
    let third = waits(&mut machine, again + 5);
    sends(&mut machine, third);
    answer(&mut machine, Answer::Found(lease(1, Record { transitions: Some(4), ..held_by("a-1", 15) })), third + 5);
    let told: Vec<String> = machine.take_news().iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "failed to look at the Lease: connection refused; this process cannot lead meanwhile",
            "the API server answers about the Lease again",
            "`a-1` leads (change of leader no. 4); this process follows",
        ]
    );
    assert!(machine.take_news().is_empty());
}
