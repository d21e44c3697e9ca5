//! Never two leaders, whatever goes wrong; soon one, once nothing does. And the same search finds three flawed electors.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};

use super::physics::{MILLI, Micros, SECOND, Skew};
use super::world::{Candidate, Edit, Fault, Flaw, NAME, Tally, World};
use crate::election::config::{Durations, MAX_LEASE};

/// While things go wrong.
pub(super) const STORM: Micros = 120 * SECOND;
/// Requests and answers on a calm network, and waking up.
pub(super) const SLACK: Micros = 100 * MILLI;

#[derive(Clone, Debug)]
struct Life {
    candidates: Vec<Candidate>,
    faults: Vec<(Micros, Fault)>,
    tape: Vec<u16>,
}

pub(super) fn durations() -> impl Strategy<Value = Durations> {
    prop::sample::select(vec![("15s", "10s", "2s"), ("3s", "2s", "500ms"), ("5s", "3s", "800ms"), ("10s", "9s", "1s")])
        .prop_map(|(lease, renew, retry)| Durations::parse(lease, renew, retry).unwrap())
}

/// How much faster one clock may be than another.
fn most_pace(durations: &[Durations]) -> u64 {
    let ratio = |durations: &Durations| durations.lease().as_millis() * 1000 / durations.renew_deadline().as_millis();
    durations.iter().map(ratio).min().map_or(1000, |ratio| u64::try_from(ratio).unwrap())
}

pub(super) fn candidates(durations: Vec<Durations>) -> impl Strategy<Value = Vec<Candidate>> {
    let most = most_pace(&durations);
    let pace = prop_oneof![2 => Just(1000), 2 => Just(most), 1 => 1000..=most];
    let wall = prop_oneof![Just(0), Just(-3600), Just(3600), -100..=100_i64];
    let skews = prop::collection::vec((10_000..20_000_u64, pace, wall), durations.len());
    skews.prop_map(move |skews| {
        let candidate = |(durations, (zero, pace, wall_seconds)): (&Durations, _)| Candidate {
            durations: *durations,
            skew: Skew { zero: zero * SECOND, pace, wall_seconds },
        };
        durations.iter().zip(skews).map(candidate).collect()
    })
}

/// What may go wrong without anybody editing the Lease.
pub(super) fn trouble(count: usize) -> impl Strategy<Value = Fault> {
    let micros = || (1..40_000_u64).prop_map(|millis| millis * MILLI);
    prop_oneof![
        3 => (0..count, micros()).prop_map(|(who, micros)| Fault::Pause { who, micros }),
        3 => (0..count, any::<bool>(), any::<bool>(), micros())
            .prop_map(|(who, requests, answers, micros)| Fault::Cut { who, requests, answers, micros }),
        2 => (0..count, 1..4000_u64, 1..6000_u64, micros()).prop_map(|(who, late, slow, gone)| {
            Fault::Fade { who, late: late * MILLI, slow: slow * MILLI, gone }
        }),
        2 => (0..count).prop_map(|who| Fault::Restart { who }),
        1 => (0..count).prop_map(|who| Fault::Release { who }),
        1 => (0..count, -100_000..100_000_i64).prop_map(|(who, seconds)| Fault::Wall { who, seconds }),
    ]
}

pub(super) fn by_hand(count: usize) -> impl Strategy<Value = Fault> {
    // Never one second: with the name removed by another edit that would be a Lease given up, which nobody may forge.
    let seconds = prop_oneof![Just(i32::MIN), Just(-1), Just(0), Just(i32::MAX), 2..700_i32];
    prop_oneof![
        3 => Just(Fault::Delete),
        1 => Just(Fault::Edit(Edit::Nothing)),
        1 => Just(Fault::Edit(Edit::Nobody)),
        1 => seconds.prop_map(|seconds| Fault::Edit(Edit::Somebody { seconds })),
        1 => (0..count).prop_map(|who| Fault::Edit(Edit::Candidate { who })),
        1 => Just(Fault::Edit(Edit::Transitions)),
        1 => Just(Fault::Edit(Edit::Times)),
        1 => Just(Fault::Edit(Edit::Touch)),
    ]
}

