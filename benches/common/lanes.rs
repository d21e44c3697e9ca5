//! A closed loop: in each lane a saga begins when the one before it has ended.

use std::time::{Duration, Instant};

use saga_operator::saga::End;

/// Where sagas run.
pub(crate) trait Bed {
    /// Puts a run in, in the background. A run that cannot be put in is an error of [`Self::ended`].
    fn begin(&self, definition: &str, name: String);

    /// Waits for the next run that ended.
    async fn ended(&mut self) -> Result<Ended, String>;
}

/// A run that ended.
pub(crate) struct Ended {
    pub(crate) name: String,
    /// When this process heard of it.
    pub(crate) at: Instant,
    /// Whether it ended so.
    pub(crate) end: Option<End>,
    /// Its status as JSON; zero when unknown.
    pub(crate) status: usize,
}

/// What is done.
#[derive(Clone, Copy)]
pub(crate) struct Cell<'a> {
    pub(crate) definition: &'a str,
    /// Names of runs begin so, and no others.
    pub(crate) prefix: &'a str,
    pub(crate) expected: End,
    pub(crate) lanes: usize,
    pub(crate) count: usize,
}

/// What was seen.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) elapsed: Duration,
    /// From before the run was put in until its end was heard of; sorted.
    pub(crate) latencies: Vec<Duration>,
    /// Bytes of the last status.
    pub(crate) status: usize,
    /// Runs of another prefix that ended meanwhile.
    pub(crate) others: usize,
}

impl Seen {
    pub(crate) fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }
}

/// Runs the sagas of a cell.
pub(crate) async fn closed(bed: &mut impl Bed, cell: Cell<'_>) -> Result<Seen, String> {
    let mut seen = Seen { latencies: Vec::with_capacity(cell.count), ..Seen::default() };
    let mut begun: Vec<Instant> = Vec::with_capacity(cell.count);
    let start = Instant::now();
    while seen.latencies.len() < cell.count {
        while begun.len() < cell.count && begun.len() - seen.latencies.len() < cell.lanes {
            let name = format!("{}{}", cell.prefix, begun.len());
            begun.push(Instant::now());
            bed.begin(cell.definition, name);
        }
        let ended = bed.ended().await?;
        let Some(number) = ended.name.strip_prefix(cell.prefix) else {
            seen.others += 1;
            continue;
        };
        if ended.end != Some(cell.expected) {
            return Err(format!("the run {} ended {:?}", ended.name, ended.end));
        }
        let index: usize = number.parse().map_err(super::text)?;
        let begun = begun.get(index).ok_or_else(|| format!("the run {} is nobody's", ended.name))?;
        seen.latencies.push(ended.at.saturating_duration_since(*begun));
        seen.status = ended.status;
    }
    seen.elapsed = start.elapsed();
    seen.latencies.sort();
    Ok(seen)
}
