//! Storms: replicas of the operator that are killed, stopped, cut off and replaced while sagas run.

use std::collections::BTreeMap;

use super::suite::{self, Figure, Job, Mark};
use super::table::{Table, grouped};
use super::{Context, Done};

const SECTION: &str = "ha";
/// The test whose storms are of any size.
const STORM: &str = "in_a_storm_no_saga_is_lost_and_nothing_is_done_twice";
/// Kills of one piece.
const BATCH: u64 = 200;
/// Worlds of a storm: on two processors more of them wait for each other.
const WORLDS: u64 = 4;
const TARGETS: [&str; 4] = ["ha_storm", "ha_restart", "ha_server", "ha_start"];

const fn after(name: &'static str, text: &'static str) -> Figure {
    Figure { name, mark: Mark::After(text) }
}

/// What there has to be.
const DONE: [Figure; 4] = [
    after("kills of replicas in storms", "storm kills: "),
    after("replicas stopped and continued", "storm pauses: "),
    after("partitions", "storm partitions: "),
    after("sagas in storms", "storm sagas: "),
];
/// What there must not be, and has to be said.
const NONE: [Figure; 4] = [
    after("sagas lost", "storm sagas lost: "),
    after("sends without intent", "storm sends without intent: "),
    after("double effects", "storm double effects: "),
    after("fence inversions accepted", "storm fence inversions accepted: "),
];
const TAKEOVER: &str = "takeover after kill -9, each in ms, of ";
const HAND_OVER: &str = "graceful hand-over, each in ms, of ";
/// Told as it is: "BEGIN: so much".
const START: [&str; 3] = [
    "active runs taken up after a kill and a fresh start",
    "memory of a leader that took them up",
    "writes of an idle operator",
];
const KEPT: [&str; 5] = [TAKEOVER, HAND_OVER, START[0], START[1], START[2]];

/// Something that must be said was not.
#[derive(Debug, thiserror::Error)]
#[error("no test said anything of {0}: what did not run must not look like what passed")]
struct Unsaid(&'static str);

/// A piece for each part of the storm, and one for each other test.
pub(super) fn run(context: &Context<'_>, table: &mut Table) -> Done {
    let figures: Vec<Figure> = DONE.into_iter().chain(NONE).collect();
    let mut tests = Vec::new();
    for target in TARGETS {
        tests.extend(suite::list(target)?.into_iter().map(|test| (target, test)));
    }
    let mut jobs: Vec<Job<'_>> = storms(context.command.kills, context.command.sagas, &figures);
    jobs.extend(tests.iter().filter(|(_, test)| test != STORM).map(|(target, test)| Job {
        section: SECTION,
        name: format!("{target}-{test}"),
        target,
        test,
        variables: vec![("SAGA_PROVE", "1".to_owned())],
        figures: &figures,
        kept: &KEPT,
    }));
    let pieces = jobs.len();
    let done = suite::all_in_cluster(context, table, jobs)?;
    let told = suite::tell(table, &DONE, &done, pieces);
    for figure in NONE {
        let count = done.0.figures.get(figure.name).ok_or(Unsaid(figure.name))?;
        table.row(figure.name, grouped(*count));
        if *count > 0 {
            table.violate(format!("{count} {}", figure.name));
        }
    }
    for (what, begin) in [("takeover after kill -9", TAKEOVER), ("graceful hand-over", HAND_OVER)] {
        for (lease, millis) in by_lease(&done.0.names, begin) {
            table.row(&format!("{what}, Lease of {lease} ms"), percentiles(lease, millis));
        }
    }
    for what in START {
        let told = done.0.names.iter().find_map(|line| line.strip_prefix(what)?.strip_prefix(": "));
        table.row(what, told.ok_or(Unsaid(what))?.to_owned());
    }
    told
}

/// The storm in pieces, each from a seed of its own.
fn storms(kills: u64, sagas: u64, figures: &[Figure]) -> Vec<Job<'_>> {
    let pieces = kills.div_ceil(BATCH);
    let part = |all: u64, piece: u64| all * (piece + 1) / pieces - all * piece / pieces;
    (0..pieces)
        .map(|piece| {
            let [kills, sagas] = [kills, sagas].map(|all| part(all, piece).max(1));
            let variables = [
                ("SAGA_STORM_KILLS", kills),
                ("SAGA_STORM_SAGAS", sagas),
                ("SAGA_STORM_SEED", piece + 1),
                ("SAGA_STORM_WORLDS", WORLDS),
            ];
            Job {
                section: SECTION,
                name: format!("storm-{}-{kills}-{sagas}", piece + 1),
                target: "ha_storm",
                test: STORM,
                variables: variables.map(|(name, number)| (name, number.to_string())).to_vec(),
                figures,
                kept: &KEPT,
            }
        })
        .collect()
}

/// The times that were told, by the duration of the Lease: "BEGIN3000: 2900 3100".
fn by_lease(lines: &[String], begin: &str) -> BTreeMap<u64, Vec<u64>> {
    let mut all = BTreeMap::<u64, Vec<u64>>::new();
    for line in lines {
        let told = line.strip_prefix(begin).and_then(|rest| rest.split_once(": "));
        let Some((Ok(lease), millis)) = told.map(|(lease, millis)| (lease.parse(), millis)) else { continue };
        all.entry(lease).or_default().extend(millis.split(' ').filter_map(|millis| millis.parse::<u64>().ok()));
    }
    all
}

fn percentiles(lease: u64, mut millis: Vec<u64>) -> String {
    millis.sort_unstable();
    let at = |percent: usize| millis.get((millis.len() * percent).div_ceil(100).saturating_sub(1)).copied();
    let [half, most] = [50, 99].map(|percent| at(percent).unwrap_or_default());
    let leases = |millis: u64| {
        let hundredths = (millis * 100).checked_div(lease).unwrap_or_default();
        format!("{}.{:02}", hundredths / 100, hundredths % 100)
    };
    let [half_leases, most_leases] = [half, most].map(leases);
    format!(
        "p50 {half} ms ({half_leases} lease durations), p99 {most} ms ({most_leases}), of {}",
        grouped(millis.len() as u64)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_of_a_storm_make_the_whole() {
        let sum = |jobs: &[Job<'_>], name: &str| -> u64 {
            let all = jobs.iter().flat_map(|job| &job.variables).filter(|(variable, _)| *variable == name);
            all.map(|(_, number)| number.parse::<u64>().unwrap_or_default()).sum()
        };
        for (kills, sagas) in [(2000, 20_000), (2001, 19_999), (60, 300)] {
            let jobs = storms(kills, sagas, &[]);
            assert_eq!((sum(&jobs, "SAGA_STORM_KILLS"), sum(&jobs, "SAGA_STORM_SAGAS")), (kills, sagas));
        }
    }

    #[test]
    fn times_of_all_pieces_are_looked_at_together() {
        let lines = [format!("{TAKEOVER}3000: 2900 3100"), format!("{TAKEOVER}3000: 4500"), "other: 1".to_owned()];
        let times = by_lease(&lines, TAKEOVER);
        assert_eq!(times, BTreeMap::from([(3000, vec![2900, 3100, 4500])]));
        let told = percentiles(3000, vec![4500, 2900, 3100]);
        assert_eq!(told, "p50 3100 ms (1.03 lease durations), p99 4500 ms (1.50), of 3");
    }
}
