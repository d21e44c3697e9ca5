//! The changes of a state file, each a compare-and-swap.

use redb::ReadableTable;

use super::table::{State, Tables};

/// A change. Rows come encoded, so that the one thread that writes has little to do.
#[derive(Debug)]
pub(super) enum Change {
    /// A decision about a run.
    Persist {
        /// UID.
        run: String,
        /// That it was made from.
        version: u64,
        /// Status as JSON.
        status: Vec<u8>,
    },
    /// A run needs nothing any more.
    Release {
        /// UID.
        run: String,
        /// At which it ended.
        version: u64,
    },
    /// A new run.
    Submit {
        /// Name, not taken yet.
        name: String,
        /// UID.
        run: String,
        /// `Head` as JSON.
        head: Vec<u8>,
    },
    /// Users ask something else of a run.
    Ask {
        /// UID.
        run: String,
        /// `Head` as JSON that the change was made from.
        old: Vec<u8>,
        /// `Head` as JSON.
        new: Vec<u8>,
    },
    /// A revision of a definition, the newest from now on.
    Define {
        /// Name.
        name: String,
        /// Name of the revision.
        revision: String,
        /// Spec as canonical JSON.
        spec: Vec<u8>,
    },
}

/// Why a change was not made. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It was made from something else than what is stored.
    Conflict,
    /// There is no such run.
    Gone,
    /// The name is taken.
    Taken,
}

/// Makes a change, or refuses it without having written anything. Gives the version of the run from now on; of a
/// definition it means nothing.
pub(super) fn apply(tables: &mut Tables<'_>, change: &Change) -> Result<Verdict, redb::Error> {
    match change {
        Change::Persist { run, version, status } => persist(tables, run, *version, status),
        Change::Release { run, version } => release(tables, run, *version),
        Change::Submit { name, run, head } => submit(tables, name, run, head),
        Change::Ask { run, old, new } => ask(tables, run, old, new),
        Change::Define { name, revision, spec } => define(tables, name, revision, spec),
    }
}

/// The version from now on, or why not.
pub(super) type Verdict = Result<u64, Refusal>;

fn persist(tables: &mut Tables<'_>, run: &str, version: u64, status: &[u8]) -> Result<Verdict, redb::Error> {
    let Some(row) = state(tables, run)? else { return Ok(Err(Refusal::Gone)) };
    let state = parse(&row, run)?;
    if state.version != version {
        return Ok(Err(Refusal::Conflict));
    }
    put(tables, run, State { status, ..state })
}

fn release(tables: &mut Tables<'_>, run: &str, version: u64) -> Result<Verdict, redb::Error> {
    let Some(row) = state(tables, run)? else { return Ok(Err(Refusal::Gone)) };
    let state = parse(&row, run)?;
    if state.released {
        return Ok(Ok(state.version));
    }
    if state.version != version {
        return Ok(Err(Refusal::Conflict));
    }
    put(tables, run, State { released: true, ..state })
}

fn submit(tables: &mut Tables<'_>, name: &str, run: &str, head: &[u8]) -> Result<Verdict, redb::Error> {
    if tables.names.get(name)?.is_some() {
        return Ok(Err(Refusal::Taken));
    }
    tables.names.insert(name, run)?;
    tables.heads.insert(run, head)?;
    put(tables, run, State { version: 0, released: false, status: &[] })
}

fn ask(tables: &mut Tables<'_>, run: &str, old: &[u8], new: &[u8]) -> Result<Verdict, redb::Error> {
    let Some(row) = state(tables, run)? else { return Ok(Err(Refusal::Gone)) };
    let same = tables.heads.get(run)?.is_some_and(|head| head.value() == old);
    if !same {
        return Ok(Err(Refusal::Conflict));
    }
    tables.heads.insert(run, new)?;
    let state = parse(&row, run)?;
    put(tables, run, state)
}

fn define(tables: &mut Tables<'_>, name: &str, revision: &str, spec: &[u8]) -> Result<Verdict, redb::Error> {
    let other = tables.revisions.get(revision)?.is_some_and(|stored| stored.value() != spec);
    if other {
        return Ok(Err(Refusal::Taken));
    }
    tables.revisions.insert(revision, spec)?;
    tables.definitions.insert(name, revision)?;
    Ok(Ok(0))
}

fn state(tables: &Tables<'_>, run: &str) -> Result<Option<Vec<u8>>, redb::Error> {
    Ok(tables.states.get(run)?.map(|row| row.value().to_vec()))
}

/// A row that is none stops the whole batch: the file is damaged.
fn parse<'r>(row: &'r [u8], run: &str) -> Result<State<'r>, redb::Error> {
    State::read(row).ok_or_else(|| redb::Error::Corrupted(format!("the row of the run {run} is cut short")))
}

/// Every write of a run raises its version, so that nobody decides from what is not there any more.
fn put(tables: &mut Tables<'_>, run: &str, state: State<'_>) -> Result<Verdict, redb::Error> {
    let version = state.version + 1;
    tables.states.insert(run, State { version, ..state }.write().as_slice())?;
    Ok(Ok(version))
}
