//! How fast sagas go in a cluster: every decision is a durable write of the run's status.
//!
//! `cargo xtask bench --only cluster`, or `cargo bench --bench cluster -- [SAGAS] [--hung]` with `SAGA_TEST_KUBECONFIG`
//! (and `SAGA_TEST_ETCD`, for what etcd costs) set: the release operator as a process, with the rights of
//! `deploy/rbac.yaml` and no others, in a namespace of its own for each cell. docs/performance.md says what the figures
//! mean.

mod bed;
#[path = "../common/mod.rs"]
mod common;
mod install;
mod metrics;
mod operator;
mod refusing;
mod report;

use std::process::ExitCode;

use self::bed::ClusterBed;
use self::common::hung::{Hanging, compare};
use self::common::lanes::{Cell, closed};
use self::common::noop::Noop;
use self::common::process::Usage;
use self::common::shape::{HEALTHY, LANES, SHAPES, Shape, Urls, hanging};
use self::install::Cluster;
use self::metrics::Cost;
use self::operator::Operator;
use self::refusing::Refusing;
use self::report::Row;

/// Sagas of each cell: some ten seconds.
const SAGAS: usize = 600;
/// One lane is slower.
const SINGLE: usize = 6;
/// Before the cost is counted: caches fill, connections open.
const WARM: usize = 10;

fn main() -> ExitCode {
    common::run(async |arguments| {
        let cluster = Cluster::prepare().await?;
        let noop = Noop::start().await?;
        let sagas = arguments.sagas.unwrap_or(SAGAS);
        if arguments.hung {
            return hung(&cluster, &noop, sagas).await;
        }
        let mut rows = Vec::new();
        Row::head();
        for shape in SHAPES {
            for lanes in LANES {
                let count = if lanes == 1 { sagas / SINGLE } else { sagas };
                let row = cell(&cluster, &noop, &shape, lanes, count.max(lanes)).await?;
                row.print();
                rows.push(row);
            }
        }
        report::requests(&rows);
        Ok(())
    })
}

async fn cell(cluster: &Cluster, noop: &Noop, shape: &Shape, lanes: usize, count: usize) -> Result<Row, String> {
    let namespace = cluster.namespace().await?;
    let refusing = Refusing::start().await?;
    let operator = Operator::start(cluster, &namespace).await?;
    let fine = format!("{}/noop", noop.url);
    let urls = Urls { forward: &fine, refused: &refusing.refused, undo: &refusing.undo };
    cluster.define(&namespace, shape.name, shape.definition(&urls)?).await?;
    let mut bed = ClusterBed::new(cluster, &namespace).await?;
    let cell = Cell { definition: shape.name, prefix: "run-", expected: shape.expected(), lanes, count };
    closed(&mut bed, Cell { prefix: "warm-", lanes: lanes.min(WARM), count: WARM, ..cell }).await?;
    refusing.forget();

    let then = (operator.usage(), Usage::own(), Cost::read(cluster).await?);
    let seen = closed(&mut bed, cell).await?;
    let cost = Cost::read(cluster).await?.since(&then.2);
    let (operator_used, own) = (operator.usage().since(then.0), Usage::own().since(then.1));
    let status = bed.status_bytes("run-0").await?;
    operator.stop().await;
    Ok(Row { shape: shape.name, lanes, undo: refusing.first_undo(), operator: operator_used, own, cost, status, seen })
}

async fn hung(cluster: &Cluster, noop: &Noop, sagas: usize) -> Result<(), String> {
    let namespace = cluster.namespace().await?;
    let participant = Hanging::start().await?;
    let operator = Operator::start(cluster, &namespace).await?;
    let fine = format!("{}/noop", noop.url);
    let urls = Urls { forward: &fine, refused: &fine, undo: &fine };
    cluster.define(&namespace, HEALTHY.name, HEALTHY.definition(&urls)?).await?;
    cluster.define(&namespace, "hung", hanging(&participant.url)?).await?;
    let mut bed = ClusterBed::new(cluster, &namespace).await?;
    let compared = compare(&mut bed, &participant, (HEALTHY.name, "hung"), sagas).await;
    operator.stop().await;
    compared
}
