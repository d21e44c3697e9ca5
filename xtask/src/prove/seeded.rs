//! Seeded bugs: each is put into a copy of the sources, and the tests that it names must fail there.
//!
//! # Flow
//! The named tests run on the copy as it is: they must pass. Then one bug after the other is put in, its tests run, and the
//! edit is taken back. Only the crate itself is compiled again; of it only the core, where its unit tests are enough.
//!
//! # Guarantees
//! Caught means that every test it names ran and failed. A spoilt copy that does not compile, a test that hangs and one
//! that takes the whole process down count as not caught: none of them says what is wrong.

use std::time::Instant;

use super::bench::Bench;
use super::bug::{self, Bug};
use super::piece::Piece;
use super::sources;
use super::table::Table;
use super::{Context, Done};
use crate::signals;

const SECTION: &str = "seeded";

/// Nothing can be said about any bug.
#[derive(Debug, thiserror::Error)]
enum SeededError {
    /// The tests are of no use.
    #[error("tests fail on the code as it is: {0:?}")]
    AlreadyFailing(Vec<String>),
    /// There is nothing to try.
    #[error("no seeded bug is called that")]
    None,
}

/// The section.
pub(super) fn run(context: &Context<'_>, table: &mut Table) -> Done {
    let wanted = context.command.bug.as_deref().unwrap_or("");
    let bugs: Vec<Bug> = bug::all()?.into_iter().filter(|bug| bug.name.contains(wanted)).collect();
    if bugs.is_empty() {
        return Err(SeededError::None.into());
    }
    let known = bugs.iter().map(|bug| context.shelf.find(SECTION, &bug.name, &stamp(context, bug)));
    let mut found = known.collect::<Result<Vec<_>, _>>()?;
    let missing = |found: &[Option<Piece>], core: bool| -> Vec<usize> {
        (0..bugs.len()).filter(|place| found[*place].is_none() && bugs[*place].is_of_core() == core).collect()
    };
    let (of_core, others) = (missing(&found, true), missing(&found, false));
    if !of_core.is_empty() {
        try_all(context, &Bench::core(context.sources)?, &bugs, &of_core, &mut found)?;
    }
    if !others.is_empty() && !signals::interrupted() {
        try_all(context, &Bench::whole(context.sources)?, &bugs, &others, &mut found)?;
    }
    tell(&bugs, &found, table);
    Ok(())
}

/// Tries the bugs at these places.
fn try_all(context: &Context<'_>, bench: &Bench, bugs: &[Bug], places: &[usize], found: &mut [Option<Piece>]) -> Done {
    println!("the tests of {} bugs on the code as it is", places.len());
    let bad = bench.unsound(&places.iter().map(|place| &bugs[*place]).collect::<Vec<_>>())?;
    if !bad.is_empty() {
        return Err(SeededError::AlreadyFailing(bad).into());
    }
    for (number, place) in places.iter().enumerate() {
        if signals::interrupted() {
            break;
        }
        found[*place] = try_one(context, bench, &bugs[*place], &format!("{} of {}", number + 1, places.len()))?;
    }
    Ok(())
}

/// What was found about one bug; nothing, if somebody wants this to end.
fn try_one(
    context: &Context<'_>,
    bench: &Bench,
    bug: &Bug,
    number: &str,
) -> Result<Option<Piece>, Box<dyn std::error::Error>> {
    let begun = Instant::now();
    let verdict = bench.spoilt(bug)?;
    if signals::interrupted() {
        return Ok(None);
    }
    let missed = verdict.missed(bug);
    let mut piece = Piece { sources: stamp(context, bug), ..Piece::default() };
    if missed.is_empty() {
        println!("{number}: caught {} ({:.0} s)", bug.name, begun.elapsed().as_secs_f32());
        piece.figures.insert("caught".to_owned(), 1);
        context.shelf.keep(SECTION, &bug.name, &piece)?;
    } else {
        println!("{number}: MISSED {}: {}", bug.name, missed.join("; "));
        piece.names = missed;
    }
    Ok(Some(piece))
}

fn stamp(context: &Context<'_>, bug: &Bug) -> String {
    let sources = if bug.is_of_core() { &context.sources.core } else { &context.sources.digest };
    format!("{sources} {}", sources::digest(&bug.identity()))
}

fn tell(bugs: &[Bug], found: &[Option<Piece>], table: &mut Table) {
    let mut caught = 0;
    println!("\nwho catches what:");
    for (bug, piece) in bugs.iter().zip(found) {
        let who = match piece {
            None => "not tried".to_owned(),
            Some(piece) if piece.figure("caught") == 1 => {
                caught += 1;
                let names =
                    bug.caught_by.iter().flat_map(|(target, tests)| tests.iter().map(move |test| (target, test)));
                names.map(|(target, test)| format!("{target} {test}")).collect::<Vec<_>>().join(", ")
            }
            Some(piece) => {
                table.fail(format!("seeded bug {}: {}", bug.name, piece.names.join("; ")));
                "NOBODY".to_owned()
            }
        };
        println!("  {}: {who}\n      breaks: {}", bug.name, bug.breaks);
    }
    table.row("seeded bugs caught", format!("{caught} of {}", bugs.len()));
}
