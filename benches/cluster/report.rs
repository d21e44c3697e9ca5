//! What is printed.

use std::time::Duration;

use super::common::lanes::Seen;
use super::common::process::Usage;
use super::common::table::{self, figure, milliseconds};
use super::metrics::Cost;

/// Requests that are rarer than this in a saga are not shown.
const RARE: f64 = 0.02;
/// The cells whose requests are shown.
const TYPICAL_LANES: usize = 64;

/// What was measured of a cell.
pub(crate) struct Row {
    pub(crate) shape: &'static str,
    pub(crate) lanes: usize,
    pub(crate) seen: Seen,
    /// From refusals to first requests to undo; sorted.
    pub(crate) undo: Vec<Duration>,
    pub(crate) operator: Usage,
    /// Of this process, which makes the load and watches it.
    pub(crate) own: Usage,
    pub(crate) cost: Cost,
    /// Bytes.
    pub(crate) status: usize,
}

impl Row {
    pub(crate) fn head() {
        println!("cpu columns: processor seconds of 1000 sagas; load: this benchmark; writes: the operator's, of runs");
        table::head(&[
            "saga",
            "lanes",
            "sagas/s",
            "p50 ms",
            "p99 ms",
            "undo p50",
            "undo p99",
            "operator",
            "apiserver",
            "etcd",
            "load",
            "writes",
            "etcd KiB",
            "RSS MiB",
            "status B",
        ]);
    }

    pub(crate) fn print(&self) {
        let thousand = |cpu: f64| figure(Some(cpu / self.sagas() * 1000.0), 2);
        let etcd = self.cost.etcd;
        table::line(&[
            self.shape.to_owned(),
            self.lanes.to_string(),
            figure(Some(self.seen.rate()), 1),
            milliseconds(&self.seen.latencies, 0.5),
            milliseconds(&self.seen.latencies, 0.99),
            milliseconds(&self.undo, 0.5),
            milliseconds(&self.undo, 0.99),
            thousand(self.operator.cpu),
            thousand(self.cost.server_cpu),
            etcd.map_or_else(|| "-".to_owned(), |etcd| thousand(etcd.cpu)),
            thousand(self.own.cpu),
            figure(Some(self.cost.writes() / self.sagas()), 2),
            figure(etcd.map(|etcd| etcd.put / self.sagas() / 1024.0), 1),
            figure(Some(self.operator.rss_mib), 0),
            self.status.to_string(),
        ]);
    }

    fn sagas(&self) -> f64 {
        self.seen.latencies.len() as f64
    }
}

/// Every kind of request to the API server, by whomever.
pub(crate) fn requests(rows: &[Row]) {
    for row in rows.iter().filter(|row| row.lanes == TYPICAL_LANES) {
        println!("requests of a {} saga at {TYPICAL_LANES} lanes:", row.shape);
        for (request, count) in &row.cost.requests {
            let each = count / row.sagas();
            if each >= RARE {
                println!("{each:>11.2}  {request}");
            }
        }
    }
}