pub(super) fn at(fault: impl Strategy<Value = Fault>) -> impl Strategy<Value = (Micros, Fault)> {
    ((0..STORM / MILLI).prop_map(|millis| millis * MILLI), fault)
}

pub(super) fn tape() -> impl Strategy<Value = Vec<u16>> {
    prop::collection::vec(prop_oneof![2 => Just(0_u16), 1 => any::<u16>()], 0..250)
}

/// Everybody has the same durations, and the Lease is edited and deleted by hand.
fn edited() -> impl Strategy<Value = Life> {
    (durations(), 2..=4_usize).prop_flat_map(|(durations, count)| {
        let fault = prop_oneof![3 => trouble(count), 1 => by_hand(count)];
        let faults = prop::collection::vec(at(fault), 0..25);
        (candidates(vec![durations; count]), faults, tape()).prop_map(|(candidates, faults, tape)| Life {
            candidates,
            faults,
            tape,
        })
    })
}

/// Everybody has durations of their own, as while a change of the flags is rolled out.
fn mixed() -> impl Strategy<Value = Life> {
    prop::collection::vec(durations(), 2..=4).prop_flat_map(|durations| {
        let faults = prop::collection::vec(at(trouble(durations.len())), 0..25);
        (candidates(durations), faults, tape()).prop_map(|(candidates, faults, tape)| Life { candidates, faults, tape })
    })
}

fn world(life: &Life, flaw: Flaw) -> World {
    let mut world = World::new(life.candidates.clone(), 1, flaw, life.tape.clone(), STORM);
    for (at, fault) in &life.faults {
        world.fault(*at, fault.clone());
    }
    world
}

fn longest(life: &Life, of: fn(&Durations) -> Duration) -> Micros {
    let longest = life.candidates.iter().map(|candidate| of(&candidate.durations)).max().unwrap();
    u64::try_from(longest.as_micros()).unwrap()
}

fn live(life: &Life, flaw: Flaw) -> Result<Tally, String> {
    let mut world = world(life, flaw);
    world.run_until(world.settled())?;
    let stated = world.server.get(NAME).map_or(Duration::ZERO, |lease| lease.record.believed(Duration::ZERO));
    let stated = u64::try_from(stated.min(MAX_LEASE).as_micros()).unwrap();
    let lease = longest(life, Durations::lease).max(stated);
    let latest = world.time + lease + longest(life, Durations::retry_period) * 12 / 10 + SLACK;
    while world.leaders().is_empty() {
        let next = world.time + 10 * MILLI;
        if next > latest {
            return Err(format!("nobody leads at {next} \u{b5}s: {:?}", world.server.get(NAME)));
        }
        world.run_until(next)?;
    }
    // And goes on leading.
    let leader = world.leaders()[0];
    for _ in 0..200 {
        world.run_until(world.time + 100 * MILLI)?;
        if world.leaders() != [leader] {
            return Err(format!("{leader} led, and at {} \u{b5}s {:?} do", world.time, world.leaders()));
        }
    }
    Ok(world.tally)
}

/// With `SAGA_PROVE=1` many more.
pub(super) fn config(cases: u32) -> Config {
    let cases = if std::env::var_os("SAGA_PROVE").is_some() { cases * 40 } else { cases };
    Config {
        cases,
        rng_seed: RngSeed::Fixed(11),
        failure_persistence: None,
        max_shrink_iters: 300,
        ..Config::default()
    }
}

