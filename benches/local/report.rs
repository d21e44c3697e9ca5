//! What is printed of a measurement.

use std::time::Duration;

/// One row.
pub(crate) struct Report {
    elapsed: Duration,
    latencies: Vec<Duration>,
    first_undo: Vec<Duration>,
    usage: Usage,
    status: usize,
}

/// Processor time and memory of this process.
#[derive(Clone, Copy, Default)]
pub(crate) struct Usage {
    cpu: f64,
    rss_mib: f64,
}

impl Usage {
    /// From `/proc`.
    pub(crate) fn now() -> Self {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // After the name, which may hold anything, in parentheses: state is field 3; utime and stime are 14 and 15.
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: f64 = rest.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: f64 = rss.and_then(|rss| rss.split_whitespace().next()?.parse().ok()).unwrap_or_default();
        Self { cpu: ticks / 100.0, rss_mib: kib / 1024.0 }
    }

    /// Processor time since then, memory now.
    pub(crate) fn since(self) -> Self {
        let now = Self::now();
        Self { cpu: now.cpu - self.cpu, rss_mib: now.rss_mib }
    }
}

impl Report {
    pub(crate) fn new(
        elapsed: Duration,
        mut latencies: Vec<Duration>,
        mut first_undo: Vec<Duration>,
        usage: Usage,
        status: usize,
    ) -> Self {
        latencies.sort();
        first_undo.sort();
        Self { elapsed, latencies, first_undo, usage, status }
    }

    pub(crate) fn head() -> String {
        let names = [
            "saga",
            "lanes",
            "sagas/s",
            "p50 ms",
            "p99 ms",
            "undo p50 ms",
            "undo p99 ms",
            "cpu-s/1000",
            "RSS MiB",
            "status B",
        ];
        names.map(|name| format!("{name:>11}")).concat()
    }

    pub(crate) fn row(&self, shape: &str, lanes: usize) -> String {
        let count = self.latencies.len() as f64;
        let undo =
            |part| if self.first_undo.is_empty() { "-".to_owned() } else { milliseconds(&self.first_undo, part) };
        let cells = [
            shape.to_owned(),
            lanes.to_string(),
            format!("{:.0}", count / self.elapsed.as_secs_f64()),
            milliseconds(&self.latencies, 0.5),
            milliseconds(&self.latencies, 0.99),
            undo(0.5),
            undo(0.99),
            format!("{:.2}", self.usage.cpu / count * 1000.0),
            format!("{:.0}", self.usage.rss_mib),
            self.status.to_string(),
        ];
        cells.map(|cell| format!("{cell:>11}")).concat()
    }
}

fn milliseconds(sorted: &[Duration], part: f64) -> String {
    let index = ((sorted.len() as f64 - 1.0) * part).round() as usize;
    sorted.get(index).map_or_else(|| "-".to_owned(), |value| format!("{:.1}", value.as_secs_f64() * 1000.0))
}
