//! The heavy proofs, and one table of what they saw.
//!
//! # Flow
//! Each section is done in pieces of less than an hour. What a piece found is kept in `target/prove` together with a digest
//! of the sources it was found on, so that a run that was interrupted goes on where it stopped, and nothing old is counted.
//!
//! # Guarantees
//! The exit code is zero only if every piece that was asked for is there and good. A section that says no figure has
//! failed: what did not run must not look like what passed.

mod bench;
mod bug;
mod ha;
mod mutants;
mod piece;
mod seeded;
mod sources;
mod suite;
mod table;
mod tree;

use std::process::ExitCode;
use std::time::Instant;

use clap::ValueEnum;

use self::piece::Shelf;
use self::sources::Sources;
use self::table::Table;
use crate::signals;

#[derive(Debug, clap::Args)]
pub(crate) struct Command {
    /// Only these proofs
    #[arg(long, value_enum, value_name = "NAME")]
    only: Vec<Section>,
    /// States of the model that are visited
    #[arg(long, value_name = "N", default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    states: u64,
    /// Lives of the simulation
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first of them
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    first_seed: u64,
    /// Kills of the operator in storms
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..))]
    kills: u64,
    /// Sagas that run in them
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    sagas: u64,
    /// Seeded bugs whose names contain this
    #[arg(long, value_name = "TEXT")]
    bug: Option<String>,
    /// Only this part of the mutants, as in 3/20
    #[arg(long, value_name = "K/N", value_parser = mutants::shard)]
    shard: Option<mutants::Shard>,
    /// Forget what earlier runs found
    #[arg(long)]
    fresh: bool,
    /// Crash points and storms in the cluster of KUBECONFIG (also with SAGA_TEST_CLUSTER=kubeconfig)
    #[arg(long)]
    kubeconfig: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Section {
    /// Every state that small sagas can get into
    Model,
    /// Whole lives of the engine, each from a seed
    Simulation,
    /// Small wrong edits of ours, each of which a test must find
    Seeded,
    /// Small wrong edits that cargo-mutants makes in the core
    Mutants,
    /// `kill -9` at every point of a run, on a real API server
    Crash,
    /// Replicas that are killed, stopped and cut off while sagas run, on a real API server
    Ha,
}

/// What a section needs to know.
struct Context<'a> {
    command: &'a Command,
    sources: &'a Sources,
    shelf: &'a Shelf,
}

type Done = Result<(), Box<dyn std::error::Error>>;

/// The command.
pub(crate) fn run(command: &Command) -> crate::Outcome {
    let sources = Sources::read()?;
    let shelf = Shelf::open(command.fresh)?;
    let context = Context { command, sources: &sources, shelf: &shelf };
    let mut table = Table::default();
    for section in Section::value_variants() {
        if signals::interrupted() || !(command.only.is_empty() || command.only.contains(section)) {
            continue;
        }
        let begun = Instant::now();
        println!("\n==== {}", section.name());
        let done = match section {
            Section::Model => suite::model(&context, &mut table),
            Section::Simulation => suite::simulation(&context, &mut table),
            Section::Seeded => seeded::run(&context, &mut table),
            Section::Mutants => mutants::run(&context, &mut table),
            Section::Crash => suite::crash(&context, &mut table),
            Section::Ha => ha::run(&context, &mut table),
        };
        if let Err(error) = done {
            println!("error: {}", crate::chain(error.as_ref()));
            table.fail(format!("{}: {error}", section.name()));
        }
        println!("{} took {:.0} s", section.name(), begun.elapsed().as_secs_f32());
    }
    if signals::interrupted() {
        table.fail("interrupted; the next run goes on from here".to_owned());
    }
    table.print();
    Ok(if table.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Section {
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}