proptest! {
    #![proptest_config(config(250))]

    #[test]
    fn never_two_lead_and_soon_one_does_though_the_lease_is_edited_by_hand(life in edited()) {
        live(&life, Flaw::Sound).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn never_two_lead_and_soon_one_does_though_everybody_has_other_durations(life in mixed()) {
        live(&life, Flaw::Sound).map_err(TestCaseError::fail)?;
    }
}

/// Promises that hold because nothing happens are no promises.
#[test]
fn the_worlds_are_eventful() {
    let mut runner = TestRunner::new(config(100));
    let total = std::cell::RefCell::new((Tally::default(), 0, 0));
    runner
        .run(&edited(), |life| {
            let mut world = world(&life, Flaw::Sound);
            world.run_until(world.settled()).map_err(TestCaseError::fail)?;
            let mut total = total.borrow_mut();
            total.0.terms += world.tally.terms;
            total.0.taken += world.tally.taken;
            total.0.not_renewed += world.tally.not_renewed;
            total.0.released += world.tally.released;
            total.0.unclear += world.tally.unclear;
            total.1 += world.server.writes;
            total.2 += world.server.conflicts;
            Ok(())
        })
        .unwrap();
    let (tally, writes, conflicts) = total.into_inner();
    println!("{tally:?}, {writes} writes, {conflicts} conflicts");
    for (what, count, least) in [
        ("terms", tally.terms, 200),
        ("taken", tally.taken, 10),
        ("not renewed", tally.not_renewed, 50),
        ("released", tally.released, 10),
        ("unclear", tally.unclear, 1000),
        ("conflicts", conflicts, 200),
    ] {
        assert!(count >= least, "{what}: {count}");
    }
}

fn is_caught(flaw: Flaw) {
    let mut runner = TestRunner::new(config(5000));
    let outcome = runner.run(&edited(), |life| live(&life, flaw).map(drop).map_err(TestCaseError::fail));
    let Err(TestError::Fail(reason, life)) = outcome else { panic!("{flaw:?} was not found: {outcome:?}") };
    println!("{flaw:?}: {reason}\n{life:?}");
    assert!(reason.message().contains("lead; the Lease"), "two lead: {reason}");
    // The same life is harmless to a sound elector.
    live(&life, Flaw::Sound).unwrap();
}

#[test]
fn an_elector_that_judges_by_remote_time_is_caught() {
    is_caught(Flaw::JudgesByRemoteTime);
}

#[test]
fn an_elector_that_counts_from_the_answer_is_caught() {
    is_caught(Flaw::CountsFromTheAnswer);
}

#[test]
fn an_elector_that_keeps_leading_after_an_unclear_renewal_is_caught() {
    is_caught(Flaw::KeepsLeading);
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn a_leader_that_gives_up_is_followed_within_about_a_retry_period(
        durations in durations(),
        count in 2..=4_usize,
        moment in 0..60_000_u64,
    ) {
        let skew = |who: usize| Skew { zero: 1000 * SECOND * (who as u64 + 1), pace: 1000, wall_seconds: 0 };
        let candidates = (0..count).map(|who| Candidate { durations, skew: skew(who) }).collect();
        let mut world = World::new(candidates, 1, Flaw::Sound, Vec::new(), 0);
        let run = |world: &mut World, until| world.run_until(until).map_err(TestCaseError::fail);
        run(&mut world, 40 * SECOND + moment * MILLI)?;
        let holder = |world: &World| world.server.get(NAME).and_then(|lease| lease.record.holder.clone());
        let before = holder(&world);
        world.fault(world.time, Fault::Release { who: world.leaders()[0] });
        // Its work takes a while to end.
        while !world.leaders().is_empty() {
            let now = world.time + MILLI;
            run(&mut world, now)?;
        }
        let begin = world.time;
        let retry = u64::try_from(durations.retry_period().as_micros()).unwrap();
        while world.leaders().is_empty() {
            let now = world.time + MILLI;
            run(&mut world, now)?;
            prop_assert!(world.time - begin <= retry, "after {} ms nobody leads", (world.time - begin) / MILLI);
        }
        prop_assert_ne!(holder(&world), before);
    }

    #[test]
    fn one_leader_alone_writes_once_in_a_retry_period(durations in durations()) {
        let skew = Skew { zero: SECOND, pace: 1000, wall_seconds: 0 };
        let mut world = World::new(vec![Candidate { durations, skew }; 3], 1, Flaw::Sound, Vec::new(), 0);
        world.run_until(60 * SECOND).map_err(TestCaseError::fail)?;
        let before = world.server.writes;
        world.run_until(660 * SECOND).map_err(TestCaseError::fail)?;
        let periods = 600_000 / u64::try_from(durations.retry_period().as_millis()).unwrap();
        let writes = world.server.writes - before;
        prop_assert!(writes <= periods + 1 && writes >= periods * 10 / 13, "{writes} in {periods} periods");
    }
}
